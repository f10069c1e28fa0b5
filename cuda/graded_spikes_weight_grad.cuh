// Gradient of graded_spikes to the weights: part of graded_spikes.cu.
//
// The rows are split into as many ranges as it takes to occupy a device, by the sizes alone, so that the result does
// not depend on the device. A block sums one range for one tile of weights: on tensor cores where gradients are float
// (graded_spikes_weight_grad_halves.cuh), else, and where spikes are not exact as halves, 256 rows at a time in T and
// these partial sums in double. The last kernel adds the ranges in order and applies the straight-through rule.
#pragma once

#include "csrc/kernels/graded_spikes.h"
#include "csrc/math/weight.h"
#include "cuda/common/device.cuh"
#include "cuda/graded_spikes_plan.h"
#include "cuda/graded_spikes_weight_grad_halves.cuh"

namespace gradspike::kernels::weight_grad {
namespace {

constexpr std::int32_t kThreads = 256;
constexpr std::int32_t kWarps = kThreads / device::kWarpSize;
constexpr std::int32_t kTile = 64;                            // pre and post neurons of a block's tile
constexpr std::int32_t kPerWarp = kTile / kWarps;             // pre neurons of a warp
constexpr std::int32_t kPerLane = kTile / device::kWarpSize;  // post neurons of a lane
constexpr std::int32_t kSlice = 32;                           // rows in shared memory at a time
constexpr std::int64_t kRowBlock = 256;                       // rows summed in T; part of the numerics
constexpr std::int64_t kTargetBlocks = 1024;                  // some eight blocks for each of 132 multiprocessors
constexpr std::int64_t kHalvesTargetBlocks = 528;             // twice the two that each multiprocessor holds

static_assert(kRowBlock % kSliceRows == 0, "a range has whole slices");

struct Split {
  std::int64_t ranges;
  std::int64_t rows_per_range;
};

inline Split split_rows(std::int64_t rows, std::int64_t tiles, std::int64_t target_blocks) {
  if (rows == 0 || tiles == 0) {
    return {0, kRowBlock};
  }
  const std::int64_t wanted = tiles < target_blocks ? target_blocks / tiles : 1;
  const std::int64_t row_blocks = device::divide_up(rows, kRowBlock);
  const std::int64_t rows_per_range = device::divide_up(row_blocks, wanted) * kRowBlock;
  return {device::divide_up(rows, rows_per_range), rows_per_range};
}

/// Whether this block has work: everywhere without notes, else in the tiles that sum_halves_kernel noted.
__device__ __forceinline__ bool is_noted(const std::uint8_t* redo, std::int64_t range, std::int64_t post_corner,
                                         std::int64_t pre_corner, std::int64_t in_features, std::int64_t out_features) {
  const std::int64_t pre_tiles = device::divide_up(in_features, kPreTile);
  const std::int64_t tiles = pre_tiles * device::divide_up(out_features, kPostTile);
  return redo == nullptr || redo[range * tiles + post_corner / kPostTile * pre_tiles + pre_corner / kPreTile] != 0;
}

/// partial[range][post][pre]: sum over the rows of the range of grad[row, post] * spikes[row, pre], spikes of 0 left
/// out.
template <class S, class W, class T>
__global__ void __launch_bounds__(kThreads)
    sum_rows_kernel(const GradedSpikesWeightGradArgs<S, W, T> args, std::int64_t rows_per_range,
                    const std::uint8_t* __restrict__ redo, T* __restrict__ partial) {
  GRADSPIKE_SHARED(T, grad_tile, [kSlice][kTile]);
  GRADSPIKE_SHARED(T, spike_tile, [kSlice][kTile]);
  const std::int64_t pre_tiles = device::divide_up(args.in_features, kTile);
  const std::int64_t post_tiles = device::divide_up(args.out_features, kTile);
  const std::int64_t tile = blockIdx.x % (pre_tiles * post_tiles);
  const std::int64_t range = blockIdx.x / (pre_tiles * post_tiles);
  const std::int64_t pre_corner = tile % pre_tiles * kTile;
  const std::int64_t post_corner = tile / pre_tiles * kTile;
  const std::int64_t begin = range * rows_per_range;
  // The same for all threads of the block: without a note there are no rows, and nothing is written.
  const bool noted = is_noted(redo, range, post_corner, pre_corner, args.in_features, args.out_features);
  const std::int64_t last = begin + rows_per_range < args.rows ? begin + rows_per_range : args.rows;
  const std::int64_t end = noted ? last : begin;
  const std::int32_t thread = static_cast<std::int32_t>(threadIdx.x);
  const std::int32_t lane = thread % device::kWarpSize;
  const std::int32_t my_pre = thread / device::kWarpSize * kPerWarp;

  double total[kPerLane][kPerWarp] = {};
  for (std::int64_t block = begin; block < end; block += kRowBlock) {
    T sums[kPerLane][kPerWarp] = {};
    const std::int64_t block_end = block + kRowBlock < end ? block + kRowBlock : end;
    for (std::int64_t first = block; first < block_end; first += kSlice) {
      // Read
#pragma unroll 4
      for (std::int32_t item = thread; item < kSlice * kTile; item += kThreads) {
        const std::int64_t row = first + item / kTile;
        const std::int64_t pre = pre_corner + item % kTile;
        const std::int64_t post = post_corner + item % kTile;
        grad_tile[item / kTile][item % kTile] =
            row < block_end && post < args.out_features ? args.grad[row * args.out_features + post] : T{0};
        spike_tile[item / kTile][item % kTile] = row < block_end && pre < args.in_features
                                                     ? static_cast<T>(args.spikes[row * args.in_features + pre])
                                                     : T{0};
      }
      __syncthreads();
      // Compute. A spike is the same for all lanes of a warp, so a spike of 0 costs one comparison.
      for (std::int32_t r = 0; r < kSlice; ++r) {
        T grad[kPerLane];
#pragma unroll
        for (std::int32_t i = 0; i < kPerLane; ++i) {
          grad[i] = grad_tile[r][lane + i * device::kWarpSize];
        }
#pragma unroll
        for (std::int32_t j = 0; j < kPerWarp; ++j) {
          const T spike = spike_tile[r][my_pre + j];
          if (spike != T{0}) {
#pragma unroll
            for (std::int32_t i = 0; i < kPerLane; ++i) {
              sums[i][j] = math::add(sums[i][j], math::mul(spike, grad[i]));
            }
          }
        }
      }
      __syncthreads();
    }
#pragma unroll
    for (std::int32_t i = 0; i < kPerLane; ++i) {
#pragma unroll
      for (std::int32_t j = 0; j < kPerWarp; ++j) {
        total[i][j] = math::add(total[i][j], static_cast<double>(sums[i][j]));
      }
    }
  }

  // Write
#pragma unroll
  for (std::int32_t i = 0; i < kPerLane; ++i) {
    const std::int64_t post = post_corner + lane + i * device::kWarpSize;
#pragma unroll
    for (std::int32_t j = 0; j < kPerWarp; ++j) {
      const std::int64_t pre = pre_corner + my_pre + j;
      if (noted && post < args.out_features && pre < args.in_features) {
        partial[(range * args.out_features + post) * args.in_features + pre] = static_cast<T>(total[i][j]);
      }
    }
  }
}

template <class S, class W, class T>
__global__ void __launch_bounds__(kThreads)
    finish_kernel(const GradedSpikesWeightGradArgs<S, W, T> args, std::int64_t ranges, const T* __restrict__ partial) {
  const std::int64_t i = device::global_thread();
  const std::int64_t count = args.out_features * args.in_features;
  if (i < count) {
    double total = 0;
    for (std::int64_t range = 0; range < ranges; ++range) {
      total = math::add(total, static_cast<double>(partial[range * count + i]));
    }
    const W grad_q = static_cast<W>(math::mul(static_cast<T>(args.factor), static_cast<T>(total)));
    args.grad_weight[i] = math::straight_through(grad_q, args.weight[i], args.transform, args.rule);
  }
}

/// Whether tensor cores serve these types: spikes of float64 come with gradients of float64, which halves cannot hold.
template <class S, class T>
constexpr bool kHasHalves = std::is_same_v<T, float> && !std::is_same_v<S, double>;

template <class S, class W, class T>
void run(const CudaExec& exec, const GradedSpikesWeightGradArgs<S, W, T>& args) {
  const std::int64_t count = args.out_features * args.in_features;
  if (count == 0) {
    return;
  }
  const std::int64_t tiles = num_tiles(args.out_features, args.in_features, kTile, kTile);
  const std::int64_t halves_tiles = num_tiles(args.out_features, args.in_features, kPostTile, kPreTile);
  const Split split = kHasHalves<S, T> ? split_rows(args.rows, halves_tiles, kHalvesTargetBlocks)
                                       : split_rows(args.rows, tiles, kTargetBlocks);
  T* const partial = exec.workspace->allocate_array<T>(split.ranges * count);
  const std::uint8_t* redo = nullptr;
  if constexpr (kHasHalves<S, T>) {
    redo = sum_halves(exec, args.grad, args.spikes, args.rows, args.out_features, args.in_features, split.ranges,
                      split.rows_per_range, partial);
  }
  device::launch("graded_spikes_weight_grad_rows", &sum_rows_kernel<S, W, T>, {tiles * split.ranges, kThreads}, exec,
                 args, split.rows_per_range, redo, partial);
  device::launch("graded_spikes_weight_grad", &finish_kernel<S, W, T>, {device::divide_up(count, kThreads), kThreads},
                 exec, args, split.ranges, partial);
}

}  // namespace
}  // namespace gradspike::kernels::weight_grad
