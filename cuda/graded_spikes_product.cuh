// The integer product of graded_spikes on tensor cores: part of graded_spikes.cu.
//
// Spikes are the left operand, 16 rows at a time, weights the right one, 8 post neurons at a time, both as bytes along
// the inputs. A weight of 16 bits is two bytes, w = 256 high + low with a signed high and an unsigned low byte, and two
// products. Sums are integers, so every order of them gives the same result.
//
// A block takes slices of 64 inputs through a ring of kStages buffers that asynchronous copies fill. A row of a buffer
// is four chunks of 16 bytes; chunk c of row r lies in place c ^ (r / 2 % 4). The eight rows by four words that a warp
// reads for one register then lie in 32 banks: rows two apart differ in their chunk, rows one apart by 16 words. The
// same holds for the 16-byte writes of eight threads, which are two whole rows.
#pragma once

#include <type_traits>

#include "csrc/math/weight.h"
#include "cuda/common/device.cuh"
#include "cuda/graded_spikes_plan.h"

namespace gradspike::kernels::product {
namespace {

constexpr std::int32_t kThreads = 256;
constexpr std::int32_t kWordInputs = 4;
constexpr std::int32_t kSliceWords = 16;  // 64 inputs, two steps of the warp's product
constexpr std::int32_t kSteps = kSliceWords / mma::kWords;
constexpr std::int32_t kChunkWords = 4;  // 16 bytes
constexpr std::int32_t kChunks = kSliceWords / kChunkWords;
constexpr std::int64_t kSlicesPerSum = kInputsPerSum / (kSliceWords * kWordInputs);

/// Words of a packed row: whole slices.
inline std::int64_t padded_words(std::int64_t in_features) {
  return device::divide_up(in_features, kWordInputs * kSliceWords) * kSliceWords;
}

/// What packing found, and where the results go. kBytes is the size of a weight.
template <class T>
struct Operands {
  const std::int32_t* spikes;        // [rows, words]
  const std::int32_t* weights;       // [kBytes, out_features, words], low bytes first
  const std::uint8_t* row_is_float;  // [rows]
  const std::uint8_t* post_is_nan;   // [out_features]
  T* out;                            // [rows, out_features]
  std::int64_t rows;
  std::int64_t out_features;
  std::int64_t words;
  float factor;
};

/// A block of 2 x 4 warps, each with kRowTiles x kPostTiles of the warp's products, for weights of kBytes bytes.
template <std::int32_t kBytes_, std::int32_t kRowTiles_, std::int32_t kPostTiles_, std::int32_t kStages_>
struct Shape {
  static constexpr std::int32_t kBytes = kBytes_;
  static constexpr std::int32_t kRowTiles = kRowTiles_;
  static constexpr std::int32_t kPostTiles = kPostTiles_;
  static constexpr std::int32_t kStages = kStages_;
  static constexpr std::int32_t kRowWarps = 2;
  static constexpr std::int32_t kPostWarps = 4;
  static constexpr std::int32_t kRows = kRowWarps * kRowTiles * mma::kRows;
  static constexpr std::int32_t kPosts = kPostWarps * kPostTiles * mma::kColumns;
  static_assert(kRowWarps * kPostWarps * device::kWarpSize == kThreads);
};
template <std::int32_t kBytes>
using SmallShape = Shape<kBytes, 2, 2, 3>;
using LargeShape = Shape<1, 4, 4, 3>;  // 48 KiB of shared memory

/// Place of a chunk in row `row` of a buffer, in words; rows that are multiples of 8 apart agree.
constexpr std::int32_t chunk_place(std::int32_t row, std::int32_t chunk) {
  return (chunk ^ (row / 2 % kChunks)) * kChunkWords;
}

/// Whether the words that a warp reads for register `index` of either operand lie in 32 banks.
constexpr bool reads_all_banks(bool left, std::int32_t step, std::int32_t index) {
  std::uint32_t banks = 0;
  for (std::int32_t lane = 0; lane < mma::kLanes; ++lane) {
    const mma::OperandWord at = left ? mma::left_word(lane, index) : mma::right_word(lane, index);
    const std::int32_t chunk = (step * mma::kWords + at.word) / kChunkWords;
    const std::int32_t word = at.line * kSliceWords + chunk_place(at.line, chunk) + at.word % kChunkWords;
    banks |= 1U << (word % 32);
  }
  return banks == 0xFFFFFFFFU;
}
static_assert(reads_all_banks(true, 0, 0) && reads_all_banks(true, 0, 3) && reads_all_banks(true, 1, 1));
static_assert(reads_all_banks(false, 0, 0) && reads_all_banks(false, 0, 1) && reads_all_banks(false, 1, 0));

/// What a thread copies of every slice: one chunk of every kCopyStride-th row.
class Copier {
 public:
  __device__ __forceinline__ Copier(const std::int32_t* packed, std::int64_t first_row, std::int64_t rows,
                                    std::int64_t words)
      : packed_(packed),
        source_(packed + (first_row + row()) * words + chunk() * kChunkWords),
        step_(kCopyStride * words),
        rows_(static_cast<std::int32_t>(rows - first_row < kThreads ? rows - first_row : kThreads)) {}

