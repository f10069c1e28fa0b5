#include "csrc/chip/mapping.h"

#include <iomanip>
#include <set>
#include <tuple>

#include "csrc/core/error.h"
#include "csrc/math/background.h"

namespace gradspike::chip {
namespace {

auto key(const PlacedSynapse& s) {
  return std::tie(s.hemisphere, s.row, s.column, s.label, s.projection, s.pre, s.post, s.part, s.inhibitory);
}

auto key(const BackgroundGenerator& g) {
  return std::tie(g.bus, g.input, g.first, g.random, g.period, g.rate, g.seed, g.label, g.mask);
}

bool equal(const PlacedNeuron& a, const PlacedNeuron& b) { return a.circuits == b.circuits && a.address == b.address; }

bool equal(const CrossbarRule& a, const CrossbarRule& b) {
  return std::tie(a.node.input, a.node.output, a.mask, a.target) ==
         std::tie(b.node.input, b.node.output, b.mask, b.target);
}

std::string describe(const PlacedSynapse& s) {
  return detail::concatenate("synapse at hemisphere ", s.hemisphere, ", row ", s.row, ", column ", s.column, " (label ",
                             s.label, ", projection ", s.projection, ", connection ", s.pre, " -> ", s.post, ", part ",
                             s.part, s.inhibitory ? ", inhibitory)" : ", excitatory)");
}

std::string describe(const BackgroundGenerator& g) {
  return detail::concatenate("background generator ", g.bus, " (input ", g.input, " from neuron ", g.first, ", ",
                             g.random ? "random" : "regular", ", period ", g.period, ", rate ", g.rate, ", seed ",
                             g.seed, ", label ", g.label, ", mask ", g.mask, ")");
}

const char* name_of(RowMode mode) {
  return mode == RowMode::kDisabled ? "disabled" : (mode == RowMode::kExcitatory ? "excitatory" : "inhibitory");
}

/// Collects sentences up to a limit.
class Sentences {
 public:
  explicit Sentences(std::size_t limit) : limit_(limit) {}
  template <class... Parts>
  void add(const Parts&... parts) {
    if (sentences_.size() < limit_) {
      sentences_.push_back(detail::concatenate(parts...));
    }
  }
  std::vector<std::string> take() { return std::move(sentences_); }

