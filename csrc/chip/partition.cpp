#include "csrc/chip/partition.h"

#include <set>

#include "csrc/chip/background.h"
#include "csrc/chip/mapper.h"
#include "csrc/chip/partition_planner.h"
#include "csrc/core/error.h"

namespace gradspike::chip {
namespace {

bool several_wishes(const Network& network) {
  std::set<std::string> wishes;
  for (const Projection& projection : network.projections) {
    wishes.insert(projection.execution_instance);
  }
  wishes.erase("");
  return wishes.size() > 1;
}

}  // namespace

std::vector<Misfit> open_misfits(const Network& network) {
  std::vector<Misfit> misfits;
  for (Misfit& misfit : check_capacity(network).misfits) {
    if (!misfit.blocks_mapping) {
      misfits.push_back(std::move(misfit));
    }
  }
  return misfits;
}

PartitionResult try_partition(const Network& network, const PartitionOptions& options) {
  GRADSPIKE_REQUIRE(options.max_instances >= 0, "partition: max_instances must be >= 0, got ", options.max_instances);
  validate(network);
  PartitionResult result;
  Network free = network;
  for (Projection& projection : free.projections) {
    projection.execution_instance.clear();
  }
  if (!several_wishes(network)) {
    MapResult mapped = try_map(free);
    result.misfits = std::move(mapped.misfits);
    if (mapped.mapping) {
      result.partition = single_instance(network, std::move(*mapped.mapping));
    }
    if (mapped.mapping || options.max_instances == 1) {
      return result;
    }
  }
  NetworkParts parts = find_parts(network);
  result.misfits = open_misfits(free);
  for (Misfit& misfit : background_misfits(network)) {
    if (!misfit.layer.empty()) {  // of one input: no cut helps
      parts.misfits.push_back(std::move(misfit));
    }
  }
  if (!parts.misfits.empty()) {
    result.misfits.insert(result.misfits.end(), parts.misfits.begin(), parts.misfits.end());
    return result;
  }
  PartitionResult planned = plan_partition(free, std::move(parts.parts), options.max_instances);
  result.misfits.insert(result.misfits.end(), planned.misfits.begin(), planned.misfits.end());
  result.partition = std::move(planned.partition);
  return result;
}

PartitionedMapping partition_network(const Network& network, const PartitionOptions& options) {
  PartitionResult result = try_partition(network, options);
  if (result.partition) {
    return std::move(*result.partition);
  }
  std::string text = "network \"" + network.name + "\" does not fit";
  text += options.max_instances == 1 ? " the chip:" : ", also when it is cut into execution instances:";
  for (const Misfit& misfit : result.misfits) {
    text += "\n  " + misfit.text();
  }
  throw Error(text);
}

}  // namespace gradspike::chip
