// The one header that every .cu file includes.
//
// The .cu files are compiled twice: by nvcc for the GPU, and by g++ against the executor of tests/cuda_host, which runs
// the threads of a block one after another on the CPU. What the two compilers do not share is behind the names of this
// folder; kernels use plain CUDA names for the rest (threadIdx, __syncthreads, __shfl_down_sync), which the executor
// declares. Kernels never test __CUDA_ARCH__, which the host build does not have.
//
// Names. The launchers (gradspike::kernels::lif_forward<T>(const CudaExec&, ...) and so on) have the plain names that
// csrc/kernels declares in both builds: a binary links either libgradspike_cuda.so or the executor's library, never
// both, and a call must not know which one it gets. Everything inline in cuda/common lies in an inline namespace named
// after the build, so that no helper of one build can stand in for the other's where both are in one process.
#pragma once

#if defined(__CUDACC__)

#include <cuda_runtime.h>

#define GRADSPIKE_CUDA_BUILD nvcc_build

/// A static array in shared memory: GRADSPIKE_SHARED(float, tile, [32][33]). At the top of a kernel, for all threads.
#define GRADSPIKE_SHARED(type, name, dims) __shared__ type name dims

/// The launch's dynamic shared memory as an array of `type`. At the top of a kernel, for all threads.
#define GRADSPIKE_DYNAMIC_SHARED(type, name)                                       \
  extern __shared__ __align__(16) unsigned char gradspike_dynamic_shared_memory[]; \
  type* const name = reinterpret_cast<type*>(gradspike_dynamic_shared_memory)

#else

#include "executor/shim.h"

#define GRADSPIKE_CUDA_BUILD host_build

#endif

#include <cstdint>

#include "cuda/common/async_copy.cuh"
#include "cuda/common/atomics.cuh"
#include "cuda/common/half.cuh"
#include "cuda/common/integer.cuh"
#include "cuda/common/launch.cuh"
#include "cuda/common/memory.cuh"
#include "cuda/common/mma.cuh"
#include "cuda/common/warp.cuh"
#include "cuda/common/wide.cuh"

namespace gradspike::device {
inline namespace GRADSPIKE_CUDA_BUILD {

/// Index of this thread among all threads of a one-dimensional launch.
__device__ __forceinline__ std::int64_t global_thread() {
  return static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}

/// Number of threads of a one-dimensional launch.
__device__ __forceinline__ std::int64_t num_global_threads() {
  return static_cast<std::int64_t>(gridDim.x) * blockDim.x;
}

}  // namespace GRADSPIKE_CUDA_BUILD
}  // namespace gradspike::device
