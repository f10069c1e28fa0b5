#include "csrc/chip/capacity.h"

#include <algorithm>
#include <functional>
#include <limits>
#include <map>
#include <set>

#include "csrc/chip/background.h"
#include "csrc/chip/connections.h"
#include "csrc/chip/geometry.h"
#include "csrc/core/error.h"

namespace gradspike::chip {

std::string Misfit::text() const {
  return detail::concatenate(layer.empty() ? "network" : "layer \"" + layer + "\"", ": ", quantity, ": needs ", need,
                             ", limit ", limit, remedy.empty() ? "" : "; ", remedy);
}

bool Capacity::mappable() const {
  return std::none_of(misfits.begin(), misfits.end(), [](const Misfit& misfit) { return misfit.blocks_mapping; });
}

namespace {

/// Synapse rows that one neuron needs.
struct FanIn {
  std::int64_t connections = 0;
  std::int64_t excitatory = 0;
  std::int64_t inhibitory = 0;
  std::int64_t rows() const { return excitatory + inhibitory; }
};

/// Connections per row of the weight matrix.
std::vector<std::int64_t> connections_per_row(const Projection& projection) {
  const auto out = static_cast<std::size_t>(projection.out_features);
  const auto in = static_cast<std::size_t>(projection.in_features);
  std::vector<std::int64_t> counts(out, projection.in_features);
  for (std::size_t row = 0; !projection.mask.empty() && row < out; ++row) {
    const auto begin = projection.mask.begin() + static_cast<std::ptrdiff_t>(row * in);
    counts[row] = std::count(begin, begin + static_cast<std::ptrdiff_t>(in), true);
  }
  return counts;
}

std::vector<std::vector<FanIn>> fan_ins(const Network& network) {
  std::vector<std::vector<FanIn>> result;
  for (const Population& population : network.populations) {
    result.emplace_back(static_cast<std::size_t>(population.size));
  }
  for (const Projection& projection : network.projections) {
    const std::vector<std::int64_t> counts = connections_per_row(projection);
    const std::vector<std::int64_t> rows = network.expanded_rows(projection);
    for (std::size_t post = 0; post < rows.size(); ++post) {
      if (rows[post] >= 0) {
        FanIn& fan_in = result[static_cast<std::size_t>(projection.target)][post];
        const std::int64_t count = counts[static_cast<std::size_t>(rows[post])];
        fan_in.connections += count;
        fan_in.excitatory += count * excitatory_parts(projection);
        fan_in.inhibitory += count * inhibitory_parts(projection);
      }
    }
  }
  return result;
}

void check_circuits(Capacity& capacity) {
  if (capacity.circuits <= kNeuronCircuits) {
    return;
  }
  const std::int64_t chips = (capacity.circuits + kNeuronCircuits - 1) / kNeuronCircuits;
  std::string wide;
  for (const PopulationNeed& need : capacity.populations) {
    if (need.circuits_per_neuron > 1) {
      wide += detail::concatenate(wide.empty() ? " (" : ", ", need.circuits_per_neuron, " per neuron of \"", need.name,
                                  "\"");
    }
  }
  capacity.misfits.push_back(
      {"", "neuron circuits", capacity.circuits, kNeuronCircuits,
       detail::concatenate("remove neurons that take ", capacity.circuits - kNeuronCircuits, " circuits", wide,
                           wide.empty() ? "" : ")", "; all of them take ", "at least ", chips, " chips or runs")});
}

/// A neuron of k circuits has 256 k rows. More than one circuit come as pairs of both rows.
std::int64_t circuits_for(std::int64_t need, std::int64_t per_circuit) {
  return need <= per_circuit ? 1 : 2 * ((need + 2 * per_circuit - 1) / (2 * per_circuit));
}

/// Circuits per neuron from the neuron with the largest fan-in of each population.
void choose_circuits(const Network& network, const std::vector<std::vector<FanIn>>& fan_in, Capacity& capacity) {
  for (std::size_t p = 0; p < fan_in.size(); ++p) {
    const auto worst = std::max_element(fan_in[p].begin(), fan_in[p].end(),
                                        [](const FanIn& a, const FanIn& b) { return a.rows() < b.rows(); });
    PopulationNeed& need = capacity.populations[p];
    need.circuits_per_neuron = worst == fan_in[p].end() ? 1 : circuits_for(worst->rows(), kSynapseRows);
    if (need.circuits_per_neuron > kMaxCircuitsPerNeuron) {
      const std::int64_t limit = kMaxCircuitsPerNeuron * kSynapseRows;
      capacity.misfits.push_back(
          {network.populations[p].name, "synapse rows of one neuron", worst->rows(), limit,
           detail::concatenate("neuron ", worst - fan_in[p].begin(), " has ", worst->connections,
                               " connections that take ", worst->excitatory, " excitatory and ", worst->inhibitory,
                               " inhibitory rows, and the ", kMaxCircuitsPerNeuron, " circuits of a chip half hold ",
                               limit, "; remove connections of ", worst->rows() - limit, " rows")});
    }
  }
}

void count_circuits(const Network& network, Capacity& capacity) {
  capacity.circuits = 0;
  for (std::size_t p = 0; p < capacity.populations.size(); ++p) {
    capacity.populations[p].circuits = network.populations[p].size * capacity.populations[p].circuits_per_neuron;
    capacity.circuits += capacity.populations[p].circuits;
  }
}

std::string float_text(float value) {
  std::ostringstream out;
  out.precision(9);
  out << value;
  return out.str();
}

/// The chip adds synaptic currents in one unit: each projection into a population must have the same.
void check_scales(const Network& network, Capacity& capacity) {
  for (std::size_t p = 0; p < network.populations.size(); ++p) {
    std::set<float> factors;
    std::string list;
    for (const Projection& projection : network.projections) {
      if (static_cast<std::size_t>(projection.target) == p) {
        factors.insert(projection.factor);
        list += (list.empty() ? "\"" : ", \"") + projection.name + "\" (" + float_text(projection.scale) +
                (projection.units == Units::kModel ? "" : " in LSB") + ")";
      }
    }
    if (factors.size() > 1) {
      capacity.misfits.push_back(
          {network.populations[p].name, "weight scales of its projections", static_cast<std::int64_t>(factors.size()),
           1, "give these projections the same scale: " + list + "; the ideal emulator runs it", false});
    }
  }
}

void refuse(Capacity& capacity, const Projection& projection, const char* quantity, std::int64_t need,
            const std::string& remedy) {
  capacity.misfits.push_back({projection.name, quantity, need, 0, remedy});
}

void check_wish(const Network& network, const Projection& projection,
                std::map<std::int32_t, std::vector<std::vector<AtomicNeuronOnDLS>>>& wishes, Capacity& capacity) {
  const auto target = static_cast<std::size_t>(projection.target);
  try {
    const std::vector<std::vector<AtomicNeuronOnDLS>> wish = parse_neuron_wishes(
        projection.chip_coordinate, network.populations[target].size, capacity.populations[target].circuits_per_neuron);
    const auto [known, added] = wishes.emplace(projection.target, wish);
    if (!added && known->second != wish) {
      refuse(capacity, projection, "contradicting chip coordinates", 1,
             "another projection into the same population wishes other circuits");
    }
  } catch (const Error& error) {
    refuse(capacity, projection, "chip coordinates that cannot be honoured", 1, error.what());
  }
}

void check_wished_circuits(const Network& network,
                           const std::map<std::int32_t, std::vector<std::vector<AtomicNeuronOnDLS>>>& wishes,
                           Capacity& capacity) {
  std::map<std::int32_t, std::int32_t> owners;
  for (const auto& [population, neurons] : wishes) {
    std::vector<AtomicNeuronOnDLS> circuits;
    for (const std::vector<AtomicNeuronOnDLS>& neuron : neurons) {
      circuits.insert(circuits.end(), neuron.begin(), neuron.end());
    }
    for (const AtomicNeuronOnDLS& circuit : circuits) {
      const auto [owner, added] = owners.emplace(circuit.to_enum(), population);
      if (!added) {
        const auto name = [&network](std::int32_t p) { return network.populations[static_cast<std::size_t>(p)].name; };
        capacity.misfits.push_back({name(population), "neurons on " + circuit.str(), 2, 1,
                                    "it is also wished by population \"" + name(owner->second) + "\""});
        break;
      }
    }
  }
}

/// What this version of the mapper does not do, by name.
void check_features(const Network& network, Capacity& capacity) {
  std::map<std::int32_t, std::vector<std::vector<AtomicNeuronOnDLS>>> wishes;
  for (const Projection& projection : network.projections) {
    const bool from_inputs = std::any_of(projection.columns.begin(), projection.columns.end(),
                                         [](const ColumnRun& run) { return run.source.kind == NodeRef::Kind::kInput; });
    const std::int32_t possible = from_inputs ? 0 : 1;
    if (projection.delay_steps > possible) {
      capacity.misfits.push_back({projection.name, "delayed steps", projection.delay_steps, possible,
                                  from_inputs ? "spikes from outside arrive in their step: shift the input instead"
                                              : "the chip has no delay lines: a spike of one of its neurons arrives in "
                                                "the same step, or in the next one where it is recurrent"});
    }
    if (!projection.execution_instance.empty()) {
      refuse(capacity, projection, "chosen execution instances", 1,
             "one mapping is one execution instance: partition the network, which honours the wish for \"" +
                 projection.execution_instance + "\", or leave execution_instance empty");
    }
    if (!projection.chip_coordinate.empty()) {
      check_wish(network, projection, wishes, capacity);
    }
  }
  check_wished_circuits(network, wishes, capacity);
}

/// More circuits than the fan-in needs are the user's to choose, fewer are not.
void honour_circuits(const Network& network, Capacity& capacity) {
  std::vector<std::int64_t> wished(capacity.populations.size(), 0);
  for (const Projection& projection : network.projections) {
    const std::int64_t wish = projection.circuits_per_neuron;
    const auto target = static_cast<std::size_t>(projection.target);
    const std::int64_t need = capacity.populations[target].circuits_per_neuron;
    if (wish != 0 && wished[target] != 0 && wished[target] != wish) {
      refuse(capacity, projection, "contradicting circuits per neuron", 1,
             "another projection into the same population wishes " + std::to_string(wished[target]));
    } else if (wish != 0 && wish < (wished[target] == 0 ? need : wish)) {
      capacity.misfits.push_back({projection.name, "circuits per neuron", need, wish,
                                  "the fan-in of its target needs that many; wish at least as many, or none"});
    } else if (wish != 0) {
      wished[target] = wish;
      capacity.populations[target].circuits_per_neuron = wish;
    }
  }
}

/// Two sets of neurons, one per hemisphere, must exist whose excitatory and inhibitory rows add up to 256 each: a row
/// has one sign for all its columns. A set is best taken as all neurons within (e, 256 - e) for some e. Neurons of
/// several circuits have columns in both hemispheres and can divide their inputs, so they are left out.
void check_row_signs(const std::vector<std::vector<FanIn>>& fan_in, Capacity& capacity) {
  std::set<std::pair<std::int64_t, std::int64_t>> needs;
  for (std::size_t p = 0; p < fan_in.size(); ++p) {
    for (const FanIn& neuron : fan_in[p]) {
      if (capacity.populations[p].circuits_per_neuron == 1) {
        needs.emplace(neuron.excitatory, neuron.inhibitory);
      }
    }
  }
  std::int64_t best = std::numeric_limits<std::int64_t>::max();
  for (const auto& corner : needs) {
    std::int64_t excitatory = 0;
    std::int64_t inhibitory = 0;
    for (const auto& [e, i] : needs) {
      if (e > corner.first || i > kSynapseRows - corner.first) {
        excitatory = std::max(excitatory, e);
        inhibitory = std::max(inhibitory, i);
      }
    }
    best = std::min(best, excitatory + inhibitory);
  }
  if (!needs.empty() && best > kSynapseRows) {
    capacity.misfits.push_back({"", "synapse rows of one hemisphere", best, kSynapseRows,
                                "a row has one sign for all its neurons; however the neurons are divided over both "
                                "hemispheres, the most excitatory and the most inhibitory inputs of one of them exceed "
                                "its rows: balance the fan-in of the layers"});
  }
}

/// The on-chip sources of one neuron after the other, with the rows that each of them takes there.
class OnChipSources {
 public:
  explicit OnChipSources(const Network& network)
      : network_(network), index_(network), rows_of_(at(index_.num_neurons())) {
    for (const Projection& projection : network.projections) {
      targets_.push_back(network.expanded_rows(projection));
      sources_.emplace_back();
      const auto columns = network.expanded_columns(projection);
      for (std::size_t pre = 0; pre < columns.size(); ++pre) {
        if (columns[pre].first.kind == NodeRef::Kind::kPopulation) {
          sources_.back().emplace_back(pre, index_.neuron(columns[pre].first.index, columns[pre].second));
        }
      }
    }
  }

