// What the Meta kernels of the EventProp neurons share.
#pragma once

#include "ops/neurons.h"

namespace gradspike::ops {

inline at::TensorOptions arithmetic_options(const at::Tensor& input) {
  return input.options().dtype(arithmetic_type(input.scalar_type()));
}

inline at::Tensor eventprop_trace_meta(bool asked, const at::Tensor& input) {
  return asked ? at::empty_symint(input.sym_sizes(), arithmetic_options(input))
               : at::empty({0}, arithmetic_options(input));
}

inline std::tuple<at::Tensor, at::Tensor> eventprop_gradients_meta(const at::Tensor& saved,
                                                                   const std::array<bool, 2>& mask) {
  const auto gradient = [&](bool wanted) {
    return wanted ? at::empty_symint(saved.sym_sizes(), saved.options()) : at::Tensor();
  };
  return {gradient(mask[0]), gradient(mask[1])};
}

}  // namespace gradspike::ops
