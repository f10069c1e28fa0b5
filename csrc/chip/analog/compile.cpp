#include <algorithm>
#include <sstream>

#include "csrc/chip/analog/pattern.h"
#include "csrc/chip/analog/program.h"
#include "csrc/chip/connections.h"
#include "csrc/chip/geometry.h"
#include "csrc/core/error.h"

namespace gradspike::chip::analog {
namespace {

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

constexpr std::int32_t kNoNeuron = -1;

std::string target_of(const CompileOptions& options) {
  std::ostringstream text;
  text << "emulator analog preset=" << options.preset << " seed=" << options.seed;
  for (const auto& [name, value] : options.constants) {
    text << " " << name << "=" << value;
  }
  return text.str();
}

/// The neurons of this chip, and which one each circuit belongs to.
std::vector<std::int32_t> add_neurons(const Network& network, const Mapping& mapping, const Pattern& pattern,
                                      AnalogSetup& program) {
  std::vector<std::int32_t> neuron_of_circuit(kNeuronCircuits, kNoNeuron);
  std::vector<std::int32_t> chip_halves;
  for (std::size_t p = 0; p < network.populations.size(); ++p) {
    const Population& population = network.populations[p];
    const bool fires = population.kind == NeuronKind::kLif;
    program.populations.push_back(
        {population.name, fires, population.size, static_cast<std::int64_t>(program.neurons.size())});
    for (std::int64_t n = 0; n < population.size; ++n) {
      const PlacedNeuron& placed = mapping.populations[p].neurons[at(n)];
      for (const AtomicNeuronOnDLS& circuit : placed.circuits) {
        std::int32_t& owner = neuron_of_circuit[at(circuit.to_enum())];
        GRADSPIKE_REQUIRE(owner == kNoNeuron, "mapping: ", circuit.str(), " holds two neurons");
        owner = static_cast<std::int32_t>(program.neurons.size());
      }
      const math::LifCoefficients<float> coefficients = coefficients_of(population, n);
      GRADSPIKE_REQUIRE(
          coefficients.input_gain > 0.0F && coefficients.leak_conductance > 0.0F && coefficients.current_decay < 1.0F,
          "emulator: neuron ", n, " of population \"", population.name,
          "\" must have finite, positive time constants, got an input gain of ", coefficients.input_gain,
          ", a leak conductance of ", coefficients.leak_conductance, " and a current decay of ",
          coefficients.current_decay);
      program.neurons.push_back(pattern.neuron(placed, coefficients, fires, network.dt));
      chip_halves.push_back(placed.circuits.front().backend_block());
    }
  }
  quantise_refractory_times(program.constants, chip_halves, program.neurons);
  return neuron_of_circuit;
}

/// Generators of the same sources fire together, so one of them tells when.
void add_generators(const Network& network, const Mapping& mapping, AnalogSetup& program) {
  const NeuronIndex index(network);
  for (const BackgroundGenerator& g : mapping.generators) {
    const std::int64_t first = index.source({NodeRef::Kind::kInput, g.input}, g.first);
    const bool known = std::any_of(program.generators.begin(), program.generators.end(),
                                   [first](const AnalogGenerator& other) { return other.first == first; });
    if (!known) {
      program.generators.push_back({{g.period, g.rate}, g.random, g.mask, g.seed, first});
    }
  }
}

std::shared_ptr<const AnalogWiring> wire(const Network& network, const Mapping& mapping, const Pattern& pattern,
                                         const std::vector<std::int32_t>& neuron_of_circuit) {
  const auto wiring = std::make_shared<AnalogWiring>();
  wiring->network = network;
  wiring->routes = follow_events(network, mapping);
  std::vector<std::vector<std::int64_t>> rows;
  for (const Projection& projection : network.projections) {
    rows.push_back(network.expanded_rows(projection));
    GRADSPIKE_REQUIRE(projection.delay_steps <= 1, "emulator: projection \"", projection.name,
                      "\" must have delay_steps 0 or 1, since the chip has no delays, got ", projection.delay_steps);
  }
  for (const PlacedSynapse& synapse : mapping.synapses) {
    const Projection& projection = network.projections[at(synapse.projection)];
    const std::int32_t neuron = neuron_of_circuit[at(synapse.hemisphere * kColumns + synapse.column)];
    const std::int64_t row = rows[at(synapse.projection)][at(synapse.post)];
    GRADSPIKE_REQUIRE(neuron != kNoNeuron && row >= 0, "mapping: the synapse at hemisphere ", synapse.hemisphere,
                      ", row ", synapse.row, ", column ", synapse.column,
                      " lies in no column of a neuron that projection \"", projection.name, "\" reaches");
    wiring->synapses.push_back(
        {neuron, synapse.projection, row * projection.in_features + synapse.pre, synapse.part, synapse.inhibitory});
    std::array<double, 2> charges = pattern.synapse(synapse);
    for (double& charge : charges) {
      charge *= static_cast<double>(projection.factor);
    }
    wiring->charges.push_back(charges);
  }
  return wiring;
}

/// Sums what an event adds to each neuron, bus by bus.
class ChargeSum {
 public:
  ChargeSum(const AnalogWiring& wiring, const Weights& weights, std::size_t neurons, std::vector<Charge>& charges)
      : wiring_(wiring), place_(neurons, -1), charges_(charges) {
    for (const Projection& projection : wiring.network.projections) {
      matrices_.push_back(&weights.at(projection.name));
    }
  }

