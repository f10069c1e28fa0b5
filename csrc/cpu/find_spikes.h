// Indices of the non-zero entries of a row, per instruction set. Spikes are sparse, so whole chunks are skipped.
#pragma once

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

#include "csrc/cpu/isa_local.h"

namespace gradspike::kernels::GRADSPIKE_CPU_ISA {

/// find_spikes may write this many entries beyond those that it counts.
constexpr std::int64_t kFindSlack = 16;

/// The entries [begin, end) of a row, without a branch per entry.
template <class S>
inline std::int64_t find_spikes_one_by_one(const S* spikes, std::int64_t begin, std::int64_t end, std::int32_t* index,
                                           std::int64_t found) {
  for (std::int64_t k = begin; k < end; ++k) {
    index[found] = static_cast<std::int32_t>(k);
    found += spikes[k] != S{0} ? 1 : 0;
  }
  return found;
}

/// Writes the indices of the non-zero entries in ascending order and returns their number. `index` has room for
/// `count` + kFindSlack entries.
template <class S>
inline std::int64_t find_spikes(const S* spikes, std::int64_t count, std::int32_t* index) {
  constexpr std::int64_t kChunk = 64 / static_cast<std::int64_t>(sizeof(S));
  std::int64_t found = 0;
  std::int64_t k = 0;
  for (; k + kChunk <= count; k += kChunk) {
    std::uint64_t words[8];
    std::memcpy(words, spikes + k, sizeof words);
    const std::uint64_t any =
        ((words[0] | words[1]) | (words[2] | words[3])) | ((words[4] | words[5]) | (words[6] | words[7]));
    if (any != 0) {  // also for -0, which is sorted out one by one
      found = find_spikes_one_by_one(spikes, k, k + kChunk, index, found);
    }
  }
  return find_spikes_one_by_one(spikes, k, count, index, found);
}

#if defined(__AVX512F__)
inline std::int64_t find_spikes(const float* spikes, std::int64_t count, std::int32_t* index) {
  constexpr std::int64_t kAhead = 1024;
  const __m512i lanes = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
  std::int64_t found = 0;
  std::int64_t k = 0;
  for (; k + 16 <= count; k += 16) {
    __builtin_prefetch(spikes + k + kAhead);  // mostly of the next row; beyond the end it does nothing
    const __mmask16 mask = _mm512_cmp_ps_mask(_mm512_loadu_ps(spikes + k), _mm512_setzero_ps(), _CMP_NEQ_UQ);
    // Without a branch on an empty mask: at some percent of spikes it would be mispredicted again and again.
    const __m512i at = _mm512_add_epi32(lanes, _mm512_set1_epi32(static_cast<std::int32_t>(k)));
    _mm512_storeu_si512(index + found, _mm512_maskz_compress_epi32(mask, at));
    found += __builtin_popcount(mask);
  }
  return find_spikes_one_by_one(spikes, k, count, index, found);
}
#endif

}  // namespace gradspike::kernels::GRADSPIKE_CPU_ISA
