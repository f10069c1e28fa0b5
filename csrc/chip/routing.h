// Which source uses which bus, label and rows, for a given placement. Private to the mapper.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "csrc/chip/capacity.h"
#include "csrc/chip/mapping.h"
#include "csrc/chip/placement.h"

namespace gradspike::chip {

/// The drivers of one bus and hemisphere that answer to the same row selects: those with position & mask == group.
/// Within a bin all sources share the rows, and 64 labels tell them apart.
struct Bin {
  std::int32_t hemisphere = 0;
  std::int32_t bus = 0;
  std::int32_t group = 0;
  std::int32_t rows = 0;              // capacity
  std::int32_t excitatory_limit = 0;  // planned shares of the capacity
  std::int32_t inhibitory_limit = 0;
  std::uint64_t labels = 0;                          // bit l: label l is in use
  std::array<std::uint16_t, kColumns> excitatory{};  // synapses per column
  std::array<std::uint16_t, kColumns> inhibitory{};
};

class Router {
 public:
  Router(const RoutingProblem& problem, const Placement& placement);

  /// True where everything found its place; else `failure()` says what was short.
  bool route();
  const Misfit& failure() const { return failure_; }
  /// Whether labels were short, not rows.
  bool lacks_labels() const { return failure_.limit == kSynapseLabels && failure_.layer.empty(); }
  /// After route() gave true.
  Mapping mapping() const;

 private:
  /// Where a synapse request went: bin and how many of the same sign lie below it in its column.
  struct Slot {
    std::int32_t bin = -1;
    std::int32_t depth = 0;
    std::int32_t label = 0;
  };
  enum class Outcome { kDone, kRows, kLabels };

  Outcome attempt(bool slices_first);
  Outcome attempt_both();
  bool split_groups();
  void make_bins();
  Outcome route_neurons();
  Outcome route_neuron(std::int64_t neuron);
  Outcome route_slices(std::int32_t hemisphere);
  Outcome route_slice(const BackgroundSlice& slice, std::int32_t hemisphere);
  struct GeneratorPlan;
  GeneratorPlan plan_generator(const std::vector<std::int64_t>& sources, const BackgroundSlice& slice,
                               std::int32_t hemisphere, std::int32_t bus) const;
  std::int32_t free_block(const std::vector<std::int32_t>& bins, std::int64_t size) const;
  std::int32_t place_source(std::int64_t source, std::int32_t hemisphere, Bin& bin) const;
  void add_generator(const GeneratorPlan& plan, const BackgroundSlice& slice, std::int32_t hemisphere);
  Outcome plan_rows(std::int32_t hemisphere);
  void share_rows(std::int32_t hemisphere, std::int32_t excitatory, std::int32_t inhibitory);
  Outcome route_inputs(std::int32_t hemisphere);
  bool place_whole(std::int64_t source, std::int32_t hemisphere);
  Outcome place_split(std::int64_t source, std::int32_t hemisphere);
  bool place_one(std::int64_t source, std::int32_t hemisphere, std::int64_t request);
  void place_cell(const SynapseCell& cell, std::int32_t bin, std::int32_t label);
  void place_request(std::int64_t request, std::int32_t bin, std::int32_t label);
  std::int32_t input_label(std::int64_t source, std::int32_t bin);

  Outcome fail_rows(std::int32_t hemisphere, std::int32_t bus, std::int64_t need, std::int64_t limit,
                    std::int32_t column);
  Outcome fail_generators(const BackgroundSlice& slice, std::int32_t hemisphere, std::int64_t source);
  Outcome fail_labels(std::int32_t hemisphere, std::int32_t bus, std::int64_t need);
  /// The circuit of a neuron that fires.
  AtomicNeuronOnDLS circuit(std::int64_t neuron) const;
  /// The circuit that takes a request or the requests of a cell.
  AtomicNeuronOnDLS target(std::int64_t request) const {
    return AtomicNeuronOnDLS(targets_[static_cast<std::size_t>(request)]);
  }
  AtomicNeuronOnDLS target(const SynapseCell& cell) const { return target(cell.first); }
  std::int32_t bin_index(std::int32_t hemisphere, std::int32_t bus, std::int32_t group) const;
  bool reaches(std::int32_t event_output, std::int32_t hemisphere) const;
  std::string layer_at(std::int32_t hemisphere, std::int32_t column) const;

  void write_inputs(Mapping& mapping) const;
  void write_neurons(Mapping& mapping) const;
  void write_crossbar(Mapping& mapping) const;
  void write_synapses(Mapping& mapping) const;

  const RoutingProblem& problem_;
  const Placement& placement_;
  std::vector<std::int32_t> targets_;                                                // circuit by request
  std::array<std::array<std::int32_t, kBusesPerHemisphere>, kHemispheres> masks_{};  // compare mask of all its drivers
  std::array<std::array<std::int32_t, kBusesPerHemisphere>, kHemispheres> first_bin_{};
  std::array<std::array<bool, kHemispheres>, kEventOutputs> node_open_{};
  std::vector<Bin> bins_;
  std::array<std::vector<std::int32_t>, kHemispheres> bins_of_;
  std::vector<std::int32_t> addresses_;  // by neuron
  std::array<std::array<std::uint64_t, 4>, kEventOutputs> used_addresses_{};
  std::vector<Slot> slots_;                                                       // by request
  std::vector<std::vector<std::pair<std::int32_t, std::int32_t>>> input_labels_;  // by input neuron: (bin, label)
  std::vector<BackgroundGenerator> generators_;
  std::int32_t short_bus_ = 0;
  std::int32_t short_hemisphere_ = 0;
  std::int32_t short_of_groups_ = 0;  // a generator lacked labels in a row: groups that may give them, of one bus
  Misfit failure_;
};

}  // namespace gradspike::chip