  ChargeRoute add(const EventRoute& event) {
    ChargeRoute route;
    for (const BusRoute& bus : event) {
      BusCharges sums{bus.bus, static_cast<std::int64_t>(charges_.size()), 0, 0};
      for (std::int64_t r = bus.first; r < bus.last; ++r) {
        sums.synapses += respond(wiring_.routes.responses[at(r)]);
      }
      sums.last = static_cast<std::int64_t>(charges_.size());
      for (std::int64_t c = sums.first; c < sums.last; ++c) {
        place_[at(charges_[at(c)].neuron)] = -1;
      }
      route.push_back(sums);
    }
    return route;
  }

 private:
  std::int64_t respond(const RespondingSynapse& response) {
    const WiredSynapse& synapse = wiring_.synapses[at(response.synapse)];
    const std::int32_t magnitude = synapse.magnitude(*matrices_[at(synapse.projection)]);
    if (magnitude == 0) {
      return 0;
    }
    std::int64_t& place = place_[at(synapse.slot)];
    if (place < 0) {
      place = static_cast<std::int64_t>(charges_.size());
      charges_.push_back({synapse.slot, 0.0, 0.0});
    }
    const double charge = magnitude * wiring_.charges[at(response.synapse)][response.inhibitory ? 1 : 0];
    (response.inhibitory ? charges_[at(place)].inh : charges_[at(place)].exc) += charge;
    return 1;
  }

  const AnalogWiring& wiring_;
  std::vector<const IntegerMatrix*> matrices_;
  std::vector<std::int64_t> place_;  // of a neuron among the charges of this bus, or -1
  std::vector<Charge>& charges_;
};

}  // namespace

const std::vector<std::string>& not_modelled() {
  static const std::vector<std::string> phrases = {
      "short-term plasticity",
      "drift, temperature and cross-talk",
      "conductance-based synapses and conductances between circuits",
      "synaptic time constants of the circuits of one neuron, one by one",
      "saturation of membranes between two events",
      "queueing delay on PADI buses",
      "losses on the way to the host",
      "the shift registers of background generators and the time at which they start",
  };
  return phrases;
}

AnalogProgram::AnalogProgram(AnalogSetup setup, const Weights& weights) : AnalogSetup(std::move(setup)) {
  ChargeSum sum(*wiring, weights, neurons.size(), charges);
  for (const std::vector<EventRoute>& events : wiring->routes.inputs) {
    input_routes.emplace_back();
    for (const EventRoute& event : events) {
      input_routes.back().push_back(sum.add(event));
    }
  }
  for (const EventRoute& event : wiring->routes.neurons) {
    neuron_routes.push_back(sum.add(event));
  }
  for (const auto& [name, matrix] : weights) {
    hashes[name] = matrix.hash;
  }
}

std::shared_ptr<const Program> compile(const Network& network, const Mapping& mapping, const Weights& weights,
                                       const CompileOptions& options) {
  AnalogSetup setup;
  setup.constants = constants_of(options.preset, options.constants);
  GRADSPIKE_REQUIRE(options.calibration.empty(), "emulator: the analog presets take no calibration, got \"",
                    options.calibration, "\"");
  setup.target_name = target_of(options);
  setup.seed = options.seed;
  setup.dt = network.dt;
  for (const Input& input : network.inputs) {
    setup.input_names.push_back(input.name);
    setup.input_sizes.push_back(input.size);
    setup.generated.push_back(input.background.has_value());
  }
  add_generators(network, mapping, setup);
  const Pattern pattern(setup.constants, options.seed);
  const std::vector<std::int32_t> neuron_of_circuit = add_neurons(network, mapping, pattern, setup);
  setup.wiring = wire(network, mapping, pattern, neuron_of_circuit);
  return std::make_shared<const AnalogProgram>(std::move(setup), weights);
}

std::shared_ptr<const Program> update(const AnalogProgram& program, const Weights& weights) {
  validate_changed(program.wiring->network, weights, program.hashes);
  return std::make_shared<const AnalogProgram>(static_cast<const AnalogSetup&>(program), weights);
}

}  // namespace gradspike::chip::analog
