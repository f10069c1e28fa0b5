// An independent check of a mapping from the rules of the chip alone: it shares no code with the mapper.
#pragma once

#include <string>
#include <vector>

#include "csrc/chip/mapping.h"
#include "csrc/chip/network.h"

namespace gradspike::chip {

/// Sends an event of every source through crossbar, drivers, rows and labels, and compares the synapses that respond
/// with the connections of the network: each must respond exactly once per part with the sign of its row, and nothing
/// else may. Also: no circuit and no synapse used twice, spikes of different neurons distinguishable outside, every
/// number in range. Returns violations as sentences, at most `limit`; empty: the mapping is right.
std::vector<std::string> check_mapping(const Network& network, const Mapping& mapping, std::size_t limit = 100);

}  // namespace gradspike::chip
