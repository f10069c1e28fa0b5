#include "csrc/chip/partition_planner.h"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include "csrc/chip/mapper.h"
#include "csrc/core/error.h"

namespace gradspike::chip {
namespace {

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

using Slices = std::vector<PopulationSlice>;

/// `slices` with another one, ascending, adjoining ranges joined.
Slices with(Slices slices, const PopulationSlice& added) {
  slices.push_back(added);
  std::sort(slices.begin(), slices.end(), [](const PopulationSlice& a, const PopulationSlice& b) {
    return std::tie(a.population, a.first) < std::tie(b.population, b.first);
  });
  Slices joined;
  for (const PopulationSlice& slice : slices) {
    if (!joined.empty() && joined.back().population == slice.population &&
        joined.back().first + joined.back().count == slice.first) {
      joined.back().count += slice.count;
    } else {
      joined.push_back(slice);
    }
  }
  return joined;
}

Slices with(Slices slices, const Slices& added) {
  for (const PopulationSlice& slice : added) {
    slices = with(std::move(slices), slice);
  }
  return slices;
}

/// What instances are to hold, before they are numbered.
struct Draft {
  struct Entry {
    Slices slices;
    std::string wish;
  };
  std::vector<Entry> entries;
  std::vector<Misfit> misfits;
};

/// How a population is laid out that does not fit an instance with other ones.
enum class Strategy {
  kWholeLayers,  // it begins an instance of its own
  kFill          // it is cut to fill the room that is left
};

class Planner {
 public:
  Planner(const Network& network, std::vector<NetworkPart> parts) : network_(network), parts_(std::move(parts)) {}

  Draft plan(Strategy strategy) {
    Draft draft;
    for (const NetworkPart& part : parts_) {
      Slices slices;
      for (const std::int32_t p : part.populations) {
        slices.push_back({p, 0, network_.populations[at(p)].size});
      }
      const std::size_t earliest = earliest_of(draft, part);
      if (place_whole(draft, part, slices, earliest)) {
        continue;
      }
      if (!part.together.empty()) {
        report(draft, part, slices);
      } else {
        cut(draft, part, strategy == Strategy::kFill ? earliest : draft.entries.size());
      }
    }
    merge(draft);
    return draft;
  }

  PartitionedMapping finish(const Draft& draft) {
    PartitionedMapping partition;
    partition.network = network_.name;
    for (const Population& population : network_.populations) {
      partition.populations.push_back(population.name);
    }
    for (std::size_t k = 0; k < draft.entries.size(); ++k) {
      Instance instance = make_instance(network_, static_cast<std::int64_t>(k), draft.entries[k].slices);
      instance.mapping = *map(draft.entries[k].slices).mapping;
      instance.mapping.network = instance.network.name;
      instance.wish = draft.entries[k].wish;
      partition.instances.push_back(std::move(instance));
    }
    return partition;
  }

 private:
  /// The mapping of an instance that holds `slices`; made once.
  const MapResult& map(const Slices& slices) {
    std::vector<std::int64_t> key;
    for (const PopulationSlice& slice : slices) {
      key.insert(key.end(), {slice.population, slice.first, slice.count});
    }
    const auto known = mapped_.find(key);
    if (known != mapped_.end()) {
      return known->second;
    }
    return mapped_.emplace(key, try_map(make_instance(network_, 0, slices).network)).first->second;
  }

  bool fits(const Slices& slices) { return map(slices).mapping.has_value(); }

  /// The last instance that holds a source of `part`.
  std::size_t earliest_of(const Draft& draft, const NetworkPart& part) const {
    std::set<std::int32_t> sources;
    for (const Projection& projection : network_.projections) {
      const bool reaches = std::binary_search(part.populations.begin(), part.populations.end(), projection.target);
      for (const ColumnRun& run : projection.columns) {
        if (reaches && run.source.kind == NodeRef::Kind::kPopulation) {
          sources.insert(run.source.index);
        }
      }
    }
    std::size_t earliest = 0;
    for (std::size_t k = 0; k < draft.entries.size(); ++k) {
      for (const PopulationSlice& slice : draft.entries[k].slices) {
        earliest = sources.count(slice.population) != 0 ? k : earliest;
      }
    }
    return earliest;
  }

