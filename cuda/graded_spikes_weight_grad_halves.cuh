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
// A block that meets a spike that is not exact as a half, or a gradient that is not finite, notes its tile, which
// sum_rows_kernel then sums in float; the host need not know.
//
// Shared memory holds words of two rows, [row / 2][neuron]. The four words by eight neurons that a warp reads for one
// register lie in 32 banks, since the stride is 8 modulo 32; so do the words that a warp writes.
#pragma once

#include "csrc/kernels/graded_spikes.h"
#include "csrc/math/arithmetic.h"
#include "cuda/common/device.cuh"

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

/// Two buffers of a slice of rows.
struct Slices {
  std::uint32_t high[2][kSlicePairs][kPostStride];
  std::uint32_t low[2][kSlicePairs][kPostStride];
  std::uint32_t spikes[2][kSlicePairs][kPreStride];
  float inverse_scale[2][kPostTile];
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

/// What a thread reads of a slice and writes to shared memory. Gradients: one post neuron, row pairs group + 4 i.
/// Spikes: one pre neuron, row pairs half + 2 i, in two parts so that fewer registers wait for memory.
template <class S>
class SliceLoader {
 public:
  __device__ __forceinline__ SliceLoader(const float* grad, const S* spikes, std::int64_t out_features,
                                         std::int64_t in_features, std::int64_t post_corner, std::int64_t pre_corner)
      : grad_(grad + 2 * group() * out_features + post_corner + post()),
        spikes_(spikes + 2 * half() * in_features + pre_corner + pre()),
        out_features_(out_features),
        in_features_(in_features),
        post_inside_(post_corner + post() < out_features),
        pre_inside_(pre_corner + pre() < in_features) {}

  /// The gradients of the slice at row `first`; zeros from row `end` on.
  __device__ __forceinline__ void load_gradients(std::int64_t first, std::int64_t end) {
    const std::int32_t rows = num_rows(first, end);
    const float* const grad = grad_ + first * out_features_;
#pragma unroll
    for (std::int32_t i = 0; i < kGradients; ++i) {
      const std::int32_t row = i / 2 * 8 + i % 2;  // from this thread's first one
      next_grad_[i] = post_inside_ && 2 * group() + row < rows ? grad[row * out_features_] : 0.0F;
    }
  }

  /// Part 0 or 1 of the spikes of the slice.
  template <std::int32_t kPart>
  __device__ __forceinline__ void load_spikes(std::int64_t first, std::int64_t end) {
    const std::int32_t rows = num_rows(first, end);
    const S* const spikes = spikes_ + first * in_features_;
#pragma unroll
    for (std::int32_t i = 0; i < kSpikes; ++i) {
      const std::int32_t row = kPart * kSliceRows / 2 + i / 2 * 4 + i % 2;
      next_spikes_[i] = pre_inside_ && 2 * half() + row < rows ? spikes[row * in_features_] : S{0};
    }
  }

  /// Splits the gradients and writes them to buffer `b`. All lanes of a warp take part.
  __device__ __forceinline__ void put_gradients(Slices& slices, std::int32_t b) {
    float largest = 0.0F;
#pragma unroll
    for (std::int32_t i = 0; i < kGradients; ++i) {
      const float magnitude = math::absolute(next_grad_[i]);
      inexact_ = inexact_ || !(magnitude <= kLargestFloat);
      largest = magnitude > largest ? magnitude : largest;
    }
#pragma unroll
    for (std::int32_t lanes = 8; lanes < device::kWarpSize; lanes *= 2) {  // those with the same post neuron
      const float other = __shfl_xor_sync(device::kFullMask, largest, lanes);
      largest = other > largest ? other : largest;
    }
    const float scale = half_scale(largest);
    if (group() == 0) {
      slices.inverse_scale[b][post()] = math::div(1.0F, scale);
    }
#pragma unroll
    for (std::int32_t i = 0; i < kGradients; i += 2) {
      const float x0 = math::mul(next_grad_[i], scale);
      const float x1 = math::mul(next_grad_[i + 1], scale);
      const std::uint32_t high = device::pack_halves(x0, x1);
      const std::int32_t pair = group() + i / 2 * 4;
      slices.high[b][pair][post()] = high;
      slices.low[b][pair][post()] =
          device::pack_halves(math::sub(x0, device::low_half(high)), math::sub(x1, device::high_half(high)));
    }
  }

  template <std::int32_t kPart>
  __device__ __forceinline__ void put_spikes(Slices& slices, std::int32_t b) {
#pragma unroll
    for (std::int32_t i = 0; i < kSpikes; i += 2) {
      const float s0 = static_cast<float>(next_spikes_[i]);
      const float s1 = static_cast<float>(next_spikes_[i + 1]);
      const std::uint32_t word = device::pack_halves(s0, s1);
      if constexpr (sizeof(S) > 1) {
        const bool exact = device::low_half(word) == s0 && device::high_half(word) == s1 &&
                           math::absolute(s0) <= kLargestHalf && math::absolute(s1) <= kLargestHalf;
        inexact_ = inexact_ || !exact;
      }
      slices.spikes[b][kPart * kSlicePairs / 2 + half() + i][pre()] = word;
    }
  }

  __device__ __forceinline__ bool inexact() const { return inexact_; }

 private:
  static constexpr std::int32_t kGradients = kSliceRows * kPostTile / kHalvesThreads;
  static constexpr std::int32_t kSpikes = kSliceRows * kPreTile / kHalvesThreads / 2;
  static_assert(kGradients == 8 && kSpikes == 8);

