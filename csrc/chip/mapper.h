// From a network description to a mapping: deterministic, independent of weights, for networks that fit
// one chip. Neurons get as many circuits as their fan-in needs; spikes of a recurrent projection arrive one step later.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "csrc/chip/capacity.h"
#include "csrc/chip/mapping.h"

namespace gradspike::chip {

struct MapResult {
  std::optional<Mapping> mapping;
  /// All misfits of the capacity check, or what was short in the routing; scale misfits stand here beside a mapping.
  std::vector<Misfit> misfits;
  /// Where routing failed: the circuits of the closest attempt, by population, so that `misfits` can be checked.
  std::vector<PopulationPlacement> attempt;
};

/// Places and routes `network`:
///  - the neurons of the sources of a neuron are spread over the four PADI bus classes, since a spike on the chip
///    reaches one bus only; each population goes to one hemisphere where it has room;
///  - on a bus all sources share its rows: each column is filled from the lowest row, excitatory rows first, and only
///    the 6-bit label separates sources. More than 64 sources of a bus are separated by compare masks as well: the
///    drivers of a hemisphere then form 2, 4, ... groups by the low bits of their position;
///  - an input neuron is sent as one event where one bus has room for all its synapses of a hemisphere, else as one
///    event per bus it needs.
/// A wish `chip_coordinate` of a projection places its target population (geometry.h, parse_neuron_wish).
MapResult try_map(const Network& network);

/// The mapping, or an Error that lists every misfit.
Mapping map_network(const Network& network);

}  // namespace gradspike::chip
