// Follows each event through the chip once, so that running a step only adds up the synapses that respond.
#include <algorithm>
#include <array>
#include <map>

#include "csrc/chip/connections.h"
#include "csrc/chip/emulator.h"
#include "csrc/chip/emulator_program.h"
#include "csrc/core/error.h"

namespace gradspike::chip {
namespace {

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

class EmulatorCompiler {
 public:
  EmulatorCompiler(const Network& network, const Mapping& mapping, const Weights& weights)
      : network_(network), mapping_(mapping), weights_(weights), program_(std::make_shared<EmulatorProgram>()) {}

  std::shared_ptr<const EmulatorProgram> compile() {
    for (std::size_t p = 0; p < network_.populations.size(); ++p) {
      add_population(static_cast<std::int32_t>(p));
    }
    load_synapses();
    std::int64_t first = 0;
    for (std::size_t i = 0; i < network_.inputs.size(); ++i) {
      program_->input_names.push_back(network_.inputs[i].name);
      program_->input_sizes.push_back(network_.inputs[i].size);
      program_->first_input.push_back(first);
      first += network_.inputs[i].size;
      for (const std::vector<EventLabel>& labels : mapping_.inputs[i].labels) {
        add_input_route(labels);
      }
    }
    for (const PopulationPlacement& population : mapping_.populations) {
      for (const PlacedNeuron& neuron : population.neurons) {
        add_neuron_route(neuron);
      }
    }
    return program_;
  }

 private:
  /// A synapse as the chip holds it.
  struct LoadedSynapse {
    std::int32_t label = 0;
    std::int32_t slot = 0;
    std::int32_t weight = 0;  // 6 bit, without the sign of its row
  };

  void add_population(std::int32_t p) {
    const Population& population = network_.populations[at(p)];
    CompiledPopulation compiled;
    compiled.name = population.name;
    compiled.fires = population.kind == NeuronKind::kLif;
    for (const Projection& projection : network_.projections) {
      for (const ColumnRun& run : projection.columns) {
        compiled.sends_later =
            compiled.sends_later ||
            (projection.delay_steps > 0 && run.source.kind == NodeRef::Kind::kPopulation && run.source.index == p);
      }
    }
    compiled.size = population.size;
    compiled.first_neuron = program_->num_neurons;
    for (std::int64_t n = 0; n < population.size; ++n) {
      compiled.coefficients.push_back(coefficients(population, n));
    }
    add_terms(p, compiled);
    for (const PlacedNeuron& neuron : mapping_.populations[at(p)].neurons) {
      for (const AtomicNeuronOnDLS& circuit : neuron.circuits) {
        const std::int64_t n = &neuron - mapping_.populations[at(p)].neurons.data();
        const bool added = neuron_of_circuit_.emplace(circuit.to_enum(), std::make_pair(p, n)).second;
        GRADSPIKE_REQUIRE(added, "mapping: ", circuit.str(), " holds two neurons");
      }
    }
    program_->num_neurons += population.size;
    program_->populations.push_back(std::move(compiled));
  }

  static math::LifCoefficients<float> coefficients(const Population& population, std::int64_t neuron) {
    const std::int64_t column = population.columns == 1 ? 0 : neuron;
    const auto value = [&](std::int32_t row) { return population.coefficients[at(row * population.columns + column)]; };
    math::LifCoefficients<float> c{};
    c.input_gain = value(math::kInputGain);
    c.leak_conductance = value(math::kLeakConductance);
    c.current_decay = value(math::kCurrentDecay);
    c.leak = value(math::kLeak);
    if (population.kind == NeuronKind::kLif) {
      c.reset = value(math::kReset);
      c.threshold = value(math::kThreshold);
      c.refractory_steps = value(math::kRefractorySteps);
    }
    return c;
  }

  /// One sum per projection and target neuron, in the order in which a neuron adds them.
  void add_terms(std::int32_t p, CompiledPopulation& compiled) {
    std::vector<std::int32_t> order;
    std::vector<std::vector<std::int64_t>> rows(network_.projections.size());
    for (std::size_t q = 0; q < network_.projections.size(); ++q) {
      if (network_.projections[q].target == p) {
        order.push_back(static_cast<std::int32_t>(q));
        rows[q] = network_.expanded_rows(network_.projections[q]);
      }
    }
    std::stable_sort(order.begin(), order.end(), [this](std::int32_t a, std::int32_t b) {
      return network_.projections[at(a)].position < network_.projections[at(b)].position;
    });
    compiled.first_slot = program_->num_slots;
    for (std::int64_t n = 0; n < compiled.size; ++n) {
      compiled.first_term.push_back(static_cast<std::int32_t>(compiled.terms.size()));
      for (const std::int32_t q : order) {
        if (rows[at(q)][at(n)] >= 0) {
          slot_of_[{q, n}] = program_->num_slots;
          compiled.terms.push_back({program_->num_slots++, network_.projections[at(q)].factor});
          program_->delayed.push_back(network_.projections[at(q)].delay_steps > 0);
          program_->recurrent = program_->recurrent || program_->delayed.back();
        }
      }
    }
    compiled.first_term.push_back(static_cast<std::int32_t>(compiled.terms.size()));
    compiled.last_slot = program_->num_slots;
  }

