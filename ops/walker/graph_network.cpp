#include "ops/walker/graph_network.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>

#include <algorithm>
#include <cstring>

#include "csrc/core/error.h"
#include "csrc/math/lif.h"
#include "ops/weights.h"

namespace gradspike::ops {
namespace {

/// Population traces of a run on the operators; empty tensors were not asked for.
chip::PopulationRecord record_of(const chip::Population& population, const at::Tensor& spikes,
                                 const at::Tensor& membrane, const at::Tensor& current) {
  chip::PopulationRecord record;
  record.name = population.name;
  record.size = population.size;
  const auto floats = [](const at::Tensor& tensor) {
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

/// The outputs of a graph as the model returns them: one value.
c10::IValue single(const std::vector<c10::IValue>& values, std::size_t count) {
  if (count == 1) {
    return values[0];
  }
  return c10::ivalue::Tuple::create(
      std::vector<c10::IValue>(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(count)));
}

}  // namespace

GraphNetwork::GraphNetwork(const torch::jit::Module& module, const ReadOptions& options)
    : graph_(module), read_(read_network(graph_, options)), deployment_(read_.network) {}

std::map<std::string, chip::WeightLosses> GraphNetwork::losses() const {
  std::map<std::string, chip::WeightLosses> result;
  const std::map<std::string, at::Tensor> weights = float_weights();
  for (const chip::Projection& p : read_.network.projections) {
    const char* rounding = p.rounding == math::Rounding::kHalfAway ? "half_away" : "half_even";
    const auto [counts, measures, hash] = weight_statistics_impl<CpuExec>(
        weights.at(p.name), static_cast<double>(p.scale), p.min_weight, p.max_weight, rounding);
    const std::int64_t* c = counts.const_data_ptr<std::int64_t>();
    result[p.name] = {c[kernels::kCountTotal], c[kernels::kCountClippedLow] + c[kernels::kCountClippedHigh],
                      c[kernels::kCountToZero], measures.const_data_ptr<double>()[kernels::kMeasureRoundingError]};
  }
  return result;
}

GraphRun GraphNetwork::run_model(const std::vector<c10::IValue>& inputs) const {
  std::vector<const torch::jit::Value*> values = graph_.outputs();
  const std::size_t num_outputs = values.size();
  for (const PopulationValues& p : read_.populations) {
    values.push_back(p.spikes == nullptr ? p.membrane : p.spikes);
    values.push_back(p.membrane);
    values.push_back(p.current);
  }
  const std::vector<c10::IValue> results = graph_.evaluate(values, inputs, {}, /*all_traces=*/true);
  GraphRun run;
  run.outputs = single(results, num_outputs);
  run.observables.target = "cpu";
  for (std::size_t k = 0; k < read_.populations.size(); ++k) {
    const at::Tensor spikes =
        read_.populations[k].spikes == nullptr ? at::Tensor() : results[num_outputs + 3 * k].toTensor();
    const at::Tensor membrane = results[num_outputs + 3 * k + 1].toTensor();
    run.observables.steps = membrane.size(0);
    run.observables.batch = membrane.size(1);
    run.observables.populations.push_back(
        record_of(read_.network.populations[k], spikes, membrane, results[num_outputs + 3 * k + 2].toTensor()));
  }
  return run;
}

GraphRun GraphNetwork::run_backend(const std::vector<c10::IValue>& inputs, chip::RunOptions options) const {
  std::vector<at::Tensor> held;
  for (const c10::IValue& value : graph_.evaluate(read_.sources, inputs)) {
    GRADSPIKE_REQUIRE(value.isTensor(), "an input of the network is no tensor");
    held.push_back(value.toTensor());
  }
  std::vector<chip::SpikeTensor> spikes;
  for (std::size_t k = 0; k < held.size(); ++k) {
    spikes.push_back(spike_tensor(read_.network.inputs[k].name, held[k]));
  }
  const Scope<CpuExec> scope{at::Tensor()};
  options.exec = &scope.exec();
  for (std::size_t k = 0; k < read_.populations.size(); ++k) {
    const std::string& name = read_.network.populations[k].name;
    if (read_.populations[k].membrane->hasUses() || read_.populations[k].spikes == nullptr) {
      options.record_membrane.push_back(name);
    }
    if (read_.populations[k].current->hasUses()) {
      options.record_current.push_back(name);
    }
  }
  GraphRun run;
  run.observables = deployment_.run(spikes, options);
  std::vector<Injection> injections;
  for (std::size_t k = 0; k < read_.populations.size(); ++k) {
    const PopulationValues& values = read_.populations[k];
    const chip::PopulationRecord& record = run.observables.populations[k];
    if (values.spikes != nullptr) {
      injections.push_back({values.spikes, spikes_of(run.observables, record)});
    }
    if (!record.membrane.empty() || run.observables.steps * run.observables.batch == 0) {
      injections.push_back({values.membrane, trace_of(run.observables, record, record.membrane)});
    }
    if (values.current->hasUses()) {
      injections.push_back({values.current, trace_of(run.observables, record, record.current)});
    }
    if (values.final_state->hasUses()) {
      const std::int64_t rows = values.spikes == nullptr ? math::kNumLiStates : math::kNumLifStates;
      at::Tensor state = at::empty({rows, run.observables.batch, record.size});
      std::memcpy(state.mutable_data_ptr<float>(), record.final_state.data(),
                  record.final_state.size() * sizeof(float));
      injections.push_back({values.final_state, state});
    }
  }
  const std::vector<const torch::jit::Value*> outputs = graph_.outputs();
  run.outputs = single(graph_.evaluate(outputs, inputs, injections), outputs.size());
  return run;
}

chip::SpikeTensor spike_tensor(const std::string& name, at::Tensor& tensor) {
  GRADSPIKE_REQUIRE(tensor.dim() == 3, "input '", name, "' must have 3 dimensions [time, batch, neuron], got ",
                    tensor.dim());
  const bool bytes = tensor.scalar_type() == at::kByte || tensor.scalar_type() == at::kBool;
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
