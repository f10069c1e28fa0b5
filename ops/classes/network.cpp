#include "ops/classes/network.h"

#include <ATen/ops/empty.h>
#include <torch/library.h>

#include <cstring>
#include <nlohmann/json.hpp>
#include <sstream>

#include "csrc/chip/scales.h"
#include "csrc/core/error.h"
#include "ops/archive.h"
#include "ops/classes/failure.h"
#include "ops/classes/outside_of_graphs.h"
#include "ops/device.h"

namespace gradspike::ops {
namespace {

at::Tensor number(std::int64_t value) { return at::empty({}, at::kLong).fill_(value); }

template <class T>
at::Tensor tensor_of(const std::vector<T>& values, at::IntArrayRef sizes) {
  at::Tensor tensor = at::empty(sizes, c10::CppTypeToScalarType<T>::value);
  if (!values.empty()) {
    std::memcpy(tensor.mutable_data_ptr<T>(), values.data(), values.size() * sizeof(T));
  }
  return tensor;
}

/// Samples of the converters, where there are any.
void insert_samples(const chip::Observables& observables, c10::Dict<std::string, at::Tensor>& result) {
  const auto samples = static_cast<std::int64_t>(observables.cadc_times.size());
  for (const chip::PopulationRecord& record : observables.populations) {
    if (!record.cadc.empty()) {
      result.insert("cadc/" + record.name, tensor_of(record.cadc, {samples, observables.batch, record.size}));
      result.insert("times/cadc", tensor_of(observables.cadc_times, {samples}));
    }
  }
  const chip::MadcRecord& madc = observables.madc;
  if (!madc.population.empty()) {
    const auto count = static_cast<std::int64_t>(madc.times.size());
    result.insert("madc/" + madc.population, tensor_of(madc.samples, {count, observables.batch}));
    result.insert("times/madc", tensor_of(madc.times, {count}));
  }
}

/// Everything about a run that is no tensor, as JSON.
std::string about(const chip::Observables& observables) {
  return nlohmann::json{{"target", observables.target},
                        {"timing", observables.timing},
                        {"constants", observables.constants},
                        {"not_modelled", observables.not_modelled}}
      .dump();
}

c10::Dict<std::string, at::Tensor> named_tensors(const chip::Network& network, const chip::Observables& observables) {
  c10::Dict<std::string, at::Tensor> result;
  for (std::size_t k = 0; k < observables.populations.size(); ++k) {
    const chip::PopulationRecord& record = observables.populations[k];
    const bool fires = network.populations[k].kind == chip::NeuronKind::kLif;
    if (fires) {
      result.insert("spikes/" + record.name, spikes_of(observables, record));
    }
    if (!fires || !record.membrane.empty()) {
      result.insert("membrane/" + record.name, trace_of(observables, record, record.membrane));
    }
  }
  result.insert("count/events_sent", number(observables.counters.events_sent));
  result.insert("count/spikes_on_chip", number(observables.counters.spikes_on_chip));
  result.insert("count/synapse_events", number(observables.counters.synapse_events));
  if (std::any_of(network.inputs.begin(), network.inputs.end(),
                  [](const chip::Input& input) { return input.background.has_value(); })) {
    result.insert("count/background_spikes", number(observables.counters.background_spikes));
  }
  result.insert("lost/events_dropped", number(observables.counters.events_dropped));
  result.insert("lost/spikes_lost", number(observables.counters.spikes_lost));
  for (const auto& [kind, count] : observables.losses) {
    result.insert("lost/" + kind, number(count));
  }
  insert_samples(observables, result);
  return result;
}

std::vector<c10::IValue> values(const std::vector<at::Tensor>& tensors) { return {tensors.begin(), tensors.end()}; }

std::string bytes_of(const at::Tensor& record) {
  const at::Tensor bytes = record.to(at::kCPU, at::kByte).contiguous();
  return {reinterpret_cast<const char*>(bytes.const_data_ptr<std::uint8_t>()), static_cast<std::size_t>(bytes.numel())};
}

chip::CompileOptions compile_options(const std::string& preset, std::int64_t seed,
                                     const c10::Dict<std::string, double>& constants,
                                     const std::string& calibration = "") {
  chip::CompileOptions options;
  options.preset = preset;
  options.calibration = calibration;
  options.seed = static_cast<std::uint64_t>(seed);
  for (const auto& entry : constants) {
    options.constants[entry.key()] = entry.value();
  }
  return options;
}

}  // namespace

c10::intrusive_ptr<NetworkHandle> NetworkHandle::read(const c10::IValue& module, const std::vector<at::Tensor>& example,
                                                      const std::string& options) {
  require_outside_of_graphs("Network.read");
  GRADSPIKE_REQUIRE(module.isModule(), "Network.read takes a scripted or traced module, got ", module.tagKind());
  ReadOptions parsed = parse_read_options(options);
  parsed.example = values(example);
  if (parsed.card.steps == 0 && !example.empty() && example[0].dim() == 3) {
    parsed.card.steps = example[0].size(0);
  }
  auto handle = c10::make_intrusive<NetworkHandle>();
  handle->graph_ = std::make_unique<GraphNetwork>(module.toModule(), parsed);
  handle->warnings_ = handle->graph_->read().warnings;
  return handle;
}

c10::intrusive_ptr<NetworkHandle> NetworkHandle::open(const c10::IValue& module, const std::string& network,
                                                      const std::string& mapping,
                                                      const c10::Dict<std::string, at::Tensor>& records) {
  require_outside_of_graphs("Network.open");
  GRADSPIKE_REQUIRE(module.isModule(), "Network.open takes a scripted module, got ", module.tagKind());
  StoredNetwork stored{network, mapping, {}};
  for (const auto& entry : records) {
    stored.records[entry.key()] = bytes_of(entry.value());
  }
  OpenedNetwork opened = open_stored(module.toModule(), stored);
  auto handle = c10::make_intrusive<NetworkHandle>();
  handle->graph_ = std::move(opened.graph);
  handle->warnings_ = std::move(opened.warnings);
  return handle;
}

c10::intrusive_ptr<NetworkHandle> NetworkHandle::from_network_file(const std::string& text) {
  require_outside_of_graphs("Network.from_network_file");
  auto handle = c10::make_intrusive<NetworkHandle>();
  chip::Network network;
  chip::parse_network_file(text, network, handle->file_weights_);
  handle->file_.emplace(std::move(network));
  return handle;
}

at::Tensor NetworkHandle::program_as_torchscript(const std::string& path) {
  require_outside_of_graphs("Network.program_as_torchscript");
  std::ostringstream stream;
  module_of(path).save(stream);
  const std::string bytes = stream.str();
  at::Tensor result = at::empty({static_cast<std::int64_t>(bytes.size())}, at::kByte);
  std::memcpy(result.mutable_data_ptr<std::uint8_t>(), bytes.data(), bytes.size());
  return result;
}

chip::Deployment& NetworkHandle::deployment() const { return graph_ != nullptr ? graph_->deployment() : *file_; }
chip::Weights NetworkHandle::weights() const { return graph_ != nullptr ? graph_->integers() : file_weights_; }
std::map<std::string, chip::WeightLosses> NetworkHandle::losses() const {
  return graph_ != nullptr ? graph_->losses() : std::map<std::string, chip::WeightLosses>();
}

std::string NetworkHandle::description() const { return chip::to_json(deployment().network()); }
std::string NetworkHandle::options() const { return to_json(options_of(deployment().network())); }
std::vector<std::string> NetworkHandle::warnings() const { return warnings_; }
bool NetworkHandle::is_stale() const { return deployment().is_stale(); }

c10::Dict<std::string, at::Tensor> NetworkHandle::float_weights() const {
  GRADSPIKE_REQUIRE(graph_ != nullptr, "a network file holds integers only, no model weights");
  c10::Dict<std::string, at::Tensor> result;
  for (const auto& [name, weight] : graph_->float_weights()) {
    result.insert(name, weight.clone());
  }
  return result;
}

c10::Dict<std::string, at::Tensor> NetworkHandle::integers() const {
  c10::Dict<std::string, at::Tensor> result;
  for (const auto& [name, matrix] : weights()) {
    at::Tensor tensor = at::empty({matrix.out_features, matrix.in_features}, at::kShort);
    std::copy(matrix.values.begin(), matrix.values.end(), tensor.mutable_data_ptr<std::int16_t>());
    result.insert(name, tensor);
  }
  return result;
}

c10::Dict<std::string, at::Tensor> NetworkHandle::records() const {
  c10::Dict<std::string, at::Tensor> result;
  const chip::Weights current = weights();
  for (const chip::Projection& p : deployment().network().projections) {
    const std::string record = chip::to_record(p, current.at(p.name));
    at::Tensor tensor = at::empty({static_cast<std::int64_t>(record.size())}, at::kByte);
    std::copy(record.begin(), record.end(), reinterpret_cast<char*>(tensor.mutable_data_ptr<std::uint8_t>()));
    result.insert(p.name, tensor);
  }
  return result;
}

std::string NetworkHandle::network_file() const {
  const auto states = graph_ == nullptr ? std::map<std::string, chip::StateTensor>() : graph_->initial_states({});
  GRADSPIKE_REQUIRE(states.empty(), "a network file holds no states, but population '",
                    states.empty() ? "" : states.begin()->first, "' starts from one that the model holds");
  return chip::to_network_file(deployment().network(), weights());
}
std::string NetworkHandle::report(const std::string& target, std::int64_t chips) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  chip::Weights integers;
  try {
    integers = weights();
  } catch (const Error&) {  // a weight is NaN: the other verbs refuse it by name
    return deployment().check(target, losses(), chips).to_json();
  }
  return deployment().check(target, losses(), chips, &integers).to_json();
}
std::string NetworkHandle::layers() const { return chip::layers_json(deployment().network()); }

