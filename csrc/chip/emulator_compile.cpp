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

  std::vector<WiredSynapse> wired_synapses() const {
    std::vector<WiredSynapse> synapses;
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
      synapses.push_back({slot->second, synapse.projection, row * projection.in_features + synapse.pre, synapse.part,
                          synapse.inhibitory});
    }
    return synapses;
  }

  std::shared_ptr<const EmulatorWiring> wiring() const {
    const auto wired = std::make_shared<EmulatorWiring>();
    wired->network = network_;
    const EventRoutes routes = follow_events(network_, mapping_);
    const std::vector<WiredSynapse> synapses = wired_synapses();
    TermCollector terms(network_, synapses);
    const auto add = [&](const EventRoute& route) {
      for (const BusRoute& bus : route) {
        for (std::int64_t r = bus.first; r < bus.last; ++r) {
          terms.add(routes.responses[at(r)].synapse, routes.responses[at(r)].inhibitory);
        }
      }
    };
    for (std::size_t n = 0; n < routes.inputs.size(); ++n) {
      wired->events.push_back(routes.generated[n] ? 0 : static_cast<std::int32_t>(routes.inputs[n].size()));
      std::for_each(routes.inputs[n].begin(), routes.inputs[n].end(), add);
      terms.finish();
    }
    for (const EventRoute& route : routes.neurons) {
      add(route);
      terms.finish();
    }
    wired->terms = terms.take();
    return wired;
  }

  const Network& network_;
  const Mapping& mapping_;
  EmulatorSetup setup_;
  std::map<std::int32_t, std::pair<std::int32_t, std::int64_t>> neuron_of_circuit_;
  std::map<std::pair<std::int32_t, std::int64_t>, std::int32_t> slot_of_;  // (projection, neuron) -> sum
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

EmulatorProgram::EmulatorProgram(EmulatorSetup setup, const Weights& weights) : EmulatorSetup(std::move(setup)) {
  sum_responses(weights);
  for (const CompiledPopulation& population : populations) {
    for (std::int64_t n = population.first_neuron; n < population.first_neuron + population.size; ++n) {
      for (std::int64_t r = neuron_routes[at(n)].first; r < neuron_routes[at(n)].last; ++r) {
        const std::int32_t slot = responses[at(r)].slot;
        GRADSPIKE_REQUIRE(slot >= population.last_slot || delayed[at(slot)], "mapping: spikes of population \"",
                          population.name, "\" reach a population that does not come after it");
      }
    }
  }
  for (const auto& [name, matrix] : weights) {
    hashes[name] = matrix.hash;
  }
}

/// Sums what the synapses of each source add, sum by sum. Those that stay 0 are written over by the next one.
void EmulatorProgram::sum_responses(const Weights& weights) {
  const SynapseTerms& all = wiring->terms;
  const std::vector<std::int16_t> integers = concatenated(wiring->network, weights);
  responses.resize(all.sums + 1);
  std::size_t filled = 0;
  const std::size_t inputs = wiring->events.size();
  for (std::size_t source = 0; source + 1 < all.first_term.size(); ++source) {
    SourceRoute route;
    route.first = static_cast<std::int64_t>(filled);
    std::int32_t charge = 0;
    std::int32_t synapses = 0;
    for (std::int64_t t = all.first_term[source]; t < all.first_term[source + 1]; ++t) {
      const SynapseTerm& term = all.terms[at(t)];
      const std::int32_t magnitude = term.magnitude(integers.data());
      charge += term.acts * magnitude;
      synapses += magnitude != 0 ? 1 : 0;
      responses[filled] = {term.target, charge};
      filled += static_cast<std::size_t>(static_cast<std::int32_t>(charge != 0) & term.is_last);
      charge *= 1 - term.is_last;
    }
    route.synapses = synapses;
    route.last = static_cast<std::int64_t>(filled);
    route.events = source < inputs ? wiring->events[source] : 0;
    (source < inputs ? input_routes : neuron_routes).push_back(route);
  }
  responses.resize(filled);
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
