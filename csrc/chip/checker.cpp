#include "csrc/chip/checker.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <tuple>

#include "csrc/chip/geometry.h"
#include "csrc/core/error.h"

namespace gradspike::chip {
namespace {

/// What identifies a requested synapse: projection, pre, post, inhibitory, part.
using SynapseKey = std::tuple<std::int32_t, std::int64_t, std::int64_t, bool, std::int32_t>;

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

class Checker {
 public:
  Checker(const Network& network, const Mapping& mapping, std::size_t limit)
      : network_(network), mapping_(mapping), limit_(limit) {}

  std::vector<std::string> run() {
    check_circuits();
    check_synapses();
    collect_wanted();
    for (std::size_t i = 0; i < network_.inputs.size(); ++i) {
      for (std::int64_t n = 0; n < network_.inputs[i].size; ++n) {
        check_input(static_cast<std::int32_t>(i), n);
      }
    }
    for (std::size_t p = 0; p < network_.populations.size(); ++p) {
      for (std::int64_t n = 0; network_.populations[p].kind == NeuronKind::kLif && n < network_.populations[p].size;
           ++n) {
        check_neuron(static_cast<std::int32_t>(p), n);
      }
    }
    check_background();
    return std::move(violations_);
  }

 private:
  template <class... Parts>
  void violation(const Parts&... parts) {
    if (violations_.size() < limit_) {
      violations_.push_back(detail::concatenate(parts...));
    }
  }

  std::string describe(const SynapseKey& key) const {
    const auto& [projection, pre, post, inhibitory, part] = key;
    return detail::concatenate("projection \"", network_.projections[at(projection)].name, "\", connection ", pre,
                               " -> ", post, ", ", inhibitory ? "inhibitory" : "excitatory", " part ", part);
  }

  void check_circuits() {
    std::set<std::int32_t> circuits;
    std::set<std::pair<std::int32_t, std::int32_t>> spikes;
    for (std::size_t p = 0; p < mapping_.populations.size(); ++p) {
      const PopulationPlacement& population = mapping_.populations[p];
      for (std::size_t n = 0; n < population.neurons.size(); ++n) {
        const PlacedNeuron& neuron = population.neurons[n];
        for (const AtomicNeuronOnDLS& circuit : neuron.circuits) {
          if (!circuits.insert(circuit.to_enum()).second) {
            violation(circuit.str(), " holds population \"", population.name, "\", neuron ", n, " and another neuron");
          }
          owner_[circuit.to_enum()] = {static_cast<std::int32_t>(p), static_cast<std::int64_t>(n)};
        }
        check_joined(population.name, n, neuron);
        if (network_.populations[p].kind == NeuronKind::kLif &&
            !spikes.emplace(neuron.circuits.front().column() / 32, neuron.address).second) {
          violation("spikes of population \"", population.name, "\", neuron ", n,
                    " leave the chip with the label of another neuron");
        }
      }
    }
  }

  /// Membranes are joined between neighbouring columns of a row and between the two circuits of a column, within one
  /// chip half: the circuits of a neuron must hang together that way.
  void check_joined(const std::string& population, std::size_t n, const PlacedNeuron& neuron) {
    std::set<std::pair<int, int>> waiting;  // row, column
    for (const AtomicNeuronOnDLS& circuit : neuron.circuits) {
      waiting.emplace(circuit.row(), circuit.column());
    }
    std::vector<std::pair<int, int>> reached = {*waiting.begin()};
    waiting.erase(waiting.begin());
    for (std::size_t k = 0; k < reached.size(); ++k) {
      const auto [row, column] = reached[k];
      for (const auto& next :
           {std::make_pair(1 - row, column), std::make_pair(row, column - 1), std::make_pair(row, column + 1)}) {
        if (next.second / 128 == column / 128 && waiting.erase(next) > 0) {
          reached.push_back(next);
        }
      }
    }
    if (!waiting.empty()) {
      violation("the circuits of population \"", population, "\", neuron ", n,
                " do not hang together within one chip half");
    }
  }

  /// Sorts the synapses by row and looks at each by itself.
  void check_synapses() {
    for (const PlacedSynapse& synapse : mapping_.synapses) {
      const std::string where = detail::concatenate("synapse at hemisphere ", synapse.hemisphere, ", row ", synapse.row,
                                                    ", column ", synapse.column);
      if (!occupied_.emplace(synapse.hemisphere, synapse.row, synapse.column).second) {
        violation(where, " is used twice");
      }
      const auto owner = owner_.find(synapse.hemisphere * 256 + synapse.column);
      const Projection& projection = network_.projections[at(synapse.projection)];
      if (owner == owner_.end() || owner->second != std::make_pair(projection.target, std::int64_t{synapse.post})) {
        violation(where, " does not lie in a column of neuron ", synapse.post, " of population \"",
                  network_.populations[at(projection.target)].name, "\"");
      }
      const RowMode mode = mapping_.row_modes[at(synapse.hemisphere)][at(synapse.row)];
      if (mode != (synapse.inhibitory ? RowMode::kInhibitory : RowMode::kExcitatory)) {
        violation(where, " lies on a row of the wrong sign");
      }
      rows_[at(synapse.hemisphere * 256 + synapse.row)].push_back(&synapse);
    }
  }

