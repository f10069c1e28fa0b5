// The network of one execution instance, cut out of the whole one.
#include <algorithm>
#include <map>
#include <set>

#include "csrc/chip/partition.h"
#include "csrc/core/error.h"

namespace gradspike::chip {
namespace {

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

bool is_whole(const Network& network, const PopulationSlice& slice) {
  return slice.first == 0 && slice.count == network.populations[at(slice.population)].size;
}

/// "hidden", or "hidden[64:128]" for a part of it.
std::string name_of(const std::string& name, const Network& network, const PopulationSlice& slice) {
  return is_whole(network, slice) ? name
                                  : detail::concatenate(name, "[", slice.first, ":", slice.first + slice.count, "]");
}

Population cut(const Network& network, const PopulationSlice& slice) {
  const Population& whole = network.populations[at(slice.population)];
  Population part = whole;
  part.name = name_of(whole.name, network, slice);
  part.size = slice.count;
  if (whole.columns == 1) {
    return part;
  }
  part.columns = slice.count;
  part.coefficients.clear();
  for (std::size_t row = 0; row < whole.coefficients.size(); row += at(whole.columns)) {
    const auto first = whole.coefficients.begin() + static_cast<std::ptrdiff_t>(row) + slice.first;
    part.coefficients.insert(part.coefficients.end(), first, first + slice.count);
  }
  return part;
}

/// Appends a column to run-length coded ones.
void append(std::vector<ColumnRun>& runs, const NodeRef& source, std::int64_t neuron) {
  if (!runs.empty() && runs.back().source.kind == source.kind && runs.back().source.index == source.index) {
    ColumnRun& run = runs.back();
    if (run.count == 1) {
      run.step = neuron - run.first;
    }
    if (neuron == run.first + run.count * run.step) {
      ++run.count;
      return;
    }
  }
  runs.push_back({source, neuron, 1, 1});
}

class InstanceBuilder {
 public:
  InstanceBuilder(const Network& network, const std::vector<PopulationSlice>& slices) : network_(network) {
    instance_.populations = slices;
  }

  Instance build(std::int64_t number) {
    Network& part = instance_.network;
    part.name = detail::concatenate(network_.name, ".", number);
    part.dt = network_.dt;
    part.neuron_permutation = network_.neuron_permutation;
    part.model_card.steps = network_.model_card.steps;
    for (const PopulationSlice& slice : instance_.populations) {
      part.populations.push_back(cut(network_, slice));
    }
    add_inputs();
    for (std::size_t q = 0; q < network_.projections.size(); ++q) {
      for (std::size_t s = 0; s < instance_.populations.size(); ++s) {
        if (instance_.populations[s].population == network_.projections[q].target) {
          add_projection(static_cast<std::int32_t>(q), static_cast<std::int32_t>(s));
        }
      }
    }
    return std::move(instance_);
  }

 private:
  /// Population of this instance that holds a neuron, or -1.
  std::int32_t owner(std::int32_t population, std::int64_t neuron) const {
    for (std::size_t s = 0; s < instance_.populations.size(); ++s) {
      const PopulationSlice& slice = instance_.populations[s];
      if (slice.population == population && neuron >= slice.first && neuron < slice.first + slice.count) {
        return static_cast<std::int32_t>(s);
      }
    }
    return -1;
  }

  bool holds_part_of(std::int32_t population) const {
    return std::any_of(instance_.populations.begin(), instance_.populations.end(),
                       [population](const PopulationSlice& slice) { return slice.population == population; });
  }

  /// Inputs of the whole network first, then the populations whose spikes are replayed.
  void add_inputs() {
    std::set<std::pair<bool, std::int32_t>> needed;
    for (const Projection& projection : network_.projections) {
      for (const ColumnRun& run : projection.columns) {
        if (!holds_part_of(projection.target)) {
          break;
        }
        const bool replayed = run.source.kind == NodeRef::Kind::kPopulation;
        bool missing = !replayed;
        for (std::int64_t i = 0; replayed && i < run.count && !missing; ++i) {
          missing = owner(run.source.index, run.first + i * run.step) < 0;
        }
        if (missing) {
          needed.emplace(replayed, run.source.index);
        }
      }
    }
    if (needed.empty() && !network_.inputs.empty()) {
      needed.emplace(false, 0);  // an input tells the number of steps
    }
    for (const auto& [replayed, index] : needed) {
      input_of_[{replayed, index}] = static_cast<std::int32_t>(instance_.inputs.size());
      instance_.inputs.push_back({replayed ? NodeRef::Kind::kPopulation : NodeRef::Kind::kInput, index});
      std::string name =
          replayed ? "replayed " + network_.populations[at(index)].name : network_.inputs[at(index)].name;
      while (std::any_of(instance_.network.inputs.begin(), instance_.network.inputs.end(),
                         [&name](const Input& input) { return input.name == name; })) {
        name += "'";
      }
      const std::optional<Background> background = replayed ? std::nullopt : network_.inputs[at(index)].background;
      instance_.network.inputs.push_back({name, network_.source_size(instance_.inputs.back()), background});
    }
  }