  /// Rows beyond the end become zeros. `offset` selects the slice and, for weights, the byte.
  template <std::int32_t kRows>
  __device__ __forceinline__ void copy(std::int32_t (&buffer)[kRows][kSliceWords], std::int64_t offset) const {
    static_assert(kRows % kCopyStride == 0);
#pragma unroll
    for (std::int32_t i = 0; i < kRows / kCopyStride; ++i) {
      const bool inside = row() + i * kCopyStride < rows_;
      device::async_copy<kChunkWords * 4>(&buffer[row() + i * kCopyStride][chunk_place(row(), chunk())],
                                          inside ? source_ + (i * step_ + offset) : packed_, inside);
    }
  }

 private:
  static constexpr std::int32_t kCopyStride = kThreads / kChunks;
  static_assert(kCopyStride % 8 == 0);

  __device__ __forceinline__ static std::int32_t row() { return static_cast<std::int32_t>(threadIdx.x) / kChunks; }
  __device__ __forceinline__ static std::int32_t chunk() { return static_cast<std::int32_t>(threadIdx.x) % kChunks; }

  const std::int32_t* packed_;
  const std::int32_t* source_;
  std::int64_t step_;
  std::int32_t rows_;
};

/// The word of a buffer that belongs to this lane's register; `line` is a multiple of 8.
template <std::int32_t kRows>
__device__ __forceinline__ std::uint32_t operand(const std::int32_t (&buffer)[kRows][kSliceWords], std::int32_t line,
                                                 std::int32_t step, const mma::OperandWord& at) {
  const std::int32_t chunk = (step * mma::kWords + at.word) / kChunkWords;
  return static_cast<std::uint32_t>(buffer[line + at.line][chunk_place(at.line % 8, chunk) + at.word % kChunkWords]);
}

/// 32-bit sums of one thread, and the exact sum that they stand for.
template <class Tile>
struct Sums {
  std::int32_t value[Tile::kBytes][Tile::kRowTiles][Tile::kPostTiles][mma::kSumRegisters] = {};

