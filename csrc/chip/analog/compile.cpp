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

/// Synapses with the neurons that they reach, and their charges for weight 1 on rows of either sign.
struct WiredSynapses {
  std::vector<WiredSynapse> synapses;
  std::vector<std::array<double, 2>> charges;
};

WiredSynapses wired_synapses(const Network& network, const Mapping& mapping, const Pattern& pattern,
                             const std::vector<std::int32_t>& neuron_of_circuit) {
  WiredSynapses wired;
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
    wired.synapses.push_back(
        {neuron, synapse.projection, row * projection.in_features + synapse.pre, synapse.part, synapse.inhibitory});
    std::array<double, 2> charges = pattern.synapse(synapse);
    for (double& charge : charges) {
      charge *= static_cast<double>(projection.factor);
    }
    wired.charges.push_back(charges);
  }
  return wired;
}

std::shared_ptr<const AnalogWiring> wire(const Network& network, const Mapping& mapping, const Pattern& pattern,
                                         const std::vector<std::int32_t>& neuron_of_circuit) {
  const auto wiring = std::make_shared<AnalogWiring>();
  wiring->network = network;
  const EventRoutes routes = follow_events(network, mapping);
  const WiredSynapses wired = wired_synapses(network, mapping, pattern, neuron_of_circuit);
  TermCollector terms(network, wired.synapses);
  const auto add = [&](const EventRoute& event) {
    std::vector<std::int32_t>& buses = wiring->buses.back().emplace_back();
    for (const BusRoute& bus : event) {
      buses.push_back(bus.bus);
      for (std::int64_t r = bus.first; r < bus.last; ++r) {
        terms.add(routes.responses[at(r)].synapse, routes.responses[at(r)].inhibitory);
      }
      terms.finish();
    }
  };
  for (const std::vector<EventRoute>& events : routes.inputs) {
    wiring->buses.emplace_back();
    std::for_each(events.begin(), events.end(), add);
  }
  wiring->inputs = wiring->buses.size();
  for (const EventRoute& event : routes.neurons) {
    wiring->buses.emplace_back();
    add(event);
  }
  wiring->terms = terms.take();
  for (std::size_t t = 0; t < wiring->terms.terms.size(); ++t) {
    const std::array<double, 2>& charges = wired.charges[at(wiring->terms.synapses[t])];
    wiring->charges.push_back(charges[wiring->terms.terms[t].acts < 0 ? 1 : 0]);
  }
  return wiring;
}

/// Sums what an event adds to each neuron, bus by bus.
class ChargeSum {
 public:
  ChargeSum(const AnalogWiring& wiring, const Weights& weights, std::vector<Charge>& charges)
      : wiring_(wiring), integers_(concatenated(wiring.network, weights)), charges_(charges) {
    charges_.resize(wiring.terms.sums + 1);
  }

  ChargeRoute next(const std::vector<std::int32_t>& buses) {
    ChargeRoute route;
    route.reserve(buses.size());
    for (const std::int32_t bus : buses) {
      route.push_back(next_bus(bus));
    }
    return route;
  }

  void finish() { charges_.resize(filled_); }

 private:
  /// A neuron without a synapse of weight other than 0 is written over by the next one.
  BusCharges next_bus(std::int32_t bus) {
    const SynapseTerms& all = wiring_.terms;
    BusCharges sums{bus, static_cast<std::int64_t>(filled_), 0, 0};
    double exc = 0.0;
    double inh = 0.0;
    std::int32_t synapses = 0;
    std::int32_t of_neuron = 0;
    for (std::int64_t t = all.first_term[route_]; t < all.first_term[route_ + 1]; ++t) {
      const SynapseTerm& term = all.terms[at(t)];
      const std::int32_t magnitude = term.magnitude(integers_.data());
      const double charge = magnitude * wiring_.charges[at(t)];
      exc += term.acts > 0 ? charge : 0.0;
      inh += term.acts > 0 ? 0.0 : charge;
      of_neuron += magnitude != 0 ? 1 : 0;
      synapses += magnitude != 0 ? 1 : 0;
      charges_[filled_] = {term.target, exc, inh};
      filled_ += of_neuron != 0 ? at(term.is_last) : 0;
      const double kept = term.is_last != 0 ? 0.0 : 1.0;
      exc *= kept;
      inh *= kept;
      of_neuron *= 1 - term.is_last;
    }
    sums.synapses = synapses;
    sums.last = static_cast<std::int64_t>(filled_);
    ++route_;
    return sums;
  }

  const AnalogWiring& wiring_;
  std::vector<std::int16_t> integers_;
  std::vector<Charge>& charges_;
  std::size_t filled_ = 0;  // of charges_
  std::size_t route_ = 0;
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
  ChargeSum sum(*wiring, weights, charges);
  input_routes.reserve(wiring->inputs);
  for (std::size_t n = 0; n < wiring->buses.size(); ++n) {
    std::vector<ChargeRoute> routes;
    routes.reserve(wiring->buses[n].size());
    for (const std::vector<std::int32_t>& buses : wiring->buses[n]) {
      routes.push_back(sum.next(buses));
    }
    if (n < wiring->inputs) {
      input_routes.push_back(std::move(routes));
    } else {
      neuron_routes.push_back(std::move(routes.front()));
    }
  }
  sum.finish();
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
