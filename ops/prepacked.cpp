#include "ops/prepacked.h"

#include <torch/library.h>

#include "ops/autograd.h"

namespace gradspike::ops {
namespace {

std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor> prepack_meta(const at::Tensor& weight, double scale,
                                                                        double min_weight, double max_weight,
                                                                        std::string_view rounding) {
  const WeightPlan plan = plan_prepack(weight, scale, min_weight, max_weight, rounding);
  const c10::SymInt out_features = weight.sym_size(0);
  const c10::SymInt in_features = weight.sym_size(1);
  const c10::SymInt padded = (out_features + 63) / 64 * 64;
  const bool bytes = plan.integer_type == at::kChar;
  const at::TensorOptions integers = weight.options().dtype(plan.integer_type);
  return {at::empty_symint({in_features, padded}, integers),
          at::empty_symint({bytes ? (in_features + 3) / 4 : c10::SymInt(0), padded, 4}, integers.dtype(at::kChar)),
          at::empty_symint({out_features, (in_features + 63) / 64 * 64}, integers),
          at::empty_symint({out_features}, integers.dtype(at::kBool))};
}

at::Tensor prepacked_graded_spikes_meta(const at::Tensor& spikes, const at::Tensor& rows, const at::Tensor& groups,
                                        const at::Tensor& matrix, const at::Tensor& nan_posts,
                                        std::int64_t out_features, double scale, double min_weight, double max_weight,
                                        std::string_view units, std::string_view projection) {
  (void)projection;
  const PrepackedPlan plan = plan_prepacked_graded_spikes(spikes, rows, groups, matrix, nan_posts, out_features, scale,
                                                          min_weight, max_weight, units);
  std::vector<c10::SymInt> sizes = spikes.sym_sizes().vec();
  sizes.back() = out_features;
  return at::empty_symint(sizes, spikes.options().dtype(plan.result_type));
}

/// For inference alone: a gradient that is asked for would silently be missing.
at::Tensor prepacked_graded_spikes_autograd(const at::Tensor& spikes, const at::Tensor& rows, const at::Tensor& groups,
                                            const at::Tensor& matrix, const at::Tensor& nan_posts,
                                            std::int64_t out_features, double scale, double min_weight,
                                            double max_weight, std::string_view units, std::string_view projection) {
  TORCH_CHECK(!needs_backward("prepacked_graded_spikes", {spikes}),
              "prepacked_graded_spikes: spikes must not require a gradient, since there is none: use graded_spikes, or "
              "torch.no_grad() for inference");
  static const auto op = typed<decltype(prepacked_graded_spikes_meta)>("gradspike::prepacked_graded_spikes");
  const at::AutoDispatchBelowADInplaceOrView guard;
  return op.call(spikes, rows, groups, matrix, nan_posts, out_features, scale, min_weight, max_weight, units,
                 projection);
}

}  // namespace

TORCH_LIBRARY_IMPL(gradspike, CPU, m) {
  m.impl("prepack", prepack_impl<CpuExec>);
  m.impl("prepacked_graded_spikes", prepacked_graded_spikes_impl<CpuExec>);
}

TORCH_LIBRARY_IMPL(gradspike, Meta, m) {
  m.impl("prepack", prepack_meta);
  m.impl("prepacked_graded_spikes", prepacked_graded_spikes_meta);
}

TORCH_LIBRARY_IMPL(gradspike, Autograd, m) {
  m.impl("prepack", torch::CppFunction::makeFallthrough());
  m.impl("prepacked_graded_spikes", prepacked_graded_spikes_autograd);
}

}  // namespace gradspike::ops
