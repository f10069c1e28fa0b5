// Indices of the non-zero entries of a row, per instruction set. Spikes are sparse, so whole chunks are skipped.
#pragma once

#include "csrc/cpu/isa_local.h"
#include "csrc/math/packed.h"

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

/// The same; `ones` says whether every spike is 1.
template <class S>
inline std::int64_t find_spikes(const S* spikes, std::int64_t count, std::int32_t* index, bool& ones) {
  const std::int64_t found = find_spikes(spikes, count, index);
  ones = true;
  for (std::int64_t k = 0; k < found; ++k) {
    ones = ones && spikes[index[k]] == S{1};
  }
  return found;
}

/// The same for a row of bits (csrc/math/packed.h).
inline std::int64_t find_bits(const std::uint8_t* bits, std::int64_t count, std::int32_t* index) {
  const std::int64_t bytes = math::packed_bytes(count);
  std::int64_t found = 0;
  for (std::int64_t byte = 0; byte < bytes; byte += 8) {
    std::uint64_t word = 0;
    for (std::int64_t j = 0; j < smaller(8, bytes - byte); ++j) {
      word |= static_cast<std::uint64_t>(bits[byte + j]) << (8 * j);
    }
    for (; word != 0; word &= word - 1) {
      const std::int64_t k = byte * 8 + __builtin_ctzll(word);
      if (k >= count) {
        break;  // padding, which may hold anything
      }
      index[found++] = static_cast<std::int32_t>(k);
    }
  }
  return found;
}

#if defined(__AVX512F__)
/// Without a branch: at a few per cent of spikes, whether 16 entries hold any cannot be predicted.
inline std::int64_t find_spikes(const float* spikes, std::int64_t count, std::int32_t* index, bool& ones) {
  const __m512i lanes = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
  const __m512 one = _mm512_set1_ps(1.0F);
  std::int64_t found = 0;
  unsigned others = 0;
  const auto take = [&](std::int64_t k, __m512 x) {
    const __mmask16 mask = _mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_NEQ_UQ);
    others |= static_cast<unsigned>(mask ^ _mm512_cmp_ps_mask(x, one, _CMP_EQ_OQ));
    const __m512i at = _mm512_add_epi32(lanes, _mm512_set1_epi32(static_cast<std::int32_t>(k)));
    _mm512_storeu_si512(index + found, _mm512_maskz_compress_epi32(mask, at));
    found += __builtin_popcount(mask);
  };
  std::int64_t k = 0;
  for (; k + 16 <= count; k += 16) {
    take(k, _mm512_loadu_ps(spikes + k));
  }
  if (k < count) {
    take(k, _mm512_maskz_loadu_ps(static_cast<__mmask16>((1U << (count - k)) - 1U), spikes + k));
  }
  ones = others == 0;
  return found;
}

inline std::int64_t find_spikes(const float* spikes, std::int64_t count, std::int32_t* index) {
  bool ones;
  return find_spikes(spikes, count, index, ones);
}
#endif

}  // namespace gradspike::kernels::GRADSPIKE_CPU_ISA
