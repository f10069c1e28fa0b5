// Dot products of four bytes in one word.
#pragma once

#include <cstdint>

namespace gradspike::device {
inline namespace GRADSPIKE_CUDA_BUILD {

/// sum + a0 b0 + a1 b1 + a2 b2 + a3 b3 of four signed bytes each, lowest byte first; modulo 2^32.
__device__ __forceinline__ std::int32_t dot_bytes(std::int32_t a, std::int32_t b, std::int32_t sum) {
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

}  // namespace GRADSPIKE_CUDA_BUILD
}  // namespace gradspike::device
