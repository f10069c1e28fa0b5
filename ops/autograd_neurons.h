// What the Autograd kernels of the neuron operators share.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "ops/autograd.h"
#include "ops/execution.h"

namespace gradspike::ops {

using OptionalTensor = std::optional<at::Tensor>;

/// Undefined tensors, as saved variables come back, are absent arguments.
inline OptionalTensor optional(const at::Tensor& tensor) {
  return tensor.defined() ? OptionalTensor(tensor) : std::nullopt;
}

inline at::Tensor tensor_or_undefined(const OptionalTensor& tensor) { return tensor.value_or(at::Tensor()); }

/// The traces that the backward needs beyond those that the user asked for.
inline std::string with_output(std::string_view outputs, std::string_view name) {
  const std::string text = "+" + std::string(outputs) + "+";
  if (text.find("+" + std::string(name) + "+") != std::string::npos) {
    return std::string(outputs);
  }
  return outputs.empty() ? std::string(name) : std::string(outputs) + "+" + std::string(name);
}

inline bool asks_for(std::string_view outputs, std::string_view name) { return with_output(outputs, name) == outputs; }

/// The differentiable inputs of a neuron operator, in the order of the gradients that its node returns.
inline variable_list inputs_of(const at::Tensor& input, const variable_list& parameters,
                               const OptionalTensor& initial_state) {
  variable_list inputs = {input};
  inputs.insert(inputs.end(), parameters.begin(), parameters.end());
  if (is_given(initial_state)) {
    inputs.push_back(*initial_state);
  }
  return inputs;
}

/// The outputs that a node records: the traces that were asked for, noted in `data`, and the final state.
inline variable_list recorded_outputs(ska::flat_hash_map<std::string, c10::IValue>& data, std::string_view outputs,
                                      std::initializer_list<std::pair<const char*, at::Tensor>> traces,
                                      const at::Tensor& final_state) {
  variable_list recorded;
  for (const auto& [name, tensor] : traces) {
    data[name] = asks_for(outputs, name);
    if (asks_for(outputs, name)) {
      recorded.push_back(tensor);
    }
  }
  recorded.push_back(final_state);
  return recorded;
}

inline bool none_defined(const variable_list& tensors) {
  for (const at::Tensor& tensor : tensors) {
    if (tensor.defined()) {
      return false;
    }
  }
  return true;
}

}  // namespace gradspike::ops
