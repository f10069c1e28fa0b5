// Which circuit holds which neuron. Private to the mapper.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "csrc/chip/connections.h"
#include "csrc/chip/geometry.h"
#include "csrc/chip/network.h"

namespace gradspike::chip {

/// Synapses of one source at one target neuron: a range of the sorted requests, excitatory ones first.
struct SynapseCell {
  std::int64_t target = 0;
  std::int64_t first = 0;  // index of the first request
  std::int32_t excitatory = 0;
  std::int32_t inhibitory = 0;
};

/// Everything about the network that placement and routing share.
struct RoutingProblem {
  explicit RoutingProblem(const Network& network);

  const Network& network;
  NeuronIndex index;
  std::vector<SynapseRequest> requests;
  std::vector<std::vector<SynapseCell>> cells;  // by source
  std::vector<std::int32_t> population_of;      // by neuron
};

/// Circuit (enum value) by neuron.
using Placement = std::vector<std::int32_t>;

/// Placements in the order in which they are tried; deterministic.
class Placer {
 public:
  explicit Placer(const RoutingProblem& problem);

  std::int64_t num_candidates() const;
  Placement candidate(std::int64_t number) const;

 private:
  static constexpr std::int32_t kClasses = kBusesPerHemisphere;
  struct Load {
    std::int32_t excitatory = 0;
    std::int32_t inhibitory = 0;
  };
  /// What the neurons placed in one hemisphere need so far.
  struct Envelope {
    std::array<Load, kClasses> bus;
    Load total;
  };

  void place_wishes();
  void assign_classes();
  void assign_class(std::int64_t neuron);
  std::int32_t least_used_class() const;
  bool fits(const Envelope& envelope, std::int64_t neuron) const;
  void add(Envelope& envelope, std::int64_t neuron) const;
  std::vector<std::int32_t> default_hemispheres() const;
  Placement place(const std::vector<std::int32_t>& hemispheres) const;

  const RoutingProblem& problem_;
  std::vector<std::int32_t> wished_;                  // circuit or -1
  std::vector<std::int32_t> class_of_;                // PADI bus class by neuron
  std::array<std::int32_t, kClasses> used_{};         // circuits per class
  std::vector<std::array<Load, kClasses>> bus_load_;  // rows that on-chip sources of a class need, by target neuron
  std::vector<Load> load_;                            // rows by target neuron
};

}  // namespace gradspike::chip
