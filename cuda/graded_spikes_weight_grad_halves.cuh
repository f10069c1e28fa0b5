// Gradient of graded_spikes to the weights on tensor cores, for gradients in float: part of graded_spikes.cu.
//
// Spikes are exact as halves; a gradient g is split into two, with a power of two for each post neuron and slice of
// rows that brings the largest |g| just below 2^14:
//
//   x = scale * g,  high = half(x),  low = half(x - high)           |x - high - low| <= 2^-22 |x|, or 2^-25
//
// Both parts times the spikes are summed in float on tensor cores. These truncate, so a sum takes the 32 rows of one
// slice, the low parts first while it is small, and goes times 1 / scale into a second one that rounds to nearest. A
// block adds one range of rows in a fixed order; which ranges there are follows from the sizes alone.
//
// Two kernels first write both operands as words of two rows, [row / 2][neuron], padded with zeros: every tile of
// weights would otherwise convert them again, which takes longer than the products. They note slices that hold a spike
// that is not exact as a half, or a gradient that is not finite. A block that meets such a slice notes its tile, which
// sum_rows_kernel then sums in float; the host need not know.
//
// In shared memory the four words by eight neurons that a warp reads for one register lie in 32 banks, since the stride
// is 8 modulo 32.
#pragma once

#include <algorithm>

#include "csrc/kernels/graded_spikes.h"
#include "csrc/math/arithmetic.h"
#include "cuda/common/device.cuh"
#include "cuda/graded_spikes_plan.h"

