// From a finished routing to the plain data of a mapping.
#include <algorithm>
#include <tuple>

#include "csrc/chip/routing.h"

namespace gradspike::chip {
namespace {

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

/// Rows of a bin, ascending.
std::vector<std::int32_t> rows_of(const Bin& bin, std::int32_t mask) {
  std::vector<std::int32_t> rows;
  for (std::int32_t position = 0; position < kDriversPerBus; ++position) {
    if ((position & mask) == bin.group) {
      const std::int32_t driver = driver_on_bus(bin.bus, position);
      rows.push_back(bottom_row_of_driver(driver));
      rows.push_back(top_row_of_driver(driver));
    }
  }
  return rows;
}

}  // namespace

void Router::write_inputs(Mapping& mapping) const {
  std::size_t source = 0;
  for (const Input& input : problem_.network.inputs) {
    InputRoute route;
    route.name = input.name;
    for (std::int64_t n = 0; n < input.size; ++n, ++source) {
      std::vector<EventLabel> labels;
      for (const auto& [b, label] : input_labels_[source]) {
        const Bin& bin = bins_[at(b)];
        labels.push_back(external_label(bin.hemisphere, bin.bus, bin.group, label));
      }
      route.labels.push_back(std::move(labels));
    }
    mapping.inputs.push_back(std::move(route));
  }
}

void Router::write_neurons(Mapping& mapping) const {
  std::int64_t neuron = 0;
  for (const Population& population : problem_.network.populations) {
    PopulationPlacement placement;
    placement.name = population.name;
    for (std::int64_t n = 0; n < population.size; ++n, ++neuron) {
      PlacedNeuron placed;
      for (const std::int32_t circuit : placement_[at(neuron)]) {
        placed.circuits.emplace_back(circuit);
      }
      placed.address = addresses_[at(neuron)];
      placement.neurons.push_back(std::move(placed));
    }
    mapping.populations.push_back(std::move(placement));
  }
}

/// L2 input s feeds bus s of the hemisphere that bit 13 names; loop-back passes events with bit 12; spikes leave to the
/// host, and enter a hemisphere only where a target lies; a background generator in use feeds its own bus.
void Router::write_crossbar(Mapping& mapping) const {
  for (const CrossbarNodeOnDLS& node : all_crossbar_nodes()) {
    CrossbarRule rule = CrossbarRule::drop(node);
    const std::int32_t hemisphere = node.output / kBusesPerHemisphere;  // 2: to the host
    if (node.input < kEventOutputs) {
      if (hemisphere == 2 || reaches(node.input, hemisphere)) {
        rule = {node, 0, 0};
      }
    } else if (node.input < kEventOutputs + kL2Inputs) {
      const std::int32_t l2_input = node.input - kEventOutputs;
      if (hemisphere == 2) {
        rule = {node, kLoopBackBit, kLoopBackBit};
      } else if (node.output % kBusesPerHemisphere == l2_input) {
        rule = {node, kHemisphereBit, hemisphere == 1 ? kHemisphereBit : 0};
      }
    } else if (hemisphere < 2 && std::any_of(generators_.begin(), generators_.end(),
                                             [&node](const BackgroundGenerator& g) { return g.bus == node.output; })) {
      rule = {node, 0, 0};
    }
    mapping.crossbar.push_back(rule);
  }
}

void Router::write_synapses(Mapping& mapping) const {
  std::vector<std::vector<std::int32_t>> rows;
  std::vector<std::int32_t> num_excitatory;
  for (const Bin& bin : bins_) {
    rows.push_back(rows_of(bin, masks_[at(bin.hemisphere)][at(bin.bus)]));
    const std::int32_t excitatory = *std::max_element(bin.excitatory.begin(), bin.excitatory.end());
    const std::int32_t inhibitory = *std::max_element(bin.inhibitory.begin(), bin.inhibitory.end());
    num_excitatory.push_back(excitatory);
    for (std::int32_t r = 0; r < excitatory + inhibitory; ++r) {
      mapping.row_modes[at(bin.hemisphere)][at(rows.back()[at(r)])] =
          r < excitatory ? RowMode::kExcitatory : RowMode::kInhibitory;
    }
  }
  for (std::size_t r = 0; r < slots_.size(); ++r) {
    const SynapseRequest& request = problem_.requests[r];
    const Slot& slot = slots_[r];
    const std::int32_t depth = slot.depth + (request.inhibitory ? num_excitatory[at(slot.bin)] : 0);
    mapping.synapses.push_back({bins_[at(slot.bin)].hemisphere, rows[at(slot.bin)][at(depth)],
                                target(static_cast<std::int64_t>(r)).column(), slot.label, request.projection,
                                request.pre, request.post, request.part, request.inhibitory});
  }
  std::sort(mapping.synapses.begin(), mapping.synapses.end(), [](const PlacedSynapse& a, const PlacedSynapse& b) {
    return std::tie(a.hemisphere, a.row, a.column) < std::tie(b.hemisphere, b.row, b.column);
  });
}

Mapping Router::mapping() const {
  Mapping mapping;
  mapping.network = problem_.network.name;
  for (const Projection& projection : problem_.network.projections) {
    mapping.projections.push_back(projection.name);
  }
  for (std::size_t h = 0; h < kHemispheres; ++h) {
    for (std::int32_t driver = 0; driver < kDriversPerHemisphere; ++driver) {
      mapping.compare_masks[h][at(driver)] = static_cast<std::uint8_t>(masks_[h][at(bus_of_driver(driver))]);
    }
  }
  write_inputs(mapping);
  write_neurons(mapping);
  mapping.generators = generators_;
  std::sort(mapping.generators.begin(), mapping.generators.end(),
            [](const BackgroundGenerator& a, const BackgroundGenerator& b) { return a.bus < b.bus; });
  write_crossbar(mapping);
  write_synapses(mapping);
  return mapping;
}

}  // namespace gradspike::chip
