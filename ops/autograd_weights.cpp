// Autograd kernels of linear_saturating and graded_spikes, and of the operators on weights that have no gradient.
#include <torch/library.h>

#include "ops/autograd.h"

namespace gradspike::ops {
namespace {

using LinearSaturating = at::Tensor(const at::Tensor&, double, double, double, std::string_view);
using LinearSaturatingBackward = at::Tensor(const at::Tensor&, const at::Tensor&, double, double, double,
                                            std::string_view);
using GradedSpikes = at::Tensor(const at::Tensor&, const at::Tensor&, double, double, double, std::string_view,
                                std::string_view, std::string_view, std::string_view);
using GradedSpikesForward = std::tuple<at::Tensor, at::Tensor>(const at::Tensor&, const at::Tensor&, double, double,
                                                               double, std::string_view, std::string_view,
                                                               std::string_view);
using GradedSpikesBackward = std::tuple<at::Tensor, at::Tensor>(const at::Tensor&, const at::Tensor&, const at::Tensor&,
                                                                const at::Tensor&, double, double, double,
                                                                std::string_view, std::string_view, std::string_view,
                                                                std::array<bool, 2>);

struct LinearSaturatingNode {
  static constexpr bool is_traceable = true;

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    if (!grads[0].defined()) {
      return {at::Tensor()};
    }
    static const auto op = typed<LinearSaturatingBackward>("gradspike::_linear_saturating_backward");
    const auto& data = ctx->saved_data;
    return {op.call(grads[0], ctx->get_saved_variables()[0], data.at("scale").toDouble(), data.at("min").toDouble(),
                    data.at("max").toDouble(), data.at("gradient").toStringView())};
  }
};

at::Tensor linear_saturating_autograd(const at::Tensor& weight, double scale, double min_weight, double max_weight,
                                      std::string_view gradient) {
  static const auto op = typed<LinearSaturating>("gradspike::linear_saturating");
  const auto below = [&] {
    const at::AutoDispatchBelowADInplaceOrView guard;
    return op.call(weight, scale, min_weight, max_weight, gradient);
  };
  if (!needs_backward("linear_saturating", {weight})) {
    return below();
  }
  BackwardNode<LinearSaturatingNode> node({weight});
  at::Tensor out = below();
  auto& data = node.context().saved_data;
  data["scale"] = scale;
  data["min"] = min_weight;
  data["max"] = max_weight;
  data["gradient"] = std::string(gradient);
  node.outputs({out});
  node.save({weight});
  return out;
}

at::Tensor linear_saturating_backward_autograd(const at::Tensor& grad, const at::Tensor& weight, double scale,
                                               double min_weight, double max_weight, std::string_view gradient) {
  static const auto op = typed<LinearSaturatingBackward>("gradspike::_linear_saturating_backward");
  at::Tensor out;
  {
    const at::AutoDispatchBelowADInplaceOrView guard;
    out = op.call(grad, weight, scale, min_weight, max_weight, gradient);
  }
  refuse_double_backward("gradspike::linear_saturating", {grad, weight}, {out});
  return out;
}

struct GradedSpikesNode {
  static constexpr bool is_traceable = true;

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    if (!grads[0].defined()) {
      return {at::Tensor(), at::Tensor()};
    }
    static const auto op = typed<GradedSpikesBackward>("gradspike::_graded_spikes_backward");
    const auto& data = ctx->saved_data;
    const variable_list saved = ctx->get_saved_variables();
    auto [grad_spikes, grad_weight] =
        op.call(grads[0], saved[0], saved[1], saved[2], data.at("scale").toDouble(), data.at("min").toDouble(),
                data.at("max").toDouble(), data.at("rounding").toStringView(), data.at("gradient").toStringView(),
                data.at("units").toStringView(), {ctx->needs_input_grad(0), ctx->needs_input_grad(1)});
    return {grad_spikes, grad_weight};
  }
};

/// The product and its integers, with the backward recorded. Reached a second time, one level further out, under nested
/// functorch transforms: hence a kernel of its own for the forward operator.
std::tuple<at::Tensor, at::Tensor> graded_spikes_forward_autograd(const at::Tensor& spikes, const at::Tensor& weight,
                                                                  double scale, double min_weight, double max_weight,
                                                                  std::string_view rounding, std::string_view gradient,
                                                                  std::string_view units) {
  static const auto op = typed<GradedSpikesForward>("gradspike::_graded_spikes_forward");
  const auto below = [&] {
    const at::AutoDispatchBelowADInplaceOrView guard;
    return op.call(spikes, weight, scale, min_weight, max_weight, rounding, gradient, units);
  };
  if (!needs_backward("graded_spikes", {spikes, weight})) {
    return below();
  }
  BackwardNode<GradedSpikesNode> node({spikes, weight});
  auto [out, integers] = below();
  auto& data = node.context().saved_data;
  data["scale"] = scale;
  data["min"] = min_weight;
  data["max"] = max_weight;
  data["rounding"] = std::string(rounding);
  data["gradient"] = std::string(gradient);
  data["units"] = std::string(units);
  node.outputs({out});
  node.save({spikes, weight, integers});
  return {out, integers};
}

at::Tensor graded_spikes_autograd(const at::Tensor& spikes, const at::Tensor& weight, double scale, double min_weight,
                                  double max_weight, std::string_view rounding, std::string_view gradient,
                                  std::string_view units, std::string_view projection) {
  if (!needs_backward("graded_spikes", {spikes, weight})) {
    static const auto op = typed<GradedSpikes>("gradspike::graded_spikes");
    const at::AutoDispatchBelowADInplaceOrView guard;
    return op.call(spikes, weight, scale, min_weight, max_weight, rounding, gradient, units, projection);
  }
  return std::get<0>(
      graded_spikes_forward_autograd(spikes, weight, scale, min_weight, max_weight, rounding, gradient, units));
}

std::tuple<at::Tensor, at::Tensor> graded_spikes_backward_autograd(const at::Tensor& grad, const at::Tensor& spikes,
                                                                   const at::Tensor& weight, const at::Tensor& integers,
                                                                   double scale, double min_weight, double max_weight,
                                                                   std::string_view rounding, std::string_view gradient,
                                                                   std::string_view units, std::array<bool, 2> mask) {
  static const auto op = typed<GradedSpikesBackward>("gradspike::_graded_spikes_backward");
  std::tuple<at::Tensor, at::Tensor> out;
  {
    const at::AutoDispatchBelowADInplaceOrView guard;
    out = op.call(grad, spikes, weight, integers, scale, min_weight, max_weight, rounding, gradient, units, mask);
  }
  refuse_double_backward("gradspike::graded_spikes", {grad, spikes, weight}, {std::get<0>(out), std::get<1>(out)});
  return out;
}

}  // namespace

TORCH_LIBRARY_IMPL(gradspike, Autograd, m) {
  m.impl("linear_saturating", linear_saturating_autograd);
  m.impl("_linear_saturating_backward", linear_saturating_backward_autograd);
  m.impl("graded_spikes", graded_spikes_autograd);
  m.impl("_graded_spikes_forward", graded_spikes_forward_autograd);
  m.impl("_graded_spikes_backward", graded_spikes_backward_autograd);
  m.impl("hardware_weights", torch::CppFunction::makeFallthrough());
  m.impl("weight_statistics", torch::CppFunction::makeFallthrough());
  m.impl("hardware_weights_with_statistics", torch::CppFunction::makeFallthrough());
  m.impl("connections", torch::CppFunction::makeFallthrough());
}

}  // namespace gradspike::ops
