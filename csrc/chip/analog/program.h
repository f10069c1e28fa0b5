// A network compiled for the analog emulator. Private to the emulator.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "csrc/chip/analog/constants.h"
#include "csrc/chip/backend.h"
#include "csrc/chip/emulator_program.h"
#include "csrc/math/background.h"
#include "csrc/math/continuous_lif.h"

namespace gradspike::chip::analog {

/// A neuron as this chip has it.
struct AnalogNeuron {
  math::ContinuousLif lif;
  bool fires = true;
  double threshold_trial_spread = 0.0;  // model units
  double spike_jitter = 0.0;            // [s]
  double cadc_offset = 0.0;             // [LSB]
};

/// What one event adds to the currents of one neuron; inhibition is positive here.
struct Charge {
  std::int32_t neuron = 0;
  double exc = 0.0;
  double inh = 0.0;
};

/// What one event does on one PADI bus: charges in [first, last) of AnalogProgram::charges.
struct BusCharges {
  std::int32_t bus = 0;
  std::int64_t first = 0;
  std::int64_t last = 0;
  std::int64_t synapses = 0;  // that respond with a weight other than 0
};
using ChargeRoute = std::vector<BusCharges>;

/// Sources of an input whose spikes a generator makes.
struct AnalogGenerator {
  math::BackgroundTiming timing;
  bool random = true;
  std::int32_t mask = 0;
  std::uint32_t seed = 0;
  std::int64_t first = 0;  // source, among the neurons of all inputs
};

struct AnalogPopulation {
  std::string name;
  bool fires = true;
  std::int64_t size = 0;
  std::int64_t first_neuron = 0;
};

/// What no weight changes.
struct AnalogWiring {
  Network network;
  std::size_t inputs = 0;  // input neurons
  /// By source, input neurons and then neurons: the buses that each of its events reaches.
  std::vector<std::vector<std::vector<std::int32_t>>> buses;
  SynapseTerms terms;           // by bus of an event of a source
  std::vector<double> charges;  // of weight 1, by term
};

/// The chip and the network on it, whatever the weights are.
struct AnalogSetup {
  std::string target_name;
  std::uint64_t seed = 0;
  Constants constants;
  double dt = 0.0;
  std::vector<AnalogPopulation> populations;
  std::vector<AnalogNeuron> neurons;
  std::vector<std::string> input_names;
  std::vector<std::int64_t> input_sizes;
  std::vector<bool> generated;              // by input: the chip makes its spikes
  std::vector<AnalogGenerator> generators;  // those that fire together once
  std::shared_ptr<const AnalogWiring> wiring;
};

class AnalogProgram final : public Program, public AnalogSetup {
 public:
  AnalogProgram(AnalogSetup setup, const Weights& weights);
  std::string target() const override { return target_name; }

  std::map<std::string, std::uint64_t> hashes;  // of the weights
  std::vector<Charge> charges;
  std::vector<std::vector<ChargeRoute>> input_routes;  // by input neuron of all inputs, one for each of its events
  std::vector<ChargeRoute> neuron_routes;
};

/// What the emulator leaves out, one phrase each.
const std::vector<std::string>& not_modelled();

/// For a valid network, mapping and weights. Throws for unknown presets and constants.
std::shared_ptr<const Program> compile(const Network& network, const Mapping& mapping, const Weights& weights,
                                       const CompileOptions& options);
std::shared_ptr<const Program> update(const AnalogProgram& program, const Weights& weights);
Observables run(const AnalogProgram& program, const std::vector<SpikeTensor>& inputs, const RunOptions& options);

}  // namespace gradspike::chip::analog
