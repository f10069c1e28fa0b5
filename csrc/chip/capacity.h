// Does a network fit one chip? Closed-form limits, every misfit at once, on an untrained network.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "csrc/chip/network.h"

namespace gradspike::chip {

/// One limit that the network exceeds.
struct Misfit {
  std::string layer;     // population or projection, "" for the whole network
  std::string quantity;  // "neuron circuits", ...
  std::int64_t need = 0;
  std::int64_t limit = 0;
  std::string remedy;  // what to change, with numbers
  /// False where the chip cannot do it but the mapping and the ideal emulator can.
  bool blocks_mapping = true;

  /// "layer "hidden": synapse rows of one neuron: needs 300, limit 256; <remedy>"
  std::string text() const;
};

struct PopulationNeed {
  std::string name;
  std::int64_t circuits = 0;
  /// 1, or an even number: the fewest whose synapses hold the fan-in.
  std::int64_t circuits_per_neuron = 1;
  std::int64_t excitatory_rows = 0;  // of the neuron with the most
  std::int64_t inhibitory_rows = 0;
  std::int64_t synapses = 0;
};

struct Capacity {
  std::vector<PopulationNeed> populations;
  std::int64_t neurons = 0;
  std::int64_t circuits = 0;
  std::int64_t synapses = 0;
  std::int64_t external_sources = 0;  // input neurons with a connection
  std::vector<Misfit> misfits;

  /// Whether the chip can hold the network as far as closed-form limits tell.
  bool fits() const { return misfits.empty(); }
  /// Whether the mapper takes it (the ideal emulator runs what the mapper takes).
  bool mappable() const;
};

/// Checks the limits of one chip. A neuron gets as many circuits as its fan-in needs, see PopulationNeed. Costs a pass
/// over sizes and masks, and over the synapses only where they are within the chip's number. Throws only where the
/// description contradicts itself.
Capacity check_capacity(const Network& network);

}  // namespace gradspike::chip
