#include "csrc/chip/synapse_terms.h"

#include <limits>

#include "csrc/core/error.h"

namespace gradspike::chip {
namespace {

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

}  // namespace

std::vector<std::int16_t> concatenated(const Network& network, const Weights& weights) {
  std::vector<std::int16_t> integers;
  for (const Projection& projection : network.projections) {
    const std::vector<std::int16_t>& values = weights.at(projection.name).values;
    integers.insert(integers.end(), values.begin(), values.end());
  }
  return integers;
}

TermCollector::TermCollector(const Network& network, const std::vector<WiredSynapse>& synapses) : synapses_(synapses) {
  std::int64_t first = 0;
  for (const Projection& projection : network.projections) {
    first_element_.push_back(first);
    first += projection.out_features * projection.in_features;
  }
  GRADSPIKE_REQUIRE(first <= std::numeric_limits<std::int32_t>::max(), "emulator: the network has ", first,
                    " weights, more than a program holds");
  result_.first_term.push_back(0);
}

void TermCollector::finish() {
  std::stable_sort(open_.begin(), open_.end(), [this](const Open& a, const Open& b) {
    return synapses_[at(a.synapse)].target < synapses_[at(b.synapse)].target;
  });
  for (std::size_t k = 0; k < open_.size(); ++k) {
    const WiredSynapse& synapse = synapses_[at(open_[k].synapse)];
    const bool is_last = k + 1 == open_.size() || synapses_[at(open_[k + 1].synapse)].target != synapse.target;
    const std::int64_t element = first_element_[at(synapse.projection)] + synapse.element;
    result_.terms.push_back({static_cast<std::int32_t>(element), synapse.target,
                             static_cast<std::int16_t>(synapse.part),
                             static_cast<std::int8_t>(synapse.inhibitory ? -1 : 1),
                             static_cast<std::int8_t>(open_[k].acts_inhibitory ? -1 : 1), is_last ? 1 : 0});
    result_.synapses.push_back(open_[k].synapse);
    result_.sums += is_last ? 1 : 0;
  }
  result_.first_term.push_back(static_cast<std::int64_t>(result_.terms.size()));
  open_.clear();
}

}  // namespace gradspike::chip