std::string NetworkHandle::map() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return chip::placement_to_json(*deployment().partition());
}
std::string NetworkHandle::map_text() {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto partition = deployment().partition();
  return partition->instances.size() == 1 ? partition->instances[0].mapping.text() : partition->text();
}
void NetworkHandle::set_mapping(const std::string& json) {
  const std::lock_guard<std::mutex> lock(mutex_);
  deployment().set_partition(chip::placement_from_json(json, deployment().network()));
}

c10::intrusive_ptr<ProgramHandle> NetworkHandle::compile(const std::string& backend, const std::string& preset,
                                                         std::int64_t seed,
                                                         const c10::Dict<std::string, double>& constants,
                                                         const std::string& calibration) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const chip::CompileOptions options = compile_options(preset, seed, constants, calibration);
  return c10::make_intrusive<ProgramHandle>(c10::intrusive_ptr<NetworkHandle>::reclaim_copy(this), noting_failure([&] {
                                              return deployment().compile(backend, options, weights());
                                            }));
}

std::string NetworkHandle::measure_scales(const std::string& backend, const std::string& preset, std::int64_t seed,
                                          const c10::Dict<std::string, double>& constants) const {
  nlohmann::json list = nlohmann::json::array();
  for (const chip::ScaleMeasurement& m : chip::measure_scales(deployment().network(), *chip::find_backend(backend),
                                                              compile_options(preset, seed, constants))) {
    list.push_back({{"projection", m.projection},
                    {"target", m.target},
                    {"scale", m.scale},
                    {"gain", m.gain},
                    {"gain_spread", m.gain_spread},
                    {"offset", m.offset},
                    {"offset_spread", m.offset_spread},
                    {"noise", m.noise},
                    {"neurons", m.neurons},
                    {"clipped_readings", m.clipped},
                    {"suggested_scale", m.suggested_scale}});
  }
  return list.dump();
}

