// Stacks of weights: graded_spikes with a weight [*V, out_features, in_features] is as many products, of spikes
// [*V, ..., in_features], in one call. Each entry has the bits of a call of its own. torch.vmap makes such calls.
#pragma once

#include "ops/graded_spikes.h"

namespace gradspike::ops {

/// Number of leading dimensions V.
inline std::int64_t stack_dim(const at::Tensor& weight) { return weight.dim() - 2; }

/// Checks that a tensor has the leading dimensions of a stack of weights.
inline void check_stack(const char* op, const char* name, const at::Tensor& tensor, const at::Tensor& weight) {
  TORCH_CHECK(tensor.dim() > stack_dim(weight), op, ": ", name, " must have the leading dimensions of the weights, ",
              weight.sym_sizes(), ", got ", tensor.sym_sizes());
  for (std::int64_t d = 0; d < stack_dim(weight); ++d) {
    TORCH_SYM_CHECK(tensor.sym_size(d).sym_eq(weight.sym_size(d)), op, ": ", name,
                    " must have the leading dimensions of the weights, ", weight.sym_sizes(), ", got ",
                    tensor.sym_sizes());
  }
}

/// A tensor like the entries of a stack, for checks.
inline at::Tensor entry_like(at::Tensor tensor, std::int64_t leading) {
  for (std::int64_t d = 0; d < leading; ++d) {
    tensor =
        tensor.sym_size(0) == 0 ? at::empty_symint(tensor.sym_sizes().slice(1), tensor.options()) : tensor.select(0, 0);
  }
  return tensor;
}

/// One weight is a stack without leading dimensions.
inline GradedSpikesPlan plan_graded_spikes_stack(const at::Tensor& spikes, const at::Tensor& weight, double scale,
                                                 double min_weight, double max_weight, std::string_view rounding,
                                                 std::string_view gradient, std::string_view units) {
  if (weight.dim() <= 2) {
    return plan_graded_spikes(spikes, weight, scale, min_weight, max_weight, rounding, gradient, units);
  }
  check_stack("graded_spikes", "spikes", spikes, weight);
  const std::int64_t leading = stack_dim(weight);
  return plan_graded_spikes(entry_like(spikes, leading), entry_like(weight, leading), scale, min_weight, max_weight,
                            rounding, gradient, units);
}

inline GradedSpikesPlan plan_graded_spikes_stack_backward(const at::Tensor& grad, const at::Tensor& spikes,
                                                          const at::Tensor& weight, const at::Tensor& hardware_weights,
                                                          double scale, double min_weight, double max_weight,
                                                          std::string_view rounding, std::string_view gradient,
                                                          std::string_view units) {
  constexpr const char* kOp = "_graded_spikes_backward";
  if (weight.dim() <= 2) {
    return plan_graded_spikes_backward(grad, spikes, weight, hardware_weights, scale, min_weight, max_weight, rounding,
                                       gradient, units);
  }
  const std::int64_t leading = stack_dim(weight);
  const bool has_integers = rounding != "none";
  check_stack(kOp, "grad", grad, weight);
  check_stack(kOp, "spikes", spikes, weight);
  if (has_integers) {
    check_stack(kOp, "hardware_weights", hardware_weights, weight);
  }
  return plan_graded_spikes_backward(entry_like(grad, leading), entry_like(spikes, leading),
                                     entry_like(weight, leading),
                                     has_integers ? entry_like(hardware_weights, leading) : hardware_weights, scale,
                                     min_weight, max_weight, rounding, gradient, units);
}

inline std::int64_t stack_size(const at::Tensor& weight) {
  std::int64_t count = 1;
  for (std::int64_t d = 0; d < stack_dim(weight); ++d) {
    count *= weight.size(d);
  }
  return count;
}

/// Entry k of a tensor that has the leading dimensions of `weight`: a view, also of expanded tensors.
inline at::Tensor stack_entry(at::Tensor tensor, const at::Tensor& weight, std::int64_t k) {
  std::int64_t remaining = stack_size(weight);
  for (std::int64_t d = 0; d < stack_dim(weight); ++d) {
    remaining /= weight.size(d);
    tensor = tensor.select(0, k / remaining);
    k %= remaining;
  }
  return tensor;
}

template <class Exec>
std::tuple<at::Tensor, at::Tensor> graded_spikes_forward_stack(const at::Tensor& spikes, const at::Tensor& weight,
                                                               double scale, double min_weight, double max_weight,
                                                               std::string_view rounding, std::string_view gradient,
                                                               std::string_view units) {
  if (weight.dim() <= 2) {
    return graded_spikes_forward_impl<Exec>(spikes, weight, scale, min_weight, max_weight, rounding, gradient, units);
  }
  const GradedSpikesPlan plan =
      plan_graded_spikes_stack(spikes, weight, scale, min_weight, max_weight, rounding, gradient, units);
  const Scope<Exec> scope(spikes);
  std::vector<std::int64_t> sizes = spikes.sizes().vec();
  sizes.back() = weight.size(-2);
  at::Tensor out = empty_result(sizes, weight.options().dtype(plan.result_type));
  at::Tensor integers = plan.rounds() ? quantised(scope, widened(weight), plan.weight_plan())
                                      : at::empty({0}, weight.options().dtype(plan.integer_type));
  for (std::int64_t k = 0; k < stack_size(weight); ++k) {
    const at::Tensor rows = spike_rows(stack_entry(spikes, weight, k));
    const at::Tensor product = stack_entry(out, weight, k);
    if (plan.rounds()) {
      integer_product(scope, plan, rows, stack_entry(integers, weight, k), product);
    } else {
      product.copy_(float_product(plan, rows, stack_entry(weight, weight, k)).view(product.sizes()));
    }
  }
  return {out, integers};
}

template <class Exec>
at::Tensor graded_spikes_stack(const at::Tensor& spikes, const at::Tensor& weight, double scale, double min_weight,
                               double max_weight, std::string_view rounding, std::string_view gradient,
                               std::string_view units, std::string_view projection) {
  (void)projection;  // names the projection for readers of the graph; no part of the arithmetic
  return std::get<0>(
      graded_spikes_forward_stack<Exec>(spikes, weight, scale, min_weight, max_weight, rounding, gradient, units));
}

template <class Exec>
std::tuple<at::Tensor, at::Tensor> graded_spikes_backward_stack(const at::Tensor& grad, const at::Tensor& spikes,
                                                                const at::Tensor& weight,
                                                                const at::Tensor& hardware_weights, double scale,
                                                                double min_weight, double max_weight,
                                                                std::string_view rounding, std::string_view gradient,
                                                                std::string_view units, std::array<bool, 2> grad_mask) {
  const auto backward = [&](const at::Tensor& g, const at::Tensor& s, const at::Tensor& w, const at::Tensor& q) {
    return graded_spikes_backward_impl<Exec>(g, s, w, q, scale, min_weight, max_weight, rounding, gradient, units,
                                             grad_mask);
  };
  if (weight.dim() <= 2) {
    return backward(grad, spikes, weight, hardware_weights);
  }
  const GradedSpikesPlan plan = plan_graded_spikes_stack_backward(grad, spikes, weight, hardware_weights, scale,
                                                                  min_weight, max_weight, rounding, gradient, units);
  at::Tensor grad_spikes = grad_mask[0] ? empty_result(spikes.sizes(), spikes.options()) : at::Tensor();
  at::Tensor grad_weight = grad_mask[1] ? empty_result(weight.sizes(), weight.options()) : at::Tensor();
  for (std::int64_t k = 0; k < stack_size(weight); ++k) {
    const auto entry = [&](const at::Tensor& tensor) { return stack_entry(tensor, weight, k); };
    auto [of_spikes, of_weight] =
        backward(entry(grad), entry(spikes), entry(weight), plan.rounds() ? entry(hardware_weights) : hardware_weights);
    if (grad_mask[0]) {
      entry(grad_spikes).copy_(of_spikes);
    }
    if (grad_mask[1]) {
      entry(grad_weight).copy_(of_weight);
    }
  }
  return {grad_spikes, grad_weight};
}

}  // namespace gradspike::ops
