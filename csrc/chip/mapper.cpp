#include "csrc/chip/mapper.h"

#include <algorithm>
#include <set>

#include "csrc/chip/placement.h"
#include "csrc/chip/routing.h"
#include "csrc/core/error.h"

namespace gradspike::chip {
namespace {

std::vector<PopulationPlacement> circuits_of(const RoutingProblem& problem, const Placement& placement) {
  std::vector<PopulationPlacement> populations;
  std::size_t neuron = 0;
  for (const Population& population : problem.network.populations) {
    PopulationPlacement placed;
    placed.name = population.name;
    for (std::int64_t n = 0; n < population.size; ++n) {
      placed.neurons.push_back({{AtomicNeuronOnDLS(placement[neuron++])}, 0});
    }
    populations.push_back(std::move(placed));
  }
  return populations;
}

}  // namespace

MapResult try_map(const Network& network) {
  const Capacity capacity = check_capacity(network);
  MapResult result;
  result.misfits = capacity.misfits;
  if (!capacity.mappable()) {
    return result;
  }
  const RoutingProblem problem(network);
  const Placer placer(problem);
  std::set<Placement> tried;
  std::pair<bool, std::int64_t> least_excess;
  Misfit closest;
  for (std::int64_t number = 0; number < placer.num_candidates(); ++number) {
    const Placement placement = placer.candidate(number);
    if (!tried.insert(placement).second) {
      continue;
    }
    Router router(problem, placement);
    if (router.route()) {
      result.mapping = router.mapping();
      result.attempt.clear();
      return result;
    }
    // A lack of rows follows from the placement alone, so it is the better reason to give.
    const std::pair<bool, std::int64_t> excess{router.lacks_labels(), router.failure().need - router.failure().limit};
    if (result.attempt.empty() || excess < least_excess) {
      least_excess = excess;
      closest = router.failure();
      result.attempt = circuits_of(problem, placement);
    }
  }
  result.misfits.push_back(closest);
  return result;
}

Mapping map_network(const Network& network) {
  MapResult result = try_map(network);
  if (result.mapping) {
    return std::move(*result.mapping);
  }
  std::string text = "network \"" + network.name + "\" does not fit the chip:";
  for (const Misfit& misfit : result.misfits) {
    text += "\n  " + misfit.text();
  }
  throw Error(text);
}

}  // namespace gradspike::chip
