#include "ops/exact_eventprop_lif.h"

#include <torch/library.h>

#include "ops/eventprop_meta.h"

namespace gradspike::ops {
namespace {

ExactForward exact_eventprop_lif_forward_meta(const at::Tensor& input, const at::Tensor& adjoint,
                                              const at::Tensor& leak, const at::Tensor& reset,
                                              const at::Tensor& threshold, const at::Tensor& tau_mem,
                                              const at::Tensor& tau_syn, const at::Tensor& membrane_capacitance,
                                              const at::Tensor& refractory_time, double dt, std::string_view outputs,
                                              const std::optional<at::Tensor>& initial_state,
                                              const std::optional<at::Tensor>& measured_spikes,
                                              const std::optional<at::Tensor>& measured_membrane, bool save) {
  const LifParameters p{leak, reset, threshold, tau_mem, tau_syn, membrane_capacitance, refractory_time};
  const LifOutputs asked =
      plan_exact_eventprop_lif(input, adjoint, p, dt, outputs, initial_state, measured_spikes, measured_membrane);
  const at::TensorOptions options = arithmetic_options(input);
  return {eventprop_trace_meta(asked.spikes, input),
          eventprop_trace_meta(asked.membrane, input),
          eventprop_trace_meta(asked.current, input),
          at::empty_symint({math::kNumLifStates, input.sym_size(1), input.sym_size(2)}, options),
          eventprop_trace_meta(save, input),
          at::empty_symint({math::kNumLifCoefficients, coefficient_columns(input, GRADSPIKE_LIF_NAMED(p))}, options)};
}

std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor> exact_eventprop_lif_meta(
    const at::Tensor& input, const at::Tensor& adjoint, const at::Tensor& leak, const at::Tensor& reset,
    const at::Tensor& threshold, const at::Tensor& tau_mem, const at::Tensor& tau_syn,
    const at::Tensor& membrane_capacitance, const at::Tensor& refractory_time, double dt, std::string_view outputs,
    const std::optional<at::Tensor>& initial_state, const std::optional<at::Tensor>& measured_spikes,
    const std::optional<at::Tensor>& measured_membrane, std::string_view population) {
  (void)population;
  auto [spikes, membrane, current, final_state, saved, coefficients] = exact_eventprop_lif_forward_meta(
      input, adjoint, leak, reset, threshold, tau_mem, tau_syn, membrane_capacitance, refractory_time, dt, outputs,
      initial_state, measured_spikes, measured_membrane, false);
  return {spikes, membrane, current, final_state};
}

std::tuple<at::Tensor, at::Tensor> exact_eventprop_lif_backward_meta(const at::Tensor& grad_spikes,
                                                                     const at::Tensor& saved,
                                                                     const at::Tensor& coefficients,
                                                                     std::array<bool, 2> mask) {
  plan_eventprop_backward("_exact_eventprop_lif_backward", grad_spikes, saved, coefficients, math::kNumLifCoefficients);
  return eventprop_gradients_meta(saved, mask);
}

}  // namespace

TORCH_LIBRARY_IMPL(gradspike, CPU, m) {
  m.impl("exact_eventprop_lif", exact_eventprop_lif_impl<CpuExec>);
  m.impl("_exact_eventprop_lif_forward", exact_eventprop_lif_forward_impl<CpuExec>);
  m.impl("_exact_eventprop_lif_backward", exact_eventprop_lif_backward_impl<CpuExec>);
}

TORCH_LIBRARY_IMPL(gradspike, Meta, m) {
  m.impl("exact_eventprop_lif", exact_eventprop_lif_meta);
  m.impl("_exact_eventprop_lif_forward", exact_eventprop_lif_forward_meta);
  m.impl("_exact_eventprop_lif_backward", exact_eventprop_lif_backward_meta);
}

}  // namespace gradspike::ops
