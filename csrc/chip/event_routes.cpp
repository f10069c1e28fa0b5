#include "csrc/chip/event_routes.h"

#include <array>

#include "csrc/chip/geometry.h"

namespace gradspike::chip {
namespace {

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

class Follower {
 public:
  explicit Follower(const Mapping& mapping) : mapping_(mapping) {
    for (std::size_t s = 0; s < mapping.synapses.size(); ++s) {
      const PlacedSynapse& synapse = mapping.synapses[s];
      rows_[at(synapse.hemisphere)][at(synapse.row)].push_back(static_cast<std::int32_t>(s));
    }
  }

  /// An event that enters the crossbar at `input`.
  EventRoute follow(std::int32_t input, EventLabel label) {
    EventRoute route;
    for (const CrossbarRule& rule : mapping_.crossbar) {
      if (rule.node.input == input && rule.node.output < kHemispheres * kBusesPerHemisphere &&
          rule.passes(label.neuron_label())) {
        route.push_back(on_bus(rule.node.output, label));
      }
    }
    return route;
  }

  std::vector<RespondingSynapse> responses;

 private:
  BusRoute on_bus(std::int32_t bus, EventLabel label) {
    BusRoute route{bus, static_cast<std::int64_t>(responses.size()), 0};
    const std::int32_t hemisphere = bus / kBusesPerHemisphere;
    for (std::int32_t position = 0; position < kDriversPerBus; ++position) {
      const std::int32_t driver = driver_on_bus(bus % kBusesPerHemisphere, position);
      const std::int32_t mask = mapping_.compare_masks[at(hemisphere)][at(driver)];
      if ((label.row_select() & mask) == (position & mask)) {
        drive(hemisphere, bottom_row_of_driver(driver), label);
        drive(hemisphere, top_row_of_driver(driver), label);
      }
    }
    route.last = static_cast<std::int64_t>(responses.size());
    return route;
  }

  void drive(std::int32_t hemisphere, std::int32_t row, EventLabel label) {
    const RowMode mode = mapping_.row_modes[at(hemisphere)][at(row)];
    if (mode == RowMode::kDisabled) {
      return;
    }
    for (const std::int32_t synapse : rows_[at(hemisphere)][at(row)]) {
      if (mapping_.synapses[at(synapse)].label == label.synapse_label()) {
        responses.push_back({synapse, mode == RowMode::kInhibitory});
      }
    }
  }

  const Mapping& mapping_;
  std::array<std::array<std::vector<std::int32_t>, kSynapseRows>, kHemispheres> rows_;
};

}  // namespace

EventRoutes follow_events(const Network& network, const Mapping& mapping) {
  EventRoutes routes;
  Follower follower(mapping);
  for (std::size_t i = 0; i < mapping.inputs.size(); ++i) {
    const InputRoute& input = mapping.inputs[i];
    for (std::size_t n = 0; n < input.labels.size(); ++n) {
      routes.inputs.emplace_back();
      for (const EventLabel label : input.labels[n]) {
        routes.inputs.back().push_back(follower.follow(crossbar_input_of_l2(label.spl1()), label));
      }
      for (const BackgroundGenerator& generator : mapping.generators) {
        const std::int64_t open = static_cast<std::int64_t>(n) - generator.first;
        if (static_cast<std::size_t>(generator.input) == i && open >= 0 && open <= generator.mask) {
          const EventLabel label{static_cast<std::uint16_t>((generator.label & ~generator.mask) | open)};
          routes.inputs.back().push_back(follower.follow(crossbar_input_of_background(generator.bus), label));
        }
      }
      routes.generated.push_back(network.inputs[i].background.has_value());
    }
  }
  for (std::size_t p = 0; p < network.populations.size(); ++p) {
    for (const PlacedNeuron& neuron : mapping.populations[p].neurons) {
      const std::int32_t output = neuron.circuits.front().event_output();
      const bool fires = network.populations[p].kind == NeuronKind::kLif;
      routes.neurons.push_back(
          fires ? follower.follow(crossbar_input_of_event_output(output), neuron_label(output, neuron.address))
                : EventRoute());
    }
  }
  routes.responses = std::move(follower.responses);
  return routes;
}

}  // namespace gradspike::chip
