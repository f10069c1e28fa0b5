// A network compiled for the emulator. Private to it.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "csrc/chip/backend.h"
#include "csrc/chip/event_routes.h"
#include "csrc/chip/synapse_terms.h"
#include "csrc/math/lif.h"

namespace gradspike::chip {

/// The coefficients of one neuron.
math::LifCoefficients<float> coefficients_of(const Population& population, std::int64_t neuron);

/// A synapse that responds to an event: adds `weight` to sum `slot`.
struct Response {
  std::int32_t slot = 0;
  std::int32_t weight = 0;
};

/// What one spike of a source does: its responses lie in [first, last) of EmulatorProgram::responses.
struct SourceRoute {
  std::int64_t first = 0;
  std::int64_t last = 0;
  std::int32_t events = 0;    // events that the host sends for it
  std::int32_t synapses = 0;  // synapses with a weight other than 0 that respond
};

/// One term of a neuron's input, float(sum) * factor.
struct Term {
  std::int32_t slot = 0;
  float factor = 1.0F;
};

struct CompiledPopulation {
  std::string name;
  bool fires = true;
  std::int64_t num_states = 0;  // chip::num_states; with the spikes of the last step where they arrive later
  std::int64_t size = 0;
  std::int64_t first_neuron = 0;
  std::vector<math::LifCoefficients<float>> coefficients;  // by neuron
  std::vector<std::int32_t> first_term;                    // by neuron, one more at the end
  std::vector<Term> terms;                                 // of a neuron in ascending position
  std::int32_t first_slot = 0;                             // its sums
  std::int32_t last_slot = 0;
};

/// What no weight changes.
struct EmulatorWiring {
  Network network;
  std::vector<std::int32_t> events;  // that the host sends for a spike, by input neuron
  SynapseTerms terms;                // by source: input neurons, then neurons
};

/// The network on the chip, whatever the weights are.
struct EmulatorSetup {
  std::vector<std::string> input_names;
  std::vector<std::int64_t> input_sizes;
  std::vector<std::int64_t> first_input;  // first input neuron of each input
  std::vector<CompiledPopulation> populations;
  std::int32_t num_slots = 0;
  std::vector<bool> delayed;  // by sum: spikes of this step enter it in the next one
  bool recurrent = false;     // any sum is delayed
  std::int64_t num_neurons = 0;
  std::shared_ptr<const EmulatorWiring> wiring;
};

class EmulatorProgram final : public Program, public EmulatorSetup {
 public:
  EmulatorProgram(EmulatorSetup setup, const Weights& weights);
  std::string target() const override { return "emulator ideal"; }

  std::vector<SourceRoute> input_routes;   // by input neuron
  std::vector<SourceRoute> neuron_routes;  // by neuron
  std::vector<Response> responses;
  std::map<std::string, std::uint64_t> hashes;  // of the weights

 private:
  void sum_responses(const Weights& weights);
};

}  // namespace gradspike::chip
