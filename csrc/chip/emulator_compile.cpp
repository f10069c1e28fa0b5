// Follows each event through the chip once, so that running a step only adds up the synapses that respond.
#include <algorithm>
#include <map>

#include "csrc/chip/analog/program.h"
#include "csrc/chip/connections.h"
#include "csrc/chip/emulator.h"
#include "csrc/chip/emulator_program.h"
#include "csrc/core/error.h"

namespace gradspike::chip {
namespace {

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

class EmulatorCompiler {
 public:
  EmulatorCompiler(const Network& network, const Mapping& mapping) : network_(network), mapping_(mapping) {}

  EmulatorSetup compile() {
    for (std::size_t p = 0; p < network_.populations.size(); ++p) {
      add_population(static_cast<std::int32_t>(p));
    }
    setup_.wiring = wiring();
    std::int64_t first = 0;
    for (const Input& input : network_.inputs) {
      setup_.input_names.push_back(input.name);
      setup_.input_sizes.push_back(input.size);
      setup_.first_input.push_back(first);
      first += input.size;
    }
    return std::move(setup_);
  }

 private:
  void add_population(std::int32_t p) {
    const Population& population = network_.populations[at(p)];
    CompiledPopulation compiled;
    compiled.name = population.name;
    compiled.fires = population.kind == NeuronKind::kLif;
    compiled.num_states = num_states(network_, at(p));
    compiled.size = population.size;
    compiled.first_neuron = setup_.num_neurons;
    for (std::int64_t n = 0; n < population.size; ++n) {
      compiled.coefficients.push_back(coefficients_of(population, n));
    }
    add_terms(p, compiled);
    for (const PlacedNeuron& neuron : mapping_.populations[at(p)].neurons) {
      for (const AtomicNeuronOnDLS& circuit : neuron.circuits) {
        const std::int64_t n = &neuron - mapping_.populations[at(p)].neurons.data();
        const bool added = neuron_of_circuit_.emplace(circuit.to_enum(), std::make_pair(p, n)).second;
        GRADSPIKE_REQUIRE(added, "mapping: ", circuit.str(), " holds two neurons");
      }
    }
    setup_.num_neurons += population.size;
    setup_.populations.push_back(std::move(compiled));
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
    compiled.first_slot = setup_.num_slots;
    for (std::int64_t n = 0; n < compiled.size; ++n) {
      compiled.first_term.push_back(static_cast<std::int32_t>(compiled.terms.size()));
      for (const std::int32_t q : order) {
        if (rows[at(q)][at(n)] >= 0) {
          slot_of_[{q, n}] = setup_.num_slots;
          compiled.terms.push_back({setup_.num_slots++, network_.projections[at(q)].factor});
          setup_.delayed.push_back(network_.projections[at(q)].delay_steps > 0);
          setup_.recurrent = setup_.recurrent || setup_.delayed.back();
        }
      }
    }
    compiled.first_term.push_back(static_cast<std::int32_t>(compiled.terms.size()));
    compiled.last_slot = setup_.num_slots;
  }

  std::shared_ptr<const EmulatorWiring> wiring() const {
    const auto wired = std::make_shared<EmulatorWiring>();
    wired->network = network_;
    wired->routes = follow_events(network_, mapping_);
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
      wired->synapses.push_back({slot->second, synapse.projection, row * projection.in_features + synapse.pre,
                                 synapse.part, synapse.inhibitory});
    }
    return wired;
  }

  const Network& network_;
  const Mapping& mapping_;
  EmulatorSetup setup_;
  std::map<std::int32_t, std::pair<std::int32_t, std::int64_t>> neuron_of_circuit_;
  std::map<std::pair<std::int32_t, std::int64_t>, std::int32_t> slot_of_;  // (projection, neuron) -> sum
};

/// Sums what the synapses of one source add, sum by sum.
class ChargeSum {
 public:
  ChargeSum(const EmulatorWiring& wiring, const Weights& weights, std::int32_t num_slots)
      : wiring_(wiring), charge_(at(num_slots)), first_(num_slots) {
    for (const Projection& projection : wiring.network.projections) {
      matrices_.push_back(&weights.at(projection.name));
    }
  }

  void add(const EventRoute& route) {
    for (const BusRoute& bus : route) {
      for (std::int64_t r = bus.first; r < bus.last; ++r) {
        const RespondingSynapse& response = wiring_.routes.responses[at(r)];
        const WiredSynapse& synapse = wiring_.synapses[at(response.synapse)];
        const std::int32_t magnitude = synapse.magnitude(*matrices_[at(synapse.projection)]);
        charge_[at(synapse.slot)] += response.inhibitory ? -magnitude : magnitude;
        synapses_ += magnitude != 0 ? 1 : 0;
        first_ = std::min(first_, synapse.slot);
        last_ = std::max(last_, synapse.slot + 1);
      }
    }
  }

