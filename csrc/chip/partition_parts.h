// Parts of a network that one instance must hold as a whole. Private to the partition.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "csrc/chip/capacity.h"
#include "csrc/chip/network.h"

namespace gradspike::chip {

struct NetworkPart {
  std::vector<std::int32_t> populations;  // ascending
  std::string together;                   // why it cannot be cut; "" where it can
  std::string wish;                       // execution instance
};

struct NetworkParts {
  std::vector<NetworkPart> parts;  // in topological order, ties by population
  std::vector<Misfit> misfits;     // wishes that contradict each other
};

/// The strongly connected parts, with projections with a delay and equal wishes counted in both directions.
NetworkParts find_parts(const Network& network);

/// The wish of each population for an execution instance, and the wishes that contradict each other.
std::vector<std::string> instance_wishes(const Network& network, std::vector<Misfit>& misfits);

}  // namespace gradspike::chip
