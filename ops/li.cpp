#include "ops/li.h"

#include <torch/library.h>

namespace gradspike::ops {
namespace {

LiForward li_forward_meta(const at::Tensor& input, const at::Tensor& leak, const at::Tensor& tau_mem,
                          const at::Tensor& tau_syn, const at::Tensor& membrane_capacitance, double dt,
                          std::string_view outputs, const std::optional<at::Tensor>& initial_state,
                          const std::optional<at::Tensor>& measured_membrane) {
  const LiParameters p{leak, tau_mem, tau_syn, membrane_capacitance};
  const LiOutputs asked = plan_li(input, p, dt, outputs, initial_state, measured_membrane);
  const at::TensorOptions options = input.options().dtype(arithmetic_type(input.scalar_type()));
  const auto trace_meta = [&](bool wanted) {
    return wanted ? at::empty_symint(input.sym_sizes(), options) : at::empty({0}, options);
  };
  return {trace_meta(asked.membrane), trace_meta(asked.current),
          at::empty_symint({math::kNumLiStates, input.sym_size(1), input.sym_size(2)}, options),
          at::empty_symint({math::kNumLiCoefficients, coefficient_columns(input, GRADSPIKE_LI_NAMED(p))}, options)};
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> li_meta(const at::Tensor& input, const at::Tensor& leak,
                                                       const at::Tensor& tau_mem, const at::Tensor& tau_syn,
                                                       const at::Tensor& membrane_capacitance, double dt,
                                                       std::string_view outputs,
                                                       const std::optional<at::Tensor>& initial_state,
                                                       const std::optional<at::Tensor>& measured_membrane,
                                                       std::string_view population) {
  (void)population;
  auto [membrane, current, final_state, coefficients] = li_forward_meta(
      input, leak, tau_mem, tau_syn, membrane_capacitance, dt, outputs, initial_state, measured_membrane);
  return {membrane, current, final_state};
}

LiBackward li_backward_meta(const std::optional<at::Tensor>& grad_membrane,
                            const std::optional<at::Tensor>& grad_current,
                            const std::optional<at::Tensor>& grad_final_state,
                            const std::optional<at::Tensor>& membrane, const std::optional<at::Tensor>& current,
                            const at::Tensor& coefficients, const at::Tensor& leak, const at::Tensor& tau_mem,
                            const at::Tensor& tau_syn, const at::Tensor& membrane_capacitance,
                            const std::optional<at::Tensor>& initial_state, double dt, c10::SymIntArrayRef sizes,
                            std::array<bool, 6> mask) {
  plan_li_backward({grad_membrane, grad_current, grad_final_state, membrane, current, coefficients, initial_state},
                   {leak, tau_mem, tau_syn, membrane_capacitance}, dt, sizes, mask);
  const auto like = [](bool asked, const at::Tensor& tensor) {
    return asked ? at::empty_symint(tensor.sym_sizes(), tensor.options()) : at::Tensor();
  };
  return {mask[0] ? at::empty_symint(sizes, coefficients.options()) : at::Tensor(),
          like(mask[1], leak),
          like(mask[2], tau_mem),
          like(mask[3], tau_syn),
          like(mask[4], membrane_capacitance),
          mask[5] ? at::empty_symint({math::kNumLiStates, sizes[1], sizes[2]}, coefficients.options()) : at::Tensor()};
}

}  // namespace

TORCH_LIBRARY_IMPL(gradspike, CPU, m) {
  m.impl("li", li_impl<CpuExec>);
  m.impl("_li_forward", li_forward_impl<CpuExec>);
  m.impl("_li_backward", li_backward_impl<CpuExec>);
}

TORCH_LIBRARY_IMPL(gradspike, Meta, m) {
  m.impl("li", li_meta);
  m.impl("_li_forward", li_forward_meta);
  m.impl("_li_backward", li_backward_meta);
}

}  // namespace gradspike::ops
