// Packed weights and block sums of the event-driven product, per instruction set.
#pragma once

#include <limits>
#include <type_traits>

#include "csrc/cpu/find_spikes.h"
#include "csrc/kernels/graded_spikes.h"
#include "csrc/kernels/prepacked.h"

namespace gradspike::kernels::GRADSPIKE_CPU_ISA {

constexpr std::int64_t kPostBlock = kPackedPosts;  // outputs summed at once, in registers
constexpr std::int64_t kDenseFraction = 4;  // rows with more than one spike in four inputs take the dense product

/// Rows of a tile of the packed forms: one cache line of outputs by a few lines of inputs.
constexpr std::int64_t kPackPosts = 64;
constexpr std::int64_t kPackInputs = 64;

/// Copies a tile of weights to [pre][post] in `tile`, NaN as 0; notes the outputs with NaN and the largest magnitude.
template <class Q>
inline void read_tile(const Q* weights, std::int64_t in_features, std::int64_t posts, std::int64_t inputs, Q* tile,
                      bool* nan_posts, std::int32_t& largest) {
  for (std::int64_t j = 0; j < posts; ++j) {
    const Q* __restrict__ row = weights + j * in_features;
    Q stored[kPackInputs];
    std::int32_t nans = 0;
    std::int32_t most = largest;
    for (std::int64_t i = 0; i < inputs; ++i) {
      const bool is_nan = row[i] == math::nan_weight<Q>();
      const std::int32_t q = is_nan ? 0 : row[i];
      const std::int32_t magnitude = q < 0 ? -q : q;
      nans += is_nan ? 1 : 0;
      most = magnitude > most ? magnitude : most;
      stored[i] = static_cast<Q>(q);
    }
    for (std::int64_t i = 0; i < inputs; ++i) {
      tile[i * kPackPosts + j] = stored[i];
    }
    nan_posts[j] = nan_posts[j] || nans > 0;
    largest = most;
  }
}

template <class Q>
inline void interleave(const Q* __restrict__ a, const Q* __restrict__ b, const Q* __restrict__ c,
                       const Q* __restrict__ d, Q* __restrict__ to, std::int64_t count) {
  for (std::int64_t j = 0; j < count; ++j) {
    to[4 * j] = a[j];
    to[4 * j + 1] = b[j];
    to[4 * j + 2] = c[j];
    to[4 * j + 3] = d[j];
  }
}

/// Writes the packed forms of a matrix into zeroed memory; NaN weights become 0. `groups` may be null.
/// Returns the largest magnitude, at least 1. Tiles, since a column of the matrix touches a cache line per weight.
template <class Q>
inline std::int64_t pack_weights(const Q* weights, std::int64_t in_features, std::int64_t out_features, Q* rows,
                                 Q* groups, bool* nan_posts) {
  const std::int64_t padded = packed_posts(out_features);
  std::int32_t largest = 1;
  Buffer<Q> tile(kPackPosts * kPackInputs);
  const Buffer<Q> none(kPackPosts);  // zeros in the place of inputs beyond the last
  for (std::int64_t post = 0; post < out_features; ++post) {
    nan_posts[post] = false;
  }
  for (std::int64_t post = 0; post < out_features; post += kPackPosts) {
    const std::int64_t posts = smaller(kPackPosts, out_features - post);
    for (std::int64_t pre = 0; pre < in_features; pre += kPackInputs) {
      const std::int64_t inputs = smaller(kPackInputs, in_features - pre);
      read_tile(weights + post * in_features + pre, in_features, posts, inputs, tile.get(), nan_posts + post, largest);
      for (std::int64_t i = 0; i < inputs; ++i) {
        const Q* __restrict__ from = tile.get() + i * kPackPosts;
        std::memcpy(rows + (pre + i) * padded + post, from, static_cast<std::size_t>(posts) * sizeof(Q));
      }
      for (std::int64_t i = 0; groups != nullptr && i < inputs; i += 4) {
        Q* __restrict__ to = groups + ((pre + i) / 4 * padded + post) * 4;
        const Q* member[4];
        for (std::int64_t k = 0; k < 4; ++k) {
          member[k] = i + k < inputs ? tile.get() + (i + k) * kPackPosts : none.get();
        }
        interleave(member[0], member[1], member[2], member[3], to, posts);
      }
    }
  }
  return largest;
}

/// Weights as [pre][post], rows padded with zeros to a multiple of kPostBlock. For the dense product also as groups of
/// four inputs per output, the operand order of a dot product of bytes. NaN weights become 0 and are listed.
template <class Q>
class PackedWeights {
 public:
#if defined(__AVX512VNNI__)
  static constexpr bool kHasDense = std::is_same_v<Q, std::int8_t>;
#else
  static constexpr bool kHasDense = false;
#endif

  PackedWeights(const Q* weights, std::int64_t in_features, std::int64_t out_features)
      : padded(packed_posts(out_features)),
        dense_in(packed_groups(in_features) * 4),
        nan_posts(out_features),
        own_rows_(in_features * padded),
        own_dense_(kHasDense ? dense_in * padded : 0),
        rows_(own_rows_.get()),
        dense_(own_dense_.get()) {
    Buffer<bool> is_nan(out_features);
    largest = pack_weights(weights, in_features, out_features, own_rows_.get(), kHasDense ? own_dense_.get() : nullptr,
                           is_nan.get());
    list_nan(is_nan.get(), out_features);
  }

