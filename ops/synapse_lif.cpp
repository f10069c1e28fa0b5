#include "ops/synapse_lif.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/bitwise_and.h>
#include <ATen/ops/bitwise_right_shift.h>
#include <torch/library.h>

#include "ops/stack.h"

namespace gradspike::ops {

at::Tensor unpacked_spikes(const at::Tensor& packed, std::int64_t in_features) {
  const at::Tensor shifts = at::arange(8, packed.options());
  const at::Tensor bits = at::bitwise_and(at::bitwise_right_shift(packed.unsqueeze(-1), shifts), 1);
  return bits.flatten(-2).slice(-1, 0, in_features).contiguous();
}

namespace {

at::Tensor meta_result(bool asked, c10::SymIntArrayRef sizes, const at::TensorOptions& options) {
  return asked ? at::empty_symint(sizes, options) : at::empty({0}, options);
}

SynapseLifForward synapse_lif_forward_meta(
    const at::Tensor& spikes, const at::Tensor& weight, const at::Tensor& leak, const at::Tensor& reset,
    const at::Tensor& threshold, const at::Tensor& tau_mem, const at::Tensor& tau_syn,
    const at::Tensor& membrane_capacitance, const at::Tensor& refractory_time, double scale, double min_weight,
    double max_weight, std::string_view rounding, std::string_view gradient, std::string_view units, double dt,
    std::string_view surrogate, double alpha, std::string_view outputs, std::string_view spike_format,
    bool packed_input, const std::optional<at::Tensor>& initial_state, const std::optional<at::Tensor>& measured_spikes,
    const std::optional<at::Tensor>& measured_membrane, std::int64_t recompute_every, bool save) {
  const LifParameters p{leak, reset, threshold, tau_mem, tau_syn, membrane_capacitance, refractory_time};
  const SynapseLifOutputs result = plan_synapse_lif(
      spikes, weight, p,
      {scale, min_weight, max_weight, rounding, gradient, units, dt, surrogate, alpha, packed_input, recompute_every},
      outputs, spike_format, initial_state, measured_spikes, measured_membrane);
  const SynapseLifPlan& plan = result.plan;
  const at::TensorOptions options = weight.options().dtype(result.type());
  const at::TensorOptions integers = weight.options().dtype(plan.synapse.integer_type);
  return {meta_result(result.asked.spikes, result.spike_sizes(), options.dtype(result.spike_type())),
          meta_result(result.asked.membrane, plan.trace(), options),
          meta_result(result.asked.current, plan.trace(), options),
          at::empty_symint(plan.state(), options),
          meta_result(save, plan.saved(recompute_every), options),
          at::empty_symint({math::kNumLifCoefficients, plan.columns}, options),
          meta_result(plan.synapse.rounds(), weight.sym_sizes(), integers)};
}

std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor> synapse_lif_meta(
    const at::Tensor& spikes, const at::Tensor& weight, const at::Tensor& leak, const at::Tensor& reset,
    const at::Tensor& threshold, const at::Tensor& tau_mem, const at::Tensor& tau_syn,
    const at::Tensor& membrane_capacitance, const at::Tensor& refractory_time, double scale, double min_weight,
    double max_weight, std::string_view rounding, std::string_view gradient, std::string_view units, double dt,
    std::string_view surrogate, double alpha, std::string_view outputs, std::string_view spike_format,
    bool packed_input, const std::optional<at::Tensor>& initial_state, const std::optional<at::Tensor>& measured_spikes,
    const std::optional<at::Tensor>& measured_membrane, std::int64_t recompute_every, std::string_view projection,
    std::string_view population) {
  (void)projection;
  (void)population;
  auto [z, membrane, current, final_state, saved, coefficients, integers] = synapse_lif_forward_meta(
      spikes, weight, leak, reset, threshold, tau_mem, tau_syn, membrane_capacitance, refractory_time, scale,
      min_weight, max_weight, rounding, gradient, units, dt, surrogate, alpha, outputs, spike_format, packed_input,
      initial_state, measured_spikes, measured_membrane, recompute_every, false);
  return {z, membrane, current, final_state};
}

at::Tensor like_meta(bool asked, const at::Tensor& tensor) {
  return asked ? at::empty_symint(tensor.sym_sizes(), tensor.options()) : at::Tensor();
}

SynapseLifBackward synapse_lif_backward_meta(
    const std::optional<at::Tensor>& grad_spikes, const std::optional<at::Tensor>& grad_membrane,
    const std::optional<at::Tensor>& grad_current, const std::optional<at::Tensor>& grad_final_state,
    const at::Tensor& spikes, const at::Tensor& weight, const at::Tensor& hardware_weights, const at::Tensor& saved,
    const std::optional<at::Tensor>& current, const at::Tensor& coefficients, const at::Tensor& leak,
    const at::Tensor& reset, const at::Tensor& threshold, const at::Tensor& tau_mem, const at::Tensor& tau_syn,
    const at::Tensor& membrane_capacitance, const std::optional<at::Tensor>& initial_state,
    const std::optional<at::Tensor>& measured_spikes, const std::optional<at::Tensor>& measured_membrane, double scale,
    double min_weight, double max_weight, std::string_view rounding, std::string_view gradient, std::string_view units,
    double dt, std::string_view surrogate, double alpha, bool packed_input, std::int64_t recompute_every,
    std::array<bool, 9> mask) {
  const SynapseLifPlan plan = plan_synapse_lif_backward(
      {{grad_spikes, grad_membrane, grad_current, grad_final_state, saved, current, coefficients, initial_state,
        measured_spikes, measured_membrane},
       spikes,
       weight,
       hardware_weights},
      {leak, reset, threshold, tau_mem, tau_syn, membrane_capacitance, membrane_capacitance},
      {scale, min_weight, max_weight, rounding, gradient, units, dt, surrogate, alpha, packed_input, recompute_every},
      mask);
  return {like_meta(mask[0], spikes),
          like_meta(mask[1], weight),
          like_meta(mask[2], leak),
          like_meta(mask[3], reset),
          like_meta(mask[4], threshold),
          like_meta(mask[5], tau_mem),
          like_meta(mask[6], tau_syn),
          like_meta(mask[7], membrane_capacitance),
          mask[8] ? at::empty_symint(plan.state(), saved.options()) : at::Tensor()};
}

}  // namespace

TORCH_LIBRARY_IMPL(gradspike, CPU, m) {
  m.impl("synapse_lif", synapse_lif_impl<CpuExec>);
  m.impl("_synapse_lif_forward", stacked<&synapse_lif_forward_impl<CpuExec>, 1>);
  m.impl("_synapse_lif_backward", stacked<&synapse_lif_backward_impl<CpuExec>, 5>);
}

TORCH_LIBRARY_IMPL(gradspike, Meta, m) {
  m.impl("synapse_lif", synapse_lif_meta);
  m.impl("_synapse_lif_forward", stacked_meta<&synapse_lif_forward_meta, 1>);
  m.impl("_synapse_lif_backward", stacked_meta<&synapse_lif_backward_meta, 5>);
}

}  // namespace gradspike::ops