namespace gradspike::kernels::weight_grad {
namespace {

constexpr std::int32_t kHalvesThreads = 256;
constexpr std::int32_t kPostTile = 64;
constexpr std::int32_t kPreTile = 128;
constexpr std::int32_t kSliceRows = 32;
constexpr std::int32_t kSlicePairs = kSliceRows / 2;
constexpr std::int32_t kPairSteps = kSlicePairs / mma::kWords;  // of the warp's product
constexpr std::int32_t kPreWarps = 4;                           // 2 x 4 warps, 32 x 32 weights each
constexpr std::int32_t kPostProducts = 2;
constexpr std::int32_t kPreProducts = 4;
constexpr std::int32_t kPostStride = kPostTile + 8;
constexpr std::int32_t kPreStride = kPreTile + 8;
constexpr std::int64_t kMostHalvesBytes = 256 << 20;  // of both operands at once
constexpr float kLargestHalf = 65504.0F;
constexpr float kLargestFloat = 3.4028234663852886e38F;

/// Whether the words that a warp reads for the first register of the left operand lie in 32 banks; those of the others
/// are a constant further on.
constexpr bool reads_all_banks(std::int32_t stride) {
  std::uint32_t banks = 0;
  for (std::int32_t lane = 0; lane < mma::kLanes; ++lane) {
    const mma::OperandWord at = mma::left_word(lane, 0);
    banks |= 1U << ((at.word * stride + at.line) % 32);
  }
  return banks == 0xFFFFFFFFU;
}
static_assert(reads_all_banks(kPostStride) && reads_all_banks(kPreStride));

/// Both operands as halves. `posts` and `pres` are padded to whole tiles, rows to whole slices.
struct Halves {
  std::uint32_t* high;           // [slices * kSlicePairs][posts]
  std::uint32_t* low;            // [slices * kSlicePairs][posts]
  std::uint32_t* spikes;         // [slices * kSlicePairs][pres]
  float* inverse_scale;          // [slices][posts]
  std::uint8_t* grad_inexact;    // [slices][posts / kPostTile]
  std::uint8_t* spikes_inexact;  // [slices][pres / kPreTile]
  std::int64_t slices;
  std::int64_t posts;
  std::int64_t pres;
};

/// Two buffers of a slice of rows.
struct Slices {
  alignas(16) std::uint32_t high[2][kSlicePairs][kPostStride];
  alignas(16) std::uint32_t low[2][kSlicePairs][kPostStride];
  alignas(16) std::uint32_t spikes[2][kSlicePairs][kPreStride];
  alignas(16) float inverse_scale[2][kPostTile];
};

/// The power of two that brings `largest` into [2^13, 2^14), as far as float has one.
__device__ __forceinline__ float half_scale(float largest) {
  std::uint32_t bits;
  memcpy(&bits, &largest, sizeof bits);
  const std::uint32_t exponent = bits >> 23;  // biased by 127
  const std::uint32_t wanted = exponent < 13 ? 254 : 267 - exponent;
  const std::uint32_t scale_bits = wanted << 23;
  float scale;
  memcpy(&scale, &scale_bits, sizeof scale);
  return scale;
}

/// A thread splits the gradients of one post neuron in one slice; a block has one tile of them.
__global__ void __launch_bounds__(kPostTile) split_gradients_kernel(const float* __restrict__ grad, std::int64_t rows,
                                                                    std::int64_t out_features, const Halves to) {
  const std::int64_t tiles = to.posts / kPostTile;
  const std::int64_t slice = blockIdx.x / tiles;
  const std::int64_t post = blockIdx.x % tiles * kPostTile + threadIdx.x;
  const std::int64_t first = slice * kSliceRows;
  float values[kSliceRows];
#pragma unroll
  for (std::int32_t i = 0; i < kSliceRows; ++i) {
    values[i] = post < out_features && first + i < rows ? grad[(first + i) * out_features + post] : 0.0F;
  }
  float largest = 0.0F;
  bool inexact = false;
#pragma unroll
  for (std::int32_t i = 0; i < kSliceRows; ++i) {
    const float magnitude = math::absolute(values[i]);
    inexact = inexact || !(magnitude <= kLargestFloat);
    largest = magnitude > largest ? magnitude : largest;
  }
  const float scale = half_scale(largest);
  to.inverse_scale[slice * to.posts + post] = math::div(1.0F, scale);
#pragma unroll
  for (std::int32_t i = 0; i < kSlicePairs; ++i) {
    const float x0 = math::mul(values[2 * i], scale);
    const float x1 = math::mul(values[2 * i + 1], scale);
    const std::uint32_t high = device::pack_halves(x0, x1);
    const std::int64_t at = (slice * kSlicePairs + i) * to.posts + post;
    to.high[at] = high;
    to.low[at] = device::pack_halves(math::sub(x0, device::low_half(high)), math::sub(x1, device::high_half(high)));
  }
  const bool any = __syncthreads_or(inexact ? 1 : 0) != 0;
  if (threadIdx.x == 0) {
    to.grad_inexact[blockIdx.x] = any ? 1 : 0;
  }
}

/// A thread converts the spikes of one pre neuron in one slice; a block has one tile of them.
template <class S>
__global__ void __launch_bounds__(kPreTile)
    halve_spikes_kernel(const S* __restrict__ spikes, std::int64_t rows, std::int64_t in_features, const Halves to) {
  const std::int64_t tiles = to.pres / kPreTile;
  const std::int64_t slice = blockIdx.x / tiles;
  const std::int64_t pre = blockIdx.x % tiles * kPreTile + threadIdx.x;
  const std::int64_t first = slice * kSliceRows;
  S values[kSliceRows];
#pragma unroll
  for (std::int32_t i = 0; i < kSliceRows; ++i) {
    values[i] = pre < in_features && first + i < rows ? spikes[(first + i) * in_features + pre] : S{0};
  }
  bool inexact = false;
#pragma unroll
  for (std::int32_t i = 0; i < kSlicePairs; ++i) {
    const float s0 = static_cast<float>(values[2 * i]);
    const float s1 = static_cast<float>(values[2 * i + 1]);
    const std::uint32_t word = device::pack_halves(s0, s1);
    if constexpr (sizeof(S) > 1) {
      const bool exact = device::low_half(word) == s0 && device::high_half(word) == s1 &&
                         math::absolute(s0) <= kLargestHalf && math::absolute(s1) <= kLargestHalf;
      inexact = inexact || !exact;
    }
    to.spikes[(slice * kSlicePairs + i) * to.pres + pre] = word;
  }
  const bool any = __syncthreads_or(inexact ? 1 : 0) != 0;
  if (threadIdx.x == 0) {
    to.spikes_inexact[blockIdx.x] = any ? 1 : 0;
  }
}

/// Copies a slice of one tile of words into a buffer, 16 bytes at a time.
template <std::int32_t kTileWords, std::int32_t kStride>
__device__ __forceinline__ void copy_words(std::uint32_t (&buffer)[kSlicePairs][kStride], const std::uint32_t* words,
                                           std::int64_t slice, std::int64_t width, std::int64_t corner) {
  constexpr std::int32_t kChunkWords = 4;
  constexpr std::int32_t kChunks = kTileWords / kChunkWords;
  static_assert(kSlicePairs * kChunks % kHalvesThreads == 0 && kStride % kChunkWords == 0);
#pragma unroll
  for (std::int32_t k = 0; k < kSlicePairs * kChunks / kHalvesThreads; ++k) {
    const std::int32_t item = static_cast<std::int32_t>(threadIdx.x) + k * kHalvesThreads;
    const std::int32_t pair = item / kChunks;
    const std::int32_t word = item % kChunks * kChunkWords;
    device::async_copy<kChunkWords * 4>(&buffer[pair][word],
                                        words + (slice * kSlicePairs + pair) * width + corner + word, true);
  }
}

/// Starts the copies of a slice into buffer `b`.
__device__ __forceinline__ void copy_slice(Slices& slices, std::int32_t b, const Halves& from, std::int64_t slice,
                                           std::int64_t post_corner, std::int64_t pre_corner) {
  copy_words<kPostTile>(slices.low[b], from.low, slice, from.posts, post_corner);
  copy_words<kPostTile>(slices.high[b], from.high, slice, from.posts, post_corner);
  copy_words<kPreTile>(slices.spikes[b], from.spikes, slice, from.pres, pre_corner);
  const std::int32_t word = static_cast<std::int32_t>(threadIdx.x) * 4;
  if (word < kPostTile) {
    device::async_copy<16>(&slices.inverse_scale[b][word], from.inverse_scale + slice * from.posts + post_corner + word,
                           true);
  }
}

using Accumulators = float[kPostProducts][kPreProducts][mma::kSumRegisters];

/// sums += part * spikes over the rows of one buffer.
__device__ __forceinline__ void add_part(const std::uint32_t (&part)[kSlicePairs][kPostStride],
                                         const std::uint32_t (&spikes)[kSlicePairs][kPreStride], std::int32_t my_post,
                                         std::int32_t my_pre, Accumulators& sums) {
  const std::int32_t lane = static_cast<std::int32_t>(threadIdx.x) % device::kWarpSize;
#pragma unroll
  for (std::int32_t step = 0; step < kPairSteps; ++step) {
    std::uint32_t left[kPostProducts][mma::kLeftRegisters];
#pragma unroll
    for (std::int32_t m = 0; m < kPostProducts; ++m) {
#pragma unroll
      for (std::int32_t i = 0; i < mma::kLeftRegisters; ++i) {
        const mma::OperandWord at = mma::left_word(lane, i);
        left[m][i] = part[step * mma::kWords + at.word][my_post + m * mma::kRows + at.line];
      }
    }
#pragma unroll
    for (std::int32_t n = 0; n < kPreProducts; ++n) {
      std::uint32_t right[mma::kRightRegisters];
#pragma unroll
      for (std::int32_t i = 0; i < mma::kRightRegisters; ++i) {
        const mma::OperandWord at = mma::right_word(lane, i);
        right[i] = spikes[step * mma::kWords + at.word][my_pre + n * mma::kColumns + at.line];
      }
#pragma unroll
      for (std::int32_t m = 0; m < kPostProducts; ++m) {
        device::mma_halves(sums[m][n], left[m], right);
      }
    }
  }
}

/// totals += sums * 1 / scale of buffer `b`.
__device__ __forceinline__ void add_scaled(const float (&inverse_scale)[kPostTile], const Accumulators& sums,
                                           std::int32_t my_post, Accumulators& totals) {
  const std::int32_t lane = static_cast<std::int32_t>(threadIdx.x) % device::kWarpSize;
#pragma unroll
  for (std::int32_t m = 0; m < kPostProducts; ++m) {
#pragma unroll
    for (std::int32_t i = 0; i < mma::kSumRegisters; ++i) {
      const float factor = inverse_scale[my_post + m * mma::kRows + mma::sum_element(lane, i).row];
#pragma unroll
      for (std::int32_t n = 0; n < kPreProducts; ++n) {
        totals[m][n][i] = math::add(totals[m][n][i], math::mul(sums[m][n][i], factor));
      }
    }
  }
}

/// Whether a slice from `begin` to `end` has a note for a tile; the same for all threads of the block.
__device__ __forceinline__ bool any_inexact(const Halves& from, std::int64_t begin, std::int64_t end,
                                            std::int64_t post_tile, std::int64_t pre_tile) {
  const std::int64_t post_tiles = from.posts / kPostTile;
  const std::int64_t pre_tiles = from.pres / kPreTile;
  bool inexact = false;
  for (std::int64_t slice = begin + threadIdx.x; slice < end; slice += kHalvesThreads) {
    inexact = inexact || from.grad_inexact[slice * post_tiles + post_tile] != 0 ||
              from.spikes_inexact[slice * pre_tiles + pre_tile] != 0;
  }
  return __syncthreads_or(inexact ? 1 : 0) != 0;
}

/// partial[range][post][pre] as sum_rows_kernel gives it, or a note in redo[range][tile] that it has to.
__global__ void __launch_bounds__(kHalvesThreads, 2)
    sum_halves_kernel(const Halves from, std::int64_t out_features, std::int64_t in_features,
                      std::int64_t slices_per_range, float* __restrict__ partial, std::uint8_t* __restrict__ redo) {
  GRADSPIKE_SHARED(Slices, shared, [1]);
  Slices& slices = shared[0];
  const std::int64_t pre_tiles = from.pres / kPreTile;
  const std::int64_t post_tiles = from.posts / kPostTile;
  const std::int64_t tile = blockIdx.x % (pre_tiles * post_tiles);
  const std::int64_t range = blockIdx.x / (pre_tiles * post_tiles);
  const std::int64_t pre_corner = tile % pre_tiles * kPreTile;
  const std::int64_t post_corner = tile / pre_tiles * kPostTile;
  const std::int64_t begin = range * slices_per_range;
  const std::int64_t end = begin + slices_per_range < from.slices ? begin + slices_per_range : from.slices;
  const std::int32_t lane = static_cast<std::int32_t>(threadIdx.x) % device::kWarpSize;
  const std::int32_t warp = static_cast<std::int32_t>(threadIdx.x) / device::kWarpSize;
  const std::int32_t my_post = warp / kPreWarps * kPostProducts * mma::kRows;
  const std::int32_t my_pre = warp % kPreWarps * kPreProducts * mma::kColumns;

  const bool again = any_inexact(from, begin, end, tile / pre_tiles, tile % pre_tiles);
  if (threadIdx.x == 0) {
    redo[blockIdx.x] = again ? 1 : 0;
  }

  Accumulators totals = {};
  const std::int64_t last = again ? begin : end;  // the same for all threads of the block
  if (begin < last) {
    copy_slice(slices, 0, from, begin, post_corner, pre_corner);
  }
  device::async_copy_commit();
  std::int32_t buffer = 0;
  for (std::int64_t slice = begin; slice < last; ++slice) {
    // The other buffer was last read before the barrier at the end of the slice before.
    if (slice + 1 < last) {
      copy_slice(slices, 1 - buffer, from, slice + 1, post_corner, pre_corner);
    }
    device::async_copy_commit();  // an empty group after the last slice, so that the waits count alike
    device::async_copy_wait<1>();
    __syncthreads();
    Accumulators sums = {};
    add_part(slices.low[buffer], slices.spikes[buffer], my_post, my_pre, sums);
    add_part(slices.high[buffer], slices.spikes[buffer], my_post, my_pre, sums);
    add_scaled(slices.inverse_scale[buffer], sums, my_post, totals);
    buffer = 1 - buffer;
    __syncthreads();
  }

  const bool wide = in_features % 2 == 0;
#pragma unroll
  for (std::int32_t m = 0; m < kPostProducts; ++m) {
#pragma unroll
    for (std::int32_t i = 0; i < mma::kSumRegisters; i += 2) {
      const std::int64_t post = post_corner + my_post + m * mma::kRows + mma::sum_element(lane, i).row;
#pragma unroll
      for (std::int32_t n = 0; n < kPreProducts; ++n) {
        const std::int64_t pre = pre_corner + my_pre + n * mma::kColumns + mma::sum_element(lane, i).column;
        const bool mine = !again && post < out_features;
        const bool inside[2] = {mine && pre < in_features, mine && pre + 1 < in_features};
        const float value[2] = {totals[m][n][i], totals[m][n][i + 1]};
        device::store_pair(partial, (range * out_features + post) * in_features + pre, wide, inside, value);
      }
    }
  }
}

/// Sums of all tiles and ranges; gives the notes of those that sum_rows_kernel has to sum. Ranges come in groups whose
/// halves take the same memory, one group after another.
template <class S>
const std::uint8_t* sum_halves(const CudaExec& exec, const float* grad, const S* spikes, std::int64_t rows,
                               std::int64_t out_features, std::int64_t in_features, std::int64_t ranges,
                               std::int64_t rows_per_range, float* partial) {
  Workspace& workspace = *exec.workspace;
  Halves halves{};
  const std::int64_t post_tiles = device::divide_up(out_features, kPostTile);
  const std::int64_t pre_tiles = device::divide_up(in_features, kPreTile);
  const std::int64_t tiles = post_tiles * pre_tiles;
  halves.posts = post_tiles * kPostTile;
  halves.pres = pre_tiles * kPreTile;
  const std::int64_t slices_per_range = rows_per_range / kSliceRows;
  const std::int64_t range_bytes = slices_per_range * kSlicePairs * (2 * halves.posts + halves.pres) * 4;
  const std::int64_t group = std::min(std::max<std::int64_t>(kMostHalvesBytes / range_bytes, 1), ranges);
  const std::int64_t pairs = group * slices_per_range * kSlicePairs;
  halves.high = workspace.allocate_array<std::uint32_t>(pairs * halves.posts);
  halves.low = workspace.allocate_array<std::uint32_t>(pairs * halves.posts);
  halves.spikes = workspace.allocate_array<std::uint32_t>(pairs * halves.pres);
  halves.inverse_scale = workspace.allocate_array<float>(group * slices_per_range * halves.posts);
  halves.grad_inexact = workspace.allocate_array<std::uint8_t>(group * slices_per_range * post_tiles);
  halves.spikes_inexact = workspace.allocate_array<std::uint8_t>(group * slices_per_range * pre_tiles);
  std::uint8_t* const redo = workspace.allocate_array<std::uint8_t>(tiles * ranges);
  for (std::int64_t first = 0; first < ranges; first += group) {
    const std::int64_t count = std::min(group, ranges - first);
    const std::int64_t first_row = first * rows_per_range;
    const std::int64_t group_rows = std::min(count * rows_per_range, rows - first_row);
    halves.slices = device::divide_up(group_rows, kSliceRows);
    device::launch("graded_spikes_split_gradients", &split_gradients_kernel, {halves.slices * post_tiles, kPostTile},
                   exec, grad + first_row * out_features, group_rows, out_features, halves);
    device::launch("graded_spikes_halve_spikes", &halve_spikes_kernel<S>, {halves.slices * pre_tiles, kPreTile}, exec,
                   spikes + first_row * in_features, group_rows, in_features, halves);
    device::launch("graded_spikes_weight_grad_halves", &sum_halves_kernel, {tiles * count, kHalvesThreads}, exec,
                   halves, out_features, in_features, slices_per_range, partial + first * out_features * in_features,
                   redo + first * tiles);
  }
  return redo;
}

}  // namespace
}  // namespace gradspike::kernels::weight_grad