  /// Number of sources by the rows that they take, most rows first.
  std::map<std::int64_t, std::int64_t, std::greater<>> of(std::int32_t population, std::int64_t neuron) {
    std::vector<std::int64_t> touched;
    for (std::size_t q = 0; q < network_.projections.size(); ++q) {
      const Projection& projection = network_.projections[q];
      if (projection.target != population || targets_[q][at(neuron)] < 0) {
        continue;
      }
      const std::int64_t parts = excitatory_parts(projection) + inhibitory_parts(projection);
      const auto first = at(targets_[q][at(neuron)] * projection.in_features);
      for (const auto& [pre, source] : sources_[q]) {
        if (projection.mask.empty() || projection.mask[first + pre]) {
          if (rows_of_[at(source)] == 0) {
            touched.push_back(source);
          }
          rows_of_[at(source)] += parts;
        }
      }
    }
    std::map<std::int64_t, std::int64_t, std::greater<>> histogram;
    for (const std::int64_t source : touched) {
      ++histogram[rows_of_[at(source)]];
      rows_of_[at(source)] = 0;
    }
    return histogram;
  }

 private:
  static std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

  const Network& network_;
  NeuronIndex index_;
  std::vector<std::vector<std::int64_t>> targets_;                          // by projection
  std::vector<std::vector<std::pair<std::size_t, std::int64_t>>> sources_;  // by projection: column, neuron
  std::vector<std::int64_t> rows_of_;                                       // by source, of the neuron at hand
};

/// A neuron's spikes reach one PADI bus class, 64 rows of each hemisphere. Sources that take r rows or more of one
/// target fit floor(64 / r) times into a class of one circuit, and there are four. Where one circuit does not suffice,
/// the target gets more; where a single source exceeds the rows of a bus, nothing helps.
void check_bus_classes(const Network& network, Capacity& capacity) {
  OnChipSources on_chip(network);
  for (std::size_t p = 0; p < network.populations.size(); ++p) {
    PopulationNeed& need = capacity.populations[p];
    bool is_reported = false;
    for (std::int64_t n = 0; n < network.populations[p].size; ++n) {
      std::int64_t sources = 0;
      for (const auto& [r, count] : on_chip.of(static_cast<std::int32_t>(p), n)) {
        sources += count;
        const std::int64_t per_circuit = kBusesPerHemisphere * (kRowsPerBus / r);
        if (per_circuit > 0) {
          need.circuits_per_neuron = std::max(need.circuits_per_neuron, circuits_for(sources, per_circuit));
        } else if (!is_reported) {
          is_reported = true;
          capacity.misfits.push_back({need.name, "synapse rows of one on-chip source", r, kRowsPerBus,
                                      "the spikes of a neuron reach the rows of one PADI bus alone; repeat it less "
                                      "often or lower the bounds of its weights"});
        }
      }
    }
  }
}

/// Every source needs an address of its own.
void check_addresses(const Network& network, Capacity& capacity) {
  std::vector<std::vector<bool>> used;
  for (const Input& input : network.inputs) {
    used.emplace_back(static_cast<std::size_t>(input.size), false);
  }
  for (const Projection& projection : network.projections) {
    for (const ColumnRun& run : projection.columns) {
      for (std::int64_t i = 0; run.source.kind == NodeRef::Kind::kInput && i < run.count; ++i) {
        used[static_cast<std::size_t>(run.source.index)][static_cast<std::size_t>(run.first + i * run.step)] = true;
      }
    }
  }
  for (const std::vector<bool>& input : used) {
    capacity.external_sources += std::count(input.begin(), input.end(), true);
  }
  const std::int64_t need = capacity.external_sources + capacity.neurons;
  if (need > kChipAddresses) {
    capacity.misfits.push_back({"", "addresses of sources", need, kChipAddresses,
                                detail::concatenate("drop ", need - kChipAddresses, " input neurons or neurons")});
  }
}

}  // namespace

Capacity check_capacity(const Network& network) {
  validate(network);
  Capacity capacity;
  const std::vector<std::vector<FanIn>> fan_in = fan_ins(network);
  for (std::size_t p = 0; p < fan_in.size(); ++p) {
    PopulationNeed need;
    need.name = network.populations[p].name;
    capacity.neurons += network.populations[p].size;
    for (const FanIn& neuron : fan_in[p]) {
      need.excitatory_rows = std::max(need.excitatory_rows, neuron.excitatory);
      need.inhibitory_rows = std::max(need.inhibitory_rows, neuron.inhibitory);
      need.synapses += neuron.rows();
    }
    capacity.synapses += need.synapses;
    capacity.populations.push_back(std::move(need));
  }
  choose_circuits(network, fan_in, capacity);
  count_circuits(network, capacity);
  const bool within_limits = capacity.misfits.empty() && capacity.circuits <= kNeuronCircuits;
  if (within_limits) {  // else the numbers behind these checks are meaningless, or too many
    check_bus_classes(network, capacity);
    honour_circuits(network, capacity);
    check_row_signs(fan_in, capacity);
    count_circuits(network, capacity);
  }
  check_circuits(capacity);
  check_scales(network, capacity);
  check_features(network, capacity);
  check_addresses(network, capacity);
  for (Misfit& misfit : background_misfits(network)) {
    capacity.misfits.push_back(std::move(misfit));
  }
  return capacity;
}

}  // namespace gradspike::chip
