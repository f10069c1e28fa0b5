#include "csrc/chip/run_checks.h"

#include <algorithm>

#include "csrc/chip/names.h"
#include "csrc/core/error.h"
#include "csrc/math/lif.h"

namespace gradspike::chip {
namespace {

void check_count(const std::string& backend, const std::string& name, const SpikeTensor& tensor, std::int64_t k) {
  const float value = tensor.type == SpikeTensor::Type::kUint8 ? static_cast<const std::uint8_t*>(tensor.data)[k]
                                                               : static_cast<const float*>(tensor.data)[k];
  const bool counts = value >= 0.0F && value <= static_cast<float>(kMaxSpikeCount) &&
                      static_cast<float>(static_cast<std::int32_t>(value)) == value;
  GRADSPIKE_REQUIRE(counts, backend, ": input \"", name, "\" must hold whole numbers in 0..", kMaxSpikeCount, ", got ",
                    value, " at step ", k / (tensor.batch * tensor.size), ", batch ", k / tensor.size % tensor.batch,
                    ", neuron ", k % tensor.size);
}

std::size_t index_of(const std::string& backend, const Network& network, const std::string& name) {
  std::vector<std::string> names;
  for (std::size_t p = 0; p < network.populations.size(); ++p) {
    if (network.populations[p].name == name) {
      return p;
    }
    names.push_back(network.populations[p].name);
  }
  GRADSPIKE_FAIL(backend, ": the network has no population \"", name, "\"", nearest_text(name, names));
}

}  // namespace

void check_inputs(const std::string& backend, const std::vector<Input>& inputs,
                  const std::vector<SpikeTensor>& tensors) {
  GRADSPIKE_REQUIRE(tensors.size() == inputs.size(), backend, ": the network has ", inputs.size(), " inputs, got ",
                    tensors.size());
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const SpikeTensor& tensor = tensors[i];
    const std::string& name = inputs[i].name;
    GRADSPIKE_REQUIRE(tensor.steps >= 0 && tensor.batch >= 0 && tensor.size == inputs[i].size, backend, ": input \"",
                      name, "\" must be [time, batch, ", inputs[i].size, "], got [", tensor.steps, ", ", tensor.batch,
                      ", ", tensor.size, "]");
    GRADSPIKE_REQUIRE(tensor.steps == tensors[0].steps && tensor.batch == tensors[0].batch, backend, ": input \"", name,
                      "\" has ", tensor.steps, " steps and batch ", tensor.batch, ", input \"", inputs[0].name,
                      "\" has ", tensors[0].steps, " and ", tensors[0].batch);
    const std::int64_t count = tensor.steps * tensor.batch * tensor.size;
    GRADSPIKE_REQUIRE(count == 0 || tensor.data != nullptr, backend, ": input \"", name, "\" has no data");
    for (std::int64_t k = 0; k < count; ++k) {
      check_count(backend, name, tensor, k);
    }
  }
}

std::int64_t count_at(const SpikeTensor& tensor, std::int64_t k) {
  return tensor.type == SpikeTensor::Type::kUint8
             ? static_cast<const std::uint8_t*>(tensor.data)[k]
             : static_cast<std::int64_t>(static_cast<const float*>(tensor.data)[k]);
}

std::int64_t num_states(const Network& network, std::size_t population) {
  if (network.populations[population].kind != NeuronKind::kLif) {
    return math::kNumLiStates;
  }
  const auto delays = [&](const Projection& p) {
    return p.delay_steps > 0 && std::any_of(p.columns.begin(), p.columns.end(), [&](const ColumnRun& run) {
             return run.source.kind == NodeRef::Kind::kPopulation &&
                    static_cast<std::size_t>(run.source.index) == population;
           });
  };
  const bool sends_later = std::any_of(network.projections.begin(), network.projections.end(), delays);
  return sends_later ? math::kNumRecurrentLifStates : math::kNumLifStates;
}

std::vector<bool> selected(const std::string& backend, const Network& network, const std::vector<std::string>& wanted) {
  std::vector<bool> result(network.populations.size(), false);
  for (const std::string& name : wanted) {
    if (name == "*") {
      result.assign(result.size(), true);
    } else {
      result[index_of(backend, network, name)] = true;
    }
  }
  return result;
}

void check_states(const std::string& backend, const Network& network, const RunOptions& options, std::int64_t batch) {
  for (const auto& [name, state] : options.initial_states) {
    const std::size_t p = index_of(backend, network, name);
    const std::int64_t rows = num_states(network, p);
    const std::int64_t size = network.populations[p].size;
    GRADSPIKE_REQUIRE(static_cast<std::int64_t>(state.size()) == rows * batch * size, backend,
                      ": the initial state of population \"", name, "\" must be [", rows, ", ", batch, ", ", size,
                      "], got ", state.size(), " numbers");
  }
}

}  // namespace gradspike::chip
