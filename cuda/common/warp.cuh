// Reductions over the 32 lanes of a warp; every lane takes part, and lane 0 holds the result.
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

}  // namespace GRADSPIKE_CUDA_BUILD
}  // namespace gradspike::device