  /// The synapses that the network asks for, by source.
  void collect_wanted() {
    for (std::size_t p = 0; p < network_.projections.size(); ++p) {
      const Projection& projection = network_.projections[p];
      const auto columns = network_.expanded_columns(projection);
      const auto rows = network_.expanded_rows(projection);
      const bool signs[2] = {projection.receptor != Receptor::kInhibitory,
                             projection.receptor != Receptor::kExcitatory};
      const std::int32_t bounds[2] = {projection.max_weight, -projection.min_weight};
      for (std::size_t post = 0; post < rows.size(); ++post) {
        for (std::size_t pre = 0; rows[post] >= 0 && pre < columns.size(); ++pre) {
          if (!projection.mask.empty() && !projection.mask[at(rows[post] * projection.in_features) + pre]) {
            continue;
          }
          const auto& [node, neuron] = columns[pre];
          auto& wanted = wanted_[{node.kind == NodeRef::Kind::kInput ? 0 : 1, node.index, neuron}];
          for (std::size_t sign = 0; sign < 2; ++sign) {
            for (std::int32_t part = 0; signs[sign] && (part == 0 || part * 63 < bounds[sign]); ++part) {
              wanted.emplace_back(static_cast<std::int32_t>(p), static_cast<std::int64_t>(pre),
                                  static_cast<std::int64_t>(post), sign == 1, part);
            }
          }
        }
      }
    }
  }

  /// The synapses that respond to an event which enters the crossbar at `input` with 14 bits `label`.
  void respond(std::int32_t input, std::int32_t label, std::vector<SynapseKey>& fired) const {
    const std::int32_t row_select = (label >> 6) & 31;
    for (const CrossbarRule& rule : mapping_.crossbar) {
      if (rule.node.input != input || rule.node.output >= 8 || (label & rule.mask) != rule.target) {
        continue;
      }
      const std::int32_t hemisphere = rule.node.output / 4;
      for (std::int32_t driver = rule.node.output % 4; driver < 128; driver += 4) {
        const std::int32_t mask = mapping_.compare_masks[at(hemisphere)][at(driver)];
        if ((row_select & mask) != ((driver / 4) & mask)) {
          continue;
        }
        for (const std::int32_t row : {2 * driver, 2 * driver + 1}) {
          if (mapping_.row_modes[at(hemisphere)][at(row)] == RowMode::kDisabled) {
            continue;
          }
          for (const PlacedSynapse* synapse : rows_[at(hemisphere * 256 + row)]) {
            if (synapse->label == (label & 63)) {
              fired.emplace_back(synapse->projection, synapse->pre, synapse->post, synapse->inhibitory, synapse->part);
            }
          }
        }
      }
    }
  }

  void compare(const std::string& source, std::tuple<int, std::int32_t, std::int64_t> id,
               std::vector<SynapseKey> fired) {
    std::vector<SynapseKey> wanted = wanted_[id];
    std::sort(wanted.begin(), wanted.end());
    std::sort(fired.begin(), fired.end());
    std::vector<SynapseKey> missing;
    std::vector<SynapseKey> extra;
    std::set_difference(wanted.begin(), wanted.end(), fired.begin(), fired.end(), std::back_inserter(missing));
    std::set_difference(fired.begin(), fired.end(), wanted.begin(), wanted.end(), std::back_inserter(extra));
    for (const SynapseKey& key : missing) {
      violation("a spike of ", source, " does not reach ", describe(key));
    }
    for (const SynapseKey& key : extra) {
      violation("a spike of ", source, " reaches ", describe(key),
                std::binary_search(wanted.begin(), wanted.end(), key) ? " more than once" : ", which it must not");
    }
  }

  void check_input(std::int32_t input, std::int64_t neuron) {
    std::vector<SynapseKey> fired;
    const auto& labels = mapping_.inputs[at(input)].labels[at(neuron)];
    const std::string name = detail::concatenate("input \"", network_.inputs[at(input)].name, "\", neuron ", neuron);
    if (network_.inputs[at(input)].background && !labels.empty()) {
      violation("the host sends events for ", name, ", whose spikes the chip makes");
    }
    for (const EventLabel label : labels) {
      respond(8 + (label.value >> 14), label.value & 0x3FFF, fired);
    }
    for (const BackgroundGenerator& g : mapping_.generators) {
      if (g.input == input && neuron >= g.first && neuron <= g.first + g.mask) {
        respond(12 + g.bus, (g.label & ~g.mask) | static_cast<std::int32_t>(neuron - g.first), fired);
      }
    }
    compare(name, {0, input, neuron}, std::move(fired));
  }

