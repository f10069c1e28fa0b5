// Instruction sets of the CPU kernels. Every kernel file is compiled once per instruction set; one is chosen at run
// time.
#pragma once

#include <string>

namespace gradspike::cpu {

enum class Isa { kGeneric = 0, kAvx2 = 1, kAvx512 = 2 };

/// The widest instruction set of this machine, or the narrower one that GRADSPIKE_CPU_ISA names (generic, avx2,
/// avx512). Read once. Throws where the variable names another word or something that the machine lacks.
Isa active_isa();

/// For tests: sets the instruction set of all later calls. Throws where the machine lacks it.
void set_active_isa(Isa isa);

bool is_supported(Isa isa);
std::string to_string(Isa isa);

}  // namespace gradspike::cpu
