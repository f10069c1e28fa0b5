// Operators on weights. Each has one plan: the checks and sizes that CPU, CUDA and Meta kernels share.
//
//   linear_saturating   clip(scale * w, min_weight, max_weight), any shape, floating point in and out
//   hardware_weights    the integers that the chip holds, int8 where both bounds lie within 127, else int16
//   weight_statistics   what a transform does to a matrix: clipped, rounded to zero, NaN, largest, rms error, hash
//   hardware_weights_with_statistics   both in one pass over the weight
//   connections         (pre, post, weight) of a matrix, post outer, zeros included
//
// The transform and its gradient rules: csrc/math/weight.h. Nothing here synchronises with a device.
#pragma once

#include <string_view>

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include "csrc/kernels/weights.h"
#include "ops/execution.h"
#include "ops/names.h"

namespace gradspike::ops {

inline bool is_float(at::ScalarType type) {
  return type == at::kFloat || type == at::kDouble || type == at::kHalf || type == at::kBFloat16;
}

/// Spikes may be counts in any floating type, or bytes.
inline void check_spike_type(const char* op, const at::Tensor& spikes) {
  const at::ScalarType type = spikes.scalar_type();
  TORCH_CHECK(is_float(type) || type == at::kByte || type == at::kBool, op,
              ": spikes must be float32, float64, float16, bfloat16, uint8 or bool, got ", type);
}

inline void check_weight_type(const char* op, const at::Tensor& weight, const char* name = "weight") {
  TORCH_CHECK(is_float(weight.scalar_type()), op, ": ", name, " must be float32, float64, float16 or bfloat16, got ",
              weight.scalar_type());
}

inline void check_weight_matrix(const char* op, const at::Tensor& weight, const char* name = "weight") {
  check_weight_type(op, weight, name);
  TORCH_CHECK(weight.dim() == 2, op, ": ", name, " must have 2 dimensions [out_features, in_features], got ",
              weight.dim());
}

/// A contiguous tensor in the arithmetic of the weight: half and bfloat16 are widened to float32.
inline at::Tensor widened(const at::Tensor& tensor) {
  return tensor.to(arithmetic_type(tensor.scalar_type())).contiguous();
}

struct WeightPlan {
  math::WeightTransform transform;
  at::ScalarType integer_type = at::kChar;
};

inline WeightPlan plan_linear_saturating(const at::Tensor& weight, double scale, double min_weight, double max_weight) {
  check_weight_type("linear_saturating", weight);
  return {check_transform("linear_saturating", scale, min_weight, max_weight), at::kChar};
}

inline WeightPlan plan_integers(const char* op, const at::Tensor& weight, double scale, double min_weight,
                                double max_weight, std::string_view rounding) {
  check_weight_type(op, weight);
  WeightPlan plan;
  plan.transform =
      check_integer_transform(op, scale, min_weight, max_weight, parse_rounding(op, rounding, /*allow_none=*/false));
  plan.integer_type = fits_int8(plan.transform) ? at::kChar : at::kShort;
  return plan;
}

/// The operator is internal, but a wrong size must not read beyond a tensor.
inline void check_same_shape(const at::Tensor& grad, const at::Tensor& weight) {
  TORCH_CHECK(grad.dim() == weight.dim() && grad.device() == weight.device(),
              "_linear_saturating_backward: grad must have the shape and device of weight, ", weight.sym_sizes(),
              ", got ", grad.sym_sizes());
  for (std::int64_t d = 0; d < grad.dim(); ++d) {
    TORCH_SYM_CHECK(grad.sym_size(d).sym_eq(weight.sym_size(d)),
                    "_linear_saturating_backward: grad must have the shape of weight, ", weight.sym_sizes(), ", got ",
                    grad.sym_sizes());
  }
}

template <class Exec>
at::Tensor linear_saturating_impl(const at::Tensor& weight, double scale, double min_weight, double max_weight,
                                  std::string_view gradient) {
  const WeightPlan plan = plan_linear_saturating(weight, scale, min_weight, max_weight);
  parse_gradient("linear_saturating", gradient);
  const Scope<Exec> scope(weight);
  const at::Tensor w = widened(weight);
  at::Tensor out = empty_result(w.sizes(), w.options());
  dispatch_real(w.scalar_type(), [&](auto real) {
    using T = decltype(real);
    kernels::linear_saturating(
        scope.exec(),
        kernels::LinearSaturatingArgs<T>{w.const_data_ptr<T>(), out.mutable_data_ptr<T>(), w.numel(), plan.transform});
  });
  return out.to(weight.scalar_type());
}

template <class Exec>
at::Tensor linear_saturating_backward_impl(const at::Tensor& grad, const at::Tensor& weight, double scale,
                                           double min_weight, double max_weight, std::string_view gradient) {
  const WeightPlan plan = plan_linear_saturating(weight, scale, min_weight, max_weight);
  const math::StraightThrough rule = parse_gradient("linear_saturating", gradient);
  check_same_shape(grad, weight);
  const Scope<Exec> scope(weight);
  const at::Tensor w = widened(weight);
  const at::Tensor g = grad.to(w.scalar_type()).contiguous();
  at::Tensor out = empty_result(w.sizes(), w.options());
  dispatch_real(w.scalar_type(), [&](auto real) {
    using T = decltype(real);
    kernels::straight_through(
        scope.exec(), kernels::StraightThroughArgs<T>{g.const_data_ptr<T>(), w.const_data_ptr<T>(),
                                                      out.mutable_data_ptr<T>(), w.numel(), plan.transform, rule});
  });
  return out.to(weight.scalar_type());
}

/// The quantiser on a widened, contiguous weight.
template <class Exec>
at::Tensor quantised(const Scope<Exec>& scope, const at::Tensor& w, const WeightPlan& plan) {
  at::Tensor out = at::empty(w.sizes(), w.options().dtype(plan.integer_type));
  dispatch_real(w.scalar_type(), [&](auto real) {
    using T = decltype(real);
    const auto call = [&](auto* to) {
      using Q = std::remove_pointer_t<decltype(to)>;
      kernels::hardware_weights(
          scope.exec(), kernels::HardwareWeightsArgs<T, Q>{w.const_data_ptr<T>(), to, w.numel(), plan.transform});
    };
    plan.integer_type == at::kChar ? call(out.mutable_data_ptr<std::int8_t>())
                                   : call(out.mutable_data_ptr<std::int16_t>());
  });
  return out;
}

template <class Exec>
at::Tensor hardware_weights_impl(const at::Tensor& weight, double scale, double min_weight, double max_weight,
                                 std::string_view rounding) {
  const WeightPlan plan = plan_integers("hardware_weights", weight, scale, min_weight, max_weight, rounding);
  const Scope<Exec> scope(weight);
  return quantised(scope, widened(weight), plan);
}

inline WeightPlan plan_weight_statistics(const at::Tensor& weight, double scale, double min_weight, double max_weight,
                                         std::string_view rounding) {
  check_weight_matrix("weight_statistics", weight);
  return plan_integers("weight_statistics", weight, scale, min_weight, max_weight, rounding);
}

template <class Exec>
std::tuple<at::Tensor, at::Tensor, at::Tensor> weight_statistics_impl(const at::Tensor& weight, double scale,
                                                                      double min_weight, double max_weight,
                                                                      std::string_view rounding) {
  const WeightPlan plan = plan_weight_statistics(weight, scale, min_weight, max_weight, rounding);
  const Scope<Exec> scope(weight);
  const at::Tensor w = widened(weight);
  at::Tensor counts = at::empty({kernels::kNumWeightCounts}, w.options().dtype(at::kLong));
  at::Tensor measures = at::empty({kernels::kNumWeightMeasures}, w.options().dtype(at::kDouble));
  at::Tensor hash = at::empty({1}, w.options().dtype(at::kLong));
  dispatch_real(w.scalar_type(), [&](auto real) {
    using T = decltype(real);
    kernels::weight_statistics(
        scope.exec(),
        kernels::WeightStatisticsArgs<T>{w.const_data_ptr<T>(), w.size(0), w.size(1), plan.transform,
                                         counts.mutable_data_ptr<std::int64_t>(), measures.mutable_data_ptr<double>(),
                                         hash.mutable_data_ptr<std::int64_t>()});
  });
  return {counts, measures, hash};
}

inline WeightPlan plan_with_statistics(const at::Tensor& weight, double scale, double min_weight, double max_weight,
                                       std::string_view rounding) {
  constexpr const char* kOp = "hardware_weights_with_statistics";
  check_weight_matrix(kOp, weight);
  return plan_integers(kOp, weight, scale, min_weight, max_weight, rounding);
}

template <class Exec>
std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor> hardware_weights_with_statistics_impl(
    const at::Tensor& weight, double scale, double min_weight, double max_weight, std::string_view rounding) {
  const WeightPlan plan = plan_with_statistics(weight, scale, min_weight, max_weight, rounding);
  const Scope<Exec> scope(weight);
  const at::Tensor w = widened(weight);
  at::Tensor out = at::empty(w.sizes(), w.options().dtype(plan.integer_type));
  at::Tensor counts = at::empty({kernels::kNumWeightCounts}, w.options().dtype(at::kLong));
  at::Tensor measures = at::empty({kernels::kNumWeightMeasures}, w.options().dtype(at::kDouble));
  at::Tensor hash = at::empty({1}, w.options().dtype(at::kLong));
  dispatch_real(w.scalar_type(), [&](auto real) {
    using T = decltype(real);
    const kernels::WeightStatisticsArgs<T> statistics{w.const_data_ptr<T>(),
                                                      w.size(0),
                                                      w.size(1),
                                                      plan.transform,
                                                      counts.mutable_data_ptr<std::int64_t>(),
                                                      measures.mutable_data_ptr<double>(),
                                                      hash.mutable_data_ptr<std::int64_t>()};
    const auto call = [&](auto* to) {
      using Q = std::remove_pointer_t<decltype(to)>;
      kernels::hardware_weights_with_statistics(scope.exec(), kernels::WeightsWithStatisticsArgs<T, Q>{statistics, to});
    };
    plan.integer_type == at::kChar ? call(out.mutable_data_ptr<std::int8_t>())
                                   : call(out.mutable_data_ptr<std::int16_t>());
  });
  return {out, counts, measures, hash};
}

inline WeightPlan plan_connections(const at::Tensor& weight, double scale, double min_weight, double max_weight,
                                   std::string_view rounding) {
  check_weight_matrix("connections", weight);
  return plan_integers("connections", weight, scale, min_weight, max_weight, rounding);
}

/// On a device NaN weights are left in the list as the lowest int16: refusing them there would need a synchronisation.
template <class Exec>
at::Tensor connections_impl(const at::Tensor& weight, double scale, double min_weight, double max_weight,
                            std::string_view rounding) {
  const WeightPlan plan = plan_connections(weight, scale, min_weight, max_weight, rounding);
  const Scope<Exec> scope(weight);
  const at::Tensor w = widened(weight);
  at::Tensor out = empty_result({w.numel(), 3}, w.options().dtype(at::kInt));
  std::int64_t nan_count = 0;
  constexpr bool kOnHost = std::is_same_v<Exec, CpuExec>;
  dispatch_real(w.scalar_type(), [&](auto real) {
    using T = decltype(real);
    kernels::connections(scope.exec(), kernels::ConnectionsArgs<T>{w.const_data_ptr<T>(), w.size(0), w.size(1),
                                                                   plan.transform, out.mutable_data_ptr<std::int32_t>(),
                                                                   kOnHost ? &nan_count : nullptr});
  });
  TORCH_CHECK(nan_count == 0, "connections: weight must not contain NaN, got ", nan_count, " NaN of ", w.numel());
  return out;
}

}  // namespace gradspike::ops