  /// Over weights that were packed before and that outlive this object; nothing is copied.
  PackedWeights(const PackedWeightsView<Q>& view, std::int64_t in_features, std::int64_t out_features)
      : padded(packed_posts(out_features)),
        dense_in(packed_groups(in_features) * 4),
        largest(larger(1, view.largest)),
        nan_posts(out_features),
        own_rows_(0),
        own_dense_(0),
        rows_(view.rows),
        dense_(view.groups) {
    list_nan(view.nan_posts, out_features);
  }

  const Q* row(std::int64_t pre) const { return rows_ + pre * padded; }

  /// sums[j] = sum over pre of bytes[pre] * weight[post + j][pre]; exact as long as 32 bits suffice.
  void dense_block(const std::uint8_t* bytes, std::int64_t post, std::int32_t* sums) const {
#if defined(__AVX512VNNI__)
    __m512i sum[4] = {_mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512()};
    for (std::int64_t group = 0; group < dense_in / 4; ++group) {
      std::int32_t four;
      std::memcpy(&four, bytes + group * 4, sizeof four);
      const __m512i spikes = _mm512_set1_epi32(four);
      const Q* weights = dense_ + (group * padded + post) * 4;
      for (int k = 0; k < 4; ++k) {
        sum[k] = _mm512_dpbusd_epi32(sum[k], spikes, _mm512_loadu_si512(weights + 64 * k));
      }
    }
    for (int k = 0; k < 4; ++k) {
      _mm512_storeu_si512(sums + 16 * k, sum[k]);
    }
#else
    (void)bytes;
    (void)post;
    (void)sums;
#endif
  }

  std::int64_t padded;
  std::int64_t dense_in;
  std::int64_t largest = 1;
  std::int64_t num_nan = 0;
  Buffer<std::int32_t> nan_posts;

 private:
  void list_nan(const bool* is_nan, std::int64_t out_features) {
    for (std::int64_t post = 0; post < out_features; ++post) {
      if (is_nan[post]) {
        nan_posts[num_nan++] = static_cast<std::int32_t>(post);
      }
    }
  }

  Buffer<Q> own_rows_;
  Buffer<Q> own_dense_;
  const Q* rows_;
  const Q* dense_;
};

using Bytes32 = std::int8_t __attribute__((vector_size(32)));
using Shorts32 = std::int16_t __attribute__((vector_size(64)));

/// 32 bytes as int16. GCC makes six instructions of the conversion of the vector type, where AVX-512 has one.
inline __attribute__((always_inline)) Shorts32 widened_bytes(const std::int8_t* bytes) {
#if defined(__AVX512BW__)
  return reinterpret_cast<Shorts32>(_mm512_cvtepi8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(bytes))));
#else
  Bytes32 narrow;
  std::memcpy(&narrow, bytes, sizeof narrow);
  return __builtin_convertvector(narrow, Shorts32);
#endif
}

/// Sum of `count` int8 rows in int16; the caller keeps within its range.
inline __attribute__((always_inline)) void sum_rows_int16(const std::int8_t* block, std::int64_t padded,
                                                          const std::int32_t* index, const std::int16_t* counts,
                                                          std::int64_t count, bool ones, std::int16_t* sums) {
  Shorts32 low = {};
  Shorts32 high = {};
  for (std::int64_t k = 0; k < count; ++k) {
    const std::int8_t* row = block + index[k] * padded;
    const std::int16_t times = ones ? std::int16_t{1} : counts[k];
    low += widened_bytes(row) * times;
    high += widened_bytes(row + 32) * times;
  }
  std::memcpy(sums, &low, sizeof low);
  std::memcpy(sums + 32, &high, sizeof high);
}

/// sums[j] = sum over the spikes of count * weight[pre][post + j], for kPostBlock outputs.
template <class Sum>
inline void sum_block(const PackedWeights<std::int8_t>& weights, std::int64_t post, const std::int32_t* index,
                      const std::int16_t* counts, std::int64_t num_spikes, bool ones, Sum* sums) {
  const std::int64_t budget = std::numeric_limits<std::int16_t>::max() / weights.largest;  // spikes per int16 sum
  const std::int8_t* block = weights.row(0) + post;
  for (std::int64_t j = 0; j < kPostBlock; ++j) {
    sums[j] = 0;
  }
  for (std::int64_t first = 0; first < num_spikes;) {
    std::int64_t last = first;
    std::int64_t used = 0;
    if (ones) {
      last = smaller(num_spikes, first + budget);
    } else {
      while (last < num_spikes && used + counts[last] <= budget) {
        used += counts[last++];
      }
    }
    std::int16_t part[kPostBlock];
    if (ones) {
      sum_rows_int16(block, weights.padded, index + first, counts + first, last - first, true, part);
    } else {
      sum_rows_int16(block, weights.padded, index + first, counts + first, last - first, false, part);
    }
    for (std::int64_t j = 0; j < kPostBlock; ++j) {
      sums[j] += part[j];
    }
    first = last;
  }
}

template <class Sum>
inline void sum_block(const PackedWeights<std::int16_t>& weights, std::int64_t post, const std::int32_t* index,
                      const std::int16_t* counts, std::int64_t num_spikes, bool ones, Sum* sums) {
  for (std::int64_t j = 0; j < kPostBlock; ++j) {
    sums[j] = 0;
  }
  for (std::int64_t k = 0; k < num_spikes; ++k) {
    const std::int16_t* __restrict__ row = weights.row(index[k]) + post;
    const Sum times = ones ? Sum{1} : static_cast<Sum>(counts[k]);
    for (std::int64_t j = 0; j < kPostBlock; ++j) {
      sums[j] += times * row[j];
    }
  }
}

}  // namespace gradspike::kernels::GRADSPIKE_CPU_ISA
