// torch.classes.gradspike.Network: the handle of a network that was read, for Python and TorchScript hosts.
//
// torch.classes.gradspike.Program is one deployment of it. Handles are never arguments of operators and never part of a
// model. Those of projections and populations are torch.classes.gradspike.Projection and .Population: immutable views
// of registry entries.
#pragma once

#include <memory>
#include <mutex>
#include <optional>

#include <torch/custom_class.h>

#include "csrc/chip/registry.h"
#include "ops/walker/graph_network.h"

namespace gradspike::ops {

class ProgramHandle;

class NetworkHandle : public torch::CustomClassHolder {
 public:
  /// Reads a scripted or traced module. `options` is JSON: name, projections, card, input_sizes.
  static c10::intrusive_ptr<NetworkHandle> read(const c10::IValue& module, const std::vector<at::Tensor>& example,
                                                const std::string& options);
  /// The module of an archive with what stands beside it: description, mapping ("": none) and integer records by
  /// projection. Throws, and registers nothing, where they do not belong together.
  static c10::intrusive_ptr<NetworkHandle> open(const c10::IValue& module, const std::string& network,
                                                const std::string& mapping,
                                                const c10::Dict<std::string, at::Tensor>& records);
  /// A network file: no model, the inputs are those of the network.
  static c10::intrusive_ptr<NetworkHandle> from_network_file(const std::string& text);
  /// The module of a program of torch.export as the bytes of a TorchScript file; nothing in the file is unpickled.
  static at::Tensor program_as_torchscript(const std::string& path);

  std::string description() const;
  std::string options() const;  // JSON: what reading the model again needs to know
  std::vector<std::string> warnings() const;
  bool is_stale() const;
  c10::Dict<std::string, at::Tensor> float_weights() const;
  c10::Dict<std::string, at::Tensor> integers() const;  // int16
  c10::Dict<std::string, at::Tensor> records() const;   // uint8, see chip::to_record
  std::string network_file() const;

  /// On at most `chips` execution instances, 0: as many as it takes.
  std::string report(const std::string& target, std::int64_t chips) const;  // JSON
  std::string layers() const;                                               // JSON, see chip::layers_json
  /// JSON: the mapping, or the partition where the network takes several execution instances.
  std::string map();
  std::string map_text();
  void set_mapping(const std::string& json);

  /// A program of its own for every call: an earlier one stays what it is.
  c10::intrusive_ptr<ProgramHandle> compile(const std::string& backend, const std::string& preset, std::int64_t seed,
                                            const c10::Dict<std::string, double>& constants,
                                            const std::string& calibration);
  /// JSON list, one entry per projection: what a probe of it on a backend gave (chip::ScaleMeasurement).
  std::string measure_scales(const std::string& backend, const std::string& preset, std::int64_t seed,
                             const c10::Dict<std::string, double>& constants) const;
  /// Outputs of the model, and by "spikes/<population>", "membrane/<population>" and "lost/<what>" what was seen on the
  /// operators of the model, every population recorded; and the device. "" runs where the model is.
  std::tuple<c10::IValue, c10::Dict<std::string, at::Tensor>, std::string> run_model(
      const std::vector<at::Tensor>& inputs, const std::string& device) const;

 private:
  friend class ProgramHandle;
  std::tuple<c10::IValue, chip::Observables> run(const chip::DeployedNetwork& deployed,
                                                 const std::vector<at::Tensor>& inputs, chip::RunOptions options) const;
  chip::Deployment& deployment() const;
  chip::Weights weights() const;
  std::map<std::string, chip::WeightLosses> losses() const;

  mutable std::mutex mutex_;  // a program runs in parallel inside, handles are used by one caller at a time
  std::unique_ptr<GraphNetwork> graph_;
  std::vector<std::string> warnings_;
  mutable std::optional<chip::Deployment> file_;
  chip::Weights file_weights_;
};

/// A network on a backend: what NetworkHandle::compile made.
class ProgramHandle : public torch::CustomClassHolder {
 public:
  ProgramHandle(c10::intrusive_ptr<NetworkHandle> network, std::shared_ptr<const chip::DeployedNetwork> deployed)
      : network_(std::move(network)), deployed_(std::move(deployed)) {}

  std::string target() const { return deployed_->target(); }
  /// Whether the present integers differ from those that the backend holds.
  bool changed() const;
  /// Hash of the integers that the backend holds, by projection.
  c10::Dict<std::string, std::string> written() const;
  /// Outputs of the model, what was seen as NetworkHandle::run_model gives it, and target, timing, constants and what
  /// is not modelled as JSON. `options`: see parse_run_options.
  std::tuple<c10::IValue, c10::Dict<std::string, at::Tensor>, std::string> run(const std::vector<at::Tensor>& inputs,
                                                                               const std::string& options) const;

 private:
  c10::intrusive_ptr<NetworkHandle> network_;
  std::shared_ptr<const chip::DeployedNetwork> deployed_;
};

class ProjectionHandle : public torch::CustomClassHolder {
 public:
  explicit ProjectionHandle(const std::string& key) : entry_(chip::registry().projection(key)) {}
  const chip::RegisteredProjection& entry() const { return *entry_; }
  bool is_stale() const { return chip::registry().is_stale(*entry_); }

 private:
  chip::Registry::ProjectionPtr entry_;
};

class PopulationHandle : public torch::CustomClassHolder {
 public:
  explicit PopulationHandle(const std::string& key) : entry_(chip::registry().population(key)) {}
  const chip::RegisteredPopulation& entry() const { return *entry_; }
  bool is_stale() const { return chip::registry().is_stale(*entry_); }

 private:
  chip::Registry::PopulationPtr entry_;
};

/// The registry of the process; every instance shows the same one.
class RegistryHandle : public torch::CustomClassHolder {};

/// Options of a run from JSON: "membrane" (populations to record beside the leaky integrators, "*" for all),
/// "madc_population", "madc_neuron", "seed", "inter_batch_wait" [s]. Throws naming the field.
chip::RunOptions parse_run_options(const std::string& json);
/// Options of `read` from JSON. Throws naming the field.
ReadOptions parse_read_options(const std::string& json);
std::string to_json(const ReadOptions& options);

}  // namespace gradspike::ops
