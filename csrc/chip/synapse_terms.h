// What the synapses that respond to an event hold, laid out so that other weights are read in one pass without a
// branch: an upload of a training step takes 100,000 of them. Private to the emulators.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "csrc/chip/geometry.h"
#include "csrc/chip/network.h"

namespace gradspike::chip {

/// A synapse of the mapping: which part of which integer it holds, and the sum or neuron that it adds to.
struct WiredSynapse {
  std::int32_t target = 0;
  std::int32_t projection = 0;
  std::int64_t element = 0;  // of the projection's matrix
  std::int32_t part = 0;
  bool inhibitory = false;  // holds a part of max(-w, 0)
};

/// The integers of all projections, one matrix after the other.
std::vector<std::int16_t> concatenated(const Network& network, const Weights& weights);

/// A synapse that responds, and the sign with which it acts.
struct SynapseTerm {
  std::int32_t element = 0;  // of the concatenated integers
  std::int32_t target = 0;
  std::int16_t part = 0;
  std::int8_t holds = 1;     // 1: a part of max(w, 0), -1: of max(-w, 0)
  std::int8_t acts = 1;      // 1 or -1: the sign of its row
  std::int32_t is_last = 0;  // 1: the next term has another target or belongs to another route

  /// 6 bit.
  std::int32_t magnitude(const std::int16_t* integers) const {
    const std::int32_t held = holds * std::int32_t{integers[element]} - part * kMaxSynapseWeight;
    // std::clamp would become branches, and random signs mispredict every other one.
    const std::int32_t above = held * static_cast<std::int32_t>(held > 0);
    return above - (above - kMaxSynapseWeight) * static_cast<std::int32_t>(above > kMaxSynapseWeight);
  }
};

/// Terms of one route after the other, with ascending targets.
struct SynapseTerms {
  std::vector<SynapseTerm> terms;
  std::vector<std::int32_t> synapses;    // of the mapping, by term
  std::vector<std::int64_t> first_term;  // by route, one more at the end
  std::size_t sums = 0;                  // targets of all routes
};

class TermCollector {
 public:
  TermCollector(const Network& network, const std::vector<WiredSynapse>& synapses);

  void add(std::int32_t synapse, bool acts_inhibitory) { open_.push_back({synapse, acts_inhibitory}); }
  /// Ends a route.
  void finish();
  SynapseTerms take() { return std::move(result_); }

 private:
  struct Open {
    std::int32_t synapse;
    bool acts_inhibitory;
  };

  const std::vector<WiredSynapse>& synapses_;
  std::vector<std::int64_t> first_element_;  // by projection
  std::vector<Open> open_;                   // of this route
  SynapseTerms result_;
};

}  // namespace gradspike::chip
