// Kernels with switches for the mistakes that the executor is there to find. kNone is the correct kernel.
#pragma once

#include <cstdint>
#include <vector>

#include "cuda/common/device.cuh"
#include "executor/executor.h"

namespace executor::sample {

enum class Bug {
  kNone,
  kNoBarrier,        // a barrier between writing and reading shared memory is missing
  kNoFence,          // the fence before the last block's sum is missing
  kNoSyncwarp,       // lanes exchange through shared memory without __syncwarp
  kNoAtomic,         // blocks add to one counter without an atomic
  kNoWait,           // the asynchronous copy is not waited for
  kNoGridBarrier,    // the block's barrier instead of the grid's
  kWrongIndex,       // rows and columns swapped
  kSharedOverrun,    // beyond the last element of a shared array
  kGlobalOverrun,    // beyond the last element of an input
  kReadBeforeWrite,  // shared memory is read before anything was written to it
  kUnwrittenOutput,  // one element is left out
};

/// out = a b for n x n matrices, n a multiple of 16: the barrier at the end of the loop keeps the next tile from being
/// written over one that is still read.
template <Bug kBug>
__global__ void product_kernel(const std::int32_t* a, const std::int32_t* b, std::int32_t* out, std::int32_t n) {
  constexpr std::int32_t kTile = 16;
  GRADSPIKE_SHARED(std::int32_t, a_tile, [kTile][kTile]);
  GRADSPIKE_SHARED(std::int32_t, b_tile, [kTile][kTile]);
  const std::int32_t x = static_cast<std::int32_t>(threadIdx.x);
  const std::int32_t y = static_cast<std::int32_t>(threadIdx.y);
  const std::int32_t row = static_cast<std::int32_t>(blockIdx.y) * kTile + y;
  const std::int32_t column = static_cast<std::int32_t>(blockIdx.x) * kTile + x;
  std::int32_t sum = 0;
  for (std::int32_t first = 0; first < n; first += kTile) {
    a_tile[y][x] = a[row * n + first + x];
    b_tile[y][x] = b[(first + y) * n + column];
    __syncthreads();
    for (std::int32_t k = 0; k < kTile; ++k) {
      sum += a_tile[y][k] * b_tile[k][x];
    }
    if (kBug != Bug::kNoBarrier) {
      __syncthreads();
    }
  }
  out[row * n + column] = sum;
}

/// The positive values of one block of 128 in order, and their number.
template <Bug kBug>
__global__ void compact_kernel(const std::int32_t* values, std::int32_t* out, std::int32_t* count) {
  GRADSPIKE_SHARED(std::int32_t, warp_counts, [4]);
  const std::int32_t thread = static_cast<std::int32_t>(threadIdx.x);
  const std::int32_t warp = thread / 32;
  const std::int32_t lane = thread % 32;
  const bool keep = values[thread] > 0;
  const unsigned kept = __ballot_sync(0xFFFFFFFFU, keep ? 1 : 0);
  if (lane == 0) {
    warp_counts[warp] = __builtin_popcount(kept);
  }
  if (kBug != Bug::kNoBarrier) {
    __syncthreads();
  }
  std::int32_t position = __builtin_popcount(kept & ((1U << lane) - 1U));
  for (std::int32_t w = 0; w < warp; ++w) {
    position += warp_counts[w];
  }
  if (keep && position >= 0 && position < 128) {  // a wrong count must not crash the test
    out[position] = values[thread];
  }
  if (thread == 127) {
    *count = position + (keep ? 1 : 0);
  }
}

/// out[column][row] = in[row][column] for n x n, n a multiple of 32, blocks of 32 x 8 threads.
template <Bug kBug>
__global__ void transpose_kernel(const float* in, float* out, std::int32_t n) {
  GRADSPIKE_SHARED(float, tile, [32][33]);
  const std::int32_t x = static_cast<std::int32_t>(threadIdx.x);
  const std::int32_t column = static_cast<std::int32_t>(blockIdx.x) * 32;
  const std::int32_t row = static_cast<std::int32_t>(blockIdx.y) * 32;
  for (std::int32_t y = static_cast<std::int32_t>(threadIdx.y); y < 32; y += 8) {
    const std::int32_t overrun = kBug == Bug::kSharedOverrun && x == 31 && y == 31 ? 2 : 0;
    const std::int32_t beyond = kBug == Bug::kGlobalOverrun && row + y == n - 1 && column + x == n - 1 ? 1 : 0;
    if (kBug != Bug::kReadBeforeWrite || y != 5) {
      tile[y][x + overrun] = in[(row + y) * n + column + x + beyond];
    }
  }
  __syncthreads();
  for (std::int32_t y = static_cast<std::int32_t>(threadIdx.y); y < 32; y += 8) {
    if (kBug != Bug::kUnwrittenOutput || x != 3 || y != 4) {
      out[(column + y) * n + row + x] = kBug == Bug::kWrongIndex ? tile[y][x] : tile[x][y];
    }
  }
}

/// Sum of `values` over all blocks of 32: the block that finishes last adds the partial sums.
template <Bug kBug>
__global__ void last_block_sum_kernel(const std::int32_t* values, std::int32_t* partial, std::int32_t* finished,
                                      std::int32_t* out) {
  const std::int32_t block = static_cast<std::int32_t>(blockIdx.x);
  std::int32_t sum = values[block * 32 + static_cast<std::int32_t>(threadIdx.x)];
  for (int offset = 16; offset > 0; offset /= 2) {
    sum += __shfl_down_sync(0xFFFFFFFFU, sum, static_cast<unsigned>(offset));
  }
  if (threadIdx.x == 0) {
    partial[block] = sum;
    if (kBug != Bug::kNoFence) {
      __threadfence();
    }
    const std::int32_t before = __atomic_fetch_add(finished, 1, __ATOMIC_RELAXED);
    if (before == static_cast<std::int32_t>(gridDim.x) - 1) {
      if (kBug != Bug::kNoFence) {
        __threadfence();
      }
      std::int32_t total = 0;
      for (std::int32_t k = 0; k < static_cast<std::int32_t>(gridDim.x); ++k) {
        total += partial[k];
      }
      *out = total;
    }
  }
}

/// Number of threads of the launch, one lane of each block of 32 counting.
template <Bug kBug>
__global__ void count_kernel(std::int32_t* count) {
  if (threadIdx.x == 0) {
    if (kBug == Bug::kNoAtomic) {
      *count += static_cast<std::int32_t>(blockDim.x);
    } else {
      __atomic_fetch_add(count, static_cast<std::int32_t>(blockDim.x), __ATOMIC_RELAXED);
    }
  }
}

/// out[i] = in[(i + 1) % 32] through shared memory, one warp.
template <Bug kBug>
__global__ void rotate_kernel(const std::int32_t* in, std::int32_t* out) {
  GRADSPIKE_SHARED(std::int32_t, values, [32]);
  const std::int32_t lane = static_cast<std::int32_t>(threadIdx.x);
  values[lane] = in[lane];
  if (kBug != Bug::kNoSyncwarp) {
    __syncwarp();
  }
  out[lane] = values[(lane + 1) % 32];
}

/// Every block writes the sum of what all blocks wrote before.
template <Bug kBug>
__global__ void grid_sum_kernel(std::int32_t* partial, std::int32_t* out) {
  const std::int32_t block = static_cast<std::int32_t>(blockIdx.x);
  if (threadIdx.x == 0) {
    partial[block] = block + 1;
  }
  if (kBug == Bug::kNoGridBarrier) {
    __syncthreads();
  } else {
    grid_barrier({__FILE__, __LINE__});
  }
  if (threadIdx.x == 0) {
    std::int32_t sum = 0;
    for (std::int32_t k = 0; k < static_cast<std::int32_t>(gridDim.x); ++k) {
      sum += partial[k];
    }
    out[block] = sum;
  }
}

/// out = in through asynchronous copies to shared memory, 64 threads.
template <Bug kBug>
__global__ void copy_kernel(const std::int32_t* in, std::int32_t* out) {
  GRADSPIKE_SHARED(std::int32_t, tile, [64]);
  const std::int32_t thread = static_cast<std::int32_t>(threadIdx.x);
  async_copy(&tile[thread], &in[thread], 4, {__FILE__, __LINE__});
  async_copy_commit();
  if (kBug != Bug::kNoWait) {
    async_copy_wait(0);
  }
  __syncthreads();
  out[thread] = tile[63 - thread];
}

// ---- launches with the expected result ---------------------------------------------------------------------------

template <Bug kBug>
bool product_is_right() {
  const std::int32_t n = 48;
  std::vector<std::int32_t> a(n * n);
  std::vector<std::int32_t> b(n * n);
  for (std::int32_t i = 0; i < n * n; ++i) {
    a[i] = i % 13 - 6;
    b[i] = i % 7 - 3;
  }
  std::vector<std::int32_t> out(n * n, -1);
  launch("product", {3, 3, 1}, {16, 16, 1}, 0, [&] { product_kernel<kBug>(a.data(), b.data(), out.data(), n); });
  for (std::int32_t row = 0; row < n; ++row) {
    for (std::int32_t column = 0; column < n; ++column) {
      std::int32_t sum = 0;
      for (std::int32_t k = 0; k < n; ++k) {
        sum += a[row * n + k] * b[k * n + column];
      }
      if (out[row * n + column] != sum) {
        return false;
      }
    }
  }
  return true;
}

template <Bug kBug>
bool compact_is_right() {
  std::vector<std::int32_t> values(128);
  std::vector<std::int32_t> expected;
  for (std::int32_t i = 0; i < 128; ++i) {
    values[i] = i * 37 % 11 - 5;
    if (values[i] > 0) {
      expected.push_back(values[i]);
    }
  }
  std::vector<std::int32_t> out(128, 0);
  std::int32_t count = -1;
  launch("compact", {1, 1, 1}, {128, 1, 1}, 0, [&] { compact_kernel<kBug>(values.data(), out.data(), &count); });
  out.resize(expected.size());
  return count == static_cast<std::int32_t>(expected.size()) && out == expected;
}

template <Bug kBug>
std::vector<float> transposed(float fill) {
  const std::int32_t n = 64;
  std::vector<float> in(n * n);
  for (std::int32_t i = 0; i < n * n; ++i) {
    in[i] = static_cast<float>(i);
  }
  std::vector<float> out(n * n, fill);
  launch("transpose", {2, 2, 1}, {32, 8, 1}, 0, [&] { transpose_kernel<kBug>(in.data(), out.data(), n); });
  return out;
}

template <Bug kBug>
bool transpose_is_right() {
  const std::vector<float> out = transposed<kBug>(-1.0F);
  for (std::int32_t i = 0; i < 64 * 64; ++i) {
    if (out[i] != static_cast<float>(i % 64 * 64 + i / 64)) {
      return false;
    }
  }
  return true;
}

template <Bug kBug>
bool last_block_sum_is_right() {
  std::vector<std::int32_t> values(6 * 32);
  std::int32_t expected = 0;
  for (std::int32_t i = 0; i < 6 * 32; ++i) {
    values[i] = i;
    expected += i;
  }
  std::vector<std::int32_t> partial(6, -1);
  std::int32_t finished = 0;
  std::int32_t out = -1;
  launch("last_block_sum", {6, 1, 1}, {32, 1, 1}, 0,
         [&] { last_block_sum_kernel<kBug>(values.data(), partial.data(), &finished, &out); });
  return out == expected;
}

template <Bug kBug>
bool count_is_right() {
  std::int32_t count = 0;
  launch("count", {7, 1, 1}, {32, 1, 1}, 0, [&] { count_kernel<kBug>(&count); });
  return count == 7 * 32;
}

template <Bug kBug>
bool rotate_is_right() {
  std::vector<std::int32_t> in(32);
  for (std::int32_t i = 0; i < 32; ++i) {
    in[i] = i * i;
  }
  std::vector<std::int32_t> out(32, -1);
  launch("rotate", {1, 1, 1}, {32, 1, 1}, 0, [&] { rotate_kernel<kBug>(in.data(), out.data()); });
  for (std::int32_t i = 0; i < 32; ++i) {
    if (out[i] != in[(i + 1) % 32]) {
      return false;
    }
  }
  return true;
}

template <Bug kBug>
bool grid_sum_is_right() {
  std::vector<std::int32_t> partial(5, 0);
  std::vector<std::int32_t> out(5, -1);
  launch_cooperative("grid_sum", {5, 1, 1}, {64, 1, 1}, 0, [&] { grid_sum_kernel<kBug>(partial.data(), out.data()); });
  return out == std::vector<std::int32_t>(5, 15);
}

template <Bug kBug>
bool copy_is_right() {
  std::vector<std::int32_t> in(64);
  for (std::int32_t i = 0; i < 64; ++i) {
    in[i] = i + 1;
  }
  std::vector<std::int32_t> out(64, 0);
  launch("copy", {1, 1, 1}, {64, 1, 1}, 0, [&] { copy_kernel<kBug>(in.data(), out.data()); });
  for (std::int32_t i = 0; i < 64; ++i) {
    if (out[i] != in[63 - i]) {
      return false;
    }
  }
  return true;
}

}  // namespace executor::sample
