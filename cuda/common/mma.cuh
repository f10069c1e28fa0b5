// Matrix products of one warp on tensor cores: sums += left * right, 16 x 8 sums. All 32 lanes take part.
//
// mma_layout.h says which elements the registers hold. Integer sums are exact modulo 2^32. Products of halves are
// exact; how they are summed in float is not published, but it is neither rounding to nearest nor an order. The
// executor adds eight products and the sum in double and truncates, close to published models of Ampere (arXiv
// 2511.10909, 2512.07004): the two builds agree within a tolerance, and each gives the same bits in every run.
#pragma once

#include <cstdint>

#include "cuda/common/mma_layout.h"

namespace gradspike::device {
inline namespace GRADSPIKE_CUDA_BUILD {

#if defined(__CUDACC__)

namespace detail {

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
// Turing has the products of half the inner dimension or a quarter of the elements; the registers are the same.
template <bool kUnsignedRight>
__device__ __forceinline__ void mma_m8n8k16(std::int32_t& sum0, std::int32_t& sum1, std::uint32_t left,
                                            std::uint32_t right) {
  if constexpr (kUnsignedRight) {
    asm volatile("mma.sync.aligned.m8n8k16.row.col.s32.s8.u8.s32 {%0, %1}, {%2}, {%3}, {%0, %1};"
                 : "+r"(sum0), "+r"(sum1)
                 : "r"(left), "r"(right));
  } else {
    asm volatile("mma.sync.aligned.m8n8k16.row.col.s32.s8.s8.s32 {%0, %1}, {%2}, {%3}, {%0, %1};"
                 : "+r"(sum0), "+r"(sum1)
                 : "r"(left), "r"(right));
  }
}
__device__ __forceinline__ void mma_m16n8k8(float (&sums)[4], std::uint32_t left0, std::uint32_t left1,
                                            std::uint32_t right) {
  asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
               : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
               : "r"(left0), "r"(left1), "r"(right));
}
#endif

}  // namespace detail

/// m16n8k32, signed bytes times signed bytes (kUnsignedRight: times unsigned bytes).
template <bool kUnsignedRight>
__device__ __forceinline__ void mma_bytes(std::int32_t (&sums)[4], const std::uint32_t (&left)[4],
                                          const std::uint32_t (&right)[2]) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
  detail::mma_m8n8k16<kUnsignedRight>(sums[0], sums[1], left[0], right[0]);
  detail::mma_m8n8k16<kUnsignedRight>(sums[2], sums[3], left[1], right[0]);
  detail::mma_m8n8k16<kUnsignedRight>(sums[0], sums[1], left[2], right[1]);
  detail::mma_m8n8k16<kUnsignedRight>(sums[2], sums[3], left[3], right[1]);
#else
  if constexpr (kUnsignedRight) {
    asm volatile(
        "mma.sync.aligned.m16n8k32.row.col.s32.s8.u8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+r"(sums[0]), "+r"(sums[1]), "+r"(sums[2]), "+r"(sums[3])
        : "r"(left[0]), "r"(left[1]), "r"(left[2]), "r"(left[3]), "r"(right[0]), "r"(right[1]));
  } else {
    asm volatile(
        "mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+r"(sums[0]), "+r"(sums[1]), "+r"(sums[2]), "+r"(sums[3])
        : "r"(left[0]), "r"(left[1]), "r"(left[2]), "r"(left[3]), "r"(right[0]), "r"(right[1]));
  }
#endif
}

/// m16n8k16, halves, sums in float.
__device__ __forceinline__ void mma_halves(float (&sums)[4], const std::uint32_t (&left)[4],
                                           const std::uint32_t (&right)[2]) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
  detail::mma_m16n8k8(sums, left[0], left[1], right[0]);
  detail::mma_m16n8k8(sums, left[2], left[3], right[1]);
#else
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
      : "r"(left[0]), "r"(left[1]), "r"(left[2]), "r"(left[3]), "r"(right[0]), "r"(right[1]));
#endif
}

#else

// The lines of the kernel, not of this header, so that lanes in different products are told apart.

template <bool kUnsignedRight>
void mma_bytes(std::int32_t (&sums)[4], const std::uint32_t (&left)[4], const std::uint32_t (&right)[2],
               const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  ::executor::warp_product(kUnsignedRight ? ::executor::Product::kSignedUnsigned : ::executor::Product::kSigned, sums,
                           left, right, {file, line});
}

inline void mma_halves(float (&sums)[4], const std::uint32_t (&left)[4], const std::uint32_t (&right)[2],
                       const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  ::executor::warp_product(::executor::Product::kHalf, sums, left, right, {file, line});
}

#endif

}  // namespace GRADSPIKE_CUDA_BUILD
}  // namespace gradspike::device