  __device__ __forceinline__ static std::int32_t num_rows(std::int64_t first, std::int64_t end) {
    return static_cast<std::int32_t>(end - first < kSliceRows ? end - first : kSliceRows);
  }
  __device__ __forceinline__ static std::int32_t lane() {
    return static_cast<std::int32_t>(threadIdx.x) % device::kWarpSize;
  }
  __device__ __forceinline__ static std::int32_t post() {
    return static_cast<std::int32_t>(threadIdx.x) / device::kWarpSize * 8 + lane() % 8;
  }
  __device__ __forceinline__ static std::int32_t group() { return lane() / 8; }
  __device__ __forceinline__ static std::int32_t pre() { return static_cast<std::int32_t>(threadIdx.x) % kPreTile; }
  __device__ __forceinline__ static std::int32_t half() { return static_cast<std::int32_t>(threadIdx.x) / kPreTile; }

  const float* grad_;
  const S* spikes_;
  std::int64_t out_features_;
  std::int64_t in_features_;
  bool post_inside_;
  bool pre_inside_;
  bool inexact_ = false;
  float next_grad_[kGradients];
  S next_spikes_[kSpikes];
};

using Accumulators = float[kPostProducts][kPreProducts][mma::kSumRegisters];

/// sums += part * spikes over the rows of one buffer.
__device__ __forceinline__ void add_part(const std::uint32_t (&part)[kSlicePairs][kPostStride],
                                         const std::uint32_t (&spikes)[kSlicePairs][kPreStride], std::int32_t my_post,
                                         std::int32_t my_pre, Accumulators& sums) {
  const std::int32_t lane = static_cast<std::int32_t>(threadIdx.x) % device::kWarpSize;
#pragma unroll 1  // unrolled it takes more registers than there are
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

/// partial[range][post][pre] as sum_rows_kernel gives it, or a note in redo[range][tile] that it has to.
template <class S, class W>
__global__ void __launch_bounds__(kHalvesThreads, 2)
    sum_halves_kernel(const GradedSpikesWeightGradArgs<S, W, float> args, std::int64_t rows_per_range,
                      float* __restrict__ partial, std::uint8_t* __restrict__ redo) {
  GRADSPIKE_SHARED(Slices, shared, [1]);
  Slices& slices = shared[0];
  const std::int64_t pre_tiles = device::divide_up(args.in_features, kPreTile);
  const std::int64_t tiles = pre_tiles * device::divide_up(args.out_features, kPostTile);
  const std::int64_t tile = blockIdx.x % tiles;
  const std::int64_t range = blockIdx.x / tiles;
  const std::int64_t pre_corner = tile % pre_tiles * kPreTile;
  const std::int64_t post_corner = tile / pre_tiles * kPostTile;
  const std::int64_t begin = range * rows_per_range;
  const std::int64_t end = begin + rows_per_range < args.rows ? begin + rows_per_range : args.rows;
  const std::int32_t lane = static_cast<std::int32_t>(threadIdx.x) % device::kWarpSize;
  const std::int32_t warp = static_cast<std::int32_t>(threadIdx.x) / device::kWarpSize;
  const std::int32_t my_post = warp / kPreWarps * kPostProducts * mma::kRows;
  const std::int32_t my_pre = warp % kPreWarps * kPreProducts * mma::kColumns;

  SliceLoader<S> loader(args.grad, args.spikes, args.out_features, args.in_features, post_corner, pre_corner);
  loader.load_gradients(begin, end);
  loader.template load_spikes<0>(begin, end);
  loader.put_gradients(slices, 0);
  loader.template put_spikes<0>(slices, 0);
  loader.template load_spikes<1>(begin, end);
  loader.template put_spikes<1>(slices, 0);
  __syncthreads();
  Accumulators totals = {};
  std::int32_t buffer = 0;
  for (std::int64_t first = begin; first < end; first += kSliceRows) {
    // The other buffer was last read before the barrier at the end of the slice before.
    const std::int64_t next = first + kSliceRows;
    const bool more = next < end;
    if (more) {
      loader.load_gradients(next, end);
      loader.template load_spikes<0>(next, end);
    }
    Accumulators sums = {};
    add_part(slices.low[buffer], slices.spikes[buffer], my_post, my_pre, sums);
    if (more) {
      loader.put_gradients(slices, 1 - buffer);
      loader.template put_spikes<0>(slices, 1 - buffer);
      loader.template load_spikes<1>(next, end);
    }
    add_part(slices.high[buffer], slices.spikes[buffer], my_post, my_pre, sums);
    add_scaled(slices.inverse_scale[buffer], sums, my_post, totals);
    if (more) {
      loader.template put_spikes<1>(slices, 1 - buffer);
    }
    buffer = 1 - buffer;
    __syncthreads();
  }

  const bool wide = args.in_features % 2 == 0;
  const bool again = __syncthreads_or(loader.inexact() ? 1 : 0) != 0;
  if (threadIdx.x == 0) {
    redo[blockIdx.x] = again ? 1 : 0;
  }
#pragma unroll
  for (std::int32_t m = 0; m < kPostProducts; ++m) {
#pragma unroll
    for (std::int32_t i = 0; i < mma::kSumRegisters; i += 2) {
      const std::int64_t post = post_corner + my_post + m * mma::kRows + mma::sum_element(lane, i).row;
#pragma unroll
      for (std::int32_t n = 0; n < kPreProducts; ++n) {
        const std::int64_t pre = pre_corner + my_pre + n * mma::kColumns + mma::sum_element(lane, i).column;
        const bool mine = !again && post < args.out_features;
        const bool inside[2] = {mine && pre < args.in_features, mine && pre + 1 < args.in_features};
        const float value[2] = {totals[m][n][i], totals[m][n][i + 1]};
        device::store_pair(partial, (range * args.out_features + post) * args.in_features + pre, wide, inside, value);
      }
    }
  }
}

}  // namespace
}  // namespace gradspike::kernels::weight_grad
