// Bit patterns of numbers.
#pragma once

#include <cstdint>
#include <cstring>

namespace gradspike::device {
inline namespace GRADSPIKE_CUDA_BUILD {

/// The NaN that marks an undefined output; the same bits as std::numeric_limits<T>::quiet_NaN() on the host.
template <class T>
__device__ __forceinline__ T quiet_nan();
template <>
__device__ __forceinline__ float quiet_nan<float>() {
  const std::uint32_t bits = 0x7FC00000U;
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}
template <>
__device__ __forceinline__ double quiet_nan<double>() {
  const std::uint64_t bits = 0x7FF8000000000000ULL;
  double x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

/// The bits of a double. For values >= 0 they are ordered as the values are, so an integer maximum is the maximum.
__device__ __forceinline__ std::uint64_t double_bits(double x) {
  std::uint64_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}
__device__ __forceinline__ double double_from_bits(std::uint64_t bits) {
  double x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

}  // namespace GRADSPIKE_CUDA_BUILD
}  // namespace gradspike::device