  /// Ends a source: its responses go behind `responses`.
  SourceRoute finish(std::size_t events, std::vector<Response>& responses) {
    SourceRoute route;
    route.first = static_cast<std::int64_t>(responses.size());
    for (std::int32_t slot = first_; slot < last_; ++slot) {
      if (charge_[at(slot)] != 0) {
        responses.push_back({slot, charge_[at(slot)]});
        charge_[at(slot)] = 0;
      }
    }
    route.last = static_cast<std::int64_t>(responses.size());
    route.events = static_cast<std::int32_t>(events);
    route.synapses = synapses_;
    first_ = static_cast<std::int32_t>(charge_.size());
    last_ = 0;
    synapses_ = 0;
    return route;
  }

 private:
  const EmulatorWiring& wiring_;
  std::vector<const IntegerMatrix*> matrices_;
  std::vector<std::int32_t> charge_;
  std::int32_t first_ = 0;  // sums that the source reaches lie in [first, last)
  std::int32_t last_ = 0;
  std::int32_t synapses_ = 0;
};

}  // namespace

math::LifCoefficients<float> coefficients_of(const Population& population, std::int64_t neuron) {
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

std::int32_t WiredSynapse::magnitude(const IntegerMatrix& matrix) const {
  const std::int32_t weight = matrix.values[at(element)];
  return part_of_weight(std::max(inhibitory ? -weight : weight, 0), part);
}

EmulatorProgram::EmulatorProgram(EmulatorSetup setup, const Weights& weights) : EmulatorSetup(std::move(setup)) {
  ChargeSum sum(*wiring, weights, num_slots);
  for (std::size_t n = 0; n < wiring->routes.inputs.size(); ++n) {
    const std::vector<EventRoute>& events = wiring->routes.inputs[n];
    for (const EventRoute& event : events) {
      sum.add(event);
    }
    input_routes.push_back(sum.finish(wiring->routes.generated[n] ? 0 : events.size(), responses));
  }
  for (const CompiledPopulation& population : populations) {
    for (std::int64_t n = 0; n < population.size; ++n) {
      sum.add(wiring->routes.neurons[at(population.first_neuron + n)]);
      const SourceRoute route = sum.finish(0, responses);
      for (std::int64_t r = route.first; r < route.last; ++r) {
        const std::int32_t slot = responses[at(r)].slot;
        GRADSPIKE_REQUIRE(slot >= population.last_slot || delayed[at(slot)], "mapping: spikes of population \"",
                          population.name, "\" reach a population that does not come after it");
      }
      neuron_routes.push_back(route);
    }
  }
  for (const auto& [name, matrix] : weights) {
    hashes[name] = matrix.hash;
  }
}

std::shared_ptr<const Program> Emulator::compile(const Network& network, const Mapping& mapping, const Weights& weights,
                                                 const CompileOptions& options) const {
  validate(network, weights);
  validate(mapping, network);
  if (options.preset != "ideal") {
    return analog::compile(network, mapping, weights, options);
  }
  GRADSPIKE_REQUIRE(options.constants.empty(), "emulator: the ideal preset has no constants, got \"",
                    options.constants.begin()->first, "\"");
  GRADSPIKE_REQUIRE(options.calibration.empty(), "emulator: the ideal preset takes no calibration");
  for (const Projection& projection : network.projections) {
    GRADSPIKE_REQUIRE(projection.delay_steps <= 1, "emulator: projection \"", projection.name,
                      "\" must have delay_steps 0 or 1, got ", projection.delay_steps);
  }
  return std::make_shared<const EmulatorProgram>(EmulatorCompiler(network, mapping).compile(), weights);
}

std::shared_ptr<const Program> Emulator::update(const Program& program, const Weights& weights) const {
  if (const auto* analog = dynamic_cast<const analog::AnalogProgram*>(&program)) {
    return analog::update(*analog, weights);
  }
  const auto* ideal = dynamic_cast<const EmulatorProgram*>(&program);
  GRADSPIKE_REQUIRE(ideal != nullptr, "emulator: the program was compiled by another backend (", program.target(), ")");
  validate_changed(ideal->wiring->network, weights, ideal->hashes);
  return std::make_shared<const EmulatorProgram>(static_cast<const EmulatorSetup&>(*ideal), weights);
}

}  // namespace gradspike::chip
