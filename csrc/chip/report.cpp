#include "csrc/chip/report.h"

#include <algorithm>
#include <iomanip>
#include <sstream>

#include "csrc/chip/json_reader.h"

namespace gradspike::chip {
namespace {

const char* name_of(Verdict verdict) {
  return verdict == Verdict::kFits ? "fits"
                                   : (verdict == Verdict::kFitsWithLosses ? "fits with losses" : "does not fit");
}

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

std::string bar(std::int64_t used, std::int64_t limit) {
  constexpr std::int64_t kWidth = 20;
  const std::int64_t filled = std::min(kWidth, (used * kWidth + limit - 1) / limit);
  return std::string(static_cast<std::size_t>(filled), '#') +
         std::string(static_cast<std::size_t>(kWidth - filled), '.');
}

std::string percent(std::int64_t part, std::int64_t whole) {
  std::ostringstream out;
  out << std::fixed << std::setprecision(2)
      << (whole == 0 ? 0.0 : 100.0 * static_cast<double>(part) / static_cast<double>(whole)) << " %";
  return out.str();
}

void write_misfits(const Report& report, std::ostream& out) {
  if (report.misfits.empty()) {
    return;
  }
  out << "\nmisfits\n  layer            quantity                                  needed    limit     over\n";
  for (const Misfit& misfit : report.misfits) {
    out << "  " << std::left << std::setw(16) << (misfit.layer.empty() ? "(network)" : misfit.layer) << " "
        << std::setw(38) << misfit.quantity << std::right << std::setw(10) << misfit.need << std::setw(9)
        << misfit.limit << std::setw(9) << misfit.need - misfit.limit << "\n    " << misfit.remedy << "\n";
  }
}

void write_weights(const Report& report, std::ostream& out) {
  if (report.weights.empty()) {
    return;
  }
  out << "\nweights\n  projection          count    clipped    rounded to zero    rms error [LSB]\n";
  for (const auto& [name, layer] : report.weights) {
    out << "  " << std::left << std::setw(16) << name << std::right << std::setw(9) << layer.count << std::setw(11)
        << percent(layer.clipped, layer.count) << std::setw(19) << percent(layer.rounded_to_zero, layer.count)
        << std::setw(19) << std::setprecision(4) << layer.rms_rounding_error << "\n";
  }
}

}  // namespace

Report make_report(const Network& network, const ReportInputs& inputs) {
  const Capacity capacity = check_capacity(network);
  Report report;
  report.network = network.name;
  report.target = inputs.target;
  report.misfits = inputs.misfits != nullptr ? *inputs.misfits : capacity.misfits;
  report.weights = inputs.weights;
  report.approximations = inputs.approximations;
  report.provenance = inputs.provenance;
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

std::string Report::text() const {
  std::ostringstream out;
  out << "network \"" << network << "\" " << name_of(verdict) << ": target " << target << ", ";
  if (chips == 1) {
    out << "1 chip, 1 run per sample\n";
  } else {
    out << chips << " chips, or one chip and " << runs_per_sample << " runs per sample\n";
  }
  write_misfits(*this, out);
  out << "\nresources\n";
  for (const Resource& resource : resources) {
    out << "  " << std::left << std::setw(16) << (resource.layer.empty() ? "(chip)" : resource.layer) << " "
        << std::setw(48) << resource.quantity << std::right << std::setw(8) << resource.used << " / " << std::left
        << std::setw(7) << resource.limit << std::right << bar(resource.used, resource.limit) << "\n";
  }
  write_weights(*this, out);
  for (const std::string& approximation : approximations) {
    out << "\napproximation: " << approximation;
  }
  out << (approximations.empty() ? "" : "\n");
  for (const auto& [name, value] : provenance) {
    out << "\n" << name << ": " << value;
  }
  out << (provenance.empty() ? "" : "\n");
  return out.str();
}

std::string Report::to_json() const {
  Json misfit_list = Json::array();
  for (const Misfit& misfit : misfits) {
    misfit_list.push_back({{"layer", misfit.layer},
                           {"quantity", misfit.quantity},
                           {"need", misfit.need},
                           {"limit", misfit.limit},
                           {"remedy", misfit.remedy},
                           {"blocks_mapping", misfit.blocks_mapping}});
  }
  Json resource_list = Json::array();
  for (const Resource& resource : resources) {
    resource_list.push_back({{"layer", resource.layer},
                             {"quantity", resource.quantity},
                             {"used", resource.used},
                             {"limit", resource.limit}});
  }
  Json weight_list = Json::object();
  for (const auto& [name, layer] : weights) {
    weight_list[name] = {{"count", layer.count},
                         {"clipped", layer.clipped},
                         {"rounded_to_zero", layer.rounded_to_zero},
                         {"rms_rounding_error", layer.rms_rounding_error}};
  }
  return dump_json({{"format", "gradspike.report"},
                    {"version", 1},
                    {"network", network},
                    {"target", target},
                    {"verdict", name_of(verdict)},
                    {"exit_code", exit_code()},
                    {"chips", chips},
                    {"runs_per_sample", runs_per_sample},
                    {"misfits", std::move(misfit_list)},
                    {"resources", std::move(resource_list)},
                    {"weights", std::move(weight_list)},
                    {"approximations", approximations},
                    {"provenance", provenance}},
                   "report of network \"" + network + "\"");
}

}  // namespace gradspike::chip
