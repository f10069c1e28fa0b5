// Halves, two in a word, as the operands of tensor cores.
#pragma once

#include <cuda_fp16.h>

#include <cstdint>
#include <cstring>

namespace gradspike::device {
inline namespace GRADSPIKE_CUDA_BUILD {

/// Rounded to nearest even; `low` is in the low 16 bits.
__device__ __forceinline__ std::uint32_t pack_halves(float low, float high) {
  const __half2 halves = __floats2half2_rn(low, high);
  std::uint32_t word;
  memcpy(&word, &halves, sizeof word);
  return word;
}

__device__ __forceinline__ float low_half(std::uint32_t word) {
  return __half2float(__ushort_as_half(static_cast<unsigned short>(word & 0xFFFFU)));
}
__device__ __forceinline__ float high_half(std::uint32_t word) { return low_half(word >> 16); }

}  // namespace GRADSPIKE_CUDA_BUILD
}  // namespace gradspike::device