std::tuple<c10::IValue, chip::Observables> NetworkHandle::run(const chip::DeployedNetwork& deployed,
                                                              const std::vector<at::Tensor>& inputs,
                                                              chip::RunOptions options) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (graph_ != nullptr) {
    GraphRun run = graph_->run_backend(deployed, values(inputs), std::move(options));
    return {std::move(run.outputs), std::move(run.observables)};
  }
  const std::vector<chip::Input>& described = file_->network().inputs;
  GRADSPIKE_REQUIRE(inputs.size() == described.size(), "the network has ", described.size(), " inputs, got ",
                    inputs.size());
  std::vector<at::Tensor> held = inputs;
  std::vector<chip::SpikeTensor> spikes;
  for (std::size_t k = 0; k < held.size(); ++k) {
    spikes.push_back(spike_tensor(described[k].name, held[k]));
  }
  for (const chip::Population& p : file_->network().populations) {
    if (p.kind == chip::NeuronKind::kLi) {
      options.record_membrane.push_back(p.name);
    }
  }
  return {c10::IValue(), deployed.run(spikes, options)};
}

c10::Dict<std::string, std::string> ProgramHandle::written() const {
  c10::Dict<std::string, std::string> result;
  for (const auto& [name, hash] : deployed_->written()) {
    result.insert(name, chip::hash_str(hash));
  }
  return result;
}

