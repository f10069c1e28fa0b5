// prepack and prepacked_graded_spikes: graded_spikes for inference loops, with weights that were made ready once.
//
// prepack quantises a weight and stores it in the forms that the kernels read (csrc/kernels/prepacked.h), the same data
// on every device, so that it can be saved and moved:
//   rows       [in_features, P], P = out_features padded to 64     int8 or int16, as hardware_weights
//   groups     [ceil(in_features / 4), P, 4]                       int8; empty for int16
//   matrix     [out_features, in_features padded to 64]            int8 or int16
//   nan_posts  [out_features]                                      bool: neurons with a NaN weight
// The result of prepacked_graded_spikes has the bits of graded_spikes with the same numbers; float64 where the spikes
// are. The numbers inside the tensors are trusted: prepack makes them. No gradient. No synchronisation.
#pragma once

#include <ATen/ops/clone.h>

#include "csrc/kernels/prepacked.h"
#include "ops/graded_spikes.h"

namespace gradspike::ops {

inline WeightPlan plan_prepack(const at::Tensor& weight, double scale, double min_weight, double max_weight,
                               std::string_view rounding) {
  check_weight_matrix("prepack", weight);
  return plan_integers("prepack", weight, scale, min_weight, max_weight, rounding);
}

template <class Exec>
std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor> prepack_impl(const at::Tensor& weight, double scale,
                                                                        double min_weight, double max_weight,
                                                                        std::string_view rounding) {
  const WeightPlan plan = plan_prepack(weight, scale, min_weight, max_weight, rounding);
  const Scope<Exec> scope(weight);
  const at::Tensor integers = quantised(scope, widened(weight), plan);
  const std::int64_t out_features = weight.size(0);
  const std::int64_t in_features = weight.size(1);
  const std::int64_t padded = kernels::packed_posts(out_features);
  const bool bytes = plan.integer_type == at::kChar;
  at::Tensor rows = at::empty({in_features, padded}, integers.options());
  at::Tensor groups =
      at::empty({bytes ? kernels::packed_groups(in_features) : 0, padded, 4}, integers.options().dtype(at::kChar));
  at::Tensor matrix = at::empty({out_features, kernels::packed_inputs(in_features)}, integers.options());
  at::Tensor nan_posts = at::empty({out_features}, integers.options().dtype(at::kBool));
  if (bytes) {
    kernels::prepack(scope.exec(), kernels::PrepackArgs<std::int8_t>{
                                       integers.const_data_ptr<std::int8_t>(), rows.mutable_data_ptr<std::int8_t>(),
                                       groups.mutable_data_ptr<std::int8_t>(), matrix.mutable_data_ptr<std::int8_t>(),
                                       nan_posts.mutable_data_ptr<bool>(), in_features, out_features});
  } else {
    kernels::prepack(scope.exec(), kernels::PrepackArgs<std::int16_t>{
                                       integers.const_data_ptr<std::int16_t>(), rows.mutable_data_ptr<std::int16_t>(),
                                       nullptr, matrix.mutable_data_ptr<std::int16_t>(),
                                       nan_posts.mutable_data_ptr<bool>(), in_features, out_features});
  }
  return {rows, groups, matrix, nan_posts};
}

struct PrepackedPlan {
  math::WeightTransform transform;
  bool model_units = true;
  at::ScalarType integer_type = at::kChar;
  at::ScalarType result_type = at::kFloat;

