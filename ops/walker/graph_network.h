// A model and the network that was read from it: runs on the operators or on a backend, with the same host code.
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "csrc/chip/deployment.h"
#include "ops/walker/reader.h"

namespace gradspike::ops {

/// What a run gives: the outputs of the model as it returns them, and what was seen of every population.
struct GraphRun {
  c10::IValue outputs;
  chip::Observables observables;
};

class GraphNetwork {
 public:
  /// Sees what was read before it is registered, and throws to refuse it: then nothing is registered.
  using Acceptance = std::function<void(const ModelGraph& graph, const ReadNetwork& read)>;

  GraphNetwork(const torch::jit::Module& module, const ReadOptions& options, const Acceptance& accept = nullptr);

  const ReadNetwork& read() const { return read_; }
  chip::Deployment& deployment() { return deployment_; }
  const chip::Deployment& deployment() const { return deployment_; }
  std::map<std::string, at::Tensor> float_weights() const { return ops::float_weights(graph_, read_); }
  chip::Weights integers() const { return integer_weights(graph_, read_); }
  /// Clipped, rounded to zero and rounding error of the present weights.
  std::map<std::string, chip::WeightLosses> losses() const;

  /// States that code of the model gives to populations, by name; without inputs those that depend on none. The others
  /// start at rest.
  std::map<std::string, chip::StateTensor> initial_states(const std::vector<c10::IValue>& inputs) const;

  /// The training operators, every trace of every population recorded: where the model is, or on a device that inputs,
  /// parameters and constants are copied to.
  GraphRun run_model(const std::vector<c10::IValue>& inputs, std::optional<c10::Device> device = std::nullopt) const;
  /// A deployed program of this network: host code before the first projection, the backend, and host code after the
  /// last population with the measured spikes and membranes in place of the operators' results.
  GraphRun run_backend(const chip::DeployedNetwork& deployed, const std::vector<c10::IValue>& inputs,
                       chip::RunOptions options) const;
  /// The training operators on spikes of the network's inputs, float32, on a device: no host code.
  chip::Observables run_operators(const std::vector<at::Tensor>& spikes, c10::Device device) const;
  /// What another way to run the model gave of every population, by name: spikes, of leaky integrators the membrane.
  chip::Observables observed_signals(const std::string& target, const std::map<std::string, at::Tensor>& signals) const;
  /// Whether the inputs of the network are those of the model, in their order: no host code comes before it.
  bool takes_network_inputs() const;

 private:
  std::vector<const torch::jit::Value*> trace_values() const;
  chip::Observables observed(const std::vector<c10::IValue>& results, std::size_t first) const;
  std::vector<Injection> injections(const chip::Observables& observed) const;

  ModelGraph graph_;
  ReadNetwork read_;
  chip::Deployment deployment_;
};

/// An input of a network, [time, batch, neuron], as a backend takes it. `tensor` keeps the memory.
chip::SpikeTensor spike_tensor(const std::string& name, at::Tensor& tensor);

/// A recorded trace as a tensor [time, batch, neuron]; spikes as float32 counts.
at::Tensor spikes_of(const chip::Observables& observables, const chip::PopulationRecord& record);
at::Tensor trace_of(const chip::Observables& observables, const chip::PopulationRecord& record,
                    const std::vector<float>& values);

}  // namespace gradspike::ops
