// Memory operations queued on the stream.
#pragma once

#include <cstddef>
#include <cstring>

#include "csrc/core/execution.h"
#if defined(__CUDACC__)
#include "cuda/common/cuda_check.h"
#endif

namespace gradspike::device {
inline namespace GRADSPIKE_CUDA_BUILD {

/// Sets `bytes` bytes at `target` to zero.
inline void fill_zero(const CudaExec& exec, void* target, std::size_t bytes) {
  if (bytes == 0) {
    return;
  }
#if defined(__CUDACC__)
  GRADSPIKE_CUDA_TRY(cudaMemsetAsync(target, 0, bytes, exec.stream));
#else
  static_cast<void>(exec);
  std::memset(target, 0, bytes);
#endif
}

}  // namespace GRADSPIKE_CUDA_BUILD
}  // namespace gradspike::device
