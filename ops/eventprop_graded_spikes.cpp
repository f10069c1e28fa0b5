#include "ops/eventprop_graded_spikes.h"

#include <torch/library.h>

#include "ops/stack.h"

namespace gradspike::ops {
namespace {

std::tuple<at::Tensor, at::Tensor, at::Tensor> eventprop_graded_spikes_forward_meta(
    const at::Tensor& spikes, const at::Tensor& weight, double scale, double min_weight, double max_weight,
    std::string_view rounding, std::string_view gradient, std::string_view units) {
  const GradedSpikesPlan plan = plan_graded_spikes(spikes, weight, scale, min_weight, max_weight, rounding, gradient,
                                                   units, kEventPropGradedSpikes);
  std::vector<c10::SymInt> sizes = spikes.sym_sizes().vec();
  sizes.back() = weight.sym_size(0);
  const at::TensorOptions integers = weight.options().dtype(plan.integer_type);
  const at::TensorOptions results = weight.options().dtype(plan.result_type);
  return {at::empty_symint(sizes, results), at::zeros({}, results).expand_symint(sizes),
          plan.rounds() ? at::empty_symint(weight.sym_sizes(), integers) : at::empty({0}, integers)};
}

std::tuple<at::Tensor, at::Tensor> eventprop_graded_spikes_meta(const at::Tensor& spikes, const at::Tensor& weight,
                                                                double scale, double min_weight, double max_weight,
                                                                std::string_view rounding, std::string_view gradient,
                                                                std::string_view units, std::string_view projection) {
  (void)projection;
  auto [out, adjoint, integers] =
      eventprop_graded_spikes_forward_meta(spikes, weight, scale, min_weight, max_weight, rounding, gradient, units);
  return {out, adjoint};
}

std::tuple<at::Tensor, at::Tensor> eventprop_graded_spikes_backward_meta(
    const std::optional<at::Tensor>& grad, const std::optional<at::Tensor>& grad_adjoint, const at::Tensor& spikes,
    const at::Tensor& weight, const at::Tensor& hardware_weights, double scale, double min_weight, double max_weight,
    std::string_view rounding, std::string_view gradient, std::string_view units, std::array<bool, 2> mask) {
  plan_eventprop_graded_spikes_backward(grad, grad_adjoint, spikes, weight, hardware_weights, scale, min_weight,
                                        max_weight, rounding, gradient, units, mask);
  return {mask[0] ? at::empty_symint(spikes.sym_sizes(), spikes.options()) : at::Tensor(),
          mask[1] ? at::empty_symint(weight.sym_sizes(), weight.options()) : at::Tensor()};
}

}  // namespace

TORCH_LIBRARY_IMPL(gradspike, CPU, m) {
  m.impl("eventprop_graded_spikes", eventprop_graded_spikes_impl<CpuExec>);
  m.impl("_eventprop_graded_spikes_forward", stacked<&eventprop_graded_spikes_forward_impl<CpuExec>, 1>);
  m.impl("_eventprop_graded_spikes_backward", stacked<&eventprop_graded_spikes_backward_impl<CpuExec>, 3>);
}

TORCH_LIBRARY_IMPL(gradspike, Meta, m) {
  m.impl("eventprop_graded_spikes", eventprop_graded_spikes_meta);
  m.impl("_eventprop_graded_spikes_forward", stacked_meta<&eventprop_graded_spikes_forward_meta, 1>);
  m.impl("_eventprop_graded_spikes_backward", stacked_meta<&eventprop_graded_spikes_backward_meta, 3>);
}

}  // namespace gradspike::ops