 private:
  std::size_t limit_;
  std::vector<std::string> sentences_;
};

void compare_neurons(const Mapping& a, const Mapping& b, Sentences& out) {
  for (std::size_t p = 0; p < std::min(a.populations.size(), b.populations.size()); ++p) {
    const PopulationPlacement& left = a.populations[p];
    const PopulationPlacement& right = b.populations[p];
    if (left.name != right.name || left.neurons.size() != right.neurons.size()) {
      out.add("population ", p, ": \"", left.name, "\" of ", left.neurons.size(), " against \"", right.name, "\" of ",
              right.neurons.size());
      continue;
    }
    for (std::size_t n = 0; n < left.neurons.size(); ++n) {
      if (!equal(left.neurons[n], right.neurons[n])) {
        out.add("population \"", left.name, "\", neuron ", n, ": placement or address differs");
      }
    }
  }
}

void compare_inputs(const Mapping& a, const Mapping& b, Sentences& out) {
  for (std::size_t i = 0; i < std::min(a.inputs.size(), b.inputs.size()); ++i) {
    const InputRoute& left = a.inputs[i];
    const InputRoute& right = b.inputs[i];
    if (left.name != right.name || left.labels.size() != right.labels.size()) {
      out.add("input ", i, ": \"", left.name, "\" of ", left.labels.size(), " against \"", right.name, "\" of ",
              right.labels.size());
      continue;
    }
    for (std::size_t n = 0; n < left.labels.size(); ++n) {
      const auto& l = left.labels[n];
      const auto& r = right.labels[n];
      if (!std::equal(l.begin(), l.end(), r.begin(), r.end(),
                      [](EventLabel x, EventLabel y) { return x.value == y.value; })) {
        out.add("input \"", left.name, "\", neuron ", n, ": event labels differ");
      }
    }
  }
}

void compare_rows(const Mapping& a, const Mapping& b, Sentences& out) {
  for (std::size_t h = 0; h < kHemispheres; ++h) {
    for (std::size_t d = 0; d < kDriversPerHemisphere; ++d) {
      if (a.compare_masks[h][d] != b.compare_masks[h][d]) {
        out.add("hemisphere ", h, ", driver ", d, ": compare mask ", int{a.compare_masks[h][d]}, " against ",
                int{b.compare_masks[h][d]});
      }
    }
    for (std::size_t r = 0; r < kSynapseRows; ++r) {
      if (a.row_modes[h][r] != b.row_modes[h][r]) {
        out.add("hemisphere ", h, ", row ", r, ": ", name_of(a.row_modes[h][r]), " against ",
                name_of(b.row_modes[h][r]));
      }
    }
  }
}

}  // namespace

std::vector<std::string> differences(const Mapping& a, const Mapping& b, std::size_t limit) {
  Sentences out(limit);
  if (a.network != b.network) {
    out.add("network \"", a.network, "\" against \"", b.network, "\"");
  }
  if (a.projections != b.projections) {
    out.add("the projections have other names");
  }
  if (a.populations.size() != b.populations.size() || a.inputs.size() != b.inputs.size()) {
    out.add(a.populations.size(), " populations and ", a.inputs.size(), " inputs against ", b.populations.size(),
            " and ", b.inputs.size());
  }
  compare_neurons(a, b, out);
  compare_inputs(a, b, out);
  compare_rows(a, b, out);
  for (std::size_t n = 0; n < std::max(a.crossbar.size(), b.crossbar.size()); ++n) {
    if (n >= a.crossbar.size() || n >= b.crossbar.size()) {
      out.add(a.crossbar.size(), " crossbar nodes against ", b.crossbar.size());
      break;
    }
    if (!equal(a.crossbar[n], b.crossbar[n])) {
      out.add(a.crossbar[n].node.str(), ": mask and target ", a.crossbar[n].mask, ", ", a.crossbar[n].target,
              " against ", b.crossbar[n].mask, ", ", b.crossbar[n].target);
    }
  }
  for (std::size_t s = 0; s < std::max(a.synapses.size(), b.synapses.size()); ++s) {
    if (s >= a.synapses.size() || s >= b.synapses.size()) {
      out.add(a.synapses.size(), " synapses against ", b.synapses.size());
      break;
    }
    if (key(a.synapses[s]) != key(b.synapses[s])) {
      out.add(describe(a.synapses[s]), " against ", describe(b.synapses[s]));
    }
  }
  for (std::size_t g = 0; g < std::max(a.generators.size(), b.generators.size()); ++g) {
    if (g >= a.generators.size() || g >= b.generators.size()) {
      out.add(a.generators.size(), " background generators against ", b.generators.size());
      break;
    }
    if (key(a.generators[g]) != key(b.generators[g])) {
      out.add(describe(a.generators[g]), " against ", describe(b.generators[g]));
    }
  }
  return out.take();
}

bool Mapping::operator==(const Mapping& other) const { return differences(*this, other, 1).empty(); }

std::vector<BusUsage> bus_usage(const Mapping& mapping) {
  std::vector<BusUsage> usage;
  for (std::int32_t h = 0; h < kHemispheres; ++h) {
    for (std::int32_t bus = 0; bus < kBusesPerHemisphere; ++bus) {
      BusUsage entry{h, bus, 0, 0, 0, 0};
      for (std::int32_t position = 0; position < kDriversPerBus; ++position) {
        const std::int32_t driver = driver_on_bus(bus, position);
        bool used = false;
        for (const std::int32_t row : {bottom_row_of_driver(driver), top_row_of_driver(driver)}) {
          const RowMode mode = mapping.row_modes[static_cast<std::size_t>(h)][static_cast<std::size_t>(row)];
          entry.excitatory_rows += mode == RowMode::kExcitatory ? 1 : 0;
          entry.inhibitory_rows += mode == RowMode::kInhibitory ? 1 : 0;
          used = used || mode != RowMode::kDisabled;
        }
        entry.drivers += used ? 1 : 0;
      }
      std::set<std::uint16_t> labels;
      for (const InputRoute& input : mapping.inputs) {
        for (const auto& events : input.labels) {
          for (const EventLabel label : events) {
            if (label.spl1() == bus && ((label.value & kHemisphereBit) != 0) == (h == 1)) {
              labels.insert(label.value);
            }
          }
        }
      }
      entry.labels = static_cast<std::int32_t>(labels.size());
      usage.push_back(entry);
    }
  }
  return usage;
}

std::string Mapping::text() const {
  std::ostringstream out;
  std::size_t circuits = 0;
  for (const PopulationPlacement& population : populations) {
    for (const PlacedNeuron& neuron : population.neurons) {
      circuits += neuron.circuits.size();
    }
  }
  out << "mapping of network \"" << network << "\": " << circuits << " of " << kNeuronCircuits << " neuron circuits, "
      << synapses.size() << " of " << kSynapses << " synapses\n"
      << "hemisphere  bus  excitatory rows  inhibitory rows  drivers  input labels\n";
  for (const BusUsage& usage : bus_usage(*this)) {
    out << std::setw(10) << usage.hemisphere << std::setw(5) << usage.bus << std::setw(17) << usage.excitatory_rows
        << std::setw(17) << usage.inhibitory_rows << std::setw(9) << usage.drivers << std::setw(14) << usage.labels
        << "\n";
  }
  for (const PopulationPlacement& population : populations) {
    out << "population \"" << population.name << "\":";
    for (const PlacedNeuron& neuron : population.neurons) {
      for (const AtomicNeuronOnDLS& circuit : neuron.circuits) {
        out << " " << circuit.str();
      }
    }
    out << "\n";
  }
  for (const InputRoute& input : inputs) {
    std::size_t events = 0;
    for (const auto& labels : input.labels) {
      events += labels.size();
    }
    out << "input \"" << input.name << "\": " << input.labels.size() << " neurons, " << events
        << " events for one spike of each\n";
  }
  for (const BackgroundGenerator& generator : generators) {
    out << describe(generator) << "\n";
  }
  return out.str();
}

namespace {

void require_range(const char* what, std::int64_t value, std::int64_t limit) {
  GRADSPIKE_REQUIRE(value >= 0 && value < limit, "mapping: ", what, " must be in 0..", limit - 1, ", got ", value);
}

void validate_chip_tables(const Mapping& mapping) {
  for (std::size_t h = 0; h < kHemispheres; ++h) {
    for (const std::uint8_t mask : mapping.compare_masks[h]) {
      require_range("compare mask", mask, kRowSelects);
    }
    for (const RowMode mode : mapping.row_modes[h]) {
      require_range("row mode", static_cast<std::int64_t>(mode), 3);
    }
  }
  const std::vector<CrossbarNodeOnDLS> nodes = all_crossbar_nodes();
  GRADSPIKE_REQUIRE(mapping.crossbar.size() == nodes.size(), "mapping: the crossbar has ", nodes.size(), " nodes, got ",
                    mapping.crossbar.size());
  for (std::size_t n = 0; n < nodes.size(); ++n) {
    const CrossbarRule& rule = mapping.crossbar[n];
    GRADSPIKE_REQUIRE(rule.node.input == nodes[n].input && rule.node.output == nodes[n].output,
                      "mapping: crossbar node ", n, " must be ", nodes[n].str(), ", got ", rule.node.str());
    require_range("crossbar mask", rule.mask, kNeuronLabelMask + 1);
    require_range("crossbar target", rule.target, kNeuronLabelMask + 1);
  }
}

void validate_sizes(const Mapping& mapping, const Network& network) {
  GRADSPIKE_REQUIRE(mapping.populations.size() == network.populations.size() &&
                        mapping.inputs.size() == network.inputs.size() &&
                        mapping.projections.size() == network.projections.size(),
                    "mapping of network \"", mapping.network, "\" has ", mapping.inputs.size(), " inputs, ",
                    mapping.populations.size(), " populations and ", mapping.projections.size(),
                    " projections, network \"", network.name, "\" has ", network.inputs.size(), ", ",
                    network.populations.size(), " and ", network.projections.size());
  for (std::size_t i = 0; i < network.inputs.size(); ++i) {
    GRADSPIKE_REQUIRE(mapping.inputs[i].name == network.inputs[i].name &&
                          static_cast<std::int64_t>(mapping.inputs[i].labels.size()) == network.inputs[i].size,
                      "mapping: input ", i, " is \"", mapping.inputs[i].name, "\" of ", mapping.inputs[i].labels.size(),
                      ", the network has \"", network.inputs[i].name, "\" of ", network.inputs[i].size);
  }
  for (std::size_t p = 0; p < network.populations.size(); ++p) {
    const PopulationPlacement& placement = mapping.populations[p];
    GRADSPIKE_REQUIRE(placement.name == network.populations[p].name &&
                          static_cast<std::int64_t>(placement.neurons.size()) == network.populations[p].size,
                      "mapping: population ", p, " is \"", placement.name, "\" of ", placement.neurons.size(),
                      ", the network has \"", network.populations[p].name, "\" of ", network.populations[p].size);
    for (const PlacedNeuron& neuron : placement.neurons) {
      GRADSPIKE_REQUIRE(!neuron.circuits.empty(), "mapping: population \"", placement.name,
                        "\" has a neuron without a circuit");
      require_range("neuron address", neuron.address, kNeuronAddresses);
    }
  }
  for (std::size_t p = 0; p < network.projections.size(); ++p) {
    GRADSPIKE_REQUIRE(mapping.projections[p] == network.projections[p].name, "mapping: projection ", p, " is \"",
                      mapping.projections[p], "\", the network has \"", network.projections[p].name, "\"");
  }
}

void validate_generators(const Mapping& mapping, const Network& network) {
  for (const BackgroundGenerator& g : mapping.generators) {
    require_range("background generator", g.bus, kBackgroundSources);
    require_range("input of a background generator", g.input, static_cast<std::int64_t>(network.inputs.size()));
    require_range("mask of a background generator", g.mask, kMaxGeneratorSources);
    GRADSPIKE_REQUIRE((g.mask & (g.mask + 1)) == 0, "mapping: mask of a background generator must be 2^k - 1, got ",
                      g.mask);
    require_range("first neuron of a background generator", g.first,
                  network.inputs[static_cast<std::size_t>(g.input)].size - g.mask);
    require_range("label of a background generator", g.label, kNeuronLabelMask + 1);
    require_range("period of a background generator, less 1,", g.period - 1, math::kMaxBackgroundPeriod);
    require_range("rate of a background generator", g.rate, math::kMaxBackgroundRate + 1);
  }
}

}  // namespace

void validate(const Mapping& mapping, const Network& network) {
  validate_chip_tables(mapping);
  validate_sizes(mapping, network);
  validate_generators(mapping, network);
  for (const PlacedSynapse& synapse : mapping.synapses) {
    require_range("hemisphere of a synapse", synapse.hemisphere, kHemispheres);
    require_range("row of a synapse", synapse.row, kSynapseRows);
    require_range("column of a synapse", synapse.column, kColumns);
    require_range("label of a synapse", synapse.label, kSynapseLabels);
    require_range("projection of a synapse", synapse.projection, static_cast<std::int64_t>(network.projections.size()));
    const Projection& projection = network.projections[static_cast<std::size_t>(synapse.projection)];
    require_range("pre of a synapse", synapse.pre, projection.in_features);
    require_range("post of a synapse", synapse.post,
                  network.populations[static_cast<std::size_t>(projection.target)].size);
    require_range("part of a synapse", synapse.part, math::kMaxIntegerBound);
  }
}

}  // namespace gradspike::chip
