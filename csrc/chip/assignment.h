// Which circuit of its target takes a synapse, where the target has several. Private to the mapper.
#pragma once

#include <cstdint>
#include <vector>

#include "csrc/chip/placement.h"

namespace gradspike::chip {

/// Circuit (enum value) by synapse request. All synapses between a source and a target lie in one circuit.
///
/// Spikes on the chip go to the preferred hemisphere of their event output as long as its rows suffice, inputs from
/// outside to the hemisphere in which their fullest target stays lowest; within it each target takes the circuit with
/// the fewest rows in use.
std::vector<std::int32_t> assign_circuits(const RoutingProblem& problem, const Placement& placement);

}  // namespace gradspike::chip
