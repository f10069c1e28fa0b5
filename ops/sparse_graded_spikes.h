// sparse_graded_spikes: synaptic input of a projection of which only the existing connections are kept.
//
//   q[k] = round(clip(scale * values[k], min_weight, max_weight))                     csrc/math/weight.h
//   out[..., post] = factor * sum over the connections k of post of q[k] * spikes[..., pre[k]]
//
// Shapes: spikes [..., in_features], values [connections], connections int64 [2, connections] with rows (post, pre),
// sorted by post, then pre, each pair once; result [..., out_features]. The bits of graded_spikes with the dense matrix
// whose other entries are 0, but memory and work in proportion to the connections. On the CPU a bad connection is
// refused; on a device reading the list would need a synchronisation: there an index outside counts as no connection.
// Gradients: straight-through to the values, q * factor to the spikes. Deterministic; no synchronisation.
#pragma once

#include <limits>

#include "csrc/kernels/sparse_graded_spikes.h"
#include "ops/graded_spikes.h"

namespace gradspike::ops {

struct SparsePlan {
  math::WeightTransform transform;
  math::StraightThrough rule = math::StraightThrough::kClipped;
  bool model_units = true;
  at::ScalarType result_type = at::kFloat;

  bool rounds() const { return transform.rounding != math::Rounding::kNone; }
  /// Of the sum: the weight as it is takes the scale only in LSB.
  float factor() const {
    if (rounds()) {
      return model_units ? math::inverse_scale(transform.scale) : 1.0F;
    }
    return model_units ? 1.0F : transform.scale;
  }
  /// The integers are kept in 16 bits whatever the bounds: their indices need more.
  WeightPlan weight_plan() const { return {transform, at::kShort}; }
};

inline void check_connections(const char* op, const at::Tensor& spikes, const at::Tensor& values,
                              const at::Tensor& connections, std::int64_t out_features) {
  check_spike_type(op, spikes);
  TORCH_CHECK(spikes.dim() >= 1, op, ": spikes must have at least 1 dimension [..., in_features], got 0");
  TORCH_CHECK(is_float(values.scalar_type()), op, ": values must be float32, float64, float16 or bfloat16, got ",
              values.scalar_type());
  TORCH_CHECK(values.dim() == 1, op, ": values must have 1 dimension [connections], got ", values.dim());
  TORCH_CHECK(connections.scalar_type() == at::kLong, op, ": connections must be int64, got ",
              connections.scalar_type());
  TORCH_CHECK(connections.dim() == 2, op, ": connections must have 2 dimensions [2, connections], got ",
              connections.dim());
  TORCH_SYM_CHECK(connections.sym_size(0).sym_eq(2), op, ": connections must have 2 rows, post and pre, got ",
                  connections.sym_size(0));
  TORCH_SYM_CHECK(connections.sym_size(1).sym_eq(values.sym_size(0)), op,
                  ": connections must have one column for each of the values, ", values.sym_size(0), ", got ",
                  connections.sym_size(1));
  TORCH_CHECK(spikes.device() == values.device() && connections.device() == values.device(), op,
              ": spikes, values and connections must be on one device, got ", spikes.device(), ", ", values.device(),
              " and ", connections.device());
  TORCH_CHECK(out_features >= 0 && out_features <= std::numeric_limits<std::int32_t>::max(), op,
              ": out_features must lie in 0..2147483647, got ", out_features);
}

inline SparsePlan plan_sparse_graded_spikes(const char* op, const at::Tensor& spikes, const at::Tensor& values,
                                            const at::Tensor& connections, std::int64_t out_features, double scale,
                                            double min_weight, double max_weight, std::string_view rounding,
                                            std::string_view gradient, std::string_view units) {
  check_connections(op, spikes, values, connections, out_features);
  SparsePlan plan;
  plan.transform =
      check_integer_transform(op, scale, min_weight, max_weight, parse_rounding(op, rounding, /*allow_none=*/true));
  plan.rule = parse_gradient(op, gradient);
  plan.model_units = parse_units(op, units);
  plan.result_type =
      spikes.scalar_type() == at::kDouble || values.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  return plan;
}

inline kernels::ConnectionIndex connection_index(const at::Tensor& connections, std::int64_t in_features,
                                                 std::int64_t out_features) {
  const auto* data = connections.const_data_ptr<std::int64_t>();
  return {data, data + connections.size(1), connections.size(1), in_features, out_features};
}

/// Where the list can be read without waiting.
inline void refuse_bad_connection(const char* op, const kernels::ConnectionIndex& index) {
  const std::int64_t bad = kernels::first_bad_connection(index);
  if (bad < 0) {
    return;
  }
  TORCH_CHECK(index.post[bad] >= 0 && index.post[bad] < index.out_features && index.pre[bad] >= 0 &&
                  index.pre[bad] < index.in_features,
              op, ": connections must lie within [out_features, in_features] = [", index.out_features, ", ",
              index.in_features, "], got (", index.post[bad], ", ", index.pre[bad], ") at ", bad);
  TORCH_CHECK(false, op, ": connections must be sorted by post, then pre, each once, got (", index.post[bad], ", ",
              index.pre[bad], ") at ", bad, " after (", index.post[bad - 1], ", ", index.pre[bad - 1], ")");
}

template <class Exec>
kernels::ConnectionIndex checked_index(const char* op, const at::Tensor& connections, std::int64_t in_features,
                                       std::int64_t out_features) {
  const kernels::ConnectionIndex index = connection_index(connections, in_features, out_features);
  if constexpr (std::is_same_v<Exec, CpuExec>) {
    refuse_bad_connection(op, index);
  }
  return index;
}

template <class Exec>
std::tuple<at::Tensor, at::Tensor> sparse_graded_spikes_forward_impl(
    const at::Tensor& spikes, const at::Tensor& values, const at::Tensor& connections, std::int64_t out_features,
    double scale, double min_weight, double max_weight, std::string_view rounding, std::string_view gradient,
    std::string_view units) {
  constexpr const char* kOp = "sparse_graded_spikes";
  const SparsePlan plan = plan_sparse_graded_spikes(kOp, spikes, values, connections, out_features, scale, min_weight,
                                                    max_weight, rounding, gradient, units);
  const Scope<Exec> scope(spikes);
  const at::Tensor rows = spike_rows(spikes);
  const at::Tensor list = connections.contiguous();
  const kernels::ConnectionIndex index = checked_index<Exec>(kOp, list, rows.size(1), out_features);
  std::vector<std::int64_t> sizes = spikes.sizes().vec();
  sizes.back() = out_features;
  at::Tensor out = empty_result(sizes, values.options().dtype(plan.result_type));
  const at::Tensor integers = plan.rounds() ? quantised(scope, widened(values), plan.weight_plan())
                                            : at::empty({0}, values.options().dtype(at::kShort));
  const at::Tensor floats = plan.rounds() ? at::Tensor() : values.to(plan.result_type).contiguous();
  const bool wide = needs_wide_sums(plan.transform, index.in_features);
  dispatch_spikes(rows, [&](const auto* data) {
    using S = std::remove_const_t<std::remove_pointer_t<decltype(data)>>;
    dispatch_real(plan.result_type, [&](auto real) {
      using T = decltype(real);
      const auto call = [&](const auto* q) {
        using Q = std::remove_const_t<std::remove_pointer_t<decltype(q)>>;
        kernels::sparse_graded_spikes(
            scope.exec(), kernels::SparseGradedSpikesArgs<S, Q, T>{data, q, index, out.mutable_data_ptr<T>(),
                                                                   rows.size(0), plan.factor(), wide});
      };
      plan.rounds() ? call(integers.const_data_ptr<std::int16_t>()) : call(floats.const_data_ptr<T>());
    });
  });
  return {out, integers};
}

template <class Exec>
at::Tensor sparse_graded_spikes_impl(const at::Tensor& spikes, const at::Tensor& values, const at::Tensor& connections,
                                     std::int64_t out_features, double scale, double min_weight, double max_weight,
                                     std::string_view rounding, std::string_view gradient, std::string_view units,
                                     std::string_view projection) {
  (void)projection;  // names the projection for readers of the graph; no part of the arithmetic
  return std::get<0>(sparse_graded_spikes_forward_impl<Exec>(spikes, values, connections, out_features, scale,
                                                             min_weight, max_weight, rounding, gradient, units));
}

/// The operator is internal, but a wrong size must not read beyond a tensor.
inline SparsePlan plan_sparse_backward(const at::Tensor& grad, const at::Tensor& spikes, const at::Tensor& values,
                                       const at::Tensor& connections, const at::Tensor& hardware_weights,
                                       std::int64_t out_features, double scale, double min_weight, double max_weight,
                                       std::string_view rounding, std::string_view gradient, std::string_view units) {
  constexpr const char* kOp = "_sparse_graded_spikes_backward";
  const SparsePlan plan = plan_sparse_graded_spikes(kOp, spikes, values, connections, out_features, scale, min_weight,
                                                    max_weight, rounding, gradient, units);
  TORCH_CHECK(grad.device() == spikes.device() && hardware_weights.device() == spikes.device(), kOp,
              ": grad and hardware_weights must be on the device of spikes, ", spikes.device(), ", got ", grad.device(),
              " and ", hardware_weights.device());
  TORCH_CHECK(grad.dim() == spikes.dim(), kOp, ": grad must have the dimensions of spikes, ", spikes.dim(), ", got ",
              grad.dim());
  for (std::int64_t d = 0; d < grad.dim(); ++d) {
    const c10::SymInt size = d + 1 == grad.dim() ? c10::SymInt(out_features) : spikes.sym_size(d);
    TORCH_SYM_CHECK(grad.sym_size(d).sym_eq(size), kOp, ": grad must have size ", size, " in dimension ", d, ", got ",
                    grad.sym_size(d));
  }
  if (plan.rounds()) {
    TORCH_CHECK(hardware_weights.scalar_type() == at::kShort && hardware_weights.dim() == 1, kOp,
                ": hardware_weights must be the int16 list that the forward gave, got ",
                hardware_weights.scalar_type());
    TORCH_SYM_CHECK(hardware_weights.sym_size(0).sym_eq(values.sym_size(0)), kOp,
                    ": hardware_weights must have the shape of values, got ", hardware_weights.sym_sizes());
  }
  return plan;
}

template <class Exec>
at::Tensor sparse_value_gradient(const Scope<Exec>& scope, const SparsePlan& plan,
                                 const kernels::ConnectionIndex& index, const at::Tensor& grad, const at::Tensor& rows,
                                 const at::Tensor& values) {
  at::Tensor sums = at::empty({index.count}, grad.options());
  dispatch_spikes(rows, [&](const auto* data) {
    using S = std::remove_const_t<std::remove_pointer_t<decltype(data)>>;
    dispatch_real(grad.scalar_type(), [&](auto real) {
      using T = decltype(real);
      kernels::sparse_weight_grad(
          scope.exec(), kernels::SparseWeightGradArgs<S, T>{grad.const_data_ptr<T>(), data, index,
                                                            sums.mutable_data_ptr<T>(), rows.size(0), plan.factor()});
    });
  });
  if (!plan.rounds()) {  // d(spikes x w)/dw: no transform in the forward, none in the gradient
    return sums.to(values.scalar_type());
  }
  const at::Tensor w = widened(values);
  const at::Tensor g = sums.to(w.scalar_type());
  at::Tensor out = at::empty(w.sizes(), w.options());
  dispatch_real(w.scalar_type(), [&](auto real) {
    using W = decltype(real);
    kernels::straight_through(
        scope.exec(), kernels::StraightThroughArgs<W>{g.const_data_ptr<W>(), w.const_data_ptr<W>(),
                                                      out.mutable_data_ptr<W>(), w.numel(), plan.transform, plan.rule});
  });
  return out.to(values.scalar_type());
}

template <class Exec>
at::Tensor sparse_spike_gradient(const Scope<Exec>& scope, const SparsePlan& plan,
                                 const kernels::ConnectionIndex& index, const at::Tensor& grad,
                                 const at::Tensor& spikes, const at::Tensor& values, const at::Tensor& integers) {
  at::Tensor out = empty_result(spikes.sizes(), grad.options());
  const at::Tensor floats = plan.rounds() ? at::Tensor() : values.to(grad.scalar_type()).contiguous();
  const at::Tensor q = integers.contiguous();
  dispatch_real(grad.scalar_type(), [&](auto real) {
    using T = decltype(real);
    const auto call = [&](const auto* weights) {
      using Q = std::remove_const_t<std::remove_pointer_t<decltype(weights)>>;
      kernels::sparse_spike_grad(
          scope.exec(), kernels::SparseSpikeGradArgs<Q, T>{grad.const_data_ptr<T>(), weights, index,
                                                           out.mutable_data_ptr<T>(), grad.size(0), plan.factor()});
    };
    plan.rounds() ? call(q.const_data_ptr<std::int16_t>()) : call(floats.const_data_ptr<T>());
  });
  return out.to(spikes.scalar_type());
}

template <class Exec>
std::tuple<at::Tensor, at::Tensor> sparse_graded_spikes_backward_impl(
    const at::Tensor& grad, const at::Tensor& spikes, const at::Tensor& values, const at::Tensor& connections,
    const at::Tensor& hardware_weights, std::int64_t out_features, double scale, double min_weight, double max_weight,
    std::string_view rounding, std::string_view gradient, std::string_view units, std::array<bool, 2> grad_mask) {
  const SparsePlan plan = plan_sparse_backward(grad, spikes, values, connections, hardware_weights, out_features, scale,
                                               min_weight, max_weight, rounding, gradient, units);
  const Scope<Exec> scope(spikes);
  const at::Tensor rows = spike_rows(spikes);
  const at::Tensor list = connections.contiguous();
  const kernels::ConnectionIndex index =
      checked_index<Exec>("_sparse_graded_spikes_backward", list, rows.size(1), out_features);
  const at::Tensor g = grad.to(plan.result_type).contiguous().view({rows.size(0), out_features});
  return {grad_mask[0] ? sparse_spike_gradient(scope, plan, index, g, spikes, values, hardware_weights) : at::Tensor(),
          grad_mask[1] ? sparse_value_gradient(scope, plan, index, g, rows, values) : at::Tensor()};
}

}  // namespace gradspike::ops
