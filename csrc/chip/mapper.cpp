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
      PlacedNeuron& of_neuron = placed.neurons.emplace_back();
      for (const std::int32_t circuit : placement[neuron]) {
        of_neuron.circuits.emplace_back(circuit);
      }
      ++neuron;
    }
    populations.push_back(std::move(placed));
  }
  return populations;
}

/// Misfit of a neuron that finds no free circuits: one of several circuits needs a block of columns, a wish for a
/// permutation leaves only those listed.
Misfit no_block(const RoutingProblem& problem, std::int64_t neuron) {
  const auto population = static_cast<std::size_t>(problem.population_of[static_cast<std::size_t>(neuron)]);
  const std::int32_t circuits = problem.circuits_per_neuron[population];
  const std::int64_t first = problem.index.neuron(static_cast<std::int64_t>(population), 0);
  if (!problem.network.neuron_permutation.empty()) {
    const auto listed = static_cast<std::int64_t>(problem.network.neuron_permutation.size());
    return {problem.network.populations[population].name, "free circuits of the neuron permutation", circuits, 0,
            detail::concatenate("none of its ", listed, " circuits is free for neuron ", neuron - first,
                                circuits == 1 ? "" : ", which begins at a top left one and takes its neighbours",
                                ": list more circuits, or none to let the mapper choose")};
  }
  return {
      problem.network.populations[population].name, "adjacent free columns", circuits / 2, 0,
      detail::concatenate("a neuron of ", circuits, " circuits takes ", circuits / 2,
                          " adjacent columns of one chip half, and the free ones lie apart: reduce the number of its "
                          "inputs or of the neurons")};
}

/// The first placement that can be routed, or the closest attempt.
MapResult map_with(const Network& network, const Capacity& capacity) {
  MapResult result;
  const RoutingProblem problem(network, capacity);
  const Placer placer(problem);
  if (placer.unplaced() >= 0) {
    result.misfits.push_back(no_block(problem, placer.unplaced()));
    return result;
  }
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
  if (!network.neuron_permutation.empty()) {
    closest.remedy += "; the circuits are those of neuron_permutation, without it others are tried";
  }
  result.misfits.push_back(closest);
  return result;
}

/// Gives the neurons of a population two more columns' rows; false where the chip has no circuits left for that.
bool widen(const Network& network, const std::string& population, Capacity& capacity) {
  for (std::size_t p = 0; p < network.populations.size(); ++p) {
    PopulationNeed& need = capacity.populations[p];
    if (need.name != population) {
      continue;
    }
    const std::int64_t more = need.circuits_per_neuron == 1 ? 1 : 2;
    const std::int64_t circuits = network.populations[p].size * more;
    if (need.circuits_per_neuron + more > kMaxCircuitsPerNeuron || capacity.circuits + circuits > kNeuronCircuits) {
      return false;
    }
    need.circuits_per_neuron += more;
    need.circuits += circuits;
    capacity.circuits += circuits;
    return true;
  }
  return false;
}

bool has_wish(const Network& network, const std::string& population) {
  return std::any_of(network.projections.begin(), network.projections.end(), [&](const Projection& projection) {
    return !projection.chip_coordinate.empty() &&
           network.populations[static_cast<std::size_t>(projection.target)].name == population;
  });
}

}  // namespace

MapResult try_map(const Network& network) {
  Capacity capacity = check_capacity(network);
  if (!capacity.mappable()) {
    MapResult result;
    result.misfits = std::move(capacity.misfits);
    return result;
  }
  const std::vector<Misfit> known = capacity.misfits;  // those that do not block the mapping
  MapResult first = map_with(network, capacity);
  // Where the rows of a layer are short although each neuron has enough, spare circuits give it more.
  for (MapResult result = first; !result.mapping;) {
    const std::string layer = result.misfits.front().layer;
    if (has_wish(network, layer) || !widen(network, layer, capacity)) {
      break;
    }
    result = map_with(network, capacity);
    if (result.mapping) {
      first = std::move(result);
      break;
    }
  }
  first.misfits.insert(first.misfits.begin(), known.begin(), known.end());
  return first;
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