  void load_synapses() {
    std::vector<std::vector<std::int64_t>> rows;
    for (const Projection& projection : network_.projections) {
      rows.push_back(network_.expanded_rows(projection));
    }
    for (const PlacedSynapse& synapse : mapping_.synapses) {
      const Projection& projection = network_.projections[at(synapse.projection)];
      const auto owner = neuron_of_circuit_.find(synapse.hemisphere * kColumns + synapse.column);
      const auto slot = owner == neuron_of_circuit_.end() || owner->second.first != projection.target
                            ? slot_of_.end()
                            : slot_of_.find({synapse.projection, owner->second.second});
      const std::int64_t row = rows[at(synapse.projection)][at(synapse.post)];
      GRADSPIKE_REQUIRE(slot != slot_of_.end() && row >= 0, "mapping: the synapse at hemisphere ", synapse.hemisphere,
                        ", row ", synapse.row, ", column ", synapse.column,
                        " lies in no column of a neuron that projection \"", projection.name, "\" reaches");
      const std::int32_t weight = weights_.at(projection.name).values[at(row * projection.in_features + synapse.pre)];
      const std::int32_t magnitude = std::max(synapse.inhibitory ? -weight : weight, 0);
      rows_[at(synapse.hemisphere)][at(synapse.row)].push_back(
          {synapse.label, slot->second, part_of_weight(magnitude, synapse.part)});
    }
  }

  /// Adds what an event does that enters the crossbar at `input`.
  void follow(std::int32_t input, EventLabel label) {
    for (const CrossbarRule& rule : mapping_.crossbar) {
      if (rule.node.input != input || !rule.passes(label.neuron_label()) ||
          rule.node.output >= kHemispheres * kBusesPerHemisphere) {
        continue;
      }
      const std::int32_t hemisphere = rule.node.output / kBusesPerHemisphere;
      const std::int32_t bus = rule.node.output % kBusesPerHemisphere;
      for (std::int32_t position = 0; position < kDriversPerBus; ++position) {
        const std::int32_t driver = driver_on_bus(bus, position);
        const std::int32_t mask = mapping_.compare_masks[at(hemisphere)][at(driver)];
        if ((label.row_select() & mask) == (position & mask)) {
          drive(hemisphere, bottom_row_of_driver(driver), label);
          drive(hemisphere, top_row_of_driver(driver), label);
        }
      }
    }
  }

  void drive(std::int32_t hemisphere, std::int32_t row, EventLabel label) {
    const RowMode mode = mapping_.row_modes[at(hemisphere)][at(row)];
    if (mode == RowMode::kDisabled) {
      return;
    }
    for (const LoadedSynapse& synapse : rows_[at(hemisphere)][at(row)]) {
      if (synapse.label == label.synapse_label()) {
        synapses_ += synapse.weight != 0 ? 1 : 0;
        charge_[synapse.slot] += mode == RowMode::kExcitatory ? synapse.weight : -synapse.weight;
      }
    }
  }

  /// Ends the route of a source: its synapses that hold a weight, one entry per sum.
  SourceRoute finish_route(std::size_t events) {
    SourceRoute route;
    route.first = static_cast<std::int64_t>(program_->responses.size());
    for (const auto& [slot, weight] : charge_) {
      if (weight != 0) {
        program_->responses.push_back({slot, weight});
      }
    }
    route.last = static_cast<std::int64_t>(program_->responses.size());
    route.events = static_cast<std::int32_t>(events);
    route.synapses = synapses_;
    charge_.clear();
    synapses_ = 0;
    return route;
  }

  void add_input_route(const std::vector<EventLabel>& labels) {
    for (const EventLabel label : labels) {
      follow(crossbar_input_of_l2(label.spl1()), label);
    }
    program_->input_routes.push_back(finish_route(labels.size()));
  }

  void add_neuron_route(const PlacedNeuron& neuron) {
    const std::int32_t output = neuron.circuits.front().event_output();
    const std::size_t number = program_->neuron_routes.size();
    const auto population =
        std::find_if(program_->populations.begin(), program_->populations.end(),
                     [number](const CompiledPopulation& p) { return number < at(p.first_neuron + p.size); });
    if (population->fires) {
      follow(crossbar_input_of_event_output(output), neuron_label(output, neuron.address));
    }
    for (const auto& [slot, weight] : charge_) {
      GRADSPIKE_REQUIRE(slot >= population->last_slot || weight == 0 || program_->delayed[at(slot)],
                        "mapping: spikes of population \"", population->name,
                        "\" reach a population that does not come after it");
    }
    program_->neuron_routes.push_back(finish_route(0));
  }

  const Network& network_;
  const Mapping& mapping_;
  const Weights& weights_;
  std::shared_ptr<EmulatorProgram> program_;
  std::map<std::int32_t, std::pair<std::int32_t, std::int64_t>> neuron_of_circuit_;
  std::map<std::pair<std::int32_t, std::int64_t>, std::int32_t> slot_of_;  // (projection, neuron) -> sum
  std::array<std::array<std::vector<LoadedSynapse>, kSynapseRows>, kHemispheres> rows_;
  std::map<std::int32_t, std::int32_t> charge_;  // by sum, of the route being followed
  std::int32_t synapses_ = 0;                    // likewise
};

}  // namespace

std::shared_ptr<const Program> Emulator::compile(const Network& network, const Mapping& mapping, const Weights& weights,
                                                 const CompileOptions& options) const {
  GRADSPIKE_REQUIRE(options.preset == "ideal", "emulator: there is no preset \"", options.preset,
                    "\"; there are: ideal");
  GRADSPIKE_REQUIRE(options.constants.empty(), "emulator: the ideal preset has no constants, got \"",
                    options.constants.begin()->first, "\"");
  GRADSPIKE_REQUIRE(options.calibration.empty(), "emulator: the ideal preset takes no calibration");
  validate(network, weights);
  validate(mapping, network);
  for (const Projection& projection : network.projections) {
    GRADSPIKE_REQUIRE(projection.delay_steps <= 1, "emulator: projection \"", projection.name,
                      "\" must have delay_steps 0 or 1, got ", projection.delay_steps);
  }
  return EmulatorCompiler(network, mapping, weights).compile();
}

}  // namespace gradspike::chip
