// Overloads of the operators on weights whose scale is a tensor: differentiable in the scale, and not compiled anew by
// torch.compile when a script changes it. Composites of the operators with scale 1, with the same bits: scale * weight
// is rounded once before it is clipped, and sums of integers are exact before they are multiplied by 1 / scale.
#include <ATen/ops/gt.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/logical_and.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/reciprocal.h>
#include <ATen/ops/where.h>
#include <torch/library.h>

#include <limits>

#include "csrc/core/error.h"
#include "ops/autograd.h"

namespace gradspike::ops {
namespace {

using LinearSaturating = at::Tensor(const at::Tensor&, double, double, double, std::string_view);
using GradedSpikes = at::Tensor(const at::Tensor&, const at::Tensor&, double, double, double, std::string_view,
                                std::string_view, std::string_view, std::string_view);
using EventPropGradedSpikes = std::tuple<at::Tensor, at::Tensor>(const at::Tensor&, const at::Tensor&, double, double,
                                                                 double, std::string_view, std::string_view,
                                                                 std::string_view, std::string_view);
using SparseGradedSpikes = at::Tensor(const at::Tensor&, const at::Tensor&, const at::Tensor&, std::int64_t, double,
                                      double, double, std::string_view, std::string_view, std::string_view,
                                      std::string_view);

/// A scale as the operators take it: float32, one number; NaN, and so all that comes of it, where it is not above 0.
at::Tensor checked_scale(const char* op, const at::Tensor& scale) {
  GRADSPIKE_REQUIRE(scale.dim() == 0 && at::isFloatingType(scale.scalar_type()), op,
                    ": scale must be a number or a floating-point tensor without dimensions, got ", scale.scalar_type(),
                    " with ", scale.dim(), " dimensions");
  const at::Tensor number = scale.to(at::kFloat);
  const at::Tensor holds = at::logical_and(at::gt(number, 0), at::isfinite(number));  // read on the device alone
  return at::where(holds, number, std::numeric_limits<double>::quiet_NaN());
}

/// scale * weight, rounded once: in float64 for weights of float64, else in float32.
at::Tensor scaled(const at::Tensor& weight, const at::Tensor& scale) {
  const bool narrow = weight.scalar_type() == at::kHalf || weight.scalar_type() == at::kBFloat16;
  const at::Tensor wide = narrow ? weight.to(at::kFloat) : weight;
  return at::mul(wide, wide.scalar_type() == at::kDouble ? scale.to(at::kDouble) : scale);
}

/// Sums in LSB of the integers, or in model units of the float weights, in the units that were asked for.
at::Tensor in_units(const at::Tensor& sums, const at::Tensor& scale, std::string_view rounding,
                    std::string_view units) {
  if (rounding == "none") {
    return units == "lsb" ? at::mul(sums, scale) : sums;
  }
  return units == "model" ? at::mul(sums, at::reciprocal(scale)) : sums;
}

/// What the operator inside rounds: scale * weight, or the float weight as it is.
at::Tensor operand(const at::Tensor& weight, const at::Tensor& scale, std::string_view rounding) {
  return rounding == "none" ? weight : scaled(weight, scale);
}

/// Units of the operator inside: sums in LSB, or what is wrong with the units that were asked for.
std::string_view inner_units(std::string_view units) { return units == "model" ? "lsb" : units; }

at::Tensor linear_saturating(const at::Tensor& weight, const at::Tensor& scale, double min_weight, double max_weight,
                             std::string_view gradient) {
  static const auto op = typed<LinearSaturating>("gradspike::linear_saturating");
  const at::Tensor operand = scaled(weight, checked_scale("linear_saturating", scale));
  return op.call(operand, 1.0, min_weight, max_weight, gradient).to(weight.scalar_type());
}

at::Tensor hardware_weights(const at::Tensor& weight, const at::Tensor& scale, double min_weight, double max_weight,
                            std::string_view rounding) {
  static const auto op = typed<LinearSaturating>("gradspike::hardware_weights");
  return op.call(scaled(weight, checked_scale("hardware_weights", scale)), 1.0, min_weight, max_weight, rounding);
}

at::Tensor graded_spikes(const at::Tensor& spikes, const at::Tensor& weight, const at::Tensor& scale, double min_weight,
                         double max_weight, std::string_view rounding, std::string_view gradient,
                         std::string_view units, std::string_view projection) {
  static const auto op = typed<GradedSpikes>("gradspike::graded_spikes");
  const at::Tensor factor = checked_scale("graded_spikes", scale);
  const at::Tensor sums = op.call(spikes, operand(weight, factor, rounding), 1.0, min_weight, max_weight, rounding,
                                  gradient, inner_units(units), projection);
  return in_units(sums, factor, rounding, units);
}

std::tuple<at::Tensor, at::Tensor> eventprop_graded_spikes(const at::Tensor& spikes, const at::Tensor& weight,
                                                           const at::Tensor& scale, double min_weight,
                                                           double max_weight, std::string_view rounding,
                                                           std::string_view gradient, std::string_view units,
                                                           std::string_view projection) {
  static const auto op = typed<EventPropGradedSpikes>("gradspike::eventprop_graded_spikes");
  const at::Tensor factor = checked_scale("eventprop_graded_spikes", scale);
  const auto [sums, adjoint] = op.call(spikes, operand(weight, factor, rounding), 1.0, min_weight, max_weight, rounding,
                                       gradient, inner_units(units), projection);
  return {in_units(sums, factor, rounding, units), in_units(adjoint, factor, rounding, units)};
}

at::Tensor sparse_graded_spikes(const at::Tensor& spikes, const at::Tensor& values, const at::Tensor& connections,
                                std::int64_t out_features, const at::Tensor& scale, double min_weight,
                                double max_weight, std::string_view rounding, std::string_view gradient,
                                std::string_view units, std::string_view projection) {
  static const auto op = typed<SparseGradedSpikes>("gradspike::sparse_graded_spikes");
  const at::Tensor factor = checked_scale("sparse_graded_spikes", scale);
  const at::Tensor sums = op.call(spikes, operand(values, factor, rounding), connections, out_features, 1.0, min_weight,
                                  max_weight, rounding, gradient, inner_units(units), projection);
  return in_units(sums, factor, rounding, units);
}

}  // namespace

TORCH_LIBRARY_IMPL(gradspike, CompositeImplicitAutograd, m) {
  m.impl("linear_saturating.tensor_scale", linear_saturating);
  m.impl("hardware_weights.tensor_scale", hardware_weights);
  m.impl("graded_spikes.tensor_scale", graded_spikes);
  m.impl("eventprop_graded_spikes.tensor_scale", eventprop_graded_spikes);
  m.impl("sparse_graded_spikes.tensor_scale", sparse_graded_spikes);
}

}  // namespace gradspike::ops