  void add_projection(std::int32_t index, std::int32_t target) {
    const PopulationSlice& slice = instance_.populations[at(target)];
    const Projection& whole = network_.projections[at(index)];
    Projection part = whole;
    part.name = name_of(whole.name, network_, slice);
    part.target = target;
    part.execution_instance.clear();
    part.rows.clear();
    std::int64_t lowest = whole.out_features;
    std::int64_t highest = -1;
    for (const RowRun& run : whole.rows) {
      const std::int64_t first = std::max(run.target_first, slice.first);
      const std::int64_t end = std::min(run.target_first + run.count, slice.first + slice.count);
      if (first < end) {
        const std::int64_t row_first = run.row_first + (first - run.target_first) * run.row_step;
        const std::int64_t row_last = row_first + (end - first - 1) * run.row_step;
        lowest = std::min({lowest, row_first, row_last});
        highest = std::max({highest, row_first, row_last});
        part.rows.push_back({first - slice.first, row_first, run.row_step, end - first});
      }
    }
    if (part.rows.empty()) {
      return;
    }
    for (RowRun& run : part.rows) {
      run.row_first -= lowest;
    }
    part.out_features = highest - lowest + 1;
    if (!whole.mask.empty()) {
      const auto begin = whole.mask.begin() + static_cast<std::ptrdiff_t>(lowest * whole.in_features);
      part.mask.assign(begin, begin + static_cast<std::ptrdiff_t>(part.out_features * whole.in_features));
    }
    add_columns(whole, part);
    instance_.projections.push_back({index, lowest});
    instance_.network.projections.push_back(std::move(part));
  }

  void add_columns(const Projection& whole, Projection& part) const {
    part.columns.clear();
    for (const ColumnRun& run : whole.columns) {
      const bool from_population = run.source.kind == NodeRef::Kind::kPopulation;
      for (std::int64_t i = 0; i < run.count; ++i) {
        const std::int64_t neuron = run.first + i * run.step;
        const std::int32_t held = from_population ? owner(run.source.index, neuron) : -1;
        if (held >= 0) {
          append(part.columns, {NodeRef::Kind::kPopulation, held}, neuron - instance_.populations[at(held)].first);
          continue;
        }
        GRADSPIKE_REQUIRE(!from_population || whole.delay_steps == 0, "instance \"", instance_.network.name,
                          "\": projection \"", whole.name, "\" has a delay, so it must hold all its sources");
        append(part.columns, {NodeRef::Kind::kInput, input_of_.at({from_population, run.source.index})}, neuron);
      }
    }
  }

