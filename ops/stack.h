// Stacks of weights for operators that hold a state or more than one result: where the weight has leading dimensions
// [*V] beyond its own, so has every other tensor, parameters too, and the operator makes as many calls in one, each
// with the bits of a call of its own. torch.vmap makes such calls of the parts that start with an underscore. An empty
// tensor [0] stands for nothing (integers of rounding="none", traces that are not asked for) and stays as it is.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include <array>
#include <optional>
#include <tuple>
#include <utility>
#include <vector>

#include "ops/execution.h"

namespace gradspike::ops {

/// The leading dimensions, and what they mean for arguments and results of one entry.
class WeightStack {
 public:
  WeightStack(const at::Tensor& weight, std::int64_t weight_dims)
      : sizes_(weight.sym_sizes().begin(), weight.sym_sizes().end() - weight_dims) {}

  std::int64_t count() const {
    std::int64_t product = 1;
    for (const c10::SymInt& size : sizes_) {
      product *= size.expect_int();
    }
    return product;
  }

  static bool is_nothing(const at::Tensor& tensor) {
    return !tensor.defined() || (tensor.dim() == 1 && tensor.sym_size(0) == 0);
  }

  /// Numbers and texts are the same for all entries.
  template <class A>
  const A& entry(const A& argument, std::int64_t k) const {
    (void)k;
    return argument;
  }

  /// Entry k: a view, also of an expanded tensor.
  at::Tensor entry(at::Tensor tensor, std::int64_t k) const {
    if (is_nothing(tensor)) {
      return tensor;
    }
    check(tensor);
    std::int64_t stride = k == 0 ? 0 : count();
    for (const c10::SymInt& size : sizes_) {
      std::int64_t index = 0;
      if (k > 0) {
        stride /= size.expect_int();
        index = k / stride;
        k %= stride;
      }
      tensor = tensor.select(0, index);
    }
    return tensor;
  }
  std::optional<at::Tensor> entry(const std::optional<at::Tensor>& tensor, std::int64_t k) const {
    return tensor.has_value() ? std::optional<at::Tensor>(entry(*tensor, k)) : std::nullopt;
  }

  /// Memory for the results of all entries, of which `result` is one.
  template <bool kMeta>
  at::Tensor results(const at::Tensor& result) const {
    if (is_nothing(result)) {
      return result;
    }
    std::vector<c10::SymInt> sizes = sizes_;
    sizes.insert(sizes.end(), result.sym_sizes().begin(), result.sym_sizes().end());
    if (is_one_number(result)) {
      return result.as_strided_symint({}, {}).expand_symint(sizes);
    }
    if constexpr (kMeta) {
      return at::empty_symint(sizes, result.options());
    } else {
      return empty_result(C10_AS_INTARRAYREF_SLOW(sizes), result.options());
    }
  }

  void store(const at::Tensor& results, const at::Tensor& result, std::int64_t k) const {
    if (!is_nothing(result) && !is_one_number(result)) {
      entry(results, k).copy_(result);
    }
  }

 private:
  /// One number in memory, as the adjoint channel of EventProp.
  static bool is_one_number(const at::Tensor& tensor) {
    for (const c10::SymInt& stride : tensor.sym_strides()) {
      if (stride != 0) {
        return false;
      }
    }
    return tensor.dim() > 0;
  }

  void check(const at::Tensor& tensor) const {
    TORCH_CHECK(tensor.dim() >= static_cast<std::int64_t>(sizes_.size()),
                "every tensor must have the leading dimensions of the stack of weights, ", c10::SymIntArrayRef(sizes_),
                ", got ", tensor.sym_sizes());
    for (std::size_t d = 0; d < sizes_.size(); ++d) {
      TORCH_SYM_CHECK(tensor.sym_size(static_cast<std::int64_t>(d)).sym_eq(sizes_[d]),
                      "every tensor must have the leading dimensions of the stack of weights, ",
                      c10::SymIntArrayRef(sizes_), ", got ", tensor.sym_sizes());
    }
  }

  std::vector<c10::SymInt> sizes_;
};

/// `kFunction`, whose argument at `kWeight` is a weight of `kDims` dimensions, for stacks too. A Meta kernel makes one
/// call for all entries.
template <auto kFunction, std::size_t kWeight, std::int64_t kDims, bool kMeta, class Signature = decltype(kFunction)>
struct Stacked;

template <auto kFunction, std::size_t kWeight, std::int64_t kDims, bool kMeta, class Result, class... Args>
struct Stacked<kFunction, kWeight, kDims, kMeta, Result (*)(Args...)> {
  static Result call(Args... args) {
    const at::Tensor& weight = std::get<kWeight>(std::forward_as_tuple(args...));
    if (weight.dim() <= kDims) {
      return kFunction(args...);
    }
    const WeightStack stack(weight, kDims);
    for (std::int64_t d = 0; d < weight.dim() - kDims; ++d) {
      TORCH_SYM_CHECK(weight.sym_size(d).sym_gt(0), "a stack of weights must not be empty, got ", weight.sym_sizes());
    }
    Result results = kFunction(stack.entry(args, 0)...);
    Result all = std::apply([&](const auto&... r) { return Result(stack.template results<kMeta>(r)...); }, results);
    if constexpr (!kMeta) {
      const std::int64_t count = stack.count();
      store(stack, all, results, 0, std::make_index_sequence<std::tuple_size_v<Result>>());
      for (std::int64_t k = 1; k < count; ++k) {
        results = kFunction(stack.entry(args, k)...);
        store(stack, all, results, k, std::make_index_sequence<std::tuple_size_v<Result>>());
      }
    }
    return all;
  }

 private:
  template <std::size_t... kIndex>
  static void store(const WeightStack& stack, const Result& all, const Result& results, std::int64_t k,
                    std::index_sequence<kIndex...>) {
    (stack.store(std::get<kIndex>(all), std::get<kIndex>(results), k), ...);
  }
};

template <auto kFunction, std::size_t kWeight, std::int64_t kDims = 2>
constexpr auto stacked = &Stacked<kFunction, kWeight, kDims, false>::call;
template <auto kFunction, std::size_t kWeight, std::int64_t kDims = 2>
constexpr auto stacked_meta = &Stacked<kFunction, kWeight, kDims, true>::call;

}  // namespace gradspike::ops
