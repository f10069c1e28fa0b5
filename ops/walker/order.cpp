#include "ops/walker/order.h"

#include <algorithm>
#include <set>

#include "csrc/core/error.h"

namespace gradspike::ops {
namespace {

/// Topological order of populations, ties by name. A spike that arrives in a later step orders nothing.
std::vector<std::int32_t> population_order(const std::vector<chip::Population>& populations,
                                           const std::vector<OpenProjection>& projections) {
  std::vector<std::set<std::int32_t>> before(populations.size());
  for (const OpenProjection& p : projections) {
    for (const chip::ColumnRun& run : p.description.columns) {
      if (run.source.kind == chip::NodeRef::Kind::kPopulation && p.description.delay_steps == 0) {
        before[static_cast<std::size_t>(p.description.target)].insert(run.source.index);
      }
    }
  }
  std::vector<std::int32_t> order;
  std::set<std::int32_t> done;
  while (order.size() < populations.size()) {
    std::int32_t next = -1;
    for (std::size_t p = 0; p < populations.size(); ++p) {
      const bool ready = done.count(static_cast<std::int32_t>(p)) == 0 &&
                         std::includes(done.begin(), done.end(), before[p].begin(), before[p].end());
      if (ready && (next < 0 || populations[p].name < populations[static_cast<std::size_t>(next)].name)) {
        next = static_cast<std::int32_t>(p);
      }
    }
    GRADSPIKE_CHECK(next >= 0, "cycle between populations");
    done.insert(next);
    order.push_back(next);
  }
  return order;
}

/// Where each population goes.
std::vector<std::int32_t> order_populations(ReadNetwork& read, const std::vector<OpenProjection>& projections) {
  const std::vector<std::int32_t> order = population_order(read.network.populations, projections);
  std::vector<std::int32_t> place(order.size());
  std::vector<chip::Population> populations;
  std::vector<PopulationValues> values;
  for (std::size_t k = 0; k < order.size(); ++k) {
    const auto from = static_cast<std::size_t>(order[k]);
    place[from] = static_cast<std::int32_t>(k);
    populations.push_back(std::move(read.network.populations[from]));
    values.push_back(read.populations[from]);
  }
  read.network.populations = std::move(populations);
  read.populations = std::move(values);
  return place;
}

}  // namespace

void put_in_order(ReadNetwork& read, std::vector<OpenProjection> projections) {
  const std::vector<std::int32_t> place = order_populations(read, projections);
  for (OpenProjection& p : projections) {
    if (!p.has_target) {
      read.warnings.push_back("projection '" + p.description.name +
                              "' reaches no population and is left out: only host code reads it");
      continue;
    }
    p.description.target = place[static_cast<std::size_t>(p.description.target)];
    for (chip::ColumnRun& run : p.description.columns) {
      if (run.source.kind == chip::NodeRef::Kind::kPopulation) {
        run.source.index = place[static_cast<std::size_t>(run.source.index)];
      }
    }
  }
  std::sort(projections.begin(), projections.end(), [](const OpenProjection& a, const OpenProjection& b) {
    return std::pair(a.description.target, a.description.name) < std::pair(b.description.target, b.description.name);
  });
  for (OpenProjection& p : projections) {
    if (p.has_target) {
      read.network.projections.push_back(std::move(p.description));
      read.weights.push_back(std::move(p.weight));
    }
  }
}

}  // namespace gradspike::ops
