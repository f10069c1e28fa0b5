// Coordinates of the BrainScaleS-2 chip (HICANN-X v3): counts, index formulas, event labels, printed forms.
//
// Source: halco (electronicvisions), headers neuron.h, synapse.h, synapse_driver.h, padi.h, routing_crossbar.h,
// event.h. Printed forms are those of halco, so that a coordinate can be pasted into the vendor's tools.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace gradspike::chip {

constexpr std::int32_t kHemispheres = 2;
constexpr std::int32_t kColumns = 256;         // of neurons and of synapses, per hemisphere
constexpr std::int32_t kNeuronCircuits = 512;  // 2 rows x 256 columns
constexpr std::int32_t kSynapseRows = 256;     // per hemisphere
constexpr std::int32_t kSynapses = 131072;     // per chip
constexpr std::int32_t kDriversPerHemisphere = 128;
constexpr std::int32_t kBusesPerHemisphere = 4;  // PADI buses
constexpr std::int32_t kDriversPerBus = 32;
constexpr std::int32_t kRowsPerBus = 64;
constexpr std::int32_t kEventOutputs = 8;
constexpr std::int32_t kColumnsPerEventOutput = 32;
constexpr std::int32_t kL2Inputs = 4;
constexpr std::int32_t kBackgroundSources = 8;      // generators, one per PADI bus
constexpr std::int32_t kMaxGeneratorSources = 256;  // sources of one random generator
constexpr std::int32_t kCrossbarInputs = 20;
constexpr std::int32_t kCrossbarOutputs = 12;
constexpr std::int32_t kSynapseLabels = 64;          // 6 bit
constexpr std::int32_t kRowSelects = 32;             // 5 bit
constexpr std::int32_t kNeuronAddresses = 256;       // 8 bit
constexpr std::int32_t kChipAddresses = 16384;       // 8 buses x 32 row selects x 64 labels
constexpr std::int32_t kMaxSynapseWeight = 63;       // 6 bit
constexpr std::int32_t kMaxCircuitsPerNeuron = 256;  // those of a chip half

/// A neuron circuit. Row 0 sees the synapses of hemisphere 0 (top), row 1 those of hemisphere 1 (bottom).
class AtomicNeuronOnDLS {
 public:
  AtomicNeuronOnDLS() = default;
  /// Enum value row * 256 + column; throws outside 0..511.
  explicit AtomicNeuronOnDLS(std::int64_t enum_value);
  AtomicNeuronOnDLS(std::int64_t column, std::int64_t row);

  std::int32_t to_enum() const { return value_; }
  std::int32_t column() const { return value_ % kColumns; }
  std::int32_t row() const { return value_ / kColumns; }
  std::int32_t hemisphere() const { return row(); }
  /// Quadrant (NeuronConfigBlockOnDLS): row * 2 + (column >= 128).
  std::int32_t quadrant() const { return row() * 2 + (column() >= 128 ? 1 : 0); }
  /// Chip half (NeuronBackendConfigBlockOnDLS), both rows.
  std::int32_t backend_block() const { return column() / 128; }
  std::int32_t on_backend_block() const { return column() % 128 + 128 * row(); }
  std::int32_t event_output() const { return column() / kColumnsPerEventOutput; }
  /// The PADI bus that its spikes reach, in either hemisphere.
  std::int32_t bus() const { return event_output() % kBusesPerHemisphere; }
  /// "AtomicNeuronOnDLS(3, 1; 259)"
  std::string str() const;

  bool operator==(const AtomicNeuronOnDLS& other) const { return value_ == other.value_; }
  bool operator!=(const AtomicNeuronOnDLS& other) const { return value_ != other.value_; }
  bool operator<(const AtomicNeuronOnDLS& other) const { return value_ < other.value_; }

 private:
  std::int32_t value_ = 0;
};

// ---- synapse drivers and rows; the drivers of a hemisphere are 0..127, its rows 0..255 ------------------------------

std::int32_t driver_of_row(std::int64_t row);
/// 0 top (odd rows), 1 bottom (even rows).
std::int32_t row_on_driver(std::int64_t row);
std::int32_t top_row_of_driver(std::int64_t driver);
std::int32_t bottom_row_of_driver(std::int64_t driver);
std::int32_t bus_of_driver(std::int64_t driver);
std::int32_t position_of_driver(std::int64_t driver);
std::int32_t driver_on_bus(std::int64_t bus, std::int64_t position);
/// CapMem block that holds the driver's analog parameters: 2 * hemisphere + driver % 2.
std::int32_t capmem_block_of_driver(std::int64_t hemisphere, std::int64_t driver);
/// Enum of PADIBusOnDLS: hemisphere * 4 + bus, which is also the crossbar output.
std::int32_t padi_bus_enum(std::int64_t hemisphere, std::int64_t bus);
/// Column of entry 0..3 of quad 0..63 in the raw synapse memory.
std::int32_t column_of_quad_entry(std::int64_t quad, std::int64_t entry);

