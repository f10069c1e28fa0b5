// graded_spikes: synaptic input = spikes x weights, with the integers of the chip in the forward pass.
//
//   q = round(clip(scale * w, min_weight, max_weight))                       csrc/math/weight.h
//   out[..., post] = inv_scale * sum over pre of q[post, pre] * spikes[..., pre]     units="model"
//   out[..., post] =             sum over pre of q[post, pre] * spikes[..., pre]     units="lsb"
//
// Shapes: spikes [..., in_features], weight [out_features, in_features], result [..., out_features]. The result is
// float64 where either is float64, else float32. Spikes that are whole numbers in 0..127 are summed exactly; a row with
// other values is summed in floating point in the order of pre. rounding="none": the floating-point product with the
// weight as it is (times scale in LSB). Gradients: straight-through to the weight, q * inv_scale to the spikes.
// Deterministic; no synchronisation.
#pragma once

#include <ATen/ops/mm.h>
#include <ATen/ops/mul.h>
#include <c10/core/SymBool.h>

#include "csrc/kernels/graded_spikes.h"
#include "ops/weights.h"

namespace gradspike::ops {

struct GradedSpikesPlan {
  math::WeightTransform transform;
  math::StraightThrough rule = math::StraightThrough::kClipped;
  bool model_units = true;
  at::ScalarType integer_type = at::kChar;
  at::ScalarType result_type = at::kFloat;

