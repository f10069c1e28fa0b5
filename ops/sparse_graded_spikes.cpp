#include "ops/sparse_graded_spikes.h"

#include <torch/library.h>

#include "ops/autograd.h"
#include "ops/stack.h"

namespace gradspike::ops {
namespace {

std::tuple<at::Tensor, at::Tensor> sparse_graded_spikes_forward_meta(
    const at::Tensor& spikes, const at::Tensor& values, const at::Tensor& connections, std::int64_t out_features,
    double scale, double min_weight, double max_weight, std::string_view rounding, std::string_view gradient,
    std::string_view units) {
  const SparsePlan plan = plan_sparse_graded_spikes("sparse_graded_spikes", spikes, values, connections, out_features,
                                                    scale, min_weight, max_weight, rounding, gradient, units);
  std::vector<c10::SymInt> sizes = spikes.sym_sizes().vec();
  sizes.back() = out_features;
  const at::TensorOptions integers = values.options().dtype(at::kShort);
  return {at::empty_symint(sizes, values.options().dtype(plan.result_type)),
          plan.rounds() ? at::empty_symint(values.sym_sizes(), integers) : at::empty({0}, integers)};
}

at::Tensor sparse_graded_spikes_meta(const at::Tensor& spikes, const at::Tensor& values, const at::Tensor& connections,
                                     std::int64_t out_features, double scale, double min_weight, double max_weight,
                                     std::string_view rounding, std::string_view gradient, std::string_view units,
                                     std::string_view projection) {
  (void)projection;
  return std::get<0>(sparse_graded_spikes_forward_meta(spikes, values, connections, out_features, scale, min_weight,
                                                       max_weight, rounding, gradient, units));
}

std::tuple<at::Tensor, at::Tensor> sparse_graded_spikes_backward_meta(
    const at::Tensor& grad, const at::Tensor& spikes, const at::Tensor& values, const at::Tensor& connections,
    const at::Tensor& hardware_weights, std::int64_t out_features, double scale, double min_weight, double max_weight,
    std::string_view rounding, std::string_view gradient, std::string_view units, std::array<bool, 2> grad_mask) {
  plan_sparse_backward(grad, spikes, values, connections, hardware_weights, out_features, scale, min_weight, max_weight,
                       rounding, gradient, units);
  return {grad_mask[0] ? at::empty_symint(spikes.sym_sizes(), spikes.options()) : at::Tensor(),
          grad_mask[1] ? at::empty_symint(values.sym_sizes(), values.options()) : at::Tensor()};
}

// ---- autograd ----------------------------------------------------------------------------------------------------

using SparseGradedSpikes = decltype(sparse_graded_spikes_meta);
using SparseForward = decltype(sparse_graded_spikes_forward_meta);
using SparseBackward = decltype(sparse_graded_spikes_backward_meta);

struct SparseGradedSpikesNode {
  static constexpr bool is_traceable = true;

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    if (!grads[0].defined()) {
      return {at::Tensor(), at::Tensor(), at::Tensor()};
    }
    static const auto op = typed<SparseBackward>("gradspike::_sparse_graded_spikes_backward");
    const auto& data = ctx->saved_data;
    const variable_list saved = ctx->get_saved_variables();
    auto [grad_spikes, grad_values] =
        op.call(grads[0], saved[0], saved[1], saved[2], saved[3], data.at("out").toInt(), data.at("scale").toDouble(),
                data.at("min").toDouble(), data.at("max").toDouble(), data.at("rounding").toStringView(),
                data.at("gradient").toStringView(), data.at("units").toStringView(),
                {ctx->needs_input_grad(0), ctx->needs_input_grad(1)});
    return {grad_spikes, grad_values, at::Tensor()};
  }
};

std::tuple<at::Tensor, at::Tensor> sparse_graded_spikes_forward_autograd(
    const at::Tensor& spikes, const at::Tensor& values, const at::Tensor& connections, std::int64_t out_features,
    double scale, double min_weight, double max_weight, std::string_view rounding, std::string_view gradient,
    std::string_view units) {
  static const auto op = typed<SparseForward>("gradspike::_sparse_graded_spikes_forward");
  const auto below = [&] {
    const at::AutoDispatchBelowADInplaceOrView guard;
    return op.call(spikes, values, connections, out_features, scale, min_weight, max_weight, rounding, gradient, units);
  };
  if (!needs_backward("sparse_graded_spikes", {spikes, values})) {
    return below();
  }
  BackwardNode<SparseGradedSpikesNode> node({spikes, values, connections});
  auto [out, integers] = below();
  auto& data = node.context().saved_data;
  data["out"] = out_features;
  data["scale"] = scale;
  data["min"] = min_weight;
  data["max"] = max_weight;
  data["rounding"] = std::string(rounding);
  data["gradient"] = std::string(gradient);
  data["units"] = std::string(units);
  node.outputs({out});
  node.save({spikes, values, connections, integers});
  return {out, integers};
}

at::Tensor sparse_graded_spikes_autograd(const at::Tensor& spikes, const at::Tensor& values,
                                         const at::Tensor& connections, std::int64_t out_features, double scale,
                                         double min_weight, double max_weight, std::string_view rounding,
                                         std::string_view gradient, std::string_view units,
                                         std::string_view projection) {
  if (!needs_backward("sparse_graded_spikes", {spikes, values})) {
    static const auto op = typed<SparseGradedSpikes>("gradspike::sparse_graded_spikes");
    const at::AutoDispatchBelowADInplaceOrView guard;
    return op.call(spikes, values, connections, out_features, scale, min_weight, max_weight, rounding, gradient, units,
                   projection);
  }
  return std::get<0>(sparse_graded_spikes_forward_autograd(spikes, values, connections, out_features, scale, min_weight,
                                                           max_weight, rounding, gradient, units));
}

std::tuple<at::Tensor, at::Tensor> sparse_graded_spikes_backward_autograd(
    const at::Tensor& grad, const at::Tensor& spikes, const at::Tensor& values, const at::Tensor& connections,
    const at::Tensor& hardware_weights, std::int64_t out_features, double scale, double min_weight, double max_weight,
    std::string_view rounding, std::string_view gradient, std::string_view units, std::array<bool, 2> grad_mask) {
  static const auto op = typed<SparseBackward>("gradspike::_sparse_graded_spikes_backward");
  std::tuple<at::Tensor, at::Tensor> out;
  {
    const at::AutoDispatchBelowADInplaceOrView guard;
    out = op.call(grad, spikes, values, connections, hardware_weights, out_features, scale, min_weight, max_weight,
                  rounding, gradient, units, grad_mask);
  }
  refuse_double_backward("gradspike::sparse_graded_spikes", {grad, spikes, values},
                         {std::get<0>(out), std::get<1>(out)});
  return out;
}

}  // namespace

