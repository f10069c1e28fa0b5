#include "ops/weights.h"

#include <torch/library.h>

namespace gradspike::ops {
namespace {

at::Tensor linear_saturating_meta(const at::Tensor& weight, double scale, double min_weight, double max_weight,
                                  std::string_view gradient) {
  plan_linear_saturating(weight, scale, min_weight, max_weight);
  parse_gradient("linear_saturating", gradient);
  return at::empty_symint(weight.sym_sizes(), weight.options());
}

at::Tensor linear_saturating_backward_meta(const at::Tensor& grad, const at::Tensor& weight, double scale,
                                           double min_weight, double max_weight, std::string_view gradient) {
  check_same_shape(grad, weight);
  return linear_saturating_meta(weight, scale, min_weight, max_weight, gradient);
}

at::Tensor hardware_weights_meta(const at::Tensor& weight, double scale, double min_weight, double max_weight,
                                 std::string_view rounding) {
  const WeightPlan plan = plan_integers("hardware_weights", weight, scale, min_weight, max_weight, rounding);
  return at::empty_symint(weight.sym_sizes(), weight.options().dtype(plan.integer_type));
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> weight_statistics_meta(const at::Tensor& weight, double scale,
                                                                      double min_weight, double max_weight,
                                                                      std::string_view rounding) {
  plan_weight_statistics(weight, scale, min_weight, max_weight, rounding);
  return {at::empty({kernels::kNumWeightCounts}, weight.options().dtype(at::kLong)),
          at::empty({kernels::kNumWeightMeasures}, weight.options().dtype(at::kDouble)),
          at::empty({1}, weight.options().dtype(at::kLong))};
}

std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor> hardware_weights_with_statistics_meta(
    const at::Tensor& weight, double scale, double min_weight, double max_weight, std::string_view rounding) {
  const WeightPlan plan = plan_with_statistics(weight, scale, min_weight, max_weight, rounding);
  return {at::empty_symint(weight.sym_sizes(), weight.options().dtype(plan.integer_type)),
          at::empty({kernels::kNumWeightCounts}, weight.options().dtype(at::kLong)),
          at::empty({kernels::kNumWeightMeasures}, weight.options().dtype(at::kDouble)),
          at::empty({1}, weight.options().dtype(at::kLong))};
}

at::Tensor connections_meta(const at::Tensor& weight, double scale, double min_weight, double max_weight,
                            std::string_view rounding) {
  plan_connections(weight, scale, min_weight, max_weight, rounding);
  return at::empty_symint({weight.sym_size(0) * weight.sym_size(1), 3}, weight.options().dtype(at::kInt));
}

}  // namespace

TORCH_LIBRARY_IMPL(gradspike, CPU, m) {
  m.impl("linear_saturating", linear_saturating_impl<CpuExec>);
  m.impl("_linear_saturating_backward", linear_saturating_backward_impl<CpuExec>);
  m.impl("hardware_weights", hardware_weights_impl<CpuExec>);
  m.impl("weight_statistics", weight_statistics_impl<CpuExec>);
  m.impl("hardware_weights_with_statistics", hardware_weights_with_statistics_impl<CpuExec>);
  m.impl("connections", connections_impl<CpuExec>);
}

TORCH_LIBRARY_IMPL(gradspike, Meta, m) {
  m.impl("linear_saturating", linear_saturating_meta);
  m.impl("_linear_saturating_backward", linear_saturating_backward_meta);
  m.impl("hardware_weights", hardware_weights_meta);
  m.impl("weight_statistics", weight_statistics_meta);
  m.impl("hardware_weights_with_statistics", hardware_weights_with_statistics_meta);
  m.impl("connections", connections_meta);
}

}  // namespace gradspike::ops
