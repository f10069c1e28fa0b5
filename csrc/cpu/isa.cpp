#include "csrc/cpu/isa.h"

#include <atomic>
#include <cstdlib>

#include "csrc/core/error.h"

namespace gradspike::cpu {
namespace {

constexpr int kUndecided = -1;
std::atomic<int> active{kUndecided};

Isa widest() {
  for (const Isa isa : {Isa::kAvx512, Isa::kAvx2}) {
    if (is_supported(isa)) {
      return isa;
    }
  }
  return Isa::kGeneric;
}

Isa from_environment() {
  const char* wish = std::getenv("GRADSPIKE_CPU_ISA");
  if (wish == nullptr || *wish == '\0') {
    return widest();
  }
  for (const Isa isa : {Isa::kGeneric, Isa::kAvx2, Isa::kAvx512}) {
    if (to_string(isa) == wish) {
      GRADSPIKE_REQUIRE(is_supported(isa), "GRADSPIKE_CPU_ISA must name an instruction set of this machine, got '",
                        wish, "'");
      return isa;
    }
  }
  GRADSPIKE_FAIL("GRADSPIKE_CPU_ISA must be 'generic', 'avx2' or 'avx512', got '", wish, "'");
}

}  // namespace

bool is_supported(Isa isa) {
#if defined(GRADSPIKE_X86)
  switch (isa) {
    case Isa::kGeneric:
      return true;
    case Isa::kAvx2:
      return __builtin_cpu_supports("avx2") != 0;
    case Isa::kAvx512:
      return __builtin_cpu_supports("avx512f") != 0 && __builtin_cpu_supports("avx512bw") != 0 &&
             __builtin_cpu_supports("avx512dq") != 0 && __builtin_cpu_supports("avx512vl") != 0 &&
             __builtin_cpu_supports("avx512vnni") != 0;
  }
  return false;
#else
  return isa == Isa::kGeneric;
#endif
}

std::string to_string(Isa isa) {
  switch (isa) {
    case Isa::kAvx2:
      return "avx2";
    case Isa::kAvx512:
      return "avx512";
    case Isa::kGeneric:
      break;
  }
  return "generic";
}

Isa active_isa() {
  int isa = active.load(std::memory_order_relaxed);
  if (isa == kUndecided) {
    isa = static_cast<int>(from_environment());
    active.store(isa, std::memory_order_relaxed);
  }
  return static_cast<Isa>(isa);
}

void set_active_isa(Isa isa) {
  GRADSPIKE_REQUIRE(is_supported(isa), "this machine has no ", to_string(isa));
  active.store(static_cast<int>(isa), std::memory_order_relaxed);
}

}  // namespace gradspike::cpu
