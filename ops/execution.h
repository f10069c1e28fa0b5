// Binds kernels to PyTorch's threads and memory. The CUDA counterpart is ops/cuda/execution.h.
#pragma once

#include <optional>

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <sys/mman.h>

#include "csrc/core/execution.h"

namespace gradspike::ops {

/// Device, threads, stream and scratch memory of one operator call; specialised per execution.
template <class Exec>
class Scope;

template <>
class Scope<CpuExec> {
 public:
  explicit Scope(const at::Tensor&) {
    exec_.num_threads = at::get_num_threads();
    exec_.parallel_for = [](std::int64_t count, std::int64_t grain, void* context, CpuExec::Body body) {
      at::parallel_for(0, count, grain, [=](std::int64_t begin, std::int64_t end) { body(context, begin, end); });
    };
  }
  const CpuExec& exec() const { return exec_; }

 private:
  CpuExec exec_;
};

/// Uninitialised contiguous result. Large ones on the CPU ask for huge pages, since the first touch of fresh 4 kB pages
/// costs more than writing them.
inline at::Tensor empty_result(at::IntArrayRef sizes, const at::TensorOptions& options) {
  constexpr std::size_t kHugePage = std::size_t{1} << 21;
  at::Tensor result = at::empty(sizes, options);
#if defined(MADV_HUGEPAGE)
  if (result.is_cpu() && result.nbytes() >= 2 * kHugePage) {
    const auto begin = (reinterpret_cast<std::uintptr_t>(result.data_ptr()) + kHugePage - 1) / kHugePage * kHugePage;
    const auto end = (reinterpret_cast<std::uintptr_t>(result.data_ptr()) + result.nbytes()) / kHugePage * kHugePage;
    if (end > begin) {
      (void)madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);  // a hint: failure changes nothing
    }
  }
#endif
  return result;
}

/// The arithmetic of a tensor: float64 stays, everything else becomes float32.
inline at::ScalarType arithmetic_type(at::ScalarType type) { return type == at::kDouble ? at::kDouble : at::kFloat; }

/// Calls f(T{}) with T = double or float.
template <class F>
void dispatch_real(at::ScalarType type, F&& f) {
  if (type == at::kDouble) {
    f(double{});
  } else {
    f(float{});
  }
}

/// Whether an optional argument holds a tensor; undefined ones, as saved variables come back, are absent.
inline bool is_given(const std::optional<at::Tensor>& tensor) { return tensor.has_value() && tensor->defined(); }

/// The data pointer, or null for an undefined or absent tensor.
template <class T>
const T* data_or_null(const at::Tensor& tensor) {
  return tensor.defined() ? tensor.const_data_ptr<T>() : nullptr;
}
template <class T>
T* mutable_or_null(const at::Tensor& tensor) {
  return tensor.defined() && tensor.numel() > 0 ? tensor.mutable_data_ptr<T>() : nullptr;
}

}  // namespace gradspike::ops
