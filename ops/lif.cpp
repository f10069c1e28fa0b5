#include "ops/lif.h"

#include <torch/library.h>

namespace gradspike::ops {
namespace {

at::Tensor trace_meta(bool asked, const at::Tensor& input) {
  const at::TensorOptions options = input.options().dtype(arithmetic_type(input.scalar_type()));
  return asked ? at::empty_symint(input.sym_sizes(), options) : at::empty({0}, options);
}

LifForward lif_forward_meta(const at::Tensor& input, const at::Tensor& leak, const at::Tensor& reset,
                            const at::Tensor& threshold, const at::Tensor& tau_mem, const at::Tensor& tau_syn,
                            const at::Tensor& membrane_capacitance, const at::Tensor& refractory_time, double dt,
                            std::string_view surrogate, double alpha, std::string_view outputs,
                            const std::optional<at::Tensor>& initial_state,
                            const std::optional<at::Tensor>& measured_spikes,
                            const std::optional<at::Tensor>& measured_membrane, bool save) {
  const LifParameters p{leak, reset, threshold, tau_mem, tau_syn, membrane_capacitance, refractory_time};
  const LifOutputs asked =
      plan_lif(input, p, dt, surrogate, alpha, outputs, initial_state, measured_spikes, measured_membrane);
  const at::TensorOptions options = input.options().dtype(arithmetic_type(input.scalar_type()));
  return {trace_meta(asked.spikes, input),
          trace_meta(asked.membrane, input),
          trace_meta(asked.current, input),
          at::empty_symint({math::kNumLifStates, input.sym_size(1), input.sym_size(2)}, options),
          trace_meta(save, input),
          at::empty_symint({math::kNumLifCoefficients, coefficient_columns(input, GRADSPIKE_LIF_NAMED(p))}, options)};
}

std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor> lif_meta(
    const at::Tensor& input, const at::Tensor& leak, const at::Tensor& reset, const at::Tensor& threshold,
    const at::Tensor& tau_mem, const at::Tensor& tau_syn, const at::Tensor& membrane_capacitance,
    const at::Tensor& refractory_time, double dt, std::string_view surrogate, double alpha, std::string_view outputs,
    const std::optional<at::Tensor>& initial_state, const std::optional<at::Tensor>& measured_spikes,
    const std::optional<at::Tensor>& measured_membrane, std::string_view population) {
  (void)population;
  auto [spikes, membrane, current, final_state, saved, coefficients] =
      lif_forward_meta(input, leak, reset, threshold, tau_mem, tau_syn, membrane_capacitance, refractory_time, dt,
                       surrogate, alpha, outputs, initial_state, measured_spikes, measured_membrane, false);
  return {spikes, membrane, current, final_state};
}

at::Tensor like_meta(bool asked, const at::Tensor& tensor) {
  return asked ? at::empty_symint(tensor.sym_sizes(), tensor.options()) : at::Tensor();
}

LifBackward lif_backward_meta(
    const std::optional<at::Tensor>& grad_spikes, const std::optional<at::Tensor>& grad_membrane,
    const std::optional<at::Tensor>& grad_current, const std::optional<at::Tensor>& grad_final_state,
    const at::Tensor& saved, const std::optional<at::Tensor>& current, const at::Tensor& coefficients,
    const at::Tensor& leak, const at::Tensor& reset, const at::Tensor& threshold, const at::Tensor& tau_mem,
    const at::Tensor& tau_syn, const at::Tensor& membrane_capacitance, const std::optional<at::Tensor>& initial_state,
    const std::optional<at::Tensor>& measured_spikes, const std::optional<at::Tensor>& measured_membrane, double dt,
    std::string_view surrogate, double alpha, std::array<bool, 8> mask) {
  plan_lif_backward({grad_spikes, grad_membrane, grad_current, grad_final_state, saved, current, coefficients,
                     initial_state, measured_spikes, measured_membrane},
                    {leak, reset, threshold, tau_mem, tau_syn, membrane_capacitance, membrane_capacitance}, dt,
                    surrogate, alpha, mask);
  return {like_meta(mask[0], saved),
          like_meta(mask[1], leak),
          like_meta(mask[2], reset),
          like_meta(mask[3], threshold),
          like_meta(mask[4], tau_mem),
          like_meta(mask[5], tau_syn),
          like_meta(mask[6], membrane_capacitance),
          mask[7] ? at::empty_symint({math::kNumLifStates, saved.sym_size(1), saved.sym_size(2)}, saved.options())
                  : at::Tensor()};
}

}  // namespace

TORCH_LIBRARY_IMPL(gradspike, CPU, m) {
  m.impl("lif", lif_impl<CpuExec>);
  m.impl("_lif_forward", lif_forward_impl<CpuExec>);
  m.impl("_lif_backward", lif_backward_impl<CpuExec>);
}

TORCH_LIBRARY_IMPL(gradspike, Meta, m) {
  m.impl("lif", lif_meta);
  m.impl("_lif_forward", lif_forward_meta);
  m.impl("_lif_backward", lif_backward_meta);
}

}  // namespace gradspike::ops
