// eventprop_graded_spikes: graded_spikes with the second channel that EventProp needs.
//
// The forward is graded_spikes, bit for bit (ops/graded_spikes.h). `adjoint` has the shape of graded_spikes and holds
// zeros: one zero in memory, seen through strides of 0. Its gradient G1 is what a neuron operator of the EventProp
// family sends back beside the gradient G0 of its input:
//
//   dL/dweight = straight-through of the sum over time and batch of G0[t, b, post] spikes[t, b, pre]
//   dL/dspikes = G1 @ q * factor
//
// The sum over the batch is taken while it is computed; no array of the size of batch x weight exists. Deterministic;
// no synchronisation.
#pragma once

#include <ATen/ops/zeros.h>

#include "ops/graded_spikes.h"

namespace gradspike::ops {

constexpr const char* kEventPropGradedSpikes = "eventprop_graded_spikes";

template <class Exec>
std::tuple<at::Tensor, at::Tensor, at::Tensor> eventprop_graded_spikes_forward_impl(
    const at::Tensor& spikes, const at::Tensor& weight, double scale, double min_weight, double max_weight,
    std::string_view rounding, std::string_view gradient, std::string_view units) {
  const GradedSpikesPlan plan = plan_graded_spikes(spikes, weight, scale, min_weight, max_weight, rounding, gradient,
                                                   units, kEventPropGradedSpikes);
  const auto [out, integers] = graded_product<Exec>(plan, spikes, weight);
  return {out, at::zeros({}, out.options()).expand(out.sizes()), integers};
}

template <class Exec>
std::tuple<at::Tensor, at::Tensor> eventprop_graded_spikes_impl(const at::Tensor& spikes, const at::Tensor& weight,
                                                                double scale, double min_weight, double max_weight,
                                                                std::string_view rounding, std::string_view gradient,
                                                                std::string_view units, std::string_view projection) {
  (void)projection;  // names the projection for readers of the graph; no part of the arithmetic
  auto [out, adjoint, integers] = eventprop_graded_spikes_forward_impl<Exec>(spikes, weight, scale, min_weight,
                                                                             max_weight, rounding, gradient, units);
  return {out, adjoint};
}

/// The plan of the gradient to the weight, which `grad` gives, and of that to the spikes, which `grad_adjoint` gives.
/// The operator is internal, but a wrong size must not read beyond a tensor.
inline GradedSpikesPlan plan_eventprop_graded_spikes_backward(
    const std::optional<at::Tensor>& grad, const std::optional<at::Tensor>& grad_adjoint, const at::Tensor& spikes,
    const at::Tensor& weight, const at::Tensor& hardware_weights, double scale, double min_weight, double max_weight,
    std::string_view rounding, std::string_view gradient, std::string_view units, const std::array<bool, 2>& mask) {
  constexpr const char* kOp = "_eventprop_graded_spikes_backward";
  TORCH_CHECK((is_given(grad) || !mask[1]) && (is_given(grad_adjoint) || !mask[0]), kOp,
              ": grad must be given for the gradient to weight, grad_adjoint for that to spikes");
  // Both where both are given; where none is, nothing is asked for either.
  const auto plan_for = [&](const at::Tensor& g) {
    return plan_graded_spikes_backward(g, spikes, weight, hardware_weights, scale, min_weight, max_weight, rounding,
                                       gradient, units, kOp);
  };
  GradedSpikesPlan plan;
  for (const std::optional<at::Tensor>* g : {&grad, &grad_adjoint}) {
    plan = is_given(*g) ? plan_for(**g) : plan;
  }
  return plan;
}

template <class Exec>
std::tuple<at::Tensor, at::Tensor> eventprop_graded_spikes_backward_impl(
    const std::optional<at::Tensor>& grad, const std::optional<at::Tensor>& grad_adjoint, const at::Tensor& spikes,
    const at::Tensor& weight, const at::Tensor& hardware_weights, double scale, double min_weight, double max_weight,
    std::string_view rounding, std::string_view gradient, std::string_view units, std::array<bool, 2> mask) {
  const GradedSpikesPlan plan =
      plan_eventprop_graded_spikes_backward(grad, grad_adjoint, spikes, weight, hardware_weights, scale, min_weight,
                                            max_weight, rounding, gradient, units, mask);
  const Scope<Exec> scope(spikes);
  const at::Tensor rows = spike_rows(spikes);
  const auto readable = [&](const at::Tensor& g) {
    return g.to(plan.result_type).contiguous().view({rows.size(0), weight.size(0)});
  };
  return {mask[0] ? spike_gradient(plan, readable(*grad_adjoint), spikes, weight, hardware_weights) : at::Tensor(),
          mask[1] ? weight_gradient(scope, plan, readable(*grad), rows, weight) : at::Tensor()};
}

}  // namespace gradspike::ops