  /// In the first instance that takes all of it, an empty one at last.
  bool place_whole(Draft& draft, const NetworkPart& part, const Slices& slices, std::size_t earliest) {
    for (std::size_t k = earliest; k < draft.entries.size(); ++k) {
      Draft::Entry& entry = draft.entries[k];
      const bool wishes_agree = part.wish.empty() || entry.wish.empty();
      const Slices joined = with(entry.slices, slices);
      if (wishes_agree && fits(joined)) {
        entry.slices = joined;
        entry.wish = part.wish.empty() ? entry.wish : part.wish;
        return true;
      }
    }
    if (!fits(slices)) {
      return false;
    }
    draft.entries.push_back({slices, part.wish});
    return true;
  }

  /// Ranges of one population over the instances from `from` on.
  void cut(Draft& draft, const NetworkPart& part, std::size_t from) {
    const std::int32_t population = part.populations.front();
    PopulationSlice rest{population, 0, network_.populations[at(population)].size};
    for (std::size_t k = from; rest.count > 0; ++k) {
      const bool fresh = k >= draft.entries.size();
      const std::int64_t count = most_neurons(fresh ? Slices() : draft.entries[k].slices, rest);
      if (count == 0 && fresh) {
        report_neuron(draft, part, {population, rest.first, 1});
        return;
      }
      const PopulationSlice slice{population, rest.first, count};
      if (fresh) {
        draft.entries.push_back({{slice}, ""});
      } else if (count > 0) {
        draft.entries[k].slices = with(draft.entries[k].slices, slice);
      }
      rest = {population, rest.first + count, rest.count - count};
    }
  }

  /// The most of the first neurons of `rest` that fit beside `held`.
  std::int64_t most_neurons(const Slices& held, const PopulationSlice& rest) {
    const auto joined = [&](std::int64_t count) { return with(held, {rest.population, rest.first, count}); };
    const Capacity one = check_capacity(make_instance(network_, 0, joined(1)).network);
    if (!one.mappable()) {
      return 0;
    }
    std::int64_t least = 0;
    std::int64_t none = std::min(rest.count, kNeuronCircuits - one.circuits + 1) + 1;
    // The circuits of a neuron are mostly the same for all, so the first guess is mostly right.
    std::int64_t guess =
        std::min(none - 1, 1 + (kNeuronCircuits - one.circuits) / circuits_per_neuron(one, held, rest));
    while (least + 1 < none) {
      if (!fits(joined(guess))) {
        none = guess;
      } else {
        least = guess;
        const bool more =
            guess + 1 < none && check_capacity(make_instance(network_, 0, joined(guess + 1)).network).mappable();
        none = more ? none : guess + 1;
      }
      guess = least + (none - least) / 2;
    }
    return least;
  }

  /// Circuits of the neurons that `rest` adds to `held`.
  std::int64_t circuits_per_neuron(const Capacity& one, const Slices& held, const PopulationSlice& rest) const {
    const Slices slices = with(held, {rest.population, rest.first, 1});
    std::int64_t most = 1;
    for (std::size_t s = 0; s < slices.size(); ++s) {
      if (slices[s].population == rest.population) {
        most = std::max(most, one.populations[s].circuits_per_neuron);
      }
    }
    return most;
  }

  /// Says why `slices` do not fit an instance of their own, in names of the whole network.
  void report(Draft& draft, const NetworkPart& part, const Slices& slices) {
    report(draft, part, slices, map(slices).misfits);
  }

  /// A limit that neurons of the population exceed by themselves, or what was short for the first one that is left.
  void report_neuron(Draft& draft, const NetworkPart& part, const PopulationSlice& neuron) {
    const Slices whole = {{neuron.population, 0, network_.populations[at(neuron.population)].size}};
    std::vector<Misfit> misfits = check_capacity(make_instance(network_, 0, whole).network).misfits;
    misfits.erase(std::remove_if(misfits.begin(), misfits.end(),
                                 [](const Misfit& m) { return m.layer.empty() || !m.blocks_mapping; }),
                  misfits.end());
    if (misfits.empty()) {
      report(draft, part, {neuron});
    } else {
      report(draft, part, whole, misfits);
    }
  }

