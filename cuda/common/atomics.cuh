// Integer atomics. There are none on floats: their order, and so the rounded sum, would change from run to run.
#pragma once

#include <cstdint>

namespace gradspike::device {
inline namespace GRADSPIKE_CUDA_BUILD {

/// *target += value modulo 2^64; signed values are added as their two's complement.
__device__ __forceinline__ void atomic_add(std::uint64_t* target, std::uint64_t value) {
#if defined(__CUDACC__)
  atomicAdd(reinterpret_cast<unsigned long long*>(target), static_cast<unsigned long long>(value));
#else
  __atomic_fetch_add(target, value, __ATOMIC_RELAXED);
#endif
}

/// *target += value modulo 2^32.
__device__ __forceinline__ void atomic_add(std::uint32_t* target, std::uint32_t value) {
#if defined(__CUDACC__)
  atomicAdd(reinterpret_cast<unsigned int*>(target), static_cast<unsigned int>(value));
#else
  __atomic_fetch_add(target, value, __ATOMIC_RELAXED);
#endif
}

/// *target = max(*target, value)
__device__ __forceinline__ void atomic_max(std::uint64_t* target, std::uint64_t value) {
#if defined(__CUDACC__)
  atomicMax(reinterpret_cast<unsigned long long*>(target), static_cast<unsigned long long>(value));
#else
  std::uint64_t seen = __atomic_load_n(target, __ATOMIC_RELAXED);
  while (seen < value && !__atomic_compare_exchange_n(target, &seen, value, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
  }
#endif
}

}  // namespace GRADSPIKE_CUDA_BUILD
}  // namespace gradspike::device