  const Network& network_;
  Instance instance_;
  std::map<std::pair<bool, std::int32_t>, std::int32_t> input_of_;
};

/// Instance that runs a neuron, by population and neuron; -1 where none does.
using Owners = std::vector<std::vector<std::int64_t>>;

Owners owners_of(const PartitionedMapping& partition, const Network& network) {
  Owners owners;
  for (const Population& population : network.populations) {
    owners.emplace_back(at(population.size), -1);
  }
  for (std::size_t k = 0; k < partition.instances.size(); ++k) {
    for (const PopulationSlice& slice : partition.instances[k].populations) {
      for (std::int64_t n = slice.first; n < slice.first + slice.count; ++n) {
        std::int64_t& owner = owners[at(slice.population)][at(n)];
        GRADSPIKE_REQUIRE(owner < 0, "partition: instances ", owner, " and ", k, " hold neuron ", n,
                          " of population \"", network.populations[at(slice.population)].name, "\"");
        owner = static_cast<std::int64_t>(k);
      }
    }
  }
  for (std::size_t p = 0; p < owners.size(); ++p) {
    const auto missing = std::find(owners[p].begin(), owners[p].end(), -1);
    GRADSPIKE_REQUIRE(missing == owners[p].end(), "partition: no instance holds neuron ", missing - owners[p].begin(),
                      " of population \"", network.populations[p].name, "\"");
  }
  return owners;
}

void validate_replays(const PartitionedMapping& partition, const Network& network, const Owners& owners) {
  for (std::size_t k = 0; k < partition.instances.size(); ++k) {
    const Instance& instance = partition.instances[k];
    for (const Projection& projection : instance.network.projections) {
      for (const ColumnRun& run : projection.columns) {
        const bool outside = run.source.kind == NodeRef::Kind::kInput;
        const NodeRef source = outside ? instance.inputs[at(run.source.index)] : NodeRef();
        for (std::int64_t i = 0; source.kind == NodeRef::Kind::kPopulation && i < run.count; ++i) {
          const std::int64_t from = owners[at(source.index)][at(run.first + i * run.step)];
          GRADSPIKE_REQUIRE(from < static_cast<std::int64_t>(k), "partition: instance ", k, " needs spikes of \"",
                            network.populations[at(source.index)].name, "\" from instance ", from,
                            ", which does not run before it");
        }
      }
    }
  }
}

}  // namespace

Instance make_instance(const Network& network, std::int64_t number, const std::vector<PopulationSlice>& slices) {
  return InstanceBuilder(network, slices).build(number);
}

PartitionedMapping single_instance(const Network& network, Mapping mapping) {
  Instance instance;
  instance.network = network;
  for (Projection& projection : instance.network.projections) {
    instance.wish = instance.wish.empty() ? projection.execution_instance : instance.wish;
    projection.execution_instance.clear();
  }
  for (std::size_t p = 0; p < network.populations.size(); ++p) {
    instance.populations.push_back({static_cast<std::int32_t>(p), 0, network.populations[p].size});
  }
  for (std::size_t q = 0; q < network.projections.size(); ++q) {
    instance.projections.push_back({static_cast<std::int32_t>(q), 0});
  }
  for (std::size_t i = 0; i < network.inputs.size(); ++i) {
    instance.inputs.push_back({NodeRef::Kind::kInput, static_cast<std::int32_t>(i)});
  }
  instance.mapping = std::move(mapping);
  PartitionedMapping partition;
  partition.network = network.name;
  for (const Population& population : network.populations) {
    partition.populations.push_back(population.name);
  }
  partition.instances.push_back(std::move(instance));
  return partition;
}

Weights slice_weights(const Network& network, const Instance& instance, const Weights& weights) {
  Weights result;
  for (std::size_t q = 0; q < instance.projections.size(); ++q) {
    const ProjectionSlice& slice = instance.projections[q];
    const Projection& part = instance.network.projections[q];
    const IntegerMatrix& whole = weights.at(network.projections[at(slice.projection)].name);
    if (part.out_features == whole.out_features) {
      result[part.name] = whole;
      continue;
    }
    IntegerMatrix& matrix = result[part.name];
    matrix.out_features = part.out_features;
    matrix.in_features = part.in_features;
    const auto begin = whole.values.begin() + static_cast<std::ptrdiff_t>(slice.row_first * part.in_features);
    matrix.values.assign(begin, begin + static_cast<std::ptrdiff_t>(part.out_features * part.in_features));
    matrix.hash = content_hash(part, matrix.values);
  }
  return result;
}

void require_populations(const PartitionedMapping& partition, const Network& network) {
  GRADSPIKE_REQUIRE(partition.network == network.name, "partition: belongs to network \"", partition.network,
                    "\", not to \"", network.name, "\"");
  GRADSPIKE_REQUIRE(partition.populations.size() == network.populations.size(), "partition: has ",
                    partition.populations.size(), " populations, the network has ", network.populations.size());
  for (std::size_t p = 0; p < network.populations.size(); ++p) {
    GRADSPIKE_REQUIRE(partition.populations[p] == network.populations[p].name, "partition: population ", p, " is \"",
                      partition.populations[p], "\", in the network it is \"", network.populations[p].name, "\"");
  }
}

void validate(const PartitionedMapping& partition, const Network& network) {
  require_populations(partition, network);
  for (const Instance& instance : partition.instances) {
    validate(instance.network);
    validate(instance.mapping, instance.network);
  }
  validate_replays(partition, network, owners_of(partition, network));
}

}  // namespace gradspike::chip