  bool rounds() const { return transform.rounding != math::Rounding::kNone; }
  /// Of the integer sum.
  float factor() const { return model_units ? math::inverse_scale(transform.scale) : 1.0F; }
  WeightPlan weight_plan() const { return {transform, integer_type}; }
};

inline GradedSpikesPlan plan_graded_spikes(const at::Tensor& spikes, const at::Tensor& weight, double scale,
                                           double min_weight, double max_weight, std::string_view rounding,
                                           std::string_view gradient, std::string_view units,
                                           const char* op = "graded_spikes") {
  check_weight_matrix(op, weight);
  check_spike_type(op, spikes);
  TORCH_CHECK(spikes.dim() >= 1, op, ": spikes must have at least 1 dimension [..., in_features], got 0");
  TORCH_SYM_CHECK(spikes.sym_size(-1).sym_eq(weight.sym_size(1)), op,
                  ": the last dimension of spikes must equal in_features of weight, ", weight.sym_size(1), ", got ",
                  spikes.sym_size(-1));
  TORCH_CHECK(spikes.device() == weight.device(), op, ": spikes and weight must be on one device, got ",
              spikes.device(), " and ", weight.device());
  GradedSpikesPlan plan;
  plan.transform =
      check_integer_transform(op, scale, min_weight, max_weight, parse_rounding(op, rounding, /*allow_none=*/true));
  plan.rule = parse_gradient(op, gradient);
  plan.model_units = parse_units(op, units);
  plan.integer_type = fits_int8(plan.transform) ? at::kChar : at::kShort;
  plan.result_type =
      spikes.scalar_type() == at::kDouble || weight.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  return plan;
}

/// Spikes as [rows, in_features], contiguous, in a type that the kernels read: float32, float64 or uint8.
inline at::Tensor spike_rows(const at::Tensor& spikes) {
  const at::ScalarType type = spikes.scalar_type();
  const bool bytes = type == at::kByte || type == at::kBool;
  const at::Tensor readable = spikes.to(bytes ? at::kByte : arithmetic_type(type)).contiguous();
  const std::int64_t in_features = spikes.size(-1);
  std::int64_t rows = 1;
  for (const std::int64_t size : spikes.sizes().slice(0, static_cast<std::size_t>(spikes.dim() - 1))) {
    rows *= size;
  }
  return readable.view({rows, in_features});
}

/// Calls f(S*) with the element type of spike_rows.
template <class F>
void dispatch_spikes(const at::Tensor& rows, F&& f) {
  if (rows.scalar_type() == at::kByte) {
    f(rows.const_data_ptr<std::uint8_t>());
  } else if (rows.scalar_type() == at::kDouble) {
    f(rows.const_data_ptr<double>());
  } else {
    f(rows.const_data_ptr<float>());
  }
}

/// Whether the integer sums of a projection could leave what float32 and int32 hold exactly.
inline bool needs_wide_sums(const math::WeightTransform& transform, std::int64_t in_features) {
  const double largest = std::max(-transform.min_weight, transform.max_weight);
  return static_cast<double>(in_features) * largest * static_cast<double>(kernels::kMaxSpikeCount) >= 16777216.0;
}

template <class Exec>
void integer_product(const Scope<Exec>& scope, const GradedSpikesPlan& plan, const at::Tensor& rows,
                     const at::Tensor& integers, const at::Tensor& out) {
  const std::int64_t in_features = integers.size(1);
  const bool wide = needs_wide_sums(plan.transform, in_features);
  dispatch_spikes(rows, [&](const auto* spikes) {
    using S = std::remove_const_t<std::remove_pointer_t<decltype(spikes)>>;
    dispatch_real(out.scalar_type(), [&](auto real) {
      using T = decltype(real);
      const auto call = [&](const auto* q) {
        using Q = std::remove_const_t<std::remove_pointer_t<decltype(q)>>;
        kernels::graded_spikes(scope.exec(),
                               kernels::GradedSpikesArgs<S, Q, T>{spikes, q, out.mutable_data_ptr<T>(), rows.size(0),
                                                                  in_features, integers.size(0), plan.factor(), wide});
      };
      integers.scalar_type() == at::kChar ? call(integers.const_data_ptr<std::int8_t>())
                                          : call(integers.const_data_ptr<std::int16_t>());
    });
  });
}

/// spikes x weight in floating point, for rounding="none".
inline at::Tensor float_product(const GradedSpikesPlan& plan, const at::Tensor& rows, const at::Tensor& weight) {
  const at::Tensor product = at::mm(rows.to(plan.result_type), weight.to(plan.result_type).t());
  return plan.model_units ? product : at::mul(product, static_cast<double>(plan.transform.scale));
}

/// The product and the integers of the weight (empty for rounding="none").
template <class Exec>
std::tuple<at::Tensor, at::Tensor> graded_product(const GradedSpikesPlan& plan, const at::Tensor& spikes,
                                                  const at::Tensor& weight) {
  const Scope<Exec> scope(spikes);
  const at::Tensor rows = spike_rows(spikes);
  std::vector<std::int64_t> sizes = spikes.sizes().vec();
  sizes.back() = weight.size(0);
  if (!plan.rounds()) {
    return {float_product(plan, rows, weight).view(sizes), at::empty({0}, weight.options().dtype(plan.integer_type))};
  }
  at::Tensor integers = quantised(scope, widened(weight), plan.weight_plan());
  at::Tensor out = empty_result(sizes, weight.options().dtype(plan.result_type));
  integer_product(scope, plan, rows, integers, out);
  return {out, integers};
}

template <class Exec>
std::tuple<at::Tensor, at::Tensor> graded_spikes_forward_impl(const at::Tensor& spikes, const at::Tensor& weight,
                                                              double scale, double min_weight, double max_weight,
                                                              std::string_view rounding, std::string_view gradient,
                                                              std::string_view units) {
  return graded_product<Exec>(
      plan_graded_spikes(spikes, weight, scale, min_weight, max_weight, rounding, gradient, units), spikes, weight);
}

/// From the sum of gradient times spikes to the gradient of the weight.
struct WeightGradient {
  explicit WeightGradient(const GradedSpikesPlan& plan)
      : transform(plan.transform), rule(plan.rule), factor(plan.factor()) {
    if (!plan.rounds()) {  // d(spikes x w)/dw: no transform in the forward, none in the gradient
      rule = math::StraightThrough::kIdentity;
      factor = plan.model_units ? 1.0F : transform.scale;
      transform.scale = 1.0F;
    }
  }