  void report(Draft& draft, const NetworkPart& part, const Slices& slices, const std::vector<Misfit>& misfits) const {
    const Instance instance = make_instance(network_, 0, slices);
    for (Misfit misfit : misfits) {
      if (!misfit.blocks_mapping) {
        continue;
      }
      for (std::size_t s = 0; s < slices.size(); ++s) {
        if (misfit.layer == instance.network.populations[s].name) {
          misfit.layer = network_.populations[at(slices[s].population)].name;
        }
      }
      for (std::size_t q = 0; q < instance.projections.size(); ++q) {
        if (misfit.layer == instance.network.projections[q].name) {
          misfit.layer = network_.projections[at(instance.projections[q].projection)].name;
        }
      }
      if (misfit.layer.empty()) {
        for (const std::int32_t p : part.populations) {
          misfit.layer += (misfit.layer.empty() ? "" : "\" and \"") + network_.populations[at(p)].name;
        }
      }
      if (misfit.quantity == "neuron circuits") {
        misfit.remedy = detail::concatenate("remove neurons that take ", misfit.need - misfit.limit, " circuits");
      }
      misfit.remedy += part.together.empty() ? "" : "; one execution instance holds all of it: " + part.together;
      draft.misfits.push_back(std::move(misfit));
    }
  }

  /// Whether each instance depends on earlier ones only.
  bool ordered(const std::vector<Draft::Entry>& entries) const {
    std::map<std::int32_t, std::size_t> first_of;
    std::map<std::int32_t, std::size_t> last_of;
    for (std::size_t k = 0; k < entries.size(); ++k) {
      for (const PopulationSlice& slice : entries[k].slices) {
        first_of.emplace(slice.population, k);
        last_of[slice.population] = k;
      }
    }
    for (const Projection& projection : network_.projections) {
      for (const ColumnRun& run : projection.columns) {
        if (run.source.kind == NodeRef::Kind::kPopulation &&
            last_of.at(run.source.index) > first_of.at(projection.target)) {
          return false;
        }
      }
    }
    return true;
  }

  /// Joins two instances into the place of either, as long as any fit together.
  void merge(Draft& draft) {
    for (bool merged = draft.misfits.empty(); merged;) {
      merged = false;
      for (std::size_t a = 0; a < draft.entries.size() && !merged; ++a) {
        for (std::size_t b = a + 1; b < draft.entries.size() && !merged; ++b) {
          merged = try_merge(draft, a, b, a) || try_merge(draft, a, b, b);
        }
      }
    }
  }

  std::int64_t circuits(const Slices& slices) {
    std::int64_t circuits = 0;
    for (const PopulationPlacement& population : map(slices).mapping->populations) {
      for (const PlacedNeuron& neuron : population.neurons) {
        circuits += static_cast<std::int64_t>(neuron.circuits.size());
      }
    }
    return circuits;
  }

  bool try_merge(Draft& draft, std::size_t a, std::size_t b, std::size_t place) {
    const bool wishes_agree = draft.entries[a].wish.empty() || draft.entries[b].wish.empty();
    if (!wishes_agree || circuits(draft.entries[a].slices) + circuits(draft.entries[b].slices) > kNeuronCircuits) {
      return false;
    }
    std::vector<Draft::Entry> entries = draft.entries;
    const std::string wish = entries[a].wish + entries[b].wish;
    entries[place] = {with(entries[a].slices, entries[b].slices), wish};
    const Slices joined = entries[place].slices;
    entries.erase(entries.begin() + static_cast<std::ptrdiff_t>(place == a ? b : a));
    if (!ordered(entries) || !fits(joined)) {
      return false;
    }
    draft.entries = std::move(entries);
    return true;
  }

  const Network& network_;
  std::vector<NetworkPart> parts_;
  std::map<std::vector<std::int64_t>, MapResult> mapped_;
};

}  // namespace

PartitionResult plan_partition(const Network& network, std::vector<NetworkPart> parts, std::int64_t max_instances) {
  Planner planner(network, std::move(parts));
  Draft best = planner.plan(Strategy::kWholeLayers);
  if (best.misfits.empty() && best.entries.size() > 2) {
    Draft filled = planner.plan(Strategy::kFill);
    if (filled.misfits.empty() && filled.entries.size() < best.entries.size()) {
      best = std::move(filled);
    }
  }
  const auto need = static_cast<std::int64_t>(best.entries.size());
  if (max_instances > 0 && need > max_instances) {
    best.misfits.push_back({"", "execution instances", need, max_instances,
                            detail::concatenate("allow ", need, " instances, or make the layers smaller")});
  }
  PartitionResult result;
  result.misfits = std::move(best.misfits);
  if (result.misfits.empty()) {
    result.partition = planner.finish(best);
  }
  return result;
}

}  // namespace gradspike::chip