  using Exact = std::conditional_t<Tile::kBytes == 1, std::int32_t, std::int64_t>;
  __device__ __forceinline__ Exact exact(std::int32_t m, std::int32_t n, std::int32_t i) const {
    if constexpr (Tile::kBytes == 1) {
      return value[0][m][n][i];
    } else {  // the low bytes are not negative and their sum takes all 32 bits
      return static_cast<std::int64_t>(value[1][m][n][i]) * 256 + static_cast<std::uint32_t>(value[0][m][n][i]);
    }
  }
};

/// Adds the products of one slice.
template <class Tile>
__device__ __forceinline__ void add_slice(const std::int32_t (&spikes)[Tile::kRows][kSliceWords],
                                          const std::int32_t (&weights)[Tile::kBytes][Tile::kPosts][kSliceWords],
                                          Sums<Tile>& sums) {
  const std::int32_t lane = static_cast<std::int32_t>(threadIdx.x) % device::kWarpSize;
  const std::int32_t warp = static_cast<std::int32_t>(threadIdx.x) / device::kWarpSize;
  const std::int32_t my_rows = warp / Tile::kPostWarps * Tile::kRowTiles * mma::kRows;
  const std::int32_t my_posts = warp % Tile::kPostWarps * Tile::kPostTiles * mma::kColumns;
#pragma unroll 1  // unrolled it takes more registers than large tiles leave
  for (std::int32_t step = 0; step < kSteps; ++step) {
    std::uint32_t left[Tile::kRowTiles][mma::kLeftRegisters];
#pragma unroll
    for (std::int32_t m = 0; m < Tile::kRowTiles; ++m) {
#pragma unroll
      for (std::int32_t i = 0; i < mma::kLeftRegisters; ++i) {
        left[m][i] = operand(spikes, my_rows + m * mma::kRows, step, mma::left_word(lane, i));
      }
    }
#pragma unroll
    for (std::int32_t byte = 0; byte < Tile::kBytes; ++byte) {
#pragma unroll
      for (std::int32_t n = 0; n < Tile::kPostTiles; ++n) {
        std::uint32_t right[mma::kRightRegisters];
#pragma unroll
        for (std::int32_t i = 0; i < mma::kRightRegisters; ++i) {
          right[i] = operand(weights[byte], my_posts + n * mma::kColumns, step, mma::right_word(lane, i));
        }
#pragma unroll
        for (std::int32_t m = 0; m < Tile::kRowTiles; ++m) {
          if (byte + 1 < Tile::kBytes) {
            device::mma_bytes<true>(sums.value[byte][m][n], left[m], right);
          } else {
            device::mma_bytes<false>(sums.value[byte][m][n], left[m], right);
          }
        }
      }
    }
  }
}

/// Writes the outputs of a thread; sum(m, n, i) is the exact sum of one of its registers.
template <class Tile, class T, class Sum>
__device__ __forceinline__ void write_outputs(const Operands<T>& args, std::int64_t first_row, std::int64_t first_post,
                                              Sum&& sum) {
  const std::int32_t lane = static_cast<std::int32_t>(threadIdx.x) % device::kWarpSize;
  const std::int32_t warp = static_cast<std::int32_t>(threadIdx.x) / device::kWarpSize;
  const std::int64_t row0 = first_row + warp / Tile::kPostWarps * Tile::kRowTiles * mma::kRows;
  const std::int64_t post0 = first_post + warp % Tile::kPostWarps * Tile::kPostTiles * mma::kColumns;
  const bool wide = args.out_features % 2 == 0;
#pragma unroll
  for (std::int32_t n = 0; n < Tile::kPostTiles; ++n) {
    const std::int64_t post = post0 + n * mma::kColumns + mma::sum_element(lane, 0).column;
    const bool inside[2] = {post < args.out_features, post + 1 < args.out_features};
    const bool is_nan[2] = {inside[0] && args.post_is_nan[post] != 0, inside[1] && args.post_is_nan[post + 1] != 0};
#pragma unroll
    for (std::int32_t m = 0; m < Tile::kRowTiles; ++m) {
#pragma unroll
      for (std::int32_t i = 0; i < mma::kSumRegisters; i += 2) {
        const std::int64_t row = row0 + m * mma::kRows + mma::sum_element(lane, i).row;
        if (row < args.rows && args.row_is_float[row] == 0) {
          T value[2];
#pragma unroll
          for (std::int32_t j = 0; j < 2; ++j) {
            const T product = math::mul(static_cast<T>(sum(m, n, i + j)), static_cast<T>(args.factor));
            value[j] = is_nan[j] ? device::quiet_nan<T>() : product;
          }
          device::store_pair(args.out, row * args.out_features + post, wide, inside, value);
        }
      }
    }
  }
}

template <class Tile, class T, bool kLong>
__global__ void __launch_bounds__(kThreads, 2) product_kernel(const Operands<T> args) {
  GRADSPIKE_SHARED(alignas(16) std::int32_t, spike_ring, [Tile::kStages][Tile::kRows][kSliceWords]);
  GRADSPIKE_SHARED(alignas(16) std::int32_t, weight_ring, [Tile::kStages][Tile::kBytes][Tile::kPosts][kSliceWords]);
  // Tiles of one band of rows follow each other, so that its spikes stay in cache.
  const std::int64_t post_tiles = device::divide_up(args.out_features, Tile::kPosts);
  const std::int64_t first_row = blockIdx.x / post_tiles * Tile::kRows;
  const std::int64_t first_post = blockIdx.x % post_tiles * Tile::kPosts;
  const std::int32_t slices = static_cast<std::int32_t>(args.words / kSliceWords);
  const Copier spikes(args.spikes, first_row, args.rows, args.words);
  const Copier weights(args.weights, first_post, args.out_features, args.words);

  const auto copy = [&](std::int32_t slice, std::int32_t stage) {
    if (slice < slices) {
      spikes.copy(spike_ring[stage], std::int64_t{slice} * kSliceWords);
#pragma unroll
      for (std::int32_t byte = 0; byte < Tile::kBytes; ++byte) {
        weights.copy(weight_ring[stage][byte], byte * args.out_features * args.words + slice * kSliceWords);
      }
    }
    device::async_copy_commit();  // an empty group beyond the last slice, so that the waits count alike
  };

  Sums<Tile> sums;
  std::int64_t totals[Tile::kRowTiles][Tile::kPostTiles][mma::kSumRegisters] = {};
  const auto flush = [&] {
#pragma unroll
    for (std::int32_t m = 0; m < Tile::kRowTiles; ++m) {
#pragma unroll
      for (std::int32_t n = 0; n < Tile::kPostTiles; ++n) {
#pragma unroll
        for (std::int32_t i = 0; i < mma::kSumRegisters; ++i) {
          totals[m][n][i] += sums.exact(m, n, i);
        }
      }
    }
    sums = Sums<Tile>{};
  };

#pragma unroll
  for (std::int32_t stage = 0; stage < Tile::kStages - 1; ++stage) {
    copy(stage, stage);
  }
  std::int32_t stage = 0;
  for (std::int32_t slice = 0; slice < slices; ++slice) {
    device::async_copy_wait<Tile::kStages - 2>();
    __syncthreads();
    // The buffer before this one was last read before the barrier.
    copy(slice + Tile::kStages - 1, stage > 0 ? stage - 1 : Tile::kStages - 1);
    add_slice<Tile>(spike_ring[stage], weight_ring[stage], sums);
    stage = stage + 1 < Tile::kStages ? stage + 1 : 0;
    if (kLong && (slice + 1) % kSlicesPerSum == 0) {
      flush();
    }
  }

  if constexpr (kLong) {
    flush();
    write_outputs<Tile>(args, first_row, first_post,
                        [&](std::int32_t m, std::int32_t n, std::int32_t i) { return totals[m][n][i]; });
  } else {
    write_outputs<Tile>(args, first_row, first_post,
                        [&](std::int32_t m, std::int32_t n, std::int32_t i) { return sums.exact(m, n, i); });
  }
}

template <std::int32_t kBytes, class T>
void run(const CudaExec& exec, const Operands<T>& args, const ProductPlan& plan) {
  void (*kernel)(const Operands<T>) = &product_kernel<SmallShape<kBytes>, T, false>;
  if (plan.tile == ProductTile::kLong) {
    kernel = &product_kernel<SmallShape<kBytes>, T, true>;
  }
  if constexpr (kBytes == 1 && std::is_same_v<T, float>) {
    if (plan.tile == ProductTile::kLarge) {
      kernel = &product_kernel<LargeShape, T, false>;
    }
  }
  device::launch("integer_product", kernel, {plan.blocks, kThreads}, exec, args);
}

static_assert(SmallShape<1>::kRows == 64 && SmallShape<1>::kPosts == 64 && SmallShape<2>::kPosts == 64);
static_assert(LargeShape::kRows == 128 && LargeShape::kPosts == 128);

}  // namespace
}  // namespace gradspike::kernels::product