std::string hemisphere_str(std::int64_t hemisphere);                  // "HemisphereOnDLS(0)"
std::string synapse_row_str(std::int64_t row);                        // "SynapseRowOnSynram(17)"
std::string synapse_column_str(std::int64_t column);                  // "SynapseOnSynapseRow(17)"
std::string driver_str(std::int64_t driver);                          // "SynapseDriverOnSynapseDriverBlock(17)"
std::string padi_bus_str(std::int64_t hemisphere, std::int64_t bus);  // "PADIBusOnDLS(1, 1; 5)"

// ---- crossbar ------------------------------------------------------------------------------------------------------

/// A node of the crossbar: inputs 0-7 neuron event outputs, 8-11 L2 inputs, 12-19 background generators; outputs 0-3
/// top PADI buses, 4-7 bottom PADI buses, 8-11 L2 outputs. Only 76 of the 240 pairs exist.
struct CrossbarNodeOnDLS {
  std::int32_t input = 0;
  std::int32_t output = 0;
  std::string str() const;  // "CrossbarNodeOnDLS(3, 7)"
};

bool crossbar_node_exists(std::int64_t input, std::int64_t output);
/// Throws where the pair does not exist.
CrossbarNodeOnDLS crossbar_node(std::int64_t input, std::int64_t output);
/// The 76 nodes, by output and then by input.
std::vector<CrossbarNodeOnDLS> all_crossbar_nodes();
std::int32_t crossbar_input_of_event_output(std::int64_t event_output);
std::int32_t crossbar_input_of_l2(std::int64_t l2_input);
std::int32_t crossbar_input_of_background(std::int64_t background_source);

// ---- event labels (16 bit) -----------------------------------------------------------------------------------------

constexpr std::uint16_t kNeuronLabelMask = 0x3FFF;  // bits 0-13: what the crossbar compares
constexpr std::uint16_t kHemisphereBit = 1U << 13;  // of external events: set for the bottom hemisphere
constexpr std::uint16_t kLoopBackBit = 1U << 12;    // of external events: recorded by the loop-back

struct EventLabel {
  std::uint16_t value = 0;

  std::int32_t spl1() const { return value >> 14; }
  std::int32_t neuron_label() const { return value & kNeuronLabelMask; }
  std::int32_t event_output() const { return (value >> 8) & 7; }
  std::int32_t backend_address() const { return value & 0xFF; }
  std::int32_t row_select() const { return (value >> 6) & 31; }
  std::int32_t synapse_label() const { return value & 63; }
};

/// Label of an event from outside: SPL1 = bus, bit 13 = hemisphere, row select in bits 6-10, synapse label in 0-5.
EventLabel external_label(std::int64_t hemisphere, std::int64_t bus, std::int64_t row_select,
                          std::int64_t synapse_label);
/// Label of a spike that leaves by an event output with an 8-bit address.
EventLabel neuron_label(std::int64_t event_output, std::int64_t address);
std::string label_str(EventLabel label);  // "SpikeLabel(8205)"

/// Neuron circuits that a wish names: "AtomicNeuronOnDLS(3)", "AtomicNeuronOnDLS(3, 1; 259)" (the first of `count`
/// circuits in enum order) or a list of `count` enum values, "0, 1, 256" or "[0, 1, 256]". Throws with a sentence.
std::vector<AtomicNeuronOnDLS> parse_neuron_wish(const std::string& wish, std::int64_t count);

/// The same for `neurons` neurons of several circuits each, given as circuits by neuron. A single coordinate is the top
/// left circuit of the first neuron, the others follow to the right: a neuron of k circuits is a block of k/2 columns
/// and both rows. A list names the circuits of one neuron after the other, the one that fires first. The circuits of a
/// neuron must lie in one chip half.
std::vector<std::vector<AtomicNeuronOnDLS>> parse_neuron_wishes(const std::string& wish, std::int64_t neurons,
                                                                std::int64_t circuits_per_neuron);
/// The circuits of a neuron whose top left one is in `column`: k/2 columns from the left, top row first.
std::vector<AtomicNeuronOnDLS> neuron_block(std::int64_t column, std::int64_t circuits_per_neuron);

}  // namespace gradspike::chip
