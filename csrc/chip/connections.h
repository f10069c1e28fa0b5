// The connections of a network, expanded from its runs and masks, and the synapses that each takes on the chip.
#pragma once

#include <cstdint>
#include <vector>

#include "csrc/chip/network.h"

namespace gradspike::chip {

/// Numbers sources and neurons of a network through: input neurons first, then the neurons of the populations.
class NeuronIndex {
 public:
  explicit NeuronIndex(const Network& network);

  std::int64_t num_inputs() const { return num_inputs_; }    // input neurons
  std::int64_t num_neurons() const { return num_neurons_; }  // neurons of all populations
  std::int64_t num_sources() const { return num_inputs_ + num_neurons_; }
  std::int64_t neuron(std::int64_t population, std::int64_t index) const {
    return population_offsets_[static_cast<std::size_t>(population)] + index;
  }
  std::int64_t source(const NodeRef& node, std::int64_t index) const {
    return node.kind == NodeRef::Kind::kInput ? input_offsets_[static_cast<std::size_t>(node.index)] + index
                                              : num_inputs_ + neuron(node.index, index);
  }

 private:
  std::vector<std::int64_t> input_offsets_;
  std::vector<std::int64_t> population_offsets_;
  std::int64_t num_inputs_ = 0;
  std::int64_t num_neurons_ = 0;
};

/// Synapse circuits that one connection takes on excitatory and on inhibitory rows: ceil(bound / 63), at least one per
/// polarity that the receptor has, whatever the weight. So a weight change never changes the mapping.
std::int32_t excitatory_parts(const Projection& projection);
std::int32_t inhibitory_parts(const Projection& projection);

/// The share of part 0, 1, ... in `magnitude`: filled with 63 first, the remainder next, then zeros.
std::int32_t part_of_weight(std::int32_t magnitude, std::int32_t part);

/// One synapse circuit that the network asks for.
struct SynapseRequest {
  std::int64_t source = 0;  // NeuronIndex::source
  std::int64_t target = 0;  // NeuronIndex::neuron
  std::int32_t projection = 0;
  std::int32_t pre = 0;   // column of the weight matrix
  std::int32_t post = 0;  // neuron of the target population
  std::int32_t part = 0;
  bool inhibitory = false;
};

/// All requests, sorted by source, target, polarity, projection, pre, part. For networks that passed the closed-form
/// limits: their number is then at most kSynapses.
std::vector<SynapseRequest> expand_synapses(const Network& network, const NeuronIndex& index);

}  // namespace gradspike::chip
