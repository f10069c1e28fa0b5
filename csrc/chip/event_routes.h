// Follows events through crossbar, drivers, rows and labels of a mapping, whatever the weights are.
#pragma once

#include <cstdint>
#include <vector>

#include "csrc/chip/mapping.h"
#include "csrc/chip/network.h"

namespace gradspike::chip {

/// A synapse that responds to an event: index into Mapping::synapses, and the sign of the row it stands on.
struct RespondingSynapse {
  std::int32_t synapse = 0;
  bool inhibitory = false;
};

/// What an event meets on one PADI bus: responses in [first, last) of EventRoutes::responses.
struct BusRoute {
  std::int32_t bus = 0;  // padi_bus_enum
  std::int64_t first = 0;
  std::int64_t last = 0;
};

/// The buses that an event reaches, in the order of the crossbar.
using EventRoute = std::vector<BusRoute>;

struct EventRoutes {
  std::vector<std::vector<EventRoute>> inputs;  // by input neuron of all inputs, one route for each of its events
  std::vector<bool> generated;                  // by input neuron: generators of the chip make its events
  std::vector<EventRoute> neurons;              // by neuron of all populations; empty for leaky integrators
  std::vector<RespondingSynapse> responses;
};

/// Synapses on disabled rows do not respond. `mapping` must be valid for `network`; it need not be right.
EventRoutes follow_events(const Network& network, const Mapping& mapping);

}  // namespace gradspike::chip
