// Which circuit holds which neuron. Private to the mapper.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "csrc/chip/background.h"
#include "csrc/chip/capacity.h"
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
  RoutingProblem(const Network& network, const Capacity& capacity);

  /// Circuits of a neuron.
  std::int32_t num_circuits(std::int64_t neuron) const {
    return circuits_per_neuron[static_cast<std::size_t>(population_of[static_cast<std::size_t>(neuron)])];
  }

  /// Input neurons of a slice: [first, first + size).
  std::int64_t first_source(const BackgroundSlice& slice) const {
    return index.source({NodeRef::Kind::kInput, slice.input}, slice.first);
  }

  const Network& network;
  NeuronIndex index;
  std::vector<SynapseRequest> requests;
  std::vector<std::vector<SynapseCell>> cells;    // by source
  std::vector<std::int32_t> population_of;        // by neuron
  std::vector<BackgroundSlice> slices;            // sources whose spikes the chip makes
  std::vector<std::int32_t> slice_of;             // by input neuron; -1: the host sends its spikes
  std::vector<std::int32_t> circuits_per_neuron;  // by population
};

/// Circuits (enum values) by neuron; the first one fires.
using Placement = std::vector<std::vector<std::int32_t>>;

/// The hemisphere that takes the spikes of an event output wherever a target has circuits in both: those of the left
/// chip half go to the top, those of the right to the bottom. So the 8 event outputs share the 8 PADI buses one to one.
inline std::int32_t preferred_hemisphere(std::int32_t event_output) { return event_output / kBusesPerHemisphere; }

/// Placements in the order in which they are tried; deterministic.
class Placer {
 public:
  explicit Placer(const RoutingProblem& problem);

  /// A neuron of several circuits that found no free block of columns, or -1.
  std::int64_t unplaced() const { return unplaced_; }
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
  void place_permutation();
  std::vector<AtomicNeuronOnDLS> first_fit(std::int32_t circuits) const;
  void place_wide_neurons();
  void place_wide(std::int64_t neuron);
  void fix(std::int64_t neuron, const std::vector<AtomicNeuronOnDLS>& circuits);
  std::int32_t free_block(std::int32_t event_output, std::int32_t columns) const;
  std::int32_t fullest_target(std::int64_t source, std::int32_t event_output) const;
  void add_source_load(std::int64_t neuron);
  void assign_classes();
  void assign_class(std::int64_t neuron);
  std::int32_t least_used_class() const;
  bool fits(const Envelope& envelope, std::int64_t neuron) const;
  void add(Envelope& envelope, std::int64_t neuron) const;
  std::vector<std::int32_t> default_hemispheres() const;
  Placement place(const std::vector<std::int32_t>& hemispheres) const;

  const RoutingProblem& problem_;
  Placement fixed_;                                   // circuits of wishes and of wide neurons, else empty
  std::array<bool, kNeuronCircuits> taken_{};         // by them
  std::vector<std::int32_t> class_of_;                // PADI bus class by neuron
  std::array<std::int32_t, kClasses> used_{};         // circuits per class
  std::vector<std::array<Load, kClasses>> bus_load_;  // rows that on-chip sources of a class need, by target neuron
  std::vector<Load> load_;                            // rows by target neuron
  /// Rows that the sources of an event output need, by target neuron.
  std::vector<std::array<std::int32_t, kEventOutputs>> output_load_;
  std::array<std::int32_t, kEventOutputs> output_used_{};  // circuits of fixed neurons
  std::int64_t unplaced_ = -1;                             // a wide neuron for which no block of columns was free
};

}  // namespace gradspike::chip