  float factor() const { return model_units ? math::inverse_scale(transform.scale) : 1.0F; }
};

inline void check_packed_part(const char* name, const at::Tensor& part, at::ScalarType type, const at::Tensor& spikes,
                              std::initializer_list<c10::SymInt> sizes) {
  constexpr const char* kOp = "prepacked_graded_spikes";
  TORCH_CHECK(part.scalar_type() == type, kOp, ": ", name, " must be ", type, " as prepack made it, got ",
              part.scalar_type());
  TORCH_CHECK(part.device() == spikes.device(), kOp, ": ", name, " must be on the device of spikes, ", spikes.device(),
              ", got ", part.device());
  TORCH_CHECK(part.dim() == static_cast<std::int64_t>(sizes.size()), kOp, ": ", name, " must have ", sizes.size(),
              " dimensions as prepack made it, got ", part.dim());
  std::int64_t d = 0;
  for (const c10::SymInt& size : sizes) {
    TORCH_SYM_CHECK(part.sym_size(d).sym_eq(size), kOp, ": ", name, " must have size ", size, " in dimension ", d,
                    ", got ", part.sym_size(d));
    ++d;
  }
}

inline PrepackedPlan plan_prepacked_graded_spikes(const at::Tensor& spikes, const at::Tensor& rows,
                                                  const at::Tensor& groups, const at::Tensor& matrix,
                                                  const at::Tensor& nan_posts, std::int64_t out_features, double scale,
                                                  double min_weight, double max_weight, std::string_view units) {
  constexpr const char* kOp = "prepacked_graded_spikes";
  check_spike_type(kOp, spikes);
  TORCH_CHECK(spikes.dim() >= 1, kOp, ": spikes must have at least 1 dimension [..., in_features], got 0");
  TORCH_CHECK(out_features >= 0, kOp, ": out_features must be at least 0, got ", out_features);
  PrepackedPlan plan;
  plan.transform = check_integer_transform(kOp, scale, min_weight, max_weight, math::Rounding::kHalfEven);
  plan.model_units = parse_units(kOp, units);
  plan.integer_type = fits_int8(plan.transform) ? at::kChar : at::kShort;
  plan.result_type = arithmetic_type(spikes.scalar_type());
  const c10::SymInt in_features = spikes.sym_size(-1);
  const c10::SymInt padded = kernels::packed_posts(out_features);
  const bool bytes = plan.integer_type == at::kChar;
  check_packed_part("rows", rows, plan.integer_type, spikes, {in_features, padded});
  check_packed_part("groups", groups, at::kChar, spikes, {bytes ? (in_features + 3) / 4 : c10::SymInt(0), padded, 4});
  check_packed_part("matrix", matrix, plan.integer_type, spikes,
                    {c10::SymInt(out_features), (in_features + 63) / 64 * 64});
  check_packed_part("nan_posts", nan_posts, at::kBool, spikes, {c10::SymInt(out_features)});
  return plan;
}

/// Contiguous and aligned to 16 bytes, which a view of other memory need not be.
inline at::Tensor aligned(const at::Tensor& tensor) {
  const at::Tensor contiguous = tensor.contiguous();
  return reinterpret_cast<std::uintptr_t>(contiguous.const_data_ptr()) % 16 == 0 ? contiguous : contiguous.clone();
}

template <class Exec>
at::Tensor prepacked_graded_spikes_impl(const at::Tensor& spikes, const at::Tensor& rows, const at::Tensor& groups,
                                        const at::Tensor& matrix, const at::Tensor& nan_posts,
                                        std::int64_t out_features, double scale, double min_weight, double max_weight,
                                        std::string_view units, std::string_view projection) {
  (void)projection;  // names the projection for readers of the graph; no part of the arithmetic
  const PrepackedPlan plan = plan_prepacked_graded_spikes(spikes, rows, groups, matrix, nan_posts, out_features, scale,
                                                          min_weight, max_weight, units);
  const Scope<Exec> scope(spikes);
  const at::Tensor counts = spike_rows(spikes);
  const at::Tensor parts[4] = {aligned(rows), aligned(groups), aligned(matrix), nan_posts.contiguous()};
  std::vector<std::int64_t> sizes = spikes.sizes().vec();
  sizes.back() = out_features;
  at::Tensor out = empty_result(sizes, spikes.options().dtype(plan.result_type));
  const std::int64_t in_features = counts.size(1);
  const bool wide = needs_wide_sums(plan.transform, in_features);
  dispatch_spikes(counts, [&](const auto* data) {
    using S = std::remove_const_t<std::remove_pointer_t<decltype(data)>>;
    dispatch_real(plan.result_type, [&](auto real) {
      using T = decltype(real);
      const auto call = [&](auto integer) {
        using Q = decltype(integer);
        const Q* groups_data = nullptr;
        if constexpr (std::is_same_v<Q, std::int8_t>) {
          groups_data = parts[1].const_data_ptr<Q>();
        }
        const kernels::PackedWeightsView<Q> view{
            parts[0].const_data_ptr<Q>(), groups_data, parts[2].const_data_ptr<Q>(), parts[3].const_data_ptr<bool>(),
            static_cast<std::int64_t>(std::max(-plan.transform.min_weight, plan.transform.max_weight))};
        kernels::prepacked_graded_spikes(scope.exec(), kernels::PrepackedGradedSpikesArgs<S, Q, T>{
                                                           data, view, out.mutable_data_ptr<T>(), counts.size(0),
                                                           in_features, out_features, plan.factor(), wide});
      };
      plan.integer_type == at::kChar ? call(std::int8_t{}) : call(std::int16_t{});
    });
  });
  return out;
}

}  // namespace gradspike::ops