TORCH_LIBRARY_IMPL(gradspike, CPU, m) {
  m.impl("sparse_graded_spikes", sparse_graded_spikes_impl<CpuExec>);
  m.impl("_sparse_graded_spikes_forward", stacked<&sparse_graded_spikes_forward_impl<CpuExec>, 1, 1>);
  m.impl("_sparse_graded_spikes_backward", stacked<&sparse_graded_spikes_backward_impl<CpuExec>, 2, 1>);
}

TORCH_LIBRARY_IMPL(gradspike, Meta, m) {
  m.impl("sparse_graded_spikes", sparse_graded_spikes_meta);
  m.impl("_sparse_graded_spikes_forward", stacked_meta<&sparse_graded_spikes_forward_meta, 1, 1>);
  m.impl("_sparse_graded_spikes_backward", stacked_meta<&sparse_graded_spikes_backward_meta, 2, 1>);
}

TORCH_LIBRARY_IMPL(gradspike, Autograd, m) {
  m.impl("sparse_graded_spikes", sparse_graded_spikes_autograd);
  m.impl("_sparse_graded_spikes_forward", sparse_graded_spikes_forward_autograd);
  m.impl("_sparse_graded_spikes_backward", sparse_graded_spikes_backward_autograd);
}

}  // namespace gradspike::ops