  void check_neuron(std::int32_t population, std::int64_t neuron) {
    const PlacedNeuron& placed = mapping_.populations[at(population)].neurons[at(neuron)];
    const std::int32_t output = placed.circuits.front().column() / 32;
    std::vector<SynapseKey> fired;
    respond(output, (output << 8) | placed.address, fired);
    compare(detail::concatenate("population \"", network_.populations[at(population)].name, "\", neuron ", neuron),
            {1, population, neuron}, std::move(fired));
    const bool leaves = std::any_of(mapping_.crossbar.begin(), mapping_.crossbar.end(), [&](const CrossbarRule& rule) {
      return rule.node.input == output && rule.node.output >= 8 &&
             (((output << 8) | placed.address) & rule.mask) == rule.target;
    });
    if (!leaves) {
      violation("spikes of population \"", network_.populations[at(population)].name, "\", neuron ", neuron,
                " do not reach the host");
    }
  }

  /// A generator that is not in use runs with labels nobody assigned here, so its nodes must be shut; so must those to
  /// the host.
  void check_background() {
    std::array<const BackgroundGenerator*, 8> used{};
    for (const BackgroundGenerator& g : mapping_.generators) {
      if (used[at(g.bus)] != nullptr) {
        violation("background generator ", g.bus, " is used twice");
      }
      used[at(g.bus)] = &g;
      check_generator(g);
    }
    for (const CrossbarRule& rule : mapping_.crossbar) {
      const bool passes = rule.node.input >= 12 && (rule.target & ~rule.mask) == 0;
      if (passes && (rule.node.output >= 8 || used[at(rule.node.input - 12)] == nullptr)) {
        violation(rule.node.str(), " passes events of a background generator");
      }
    }
    for (const BackgroundGenerator& g : mapping_.generators) {
      for (const BackgroundGenerator& other : mapping_.generators) {
        check_pair(g, other);
      }
    }
  }

  /// One generator by itself: kind, open label bits and rate. A random one fires with a mean interval of
  /// period / (rate / 255) cycles of 4 ns, a regular one every period.
  void check_generator(const BackgroundGenerator& g) {
    const std::optional<Background>& wish = network_.inputs[at(g.input)].background;
    if (!wish) {
      violation("background generator ", g.bus, " makes spikes of input \"", network_.inputs[at(g.input)].name,
                "\", which the host sends");
      return;
    }
    const std::int64_t sources = std::min<std::int64_t>(network_.inputs[at(g.input)].size, 256);
    if (g.random != wish->random || g.mask + 1 != sources || g.first % sources != 0 || (g.label & g.mask) != 0) {
      violation("background generator ", g.bus, " does not make the spikes of ", sources, " sources of input \"",
                network_.inputs[at(g.input)].name, "\"");
    }
    const double interval = g.period / (g.random ? g.rate / 255.0 : 1.0) * 4e-9;
    const double wanted = 1.0 / (wish->rate * static_cast<double>(sources));
    const double tolerance = g.random ? 0.005 * wanted : 2.001e-9;
    if (!(interval >= wanted - tolerance && interval <= wanted + tolerance)) {
      violation("background generator ", g.bus, " fires every ", interval, " s, asked for is ", wanted, " s");
    }
  }

  /// Generators of the same sources must fire together, those of other sources of the input must not.
  void check_pair(const BackgroundGenerator& a, const BackgroundGenerator& b) {
    if (a.input != b.input || a.bus >= b.bus) {
      return;
    }
    const bool equal = a.seed == b.seed && a.period == b.period && a.rate == b.rate && a.random == b.random;
    if (a.first == b.first && !equal) {
      violation("background generators ", a.bus, " and ", b.bus, " make different spikes of the same sources");
    }
    if (a.first != b.first && a.seed == b.seed) {
      violation("background generators ", a.bus, " and ", b.bus, " make the same spikes of different sources");
    }
  }

  const Network& network_;
  const Mapping& mapping_;
  std::size_t limit_;
  std::vector<std::string> violations_;
  std::map<std::int32_t, std::pair<std::int32_t, std::int64_t>> owner_;  // circuit -> population, neuron
  std::set<std::tuple<std::int32_t, std::int32_t, std::int32_t>> occupied_;
  std::array<std::vector<const PlacedSynapse*>, 512> rows_;
  std::map<std::tuple<int, std::int32_t, std::int64_t>, std::vector<SynapseKey>> wanted_;
};

}  // namespace

std::vector<std::string> check_mapping(const Network& network, const Mapping& mapping, std::size_t limit) {
  validate(network);
  try {
    validate(mapping, network);
  } catch (const Error& error) {
    return {error.what()};
  }
  return Checker(network, mapping, limit).run();
}

}  // namespace gradspike::chip
