#include "csrc/chip/connections.h"

#include <algorithm>
#include <tuple>

#include "csrc/chip/geometry.h"

namespace gradspike::chip {

NeuronIndex::NeuronIndex(const Network& network) {
  for (const Input& input : network.inputs) {
    input_offsets_.push_back(num_inputs_);
    num_inputs_ += input.size;
  }
  for (const Population& population : network.populations) {
    population_offsets_.push_back(num_neurons_);
    num_neurons_ += population.size;
  }
}

namespace {

std::int32_t parts_of_bound(std::int32_t bound) {
  return std::max(1, (bound + kMaxSynapseWeight - 1) / kMaxSynapseWeight);
}

}  // namespace

std::int32_t excitatory_parts(const Projection& projection) {
  return projection.receptor == Receptor::kInhibitory ? 0 : parts_of_bound(projection.max_weight);
}

std::int32_t inhibitory_parts(const Projection& projection) {
  return projection.receptor == Receptor::kExcitatory ? 0 : parts_of_bound(-projection.min_weight);
}

std::int32_t part_of_weight(std::int32_t magnitude, std::int32_t part) {
  return std::clamp(magnitude - part * kMaxSynapseWeight, 0, kMaxSynapseWeight);
}

std::vector<SynapseRequest> expand_synapses(const Network& network, const NeuronIndex& index) {
  std::vector<SynapseRequest> requests;
  for (std::size_t p = 0; p < network.projections.size(); ++p) {
    const Projection& projection = network.projections[p];
    const auto columns = network.expanded_columns(projection);
    const auto rows = network.expanded_rows(projection);
    const std::int32_t parts[2] = {excitatory_parts(projection), inhibitory_parts(projection)};
    for (std::size_t post = 0; post < rows.size(); ++post) {
      for (std::size_t pre = 0; rows[post] >= 0 && pre < columns.size(); ++pre) {
        const auto element = static_cast<std::size_t>(rows[post] * projection.in_features) + pre;
        if (!projection.mask.empty() && !projection.mask[element]) {
          continue;
        }
        SynapseRequest request;
        request.source = index.source(columns[pre].first, columns[pre].second);
        request.target = index.neuron(projection.target, static_cast<std::int64_t>(post));
        request.projection = static_cast<std::int32_t>(p);
        request.pre = static_cast<std::int32_t>(pre);
        request.post = static_cast<std::int32_t>(post);
        for (const bool inhibitory : {false, true}) {
          request.inhibitory = inhibitory;
          for (request.part = 0; request.part < parts[inhibitory ? 1 : 0]; ++request.part) {
            requests.push_back(request);
          }
        }
      }
    }
  }
  const auto key = [](const SynapseRequest& r) {
    return std::make_tuple(r.source, r.target, r.inhibitory, r.projection, r.pre, r.part);
  };
  std::sort(requests.begin(), requests.end(),
            [&key](const SynapseRequest& a, const SynapseRequest& b) { return key(a) < key(b); });
  return requests;
}

}  // namespace gradspike::chip
