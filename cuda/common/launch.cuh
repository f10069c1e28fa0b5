// The only place that launches a kernel.
#pragma once

#include <cstddef>
#include <cstdint>

#include "csrc/core/error.h"
#include "csrc/core/execution.h"
#if defined(__CUDACC__)
#include "cuda/common/cuda_check.h"
#endif

namespace gradspike::device {
inline namespace GRADSPIKE_CUDA_BUILD {

/// A one-dimensional launch. Kernels over tiles take their coordinates from the block index by division, since the
/// other two dimensions of a grid end at 65535.
struct LaunchShape {
  std::int64_t blocks;
  std::int32_t threads;
  std::size_t dynamic_shared_bytes = 0;
};

/// Limits that every supported architecture has; dynamic shared memory beyond 48 KiB would need an opt-in.
constexpr std::int64_t kMaxBlocks = 2147483647;
constexpr std::int32_t kMaxThreads = 1024;
constexpr std::size_t kMaxDynamicSharedBytes = 49152;

/// Number of groups of `size` that cover `count`.
__host__ __device__ __forceinline__ constexpr std::int64_t divide_up(std::int64_t count, std::int64_t size) {
  return count / size + (count % size != 0 ? 1 : 0);
}

/// Queues kernel(args...) on the stream of `exec`. Nothing is launched for zero blocks. Errors name the kernel.
template <class... Params, class... Args>
void launch(const char* name, void (*kernel)(Params...), const LaunchShape& shape, const CudaExec& exec,
            const Args&... args) {
  if (shape.blocks == 0) {
    return;
  }
  GRADSPIKE_CHECK(shape.blocks > 0 && shape.blocks <= kMaxBlocks, name, " has ", shape.blocks, " blocks");
  GRADSPIKE_CHECK(shape.threads > 0 && shape.threads <= kMaxThreads, name, " has ", shape.threads, " threads");
  GRADSPIKE_CHECK(shape.dynamic_shared_bytes <= kMaxDynamicSharedBytes, name, " asks for ", shape.dynamic_shared_bytes,
                  " bytes of shared memory");
#if defined(__CUDACC__)
  kernel<<<static_cast<unsigned>(shape.blocks), static_cast<unsigned>(shape.threads), shape.dynamic_shared_bytes,
           exec.stream>>>(static_cast<Params>(args)...);
  const cudaError_t status = cudaGetLastError();
  GRADSPIKE_CHECK(status == cudaSuccess, "launch of ", name, " failed with ", cudaGetErrorName(status), " (",
                  cudaGetErrorString(status), ")");
#else
  static_cast<void>(exec);
  executor::launch(name, {static_cast<unsigned>(shape.blocks), 1, 1}, {static_cast<unsigned>(shape.threads), 1, 1},
                   shape.dynamic_shared_bytes, [&] { kernel(static_cast<Params>(args)...); });
#endif
}

}  // namespace GRADSPIKE_CUDA_BUILD
}  // namespace gradspike::device
