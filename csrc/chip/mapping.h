// Placement and routing of a network on one chip, as plain data: what a backend writes to the chip apart from weights.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "csrc/chip/geometry.h"
#include "csrc/chip/network.h"

namespace gradspike::chip {

enum class RowMode : std::uint8_t { kDisabled = 0, kExcitatory = 1, kInhibitory = 2 };

/// One neuron on the chip: its circuits (joined membranes; the first one fires) and the 8-bit address of its spikes.
struct PlacedNeuron {
  std::vector<AtomicNeuronOnDLS> circuits;
  std::int32_t address = 0;
};

struct PopulationPlacement {
  std::string name;
  std::vector<PlacedNeuron> neurons;
};

/// Events that are sent to the chip for each spike of an input neuron, as 16-bit labels. One label reaches one PADI bus
/// of one hemisphere. Neurons without a connection have none, nor have those whose spikes the chip makes.
struct InputRoute {
  std::string name;
  std::vector<std::vector<EventLabel>> labels;  // by neuron
};

/// The registers of a background generator, and whose spikes it makes: those of the neurons first, first + 1, ... of an
/// input, one for each value of the label bits that `mask` leaves open. Generators of the same neurons have the same
/// seed and so fire together, each on its own bus.
struct BackgroundGenerator {
  std::int32_t bus = 0;  // padi_bus_enum; the generator of this number
  std::int32_t input = 0;
  std::int64_t first = 0;
  bool random = true;
  std::int32_t period = 0;  // [clock cycles], 16 bit
  std::int32_t rate = 0;    // 8 bit
  std::uint32_t seed = 0;
  std::int32_t label = 0;  // 14 bit, 0 in the open bits
  std::int32_t mask = 0;   // 8 bit, 2^k - 1
};

/// One synapse circuit in use. It holds part `part` of max(w, 0) or, where `inhibitory`, of max(-w, 0). Circuits that
/// are not listed hold weight 0.
struct PlacedSynapse {
  std::int32_t hemisphere = 0;
  std::int32_t row = 0;
  std::int32_t column = 0;
  std::int32_t label = 0;       // 6 bit
  std::int32_t projection = 0;  // index into Network::projections
  std::int32_t pre = 0;         // column of the weight matrix
  std::int32_t post = 0;        // neuron of the target population
  std::int32_t part = 0;
  bool inhibitory = false;
};

/// Passes an event iff (neuron label & mask) == target. `drop()` is a pair that no label satisfies.
struct CrossbarRule {
  CrossbarNodeOnDLS node;
  std::int32_t mask = 0;
  std::int32_t target = 0;

  bool passes(std::int32_t neuron_label) const { return (neuron_label & mask) == target; }
  bool drops_all() const { return (target & ~mask) != 0; }
  static CrossbarRule drop(CrossbarNodeOnDLS node) { return {node, 0, kNeuronLabelMask}; }
};

struct Mapping {
  std::string network;
  std::vector<InputRoute> inputs;
  std::vector<PopulationPlacement> populations;
  std::vector<std::string> projections;  // names, in the order of the network
  std::array<std::array<std::uint8_t, kDriversPerHemisphere>, kHemispheres> compare_masks{};  // 5 bit
  std::array<std::array<RowMode, kSynapseRows>, kHemispheres> row_modes{};
  std::vector<CrossbarRule> crossbar;           // all 76 nodes, in the order of all_crossbar_nodes()
  std::vector<PlacedSynapse> synapses;          // by hemisphere, row, column
  std::vector<BackgroundGenerator> generators;  // in use, by bus

  bool operator==(const Mapping& other) const;
  bool operator!=(const Mapping& other) const { return !(*this == other); }
  /// Tables for people: circuits, rows and labels in use, then one line per population and input.
  std::string text() const;
};

/// Rows and drivers in use, for reports.
struct BusUsage {
  std::int32_t hemisphere = 0;
  std::int32_t bus = 0;
  std::int32_t excitatory_rows = 0;
  std::int32_t inhibitory_rows = 0;
  std::int32_t drivers = 0;
  std::int32_t labels = 0;  // distinct events from outside that enter here
};
std::vector<BusUsage> bus_usage(const Mapping& mapping);

/// What differs, one sentence each, at most `limit` of them; empty iff equal.
std::vector<std::string> differences(const Mapping& a, const Mapping& b, std::size_t limit = 20);

/// Throws unless every number is within the chip's ranges and names and sizes are those of `network`. Says nothing
/// about whether the mapping is right: that is check_mapping.
void validate(const Mapping& mapping, const Network& network);

/// Canonical JSON, format "gradspike.mapping", version 1. Reading checks ranges.
std::string to_json(const Mapping& mapping);
Mapping mapping_from_json(const std::string& text);

}  // namespace gradspike::chip
