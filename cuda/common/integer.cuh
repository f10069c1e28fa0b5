// Integer dot products of packed operands, and bit patterns of numbers. All sums are modulo 2^32, as the instructions
// are.
#pragma once

#include <cstdint>
#include <cstring>

namespace gradspike::device {
inline namespace GRADSPIKE_CUDA_BUILD {

/// sum + a0 b0 + a1 b1 + a2 b2 + a3 b3 of four signed bytes each, lowest byte first.
__device__ __forceinline__ std::int32_t dp4a(std::int32_t a, std::int32_t b, std::int32_t sum) {
#if defined(__CUDACC__)
  return __dp4a(a, b, sum);
#else
  std::uint32_t total = static_cast<std::uint32_t>(sum);
  for (int i = 0; i < 4; ++i) {
    const std::int32_t product = static_cast<std::int8_t>(static_cast<std::uint32_t>(a) >> (8 * i)) *
                                 static_cast<std::int8_t>(static_cast<std::uint32_t>(b) >> (8 * i));
    total += static_cast<std::uint32_t>(product);
  }
  return static_cast<std::int32_t>(total);
#endif
}

/// sum + a0 b0 + a1 b1, where `a` holds two signed 16-bit numbers and b0, b1 are the signed bytes 0 and 1 of `b`, or
/// bytes 2 and 3 for kHigh.
template <bool kHigh>
__device__ __forceinline__ std::int32_t dp2a(std::int32_t a, std::int32_t b, std::int32_t sum) {
#if defined(__CUDACC__)
  return kHigh ? __dp2a_hi(a, b, sum) : __dp2a_lo(a, b, sum);
#else
  std::uint32_t total = static_cast<std::uint32_t>(sum);
  for (int i = 0; i < 2; ++i) {
    const std::int32_t product = static_cast<std::int16_t>(static_cast<std::uint32_t>(a) >> (16 * i)) *
                                 static_cast<std::int8_t>(static_cast<std::uint32_t>(b) >> (8 * (i + (kHigh ? 2 : 0))));
    total += static_cast<std::uint32_t>(product);
  }
  return static_cast<std::int32_t>(total);
#endif
}

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
