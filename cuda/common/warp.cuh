// Reductions over the 32 lanes of a warp (every lane takes part, and lane 0 holds the result), and lane masks.
#pragma once

#include <cstdint>

namespace gradspike::device {
inline namespace GRADSPIKE_CUDA_BUILD {

constexpr std::int32_t kWarpSize = 32;
constexpr unsigned kFullMask = 0xFFFFFFFFU;

__device__ __forceinline__ std::uint64_t warp_sum(std::uint64_t value) {
#pragma unroll
  for (int offset = kWarpSize / 2; offset > 0; offset /= 2) {
    value += __shfl_down_sync(kFullMask, value, offset);
  }
  return value;
}

__device__ __forceinline__ std::uint64_t warp_max(std::uint64_t value) {
#pragma unroll
  for (int offset = kWarpSize / 2; offset > 0; offset /= 2) {
    const std::uint64_t other = __shfl_down_sync(kFullMask, value, offset);
    value = other > value ? other : value;
  }
  return value;
}

/// The lowest lane of a mask that is not 0.
__device__ __forceinline__ std::int32_t first_lane(unsigned mask) {
#if defined(__CUDACC__)
  return __ffs(static_cast<int>(mask)) - 1;
#else
  return __builtin_ctz(mask);
#endif
}

}  // namespace GRADSPIKE_CUDA_BUILD
}  // namespace gradspike::device
