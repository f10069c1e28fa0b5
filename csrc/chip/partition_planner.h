// Which instance holds which neurons. Private to the partition.
#pragma once

#include <cstdint>
#include <vector>

#include "csrc/chip/partition.h"
#include "csrc/chip/partition_parts.h"

namespace gradspike::chip {

/// Lays out `parts`, those of `network`, which holds no wishes for execution instances itself: as whole layers, and
/// where that takes more than two instances also with layers cut to fill the room that is left; the fewer count.
PartitionResult plan_partition(const Network& network, std::vector<NetworkPart> parts, std::int64_t max_instances);

}  // namespace gradspike::chip
