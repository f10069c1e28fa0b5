#include "ops/aelif.h"

#include <torch/library.h>

namespace gradspike::ops {
namespace {

at::Tensor trace_meta(bool asked, const at::Tensor& input, at::ScalarType type) {
  const at::TensorOptions options = input.options().dtype(type);
  return asked ? at::empty_symint(input.sym_sizes(), options) : at::empty({0}, options);
}

AelifForward aelif_forward_meta(const at::Tensor& input, const at::Tensor& leak, const at::Tensor& reset,
                                const at::Tensor& threshold, const at::Tensor& tau_mem, const at::Tensor& tau_syn,
                                const at::Tensor& membrane_capacitance, const at::Tensor& refractory_time,
                                const at::Tensor& exponential_slope, const at::Tensor& exponential_threshold,
                                const at::Tensor& subthreshold_adaptation_strength,
                                const at::Tensor& spike_triggered_adaptation_increment, const at::Tensor& tau_adap,
                                double dt, bool leaky, bool fire, bool exponential, bool subthreshold_adaptation,
                                bool spike_triggered_adaptation, std::string_view surrogate, double alpha,
                                std::string_view outputs, const std::optional<at::Tensor>& initial_state,
                                const std::optional<at::Tensor>& measured_spikes,
                                const std::optional<at::Tensor>& measured_membrane,
                                const std::optional<at::Tensor>& measured_adaptation, bool save) {
  const AelifParameters p{leak,
                          reset,
                          threshold,
                          tau_mem,
                          tau_syn,
                          membrane_capacitance,
                          refractory_time,
                          exponential_slope,
                          exponential_threshold,
                          subthreshold_adaptation_strength,
                          spike_triggered_adaptation_increment,
                          tau_adap};
  const AelifOptions options{
      dt, {leaky, fire, exponential, subthreshold_adaptation, spike_triggered_adaptation}, surrogate, alpha};
  const AelifOutputs asked =
      plan_aelif(input, p, options, outputs, {initial_state, measured_spikes, measured_membrane, measured_adaptation});
  const at::ScalarType type = arithmetic_type(input.scalar_type());
  const at::TensorOptions real = input.options().dtype(type);
  return {trace_meta(asked.spikes, input, type),
          trace_meta(asked.membrane, input, type),
          trace_meta(asked.current, input, type),
          trace_meta(asked.adaptation, input, type),
          at::empty_symint({math::kNumAdexStates, input.sym_size(1), input.sym_size(2)}, real),
          trace_meta(save, input, type),
          trace_meta(save, input, at::kByte),
          at::empty_symint({math::kNumAdexCoefficients, coefficient_columns(input, GRADSPIKE_AELIF_NAMED(p))}, real)};
}

std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor> aelif_meta(
    const at::Tensor& input, const at::Tensor& leak, const at::Tensor& reset, const at::Tensor& threshold,
    const at::Tensor& tau_mem, const at::Tensor& tau_syn, const at::Tensor& membrane_capacitance,
    const at::Tensor& refractory_time, const at::Tensor& exponential_slope, const at::Tensor& exponential_threshold,
    const at::Tensor& subthreshold_adaptation_strength, const at::Tensor& spike_triggered_adaptation_increment,
    const at::Tensor& tau_adap, double dt, bool leaky, bool fire, bool exponential, bool subthreshold_adaptation,
    bool spike_triggered_adaptation, std::string_view surrogate, double alpha, std::string_view outputs,
    const std::optional<at::Tensor>& initial_state, const std::optional<at::Tensor>& measured_spikes,
    const std::optional<at::Tensor>& measured_membrane, const std::optional<at::Tensor>& measured_adaptation,
    std::string_view population) {
  (void)population;
  auto [spikes, membrane, current, adaptation, final_state, saved, blocked, coefficients] = aelif_forward_meta(
      input, leak, reset, threshold, tau_mem, tau_syn, membrane_capacitance, refractory_time, exponential_slope,
      exponential_threshold, subthreshold_adaptation_strength, spike_triggered_adaptation_increment, tau_adap, dt,
      leaky, fire, exponential, subthreshold_adaptation, spike_triggered_adaptation, surrogate, alpha, outputs,
      initial_state, measured_spikes, measured_membrane, measured_adaptation, /*save=*/false);
  return {spikes, membrane, current, adaptation, final_state};
}

at::Tensor like_meta(bool asked, const at::Tensor& tensor) {
  return asked ? at::empty_symint(tensor.sym_sizes(), tensor.options()) : at::Tensor();
}

AelifBackward aelif_backward_meta(
    const std::optional<at::Tensor>& grad_spikes, const std::optional<at::Tensor>& grad_membrane,
    const std::optional<at::Tensor>& grad_current, const std::optional<at::Tensor>& grad_adaptation,
    const std::optional<at::Tensor>& grad_final_state, const at::Tensor& saved, const at::Tensor& blocked,
    const std::optional<at::Tensor>& current, const std::optional<at::Tensor>& adaptation,
    const at::Tensor& coefficients, const at::Tensor& leak, const at::Tensor& reset, const at::Tensor& threshold,
    const at::Tensor& tau_mem, const at::Tensor& tau_syn, const at::Tensor& membrane_capacitance,
    const at::Tensor& exponential_slope, const at::Tensor& exponential_threshold,
    const at::Tensor& subthreshold_adaptation_strength, const at::Tensor& spike_triggered_adaptation_increment,
    const at::Tensor& tau_adap, const std::optional<at::Tensor>& initial_state,
    const std::optional<at::Tensor>& measured_spikes, const std::optional<at::Tensor>& measured_membrane, double dt,
    bool leaky, bool fire, bool exponential, bool subthreshold_adaptation, bool spike_triggered_adaptation,
    std::string_view surrogate, double alpha, std::array<bool, kAelifGradients> mask) {
  const AelifParameters p{leak,
                          reset,
                          threshold,
                          tau_mem,
                          tau_syn,
                          membrane_capacitance,
                          membrane_capacitance,
                          exponential_slope,
                          exponential_threshold,
                          subthreshold_adaptation_strength,
                          spike_triggered_adaptation_increment,
                          tau_adap};
  const AelifOptions options{
      dt, {leaky, fire, exponential, subthreshold_adaptation, spike_triggered_adaptation}, surrogate, alpha};
  plan_aelif_backward({grad_spikes, grad_membrane, grad_current, grad_adaptation, grad_final_state, saved, blocked,
                       current, adaptation, coefficients, initial_state, measured_spikes, measured_membrane},
                      p, options, mask);
  return {like_meta(mask[0], saved),
          like_meta(mask[1], leak),
          like_meta(mask[2], reset),
          like_meta(mask[3], threshold),
          like_meta(mask[4], tau_mem),
          like_meta(mask[5], tau_syn),
          like_meta(mask[6], membrane_capacitance),
          like_meta(mask[7], exponential_slope),
          like_meta(mask[8], exponential_threshold),
          like_meta(mask[9], subthreshold_adaptation_strength),
          like_meta(mask[10], spike_triggered_adaptation_increment),
          like_meta(mask[11], tau_adap),
          mask[12] ? at::empty_symint({math::kNumAdexStates, saved.sym_size(1), saved.sym_size(2)}, saved.options())
                   : at::Tensor()};
}

}  // namespace

TORCH_LIBRARY_IMPL(gradspike, CPU, m) {
  m.impl("aelif", aelif_impl<CpuExec>);
  m.impl("_aelif_forward", aelif_forward_impl<CpuExec>);
  m.impl("_aelif_backward", aelif_backward_impl<CpuExec>);
}

TORCH_LIBRARY_IMPL(gradspike, Meta, m) {
  m.impl("aelif", aelif_meta);
  m.impl("_aelif_forward", aelif_forward_meta);
  m.impl("_aelif_backward", aelif_backward_meta);
}

}  // namespace gradspike::ops