bool ProgramHandle::changed() const {
  const std::lock_guard<std::mutex> lock(network_->mutex_);
  return deployed_->changed(network_->weights());
}

std::tuple<c10::IValue, c10::Dict<std::string, at::Tensor>, std::string> ProgramHandle::run(
    const std::vector<at::Tensor>& inputs, const std::string& options) const {
  const chip::Network& network = network_->deployment().network();
  const auto [outputs, observables] = noting_failure(
      [&] { return network_->run(*deployed_, inputs, parse_run_options(options)); },
      [&](const chip::Observables& recorded) { return std::pair(named_tensors(network, recorded), about(recorded)); });
  return {outputs, named_tensors(network, observables), about(observables)};
}

std::tuple<c10::IValue, c10::Dict<std::string, at::Tensor>, std::string> NetworkHandle::run_model(
    const std::vector<at::Tensor>& inputs, const std::string& device) const {
  GRADSPIKE_REQUIRE(graph_ != nullptr, "a network file holds no model: run it on a backend");
  std::optional<c10::Device> where;
  if (!device.empty()) {
    where = device_of_target(device);
  }
  const GraphRun run = graph_->run_model(values(inputs), where);
  return {run.outputs, named_tensors(deployment().network(), run.observables), run.observables.target};
}

TORCH_LIBRARY_FRAGMENT(gradspike, m) {
  m.class_<ProgramHandle>("Program")  // before Network, which gives programs
      .def("target", &ProgramHandle::target)
      .def("changed", &ProgramHandle::changed)
      .def("written", &ProgramHandle::written)
      .def("run", &ProgramHandle::run);
  m.class_<NetworkHandle>("Network")
      .def_static("read", &NetworkHandle::read)
      .def_static("open", &NetworkHandle::open)
      .def_static("from_network_file", &NetworkHandle::from_network_file)
      .def_static("program_as_torchscript", &NetworkHandle::program_as_torchscript)
      .def_static("load_sentence", &load_sentence)
      .def("description", &NetworkHandle::description)
      .def("options", &NetworkHandle::options)
      .def("warnings", &NetworkHandle::warnings)
      .def("is_stale", &NetworkHandle::is_stale)
      .def("float_weights", &NetworkHandle::float_weights)
      .def("integers", &NetworkHandle::integers)
      .def("records", &NetworkHandle::records)
      .def("network_file", &NetworkHandle::network_file)
      .def("report", &NetworkHandle::report)
      .def("layers", &NetworkHandle::layers)
      .def("map", &NetworkHandle::map)
      .def("map_text", &NetworkHandle::map_text)
      .def("set_mapping", &NetworkHandle::set_mapping)
      .def("compile", &NetworkHandle::compile)
      .def("measure_scales", &NetworkHandle::measure_scales)
      .def("run_model", &NetworkHandle::run_model);
}

}  // namespace gradspike::ops
