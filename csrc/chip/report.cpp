#include "csrc/chip/report.h"

#include <algorithm>
#include <set>

namespace gradspike::chip {
namespace {

Verdict verdict_of(const Report& report) {
  const bool on_emulator = report.target.compare(0, 8, "emulator") == 0;
  bool losses = !report.approximations.empty();
  for (const Misfit& misfit : report.misfits) {
    if (misfit.blocks_mapping || !on_emulator) {
      return Verdict::kDoesNotFit;
    }
    losses = true;
  }
  for (const auto& [name, layer] : report.weights) {
    losses = losses || layer.clipped > 0 || layer.rounded_to_zero > 0;
  }
  return losses ? Verdict::kFitsWithLosses : Verdict::kFits;
}

void add_layers(const Capacity& capacity, Report& report) {
  for (const PopulationNeed& need : capacity.populations) {
    report.resources.push_back({need.name, "neuron circuits", need.circuits, report.chips * kNeuronCircuits});
    report.resources.push_back({need.name, "synapse rows of the fullest neuron, excitatory", need.excitatory_rows,
                                kSynapseRows * need.circuits_per_neuron});
    report.resources.push_back({need.name, "synapse rows of the fullest neuron, inhibitory", need.inhibitory_rows,
                                kSynapseRows * need.circuits_per_neuron});
    report.resources.push_back({need.name, "synapses", need.synapses, report.chips * kSynapses});
  }
  if (report.chips > 1) {
    return;
  }
  report.resources.push_back({"", "neuron circuits", capacity.circuits, kNeuronCircuits});
  report.resources.push_back({"", "synapses", capacity.synapses, kSynapses});
  report.resources.push_back(
      {"", "addresses of sources", capacity.external_sources + capacity.neurons, kChipAddresses});
}

/// Only where the network asks for any.
void add_generators(const std::string& layer, const Network& network, const Mapping& mapping, Report& report) {
  if (std::any_of(network.inputs.begin(), network.inputs.end(),
                  [](const Input& input) { return input.background.has_value(); })) {
    report.resources.push_back(
        {layer, "background generators", static_cast<std::int64_t>(mapping.generators.size()), kBackgroundSources});
  }
}

void add_instances(const PartitionedMapping& partition, Report& report) {
  for (std::size_t k = 0; k < partition.instances.size(); ++k) {
    const Instance& instance = partition.instances[k];
    const Holdings holdings = holdings_of(instance);
    const std::string layer = "instance " + std::to_string(k);
    report.resources.push_back({layer, "neuron circuits", holdings.circuits, kNeuronCircuits});
    report.resources.push_back({layer, "synapses", holdings.synapses, kSynapses});
    report.resources.push_back({layer, "synapse rows", holdings.rows, kHemispheres * kSynapseRows});
    report.resources.push_back({layer, "input neurons", holdings.inputs, kChipAddresses});
    report.resources.push_back({layer, "replayed neurons", holdings.replayed, kChipAddresses});
    add_generators(layer, instance.network, instance.mapping, report);
  }
}

void add_buses(const Mapping& mapping, Report& report) {
  std::int64_t rows[kHemispheres] = {0, 0};
  std::int64_t drivers[kHemispheres] = {0, 0};
  for (const BusUsage& usage : bus_usage(mapping)) {
    const std::string bus = padi_bus_str(usage.hemisphere, usage.bus);
    const std::int64_t used = usage.excitatory_rows + usage.inhibitory_rows;
    report.resources.push_back({"", "synapse rows of " + bus, used, kRowsPerBus});
    report.resources.push_back({"", "drivers of " + bus, usage.drivers, kDriversPerBus});
    rows[usage.hemisphere] += used;
    drivers[usage.hemisphere] += usage.drivers;
  }
  for (std::int32_t h = 0; h < kHemispheres; ++h) {
    report.resources.push_back({"", "synapse rows of " + hemisphere_str(h), rows[h], kSynapseRows});
    report.resources.push_back({"", "drivers of " + hemisphere_str(h), drivers[h], kDriversPerHemisphere});
  }
}

std::vector<std::string> source_names(const Network& network, const Projection& projection) {
  std::set<std::string> names;
  for (const ColumnRun& run : projection.columns) {
    const auto index = static_cast<std::size_t>(run.source.index);
    names.insert(run.source.kind == NodeRef::Kind::kInput ? network.inputs[index].name
                                                          : network.populations[index].name);
  }
  return {names.begin(), names.end()};
}

std::optional<Histogram> histogram_of(const std::vector<std::int16_t>& values) {
  if (values.empty()) {
    return std::nullopt;
  }
  const auto [lowest, highest] = std::minmax_element(values.begin(), values.end());
  Histogram histogram{*lowest, std::vector<std::int64_t>(static_cast<std::size_t>(*highest - *lowest + 1))};
  for (const std::int16_t value : values) {
    ++histogram.counts[static_cast<std::size_t>(value - *lowest)];
  }
  return histogram;
}

void add_integers(const Weights& weights, Report& report) {
  for (ProjectionReport& projection : report.projections) {
    const IntegerMatrix& matrix = weights.at(projection.name);
    projection.histogram = histogram_of(matrix.values);
    projection.hash = matrix.hash;
    report.provenance["weights of " + projection.name] = hash_str(matrix.hash);
  }
}

}  // namespace

Report describe(const Network& network) {
  Report report;
  report.network = network.name;
  report.dt = network.dt;
  report.steps = network.model_card.steps;
  for (const Population& population : network.populations) {
    report.populations.push_back(parameters_of(population, network.dt));
  }
  for (const Projection& p : network.projections) {
    report.projections.push_back({p.name, source_names(network, p),
                                  network.populations[static_cast<std::size_t>(p.target)].name, p.in_features,
                                  p.out_features, p.scale, p.min_weight, p.max_weight, p.receptor, p.rounding, p.units,
                                  p.delay_steps, std::nullopt, std::nullopt});
  }
  return report;
}

Report make_report(const Network& network, const ReportInputs& inputs) {
  const Capacity capacity = check_capacity(network);
  Report report = describe(network);
  report.target = inputs.target;
  report.misfits = inputs.misfits != nullptr ? *inputs.misfits : capacity.misfits;
  report.calibration = check_calibration(network);
  for (Misfit& misfit : misfits_of(report.calibration)) {
    report.misfits.push_back(std::move(misfit));
  }
  report.weights = inputs.weights;
  report.approximations = inputs.approximations;
  report.provenance = inputs.provenance;
  report.provenance["gradspike"] = GRADSPIKE_VERSION;
  if (inputs.integers != nullptr) {
    add_integers(*inputs.integers, report);
  }
  const Mapping* mapping = inputs.mapping;
  if (inputs.partition != nullptr) {
    validate(*inputs.partition, network);
    report.chips = report.runs_per_sample = static_cast<std::int64_t>(inputs.partition->instances.size());
    mapping = report.chips == 1 ? &inputs.partition->instances.front().mapping : nullptr;
  }
  add_layers(capacity, report);
  if (mapping != nullptr) {
    validate(*mapping, network);
    add_buses(*mapping, report);
    add_generators("", network, *mapping, report);
  } else if (report.chips > 1) {
    add_instances(*inputs.partition, report);
  }
  for (const auto& [name, layer] : report.weights) {
    network.projection(name);
  }
  report.verdict = verdict_of(report);
  return report;
}

const char* name_of(Verdict verdict) {
  return verdict == Verdict::kFits ? "fits"
                                   : (verdict == Verdict::kFitsWithLosses ? "fits with losses" : "does not fit");
}

const char* name_of(Calibratable state) {
  switch (state) {
    case Calibratable::kReached:
      return "reached";
    case Calibratable::kNearest:
      return "nearest";
    case Calibratable::kOtherUnits:
      return "other units";
    case Calibratable::kUnreachable:
      break;
  }
  return "unreachable";
}

const std::map<std::string, std::string>& conventions() {
  static const std::map<std::string, std::string> texts = {
      {"layout", "[time, batch, neuron]; weights [post, pre]"},
      {"spikes", "whole numbers per neuron and step, 0 to 127"},
      {"threshold", "a neuron spikes where its membrane is above the threshold, not at it"},
      {"reset", "the membrane is set to the reset potential after a spike and through the refractory time"},
      {"synaptic delay", "spikes of step t reach the membrane at step t + 1"},
      {"weights", "round(clip(scale * weight, min_weight, max_weight)) [LSB]"},
      {"voltages and currents", "model units"},
  };
  return texts;
}

}  // namespace gradspike::chip
