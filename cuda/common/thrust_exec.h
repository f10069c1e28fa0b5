// The only way to Thrust: its device-wide algorithms on our stream and in our scratch memory, without synchronisation.
#pragma once

#if !defined(__CUDACC__) && !defined(THRUST_DEVICE_SYSTEM)
#error "the host build defines THRUST_DEVICE_SYSTEM=THRUST_DEVICE_SYSTEM_CPP, so that no CUDA backend is looked for"
#endif

#include <cstddef>

#if defined(__CUDACC__)
#include <thrust/system/cuda/execution_policy.h>
#else
#include <thrust/system/cpp/execution_policy.h>
#endif

#include "csrc/core/execution.h"
#include "cuda/common/device.cuh"

namespace gradspike::device {
inline namespace GRADSPIKE_CUDA_BUILD {

/// Thrust's scratch memory comes from the workspace, which frees it after the stream has passed the call.
class ThrustAllocator {
 public:
  using value_type = char;

  explicit ThrustAllocator(Workspace* workspace) : workspace_(workspace) {}
  char* allocate(std::ptrdiff_t bytes) {
    return static_cast<char*>(workspace_->allocate(static_cast<std::size_t>(bytes)));
  }
  void deallocate(char*, std::size_t) {}

 private:
  Workspace* workspace_;
};

/// The policy for one algorithm call; `allocator` must outlive it. Algorithms that return a number to the host
/// (reduce, count, the end of copy_if) would synchronise: use their forms that write to memory.
inline auto thrust_policy(ThrustAllocator& allocator, const CudaExec& exec) {
#if defined(__CUDACC__)
  return thrust::cuda::par_nosync(allocator).on(exec.stream);
#else
  static_cast<void>(exec);
  return thrust::cpp::par(allocator);
#endif
}

}  // namespace GRADSPIKE_CUDA_BUILD
}  // namespace gradspike::device
