#include "ops/walker/graph_network.h"

#include <ATen/ops/all.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/eq.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/logical_or.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cstring>

#include "csrc/core/error.h"
#include "csrc/math/lif.h"
#include "ops/execution.h"

namespace gradspike::ops {
namespace {

/// Population traces of a run on the operators; tensors that are undefined or empty were not asked for.
chip::PopulationRecord record_of(const chip::Population& population, const at::Tensor& spikes,
                                 const at::Tensor& membrane, const at::Tensor& current) {
  chip::PopulationRecord record;
  record.name = population.name;
  record.size = population.size;
  const auto floats = [](const at::Tensor& tensor) {
    if (!tensor.defined()) {
      return std::vector<float>();
    }
    const at::Tensor values = tensor.to(at::kCPU, at::kFloat).contiguous();
    return std::vector<float>(values.const_data_ptr<float>(), values.const_data_ptr<float>() + values.numel());
  };
  if (spikes.defined()) {
    const at::Tensor counts = spikes.to(at::kCPU, at::kByte).contiguous();
    record.spikes.assign(counts.const_data_ptr<std::uint8_t>(), counts.const_data_ptr<std::uint8_t>() + counts.numel());
  }
  record.membrane = floats(membrane);
  record.current = floats(current);
  return record;
}

/// A state that a model gives, as backends take it. A backend sends the spikes of the last step as single events.
chip::StateTensor state_of(const chip::Population& population, std::int64_t rows, const at::Tensor& given) {
  const at::Tensor state = given.detach().to(at::kCPU, at::kFloat).contiguous();
  GRADSPIKE_REQUIRE(state.dim() == 3 && state.size(0) == rows && state.size(2) == population.size, "population '",
                    population.name, "': initial_state must have shape [", rows, ", batch, ", population.size,
                    "], got ", c10::str(state.sizes()));
  if (rows > math::kStateSpikes) {
    const at::Tensor spikes = state.select(0, math::kStateSpikes);
    GRADSPIKE_REQUIRE(at::all(at::logical_or(at::eq(spikes, 0), at::eq(spikes, 1))).item<bool>(), "population '",
                      population.name, "': row ", static_cast<std::int64_t>(math::kStateSpikes),
                      " of initial_state must hold the spikes of the last step, 0 or 1");
  }
  return {state.const_data_ptr<float>(), state.const_data_ptr<float>() + state.numel()};
}

/// The outputs of a graph as the model returns them: one value.
c10::IValue single(const std::vector<c10::IValue>& values, std::size_t count) {
  if (count == 1) {
    return values[0];
  }
  return c10::ivalue::Tuple::create(
      std::vector<c10::IValue>(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(count)));
}

ReadNetwork accepted(const ModelGraph& graph, ReadNetwork read, const GraphNetwork::Acceptance& accept) {
  if (accept != nullptr) {
    accept(graph, read);
  }
  return read;
}

}  // namespace

GraphNetwork::GraphNetwork(const torch::jit::Module& module, const ReadOptions& options, const Acceptance& accept)
    : graph_(module), read_(accepted(graph_, read_network(graph_, options), accept)), deployment_(read_.network) {}

std::map<std::string, chip::WeightLosses> GraphNetwork::losses() const {
  std::map<std::string, chip::WeightLosses> result;
  const std::map<std::string, at::Tensor> weights = float_weights();
  for (std::size_t k = 0; k < read_.weights.size(); ++k) {
    const chip::Projection& p = read_.network.projections[k];
    result[p.name] = losses_of(p, read_.weights[k], weights.at(p.name));
  }
  return result;
}

/// Spikes (of leaky integrators: the membrane in their place), membrane and current of every population.
std::vector<const torch::jit::Value*> GraphNetwork::trace_values() const {
  std::vector<const torch::jit::Value*> values;
  for (const PopulationValues& p : read_.populations) {
    values.push_back(p.spikes == nullptr ? p.membrane : p.spikes);
    values.push_back(p.membrane);
    values.push_back(p.current);
  }
  return values;
}

/// The evaluated trace values, from place `first` on.
chip::Observables GraphNetwork::observed(const std::vector<c10::IValue>& results, std::size_t first) const {
  chip::Observables observed;
  for (std::size_t k = 0; k < read_.populations.size(); ++k) {
    const at::Tensor spikes = read_.populations[k].spikes == nullptr ? at::Tensor() : results[first + 3 * k].toTensor();
    const at::Tensor membrane = results[first + 3 * k + 1].toTensor();
    observed.steps = membrane.size(0);
    observed.batch = membrane.size(1);
    observed.target = membrane.device().str();
    observed.populations.push_back(
        record_of(read_.network.populations[k], spikes, membrane, results[first + 3 * k + 2].toTensor()));
  }
  return observed;
}

GraphRun GraphNetwork::run_model(const std::vector<c10::IValue>& inputs, std::optional<c10::Device> device) const {
  std::vector<const torch::jit::Value*> values = graph_.outputs();
  const std::size_t num_outputs = values.size();
  const std::vector<const torch::jit::Value*> traces = trace_values();
  values.insert(values.end(), traces.begin(), traces.end());
  const std::vector<c10::IValue> results =
      graph_.evaluate(values, graph_.complete_inputs(inputs), {}, /*all_traces=*/true, device);
  return {single(results, num_outputs), observed(results, num_outputs)};
}

chip::Observables GraphNetwork::run_operators(const std::vector<at::Tensor>& spikes, c10::Device device) const {
  std::vector<Injection> given;
  for (std::size_t k = 0; k < read_.sources.size(); ++k) {
    given.push_back({read_.sources[k], spikes.at(k)});
  }
  return observed(graph_.evaluate(trace_values(), {}, given, /*all_traces=*/true, device), 0);
}

chip::Observables GraphNetwork::observed_signals(const std::string& target,
                                                 const std::map<std::string, at::Tensor>& signals) const {
  chip::Observables observed;
  observed.target = target;
  for (const chip::Population& population : read_.network.populations) {
    const auto found = signals.find(population.name);
    GRADSPIKE_REQUIRE(found != signals.end() && found->second.dim() == 3 && found->second.size(2) == population.size,
                      "target '", target, "' does not give what population '", population.name, "' sends");
    const at::Tensor& signal = found->second;
    observed.steps = signal.size(0);
    observed.batch = signal.size(1);
    const bool fires = population.kind == chip::NeuronKind::kLif;
    observed.populations.push_back(
        record_of(population, fires ? signal : at::Tensor(), fires ? at::Tensor() : signal, at::Tensor()));
  }
  return observed;
}

bool GraphNetwork::takes_network_inputs() const {
  const auto inputs = graph_.graph().inputs();  // the first is the module
  return inputs.size() == read_.sources.size() + 1 &&
         std::equal(read_.sources.begin(), read_.sources.end(), inputs.begin() + 1);
}

std::map<std::string, chip::StateTensor> GraphNetwork::initial_states(const std::vector<c10::IValue>& inputs) const {
  std::map<std::string, chip::StateTensor> states;
  for (std::size_t k = 0; k < read_.populations.size(); ++k) {
    const torch::jit::Value* value = read_.populations[k].initial_state;
    if (value == nullptr || (inputs.empty() && graph_.depends_on_input(value))) {
      continue;
    }
    const c10::IValue given = graph_.evaluate({value}, inputs).at(0);
    if (!given.isNone()) {
      const chip::Population& population = read_.network.populations[k];
      states[population.name] = state_of(population, read_.populations[k].num_states, given.toTensor());
    }
  }
  return states;
}

/// What was measured, in the place of the operators' results.
std::vector<Injection> GraphNetwork::injections(const chip::Observables& observed) const {
  std::vector<Injection> result;
  for (std::size_t k = 0; k < read_.populations.size(); ++k) {
    const PopulationValues& values = read_.populations[k];
    const chip::PopulationRecord& record = observed.populations[k];
    if (values.spikes != nullptr) {
      result.push_back({values.spikes, spikes_of(observed, record)});
    }
    if (values.reads_membrane) {
      result.push_back({values.membrane, trace_of(observed, record, record.membrane)});
    }
    if (values.reads_current) {
      result.push_back({values.current, trace_of(observed, record, record.current)});
    }
    if (values.reads_state) {
      GRADSPIKE_REQUIRE(
          static_cast<std::int64_t>(record.final_state.size()) == values.num_states * observed.batch * record.size,
          "population '", record.name, "': the model reads its final state, which target '", observed.target,
          "' does not give");
      at::Tensor state = at::zeros({values.num_states + values.num_unused_states, observed.batch, record.size});
      std::memcpy(state.mutable_data_ptr<float>(), record.final_state.data(),
                  record.final_state.size() * sizeof(float));
      result.push_back({values.final_state, state});
    }
  }
  return result;
}

GraphRun GraphNetwork::run_backend(const chip::DeployedNetwork& deployed, const std::vector<c10::IValue>& inputs,
                                   chip::RunOptions options) const {
  std::vector<at::Tensor> held;
  std::vector<chip::SpikeTensor> spikes;
  for (const c10::IValue& value : graph_.evaluate(read_.sources, graph_.complete_inputs(inputs))) {
    const std::string& name = read_.network.inputs[held.size()].name;
    GRADSPIKE_REQUIRE(value.isTensor(), "input '", name, "' of the network is no tensor");
    GRADSPIKE_REQUIRE(value.toTensor().scalar_type() != at::kDouble, "input '", name,
                      "' must not be float64: the model would compute in float64, the chip computes in float32");
    held.push_back(value.toTensor());
    spikes.push_back(spike_tensor(name, held.back()));
  }
  const Scope<CpuExec> scope{at::Tensor()};
  options.exec = &scope.exec();
  options.initial_states = initial_states(graph_.complete_inputs(inputs));
  for (std::size_t k = 0; k < read_.populations.size(); ++k) {
    const std::string& name = read_.network.populations[k].name;
    if (read_.populations[k].reads_membrane) {
      options.record_membrane.push_back(name);
    }
    if (read_.populations[k].reads_current) {
      options.record_current.push_back(name);
    }
  }
  GraphRun run;
  run.observables = deployed.run(spikes, options);
  const std::vector<const torch::jit::Value*>& outputs = graph_.outputs();
  run.outputs =
      single(graph_.evaluate(outputs, graph_.complete_inputs(inputs), injections(run.observables)), outputs.size());
  return run;
}

chip::SpikeTensor spike_tensor(const std::string& name, at::Tensor& tensor) {
  GRADSPIKE_REQUIRE(tensor.dim() == 3, "input '", name, "' must have 3 dimensions [time, batch, neuron], got ",
                    tensor.dim());
  GRADSPIKE_REQUIRE(tensor.layout() == at::kStrided && !tensor.is_meta() && !tensor.is_complex(), "input '", name,
                    "' must be a dense tensor of real numbers, got ", tensor.toString());
  const bool bytes = tensor.scalar_type() == at::kByte || tensor.scalar_type() == at::kBool;
  GRADSPIKE_REQUIRE(bytes || tensor.is_floating_point(), "input '", name,
                    "' must be float32, float16, bfloat16, uint8 or bool, as the model takes it, got ",
                    tensor.scalar_type());
  tensor = tensor.to(at::kCPU, bytes ? at::kByte : at::kFloat).contiguous();
  chip::SpikeTensor result;
  result.type = bytes ? chip::SpikeTensor::Type::kUint8 : chip::SpikeTensor::Type::kFloat32;
  result.data = tensor.const_data_ptr();
  result.steps = tensor.size(0);
  result.batch = tensor.size(1);
  result.size = tensor.size(2);
  return result;
}

at::Tensor spikes_of(const chip::Observables& observables, const chip::PopulationRecord& record) {
  at::Tensor counts = at::empty({observables.steps, observables.batch, record.size}, at::kByte);
  if (!record.spikes.empty()) {
    std::memcpy(counts.mutable_data_ptr<std::uint8_t>(), record.spikes.data(), record.spikes.size());
  }
  return counts.to(at::kFloat);
}

at::Tensor trace_of(const chip::Observables& observables, const chip::PopulationRecord& record,
                    const std::vector<float>& values) {
  at::Tensor trace = at::empty({observables.steps, observables.batch, record.size});
  if (!values.empty()) {
    std::memcpy(trace.mutable_data_ptr<float>(), values.data(), values.size() * sizeof(float));
  }
  return trace;
}

}  // namespace gradspike::ops
