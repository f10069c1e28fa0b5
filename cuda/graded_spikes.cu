// CUDA kernels of graded_spikes: the exact integer product, and the gradient to the weights.
//
// Forward: spikes and weights are packed into words of four inputs, padded with zeros; packing notes which rows hold
// anything but integers in 0..kMaxSpikeCount and which post neurons have a NaN weight. A tiled product sums the packed
// words in integers; a second kernel sums the noted rows in T in the order of pre. Both kernels always run, so that the
// host need not know what was found.
#include "csrc/kernels/graded_spikes.h"

#include <type_traits>

#include "csrc/kernels/prepacked.h"
#include "csrc/math/weight.h"
#include "cuda/common/device.cuh"
#include "cuda/graded_spikes_weight_grad.cuh"

namespace gradspike::kernels {
namespace {

constexpr std::int32_t kThreads = 256;
constexpr std::int32_t kWarps = kThreads / device::kWarpSize;
constexpr std::int32_t kTile = 64;                  // rows and post neurons of a block's tile
constexpr std::int32_t kSide = 16;                  // threads along either side of the tile
constexpr std::int32_t kItems = kTile / kSide;      // outputs of a thread along either side
constexpr std::int32_t kWordInputs = 4;             // inputs per packed spike word
constexpr std::int32_t kTileWords = 16;             // spike words of a tile's slice: 64 inputs
constexpr std::int32_t kStride = kTile + 4;         // of shared tiles: keeps 16-byte rows and spreads the banks
constexpr std::int32_t kQuarters = kTileWords / 4;  // 16-byte loads per row of a slice

/// Words of a weight per spike word: int8 weights are packed by four, int16 weights by two.
template <class Q>
constexpr std::int32_t kWeightWords = sizeof(Q);

std::int64_t padded_words(std::int64_t in_features) {
  return device::divide_up(in_features, kWordInputs * kTileWords) * kTileWords;
}

// ---- packing -----------------------------------------------------------------------------------------------------

/// Four spikes as bytes, the first one lowest. Rows with anything else are not summed from bytes.
template <class S>
__global__ void __launch_bounds__(kThreads)
    pack_spikes_kernel(const S* __restrict__ spikes, std::int64_t rows, std::int64_t in_features, std::int64_t words,
                       std::int32_t* __restrict__ packed, std::uint8_t* __restrict__ row_is_float) {
  const std::int64_t row = device::global_thread() / device::kWarpSize;
  const std::int32_t lane = static_cast<std::int32_t>(threadIdx.x) % device::kWarpSize;
  if (row < rows) {  // the same for all lanes of a warp
    bool counts = true;
    for (std::int64_t word = lane; word < words; word += device::kWarpSize) {
      std::uint32_t bytes = 0;
#pragma unroll
      for (std::int32_t i = 0; i < kWordInputs; ++i) {
        const std::int64_t pre = word * kWordInputs + i;
        const S spike = pre < in_features ? spikes[row * in_features + pre] : S{0};
        const bool count = math::is_spike_count(spike);
        bytes |= (count ? static_cast<std::uint32_t>(spike) : 0U) << (8 * i);
        counts = counts && count;
      }
      packed[row * words + word] = static_cast<std::int32_t>(bytes);
    }
    const bool all_counts = __all_sync(device::kFullMask, counts ? 1 : 0) != 0;
    if (lane == 0) {
      row_is_float[row] = all_counts ? 0 : 1;
    }
  }
}

/// Weights of four inputs as one word (int8) or two (int16), the first one lowest; NaN is packed as 0.
template <class Q>
__global__ void __launch_bounds__(kThreads)
    pack_weights_kernel(const Q* __restrict__ weights, std::int64_t out_features, std::int64_t in_features,
                        std::int64_t words, std::int32_t* __restrict__ packed, std::uint8_t* __restrict__ post_is_nan) {
  constexpr std::int32_t kPerWord = 4 / sizeof(Q);
  constexpr std::uint32_t kMask = sizeof(Q) == 1 ? 0xFFU : 0xFFFFU;
  const std::int64_t post = device::global_thread() / device::kWarpSize;
  const std::int32_t lane = static_cast<std::int32_t>(threadIdx.x) % device::kWarpSize;
  if (post < out_features) {  // the same for all lanes of a warp
    bool has_nan = false;
    for (std::int64_t word = lane; word < words * kWeightWords<Q>; word += device::kWarpSize) {
      std::uint32_t bytes = 0;
#pragma unroll
      for (std::int32_t i = 0; i < kPerWord; ++i) {
        const std::int64_t pre = word * kPerWord + i;
        const Q weight = pre < in_features ? weights[post * in_features + pre] : Q{0};
        const bool is_nan = weight == math::nan_weight<Q>();
        bytes |= (is_nan ? 0U : static_cast<std::uint32_t>(static_cast<std::int32_t>(weight)) & kMask)
                 << (8 * sizeof(Q) * i);
        has_nan = has_nan || is_nan;
      }
      packed[post * words * kWeightWords<Q> + word] = static_cast<std::int32_t>(bytes);
    }
    const bool any_nan = __any_sync(device::kFullMask, has_nan ? 1 : 0) != 0;
    if (lane == 0) {
      post_is_nan[post] = any_nan ? 1 : 0;
    }
  }
}

// ---- product -----------------------------------------------------------------------------------------------------

/// What packing found, and where the results go.
template <class T>
struct Product {
  const std::int32_t* spikes;        // [rows, words]
  const std::int32_t* weights;       // [out_features, words * kWeightWords]
  const std::uint8_t* row_is_float;  // [rows]
  const std::uint8_t* post_is_nan;   // [out_features]
  T* out;                            // [rows, out_features]
  std::int64_t rows;
  std::int64_t out_features;
  std::int64_t words;
  float factor;
};

/// Corner of this block's tile: tiles of one band of rows follow each other, so that its spikes stay in cache.
struct TileCorner {
  std::int64_t row;
  std::int64_t post;
};
__device__ __forceinline__ TileCorner tile_corner(std::int64_t out_features) {
  const std::int64_t post_tiles = device::divide_up(out_features, kTile);
  return {blockIdx.x / post_tiles * kTile, blockIdx.x % post_tiles * kTile};
}

__device__ __forceinline__ int4 load_words(const std::int32_t* __restrict__ packed, std::int64_t row, std::int64_t rows,
                                           std::int64_t stride, std::int64_t word) {
  return row < rows ? *reinterpret_cast<const int4*>(packed + row * stride + word) : make_int4(0, 0, 0, 0);
}

template <class Q>
__device__ __forceinline__ std::int32_t multiply_word(std::int32_t spikes, const std::int32_t* weights,
                                                      std::int32_t sum) {
  if constexpr (sizeof(Q) == 1) {
    return device::dp4a(spikes, weights[0], sum);
  } else {
    return device::dp2a<true>(weights[1], spikes, device::dp2a<false>(weights[0], spikes, sum));
  }
}

/// The converted output of one sum; NaN where the post neuron has a NaN weight.
template <class T>
__device__ __forceinline__ T finish_output(T sum, float factor, bool is_nan) {
  return is_nan ? device::quiet_nan<T>() : math::mul(sum, static_cast<T>(factor));
}

/// Integer product of one 64 x 64 tile. Per slice of 64 inputs the next slice is loaded into registers while this one,
/// in shared memory, is summed in 32 bits: 64 * 127 * 32767 < 2^31. kWide adds the slices in 64 bits.
template <class Q, class T, bool kWide>
__global__ void __launch_bounds__(kThreads) integer_product_kernel(const Product<T> args) {
  using Sum = std::conditional_t<kWide, std::int64_t, std::int32_t>;
  constexpr std::int32_t kWords = kWeightWords<Q>;
  GRADSPIKE_SHARED(std::int32_t, spike_tile, [2][kTileWords][kStride]);
  GRADSPIKE_SHARED(std::int32_t, weight_tile, [2][kTileWords * kWords][kStride]);
  const TileCorner corner = tile_corner(args.out_features);
  const std::int32_t thread = static_cast<std::int32_t>(threadIdx.x);
  const std::int32_t load_row = thread / kQuarters;
  const std::int32_t load_word = thread % kQuarters * 4;
  const std::int32_t my_rows = thread / kSide * kItems;
  const std::int32_t my_post = thread % kSide;

  int4 next_spikes = {};
  int4 next_weights[kWords] = {};
  const auto load = [&](std::int64_t word) {
    next_spikes = load_words(args.spikes, corner.row + load_row, args.rows, args.words, word + load_word);
#pragma unroll
    for (std::int32_t k = 0; k < kWords; ++k) {
      next_weights[k] = load_words(args.weights, corner.post + load_row, args.out_features, args.words * kWords,
                                   (word + load_word) * kWords + 4 * k);
    }
  };
  const auto put = [&](std::int32_t buffer) {
    const std::int32_t spikes[4] = {next_spikes.x, next_spikes.y, next_spikes.z, next_spikes.w};
#pragma unroll
    for (std::int32_t i = 0; i < 4; ++i) {
      spike_tile[buffer][load_word + i][load_row] = spikes[i];
    }
#pragma unroll
    for (std::int32_t k = 0; k < kWords; ++k) {
      const std::int32_t weights[4] = {next_weights[k].x, next_weights[k].y, next_weights[k].z, next_weights[k].w};
#pragma unroll
      for (std::int32_t i = 0; i < 4; ++i) {
        weight_tile[buffer][load_word * kWords + 4 * k + i][load_row] = weights[i];
      }
    }
  };

  Sum total[kItems][kItems] = {};
  std::int32_t buffer = 0;
  if (args.words > 0) {
    load(0);
    put(0);
  }
  __syncthreads();
  for (std::int64_t word = 0; word < args.words; word += kTileWords) {
    const bool more = word + kTileWords < args.words;
    if (more) {
      load(word + kTileWords);
    }
    std::int32_t part[kItems][kItems] = {};
#pragma unroll 4
    for (std::int32_t k = 0; k < kTileWords; ++k) {
      const int4 row_words = *reinterpret_cast<const int4*>(&spike_tile[buffer][k][my_rows]);
      const std::int32_t spikes[kItems] = {row_words.x, row_words.y, row_words.z, row_words.w};
#pragma unroll
      for (std::int32_t j = 0; j < kItems; ++j) {
        std::int32_t weights[kWords];
#pragma unroll
        for (std::int32_t h = 0; h < kWords; ++h) {
          weights[h] = weight_tile[buffer][k * kWords + h][my_post + j * kSide];
        }
#pragma unroll
        for (std::int32_t i = 0; i < kItems; ++i) {
          part[i][j] = multiply_word<Q>(spikes[i], weights, part[i][j]);
        }
      }
    }
#pragma unroll
    for (std::int32_t i = 0; i < kItems; ++i) {
#pragma unroll
      for (std::int32_t j = 0; j < kItems; ++j) {
        total[i][j] += part[i][j];
      }
    }
    // The other buffer was last read before the barrier at the end of the slice before.
    buffer = 1 - buffer;
    if (more) {
      put(buffer);
    }
    __syncthreads();
  }

#pragma unroll
  for (std::int32_t i = 0; i < kItems; ++i) {
    const std::int64_t row = corner.row + my_rows + i;
    if (row < args.rows && args.row_is_float[row] == 0) {
#pragma unroll
      for (std::int32_t j = 0; j < kItems; ++j) {
        const std::int64_t post = corner.post + my_post + j * kSide;
        if (post < args.out_features) {
          args.out[row * args.out_features + post] =
              finish_output(static_cast<T>(total[i][j]), args.factor, args.post_is_nan[post] != 0);
        }
      }
    }
  }
}

/// Rows that are no counts, in T: one thread sums an output in the order of pre, so the tiling changes no rounding.
template <class S, class Q, class T>
__global__ void __launch_bounds__(kThreads)
    float_product_kernel(const GradedSpikesArgs<S, Q, T> args, std::int64_t weight_stride,
                         const std::uint8_t* __restrict__ row_is_float, const std::uint8_t* __restrict__ post_is_nan) {
  constexpr std::int32_t kSlice = 16;  // inputs
  GRADSPIKE_SHARED(T, spike_tile, [kSlice][kTile + 1]);
  GRADSPIKE_SHARED(T, weight_tile, [kSlice][kTile + 1]);
  const TileCorner corner = tile_corner(args.out_features);
  const std::int32_t thread = static_cast<std::int32_t>(threadIdx.x);
  const std::int32_t my_rows = thread / kSide * kItems;
  const std::int32_t my_post = thread % kSide;
  const bool noted = thread < kTile && corner.row + thread < args.rows && row_is_float[corner.row + thread] != 0;

  // The same for all threads of the block: nobody waits at the barriers below for those that skip them.
  if (__syncthreads_or(noted ? 1 : 0) != 0) {
    T sums[kItems][kItems] = {};
    for (std::int64_t first = 0; first < args.in_features; first += kSlice) {
#pragma unroll
      for (std::int32_t i = 0; i < kTile * kSlice / kThreads; ++i) {
        const std::int32_t item = thread + i * kThreads;
        const std::int64_t pre = first + item % kSlice;
        const std::int64_t row = corner.row + item / kSlice;
        const std::int64_t post = corner.post + item / kSlice;
        const bool inside = pre < args.in_features;
        spike_tile[item % kSlice][item / kSlice] =
            inside && row < args.rows ? static_cast<T>(args.spikes[row * args.in_features + pre]) : T{0};
        weight_tile[item % kSlice][item / kSlice] =
            inside && post < args.out_features ? static_cast<T>(args.weights[post * weight_stride + pre]) : T{0};
      }
      __syncthreads();
      // Beyond in_features zeros are added, which change no bit of a sum that started at +0.
#pragma unroll 4
      for (std::int32_t k = 0; k < kSlice; ++k) {
#pragma unroll
        for (std::int32_t i = 0; i < kItems; ++i) {
#pragma unroll
          for (std::int32_t j = 0; j < kItems; ++j) {
            const T product = math::mul(spike_tile[k][my_rows + i], weight_tile[k][my_post + j * kSide]);
            sums[i][j] = math::add(sums[i][j], product);
          }
        }
      }
      __syncthreads();
    }

#pragma unroll
    for (std::int32_t i = 0; i < kItems; ++i) {
      const std::int64_t row = corner.row + my_rows + i;
      if (row < args.rows && row_is_float[row] != 0) {
#pragma unroll
        for (std::int32_t j = 0; j < kItems; ++j) {
          const std::int64_t post = corner.post + my_post + j * kSide;
          if (post < args.out_features) {
            args.out[row * args.out_features + post] = finish_output(sums[i][j], args.factor, post_is_nan[post] != 0);
          }
        }
      }
    }
  }
}

/// One warp for each of `count` rows.
device::LaunchShape one_warp_each(std::int64_t count) { return {device::divide_up(count, kWarps), kThreads}; }

/// Both products, with weights that are packed as words; `args.weights` holds them as a matrix of rows of
/// `weight_stride`, for the rows of spikes that are no counts.
template <class S, class Q, class T>
void run_products(const CudaExec& exec, const GradedSpikesArgs<S, Q, T>& args, std::int64_t weight_stride,
                  const std::int32_t* weight_words, const std::uint8_t* post_is_nan) {
  const std::int64_t words = padded_words(args.in_features);
  std::int32_t* const spikes = exec.workspace->allocate_array<std::int32_t>(args.rows * words);
  std::uint8_t* const row_is_float = exec.workspace->allocate_array<std::uint8_t>(args.rows);
  device::launch("pack_spikes", &pack_spikes_kernel<S>, one_warp_each(args.rows), exec, args.spikes, args.rows,
                 args.in_features, words, spikes, row_is_float);
  const Product<T> product{spikes,    weight_words,      row_is_float, post_is_nan, args.out,
                           args.rows, args.out_features, words,        args.factor};
  const device::LaunchShape tiles{device::divide_up(args.rows, kTile) * device::divide_up(args.out_features, kTile),
                                  kThreads};
  device::launch("integer_product",
                 args.wide ? &integer_product_kernel<Q, T, true> : &integer_product_kernel<Q, T, false>, tiles, exec,
                 product);
  device::launch("float_product", &float_product_kernel<S, Q, T>, tiles, exec, args, weight_stride, row_is_float,
                 post_is_nan);
}

}  // namespace

template <class S, class Q, class T>
void graded_spikes(const CudaExec& exec, const GradedSpikesArgs<S, Q, T>& args) {
  if (args.rows == 0 || args.out_features == 0) {
    return;
  }
  const std::int64_t words = padded_words(args.in_features);
  std::int32_t* const weights =
      exec.workspace->allocate_array<std::int32_t>(args.out_features * words * kWeightWords<Q>);
  std::uint8_t* const post_is_nan = exec.workspace->allocate_array<std::uint8_t>(args.out_features);
  device::launch("pack_weights", &pack_weights_kernel<Q>, one_warp_each(args.out_features), exec, args.weights,
                 args.out_features, args.in_features, words, weights, post_is_nan);
  run_products(exec, args, args.in_features, weights, post_is_nan);
}

/// The rows of the packed matrix are the words of the product, low byte first.
template <class S, class Q, class T>
void prepacked_graded_spikes(const CudaExec& exec, const PrepackedGradedSpikesArgs<S, Q, T>& args) {
  static_assert(kPackedInputs == kWordInputs * kTileWords, "the packed matrix has the product's padding");
  if (args.rows == 0 || args.out_features == 0) {
    return;
  }
  const GradedSpikesArgs<S, Q, T> product{args.spikes,      args.weights.matrix, args.out,    args.rows,
                                          args.in_features, args.out_features,   args.factor, args.wide};
  run_products(exec, product, packed_inputs(args.in_features),
               reinterpret_cast<const std::int32_t*>(args.weights.matrix),
               reinterpret_cast<const std::uint8_t*>(args.weights.nan_posts));
}

template <class S, class W, class T>
void graded_spikes_weight_grad(const CudaExec& exec, const GradedSpikesWeightGradArgs<S, W, T>& args) {
  weight_grad::run(exec, args);
}

#define GRADSPIKE_INSTANTIATE(S, T)                                                                                \
  template void graded_spikes<S, std::int8_t, T>(const CudaExec&, const GradedSpikesArgs<S, std::int8_t, T>&);     \
  template void graded_spikes<S, std::int16_t, T>(const CudaExec&, const GradedSpikesArgs<S, std::int16_t, T>&);   \
  template void prepacked_graded_spikes<S, std::int8_t, T>(const CudaExec&,                                        \
                                                           const PrepackedGradedSpikesArgs<S, std::int8_t, T>&);   \
  template void prepacked_graded_spikes<S, std::int16_t, T>(const CudaExec&,                                       \
                                                            const PrepackedGradedSpikesArgs<S, std::int16_t, T>&); \
  template void graded_spikes_weight_grad<S, float, T>(const CudaExec&,                                            \
                                                       const GradedSpikesWeightGradArgs<S, float, T>&);            \
  template void graded_spikes_weight_grad<S, double, T>(const CudaExec&,                                           \
                                                        const GradedSpikesWeightGradArgs<S, double, T>&);
GRADSPIKE_INSTANTIATE(float, float)
GRADSPIKE_INSTANTIATE(float, double)
GRADSPIKE_INSTANTIATE(double, float)
GRADSPIKE_INSTANTIATE(double, double)
GRADSPIKE_INSTANTIATE(std::uint8_t, float)
GRADSPIKE_INSTANTIATE(std::uint8_t, double)
#undef GRADSPIKE_INSTANTIATE

}  // namespace gradspike::kernels
