#include "ops/graded_spikes_stack.h"

#include <torch/library.h>

namespace gradspike::ops {
namespace {

std::tuple<at::Tensor, at::Tensor> graded_spikes_forward_meta(const at::Tensor& spikes, const at::Tensor& weight,
                                                              double scale, double min_weight, double max_weight,
                                                              std::string_view rounding, std::string_view gradient,
                                                              std::string_view units) {
  const GradedSpikesPlan plan =
      plan_graded_spikes_stack(spikes, weight, scale, min_weight, max_weight, rounding, gradient, units);
  std::vector<c10::SymInt> sizes = spikes.sym_sizes().vec();
  sizes.back() = weight.sym_size(-2);
  const at::TensorOptions integers = weight.options().dtype(plan.integer_type);
  return {at::empty_symint(sizes, weight.options().dtype(plan.result_type)),
          plan.rounds() ? at::empty_symint(weight.sym_sizes(), integers) : at::empty({0}, integers)};
}

at::Tensor graded_spikes_meta(const at::Tensor& spikes, const at::Tensor& weight, double scale, double min_weight,
                              double max_weight, std::string_view rounding, std::string_view gradient,
                              std::string_view units, std::string_view projection) {
  (void)projection;
  return std::get<0>(
      graded_spikes_forward_meta(spikes, weight, scale, min_weight, max_weight, rounding, gradient, units));
}

std::tuple<at::Tensor, at::Tensor> graded_spikes_backward_meta(const at::Tensor& grad, const at::Tensor& spikes,
                                                               const at::Tensor& weight,
                                                               const at::Tensor& hardware_weights, double scale,
                                                               double min_weight, double max_weight,
                                                               std::string_view rounding, std::string_view gradient,
                                                               std::string_view units, std::array<bool, 2> grad_mask) {
  plan_graded_spikes_stack_backward(grad, spikes, weight, hardware_weights, scale, min_weight, max_weight, rounding,
                                    gradient, units);
  return {grad_mask[0] ? at::empty_symint(spikes.sym_sizes(), spikes.options()) : at::Tensor(),
          grad_mask[1] ? at::empty_symint(weight.sym_sizes(), weight.options()) : at::Tensor()};
}

}  // namespace

TORCH_LIBRARY_IMPL(gradspike, CPU, m) {
  m.impl("graded_spikes", graded_spikes_stack<CpuExec>);
  m.impl("_graded_spikes_forward", graded_spikes_forward_stack<CpuExec>);
  m.impl("_graded_spikes_backward", graded_spikes_backward_stack<CpuExec>);
}

TORCH_LIBRARY_IMPL(gradspike, Meta, m) {
  m.impl("graded_spikes", graded_spikes_meta);
  m.impl("_graded_spikes_forward", graded_spikes_forward_meta);
  m.impl("_graded_spikes_backward", graded_spikes_backward_meta);
}

}  // namespace gradspike::ops