  math::WeightTransform transform;
  math::StraightThrough rule;
  float factor;
};

/// Gradient to the weight: event-driven on the spikes.
template <class Exec>
at::Tensor weight_gradient(const Scope<Exec>& scope, const GradedSpikesPlan& plan, const at::Tensor& grad,
                           const at::Tensor& rows, const at::Tensor& weight) {
  const at::Tensor w = widened(weight);
  at::Tensor out = at::empty(w.sizes(), w.options());
  const WeightGradient by(plan);
  dispatch_spikes(rows, [&](const auto* spikes) {
    using S = std::remove_const_t<std::remove_pointer_t<decltype(spikes)>>;
    dispatch_real(w.scalar_type(), [&](auto weight_real) {
      using W = decltype(weight_real);
      dispatch_real(grad.scalar_type(), [&](auto real) {
        using T = decltype(real);
        kernels::graded_spikes_weight_grad(
            scope.exec(), kernels::GradedSpikesWeightGradArgs<S, W, T>{
                              grad.const_data_ptr<T>(), spikes, w.const_data_ptr<W>(), out.mutable_data_ptr<W>(),
                              rows.size(0), w.size(1), w.size(0), by.factor, by.transform, by.rule});
      });
    });
  });
  return out.to(weight.scalar_type());
}

/// Gradient to the spikes: a dense product with the weights of the forward pass.
inline at::Tensor spike_gradient(const GradedSpikesPlan& plan, const at::Tensor& grad, const at::Tensor& spikes,
                                 const at::Tensor& weight, const at::Tensor& integers) {
  const at::Tensor used = plan.rounds() ? integers : weight;
  const double factor = plan.rounds() ? static_cast<double>(plan.factor())
                                      : (plan.model_units ? 1.0 : static_cast<double>(plan.transform.scale));
  const at::Tensor product = at::mm(grad, at::mul(used.to(grad.scalar_type()), factor));
  return product.view(spikes.sizes()).to(spikes.scalar_type());
}

/// Checks of the integers that a forward operator gave: a matrix as the weight, or empty where nothing was rounded.
inline void check_integers(const char* op, const char* name, const at::Tensor& integers, const GradedSpikesPlan& plan,
                           const at::Tensor& weight) {
  TORCH_CHECK(integers.device() == weight.device(), op, ": ", name, " must be on the device of its weight, ",
              weight.device(), ", got ", integers.device());
  TORCH_CHECK(integers.scalar_type() == plan.integer_type && integers.dim() == (plan.rounds() ? 2 : 1), op, ": ", name,
              " must be the tensor of ", plan.integer_type, " that the forward gave, got ", integers.scalar_type(),
              " with ", integers.dim(), " dimensions");
  for (std::int64_t d = 0; plan.rounds() && d < 2; ++d) {
    TORCH_SYM_CHECK(integers.sym_size(d).sym_eq(weight.sym_size(d)), op, ": ", name,
                    " must have the shape of its weight, got ", integers.sym_sizes());
  }
}

/// The operator is internal, but a wrong size must not read beyond a tensor.
inline GradedSpikesPlan plan_graded_spikes_backward(const at::Tensor& grad, const at::Tensor& spikes,
                                                    const at::Tensor& weight, const at::Tensor& hardware_weights,
                                                    double scale, double min_weight, double max_weight,
                                                    std::string_view rounding, std::string_view gradient,
                                                    std::string_view units,
                                                    const char* op = "_graded_spikes_backward") {
  const GradedSpikesPlan plan =
      plan_graded_spikes(spikes, weight, scale, min_weight, max_weight, rounding, gradient, units);
  TORCH_CHECK(grad.device() == spikes.device() && hardware_weights.device() == spikes.device(), op,
              ": grad and hardware_weights must be on the device of spikes, ", spikes.device(), ", got ", grad.device(),
              " and ", hardware_weights.device());
  TORCH_CHECK(grad.dim() == spikes.dim(), op, ": grad must have the dimensions of spikes, ", spikes.dim(), ", got ",
              grad.dim());
  for (std::int64_t d = 0; d < grad.dim(); ++d) {
    const c10::SymInt size = d + 1 == grad.dim() ? weight.sym_size(0) : spikes.sym_size(d);
    TORCH_SYM_CHECK(grad.sym_size(d).sym_eq(size), op, ": grad must have size ", size, " in dimension ", d, ", got ",
                    grad.sym_size(d));
  }
  check_integers(op, "hardware_weights", hardware_weights, plan, weight);
  return plan;
}

template <class Exec>
std::tuple<at::Tensor, at::Tensor> graded_spikes_backward_impl(const at::Tensor& grad, const at::Tensor& spikes,
                                                               const at::Tensor& weight,
                                                               const at::Tensor& hardware_weights, double scale,
                                                               double min_weight, double max_weight,
                                                               std::string_view rounding, std::string_view gradient,
                                                               std::string_view units, std::array<bool, 2> grad_mask) {
  const GradedSpikesPlan plan = plan_graded_spikes_backward(grad, spikes, weight, hardware_weights, scale, min_weight,
                                                            max_weight, rounding, gradient, units);
  const Scope<Exec> scope(spikes);
  const at::Tensor rows = spike_rows(spikes);
  const at::Tensor g = grad.to(plan.result_type).contiguous().view({rows.size(0), weight.size(0)});
  return {grad_mask[0] ? spike_gradient(plan, g, spikes, weight, hardware_weights) : at::Tensor(),
          grad_mask[1] ? weight_gradient(scope, plan, g, rows, weight) : at::Tensor()};
}

}  // namespace gradspike::ops
