// CUDA kernels of graded_spikes: the exact integer product, and the gradient to the weights.
//
// Forward: spikes and weights are packed into words of four inputs, padded with zeros; packing notes which rows hold
// anything but integers in 0..kMaxSpikeCount and which post neurons have a NaN weight. Tensor cores sum the packed
// words in integers; a second kernel sums the noted rows in T in the order of pre. Both kernels always run, so that the
// host need not know what was found.
#include "csrc/kernels/graded_spikes.h"

#include <type_traits>

#include "csrc/kernels/prepacked.h"
#include "csrc/math/weight.h"
#include "cuda/common/device.cuh"
#include "cuda/graded_spikes_product.cuh"
#include "cuda/graded_spikes_weight_grad.cuh"

namespace gradspike::kernels {
namespace {

constexpr std::int32_t kThreads = 256;
constexpr std::int32_t kWarps = kThreads / device::kWarpSize;
constexpr std::int32_t kWordInputs = product::kWordInputs;  // inputs per packed word

// ---- packing -----------------------------------------------------------------------------------------------------

/// Four spikes as bytes, the first one lowest. Rows with anything else are not summed from bytes.
template <class S>
__global__ void __launch_bounds__(kThreads)
    pack_spikes_kernel(const S* __restrict__ spikes, std::int64_t rows, std::int64_t in_features, bool wide,
                       std::int64_t words, std::int32_t* __restrict__ packed, std::uint8_t* __restrict__ row_is_float) {
  const std::int64_t row = device::global_thread() / device::kWarpSize;
  const std::int32_t lane = static_cast<std::int32_t>(threadIdx.x) % device::kWarpSize;
  if (row < rows) {  // the same for all lanes of a warp
    bool counts = true;
#pragma unroll 2
    for (std::int64_t word = lane; word < words; word += device::kWarpSize) {
      S values[kWordInputs];
      device::load_four(spikes + row * in_features, word * kWordInputs, in_features, wide, values);
      std::uint32_t bytes = 0;
#pragma unroll
      for (std::int32_t i = 0; i < kWordInputs; ++i) {
        const bool count = math::is_spike_count(values[i]);
        bytes |= (count ? static_cast<std::uint32_t>(values[i]) : 0U) << (8 * i);
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

/// packed[byte][post][word]: one byte of each of four weights, the first one lowest; NaN is packed as 0.
template <class Q>
__global__ void __launch_bounds__(kThreads)
    pack_weights_kernel(const Q* __restrict__ weights, std::int64_t out_features, std::int64_t in_features, bool wide,
                        std::int64_t words, std::int32_t* __restrict__ packed, std::uint8_t* __restrict__ post_is_nan) {
  constexpr std::int32_t kBytes = sizeof(Q);
  const std::int64_t post = device::global_thread() / device::kWarpSize;
  const std::int32_t lane = static_cast<std::int32_t>(threadIdx.x) % device::kWarpSize;
  if (post < out_features) {  // the same for all lanes of a warp
    bool has_nan = false;
    for (std::int64_t word = lane; word < words; word += device::kWarpSize) {
      Q values[kWordInputs];
      device::load_four(weights + post * in_features, word * kWordInputs, in_features, wide, values);
      std::uint32_t bytes[kBytes] = {};
#pragma unroll
      for (std::int32_t i = 0; i < kWordInputs; ++i) {
        const bool is_nan = values[i] == math::nan_weight<Q>();
        const std::uint32_t bits = is_nan ? 0U : static_cast<std::uint32_t>(static_cast<std::int32_t>(values[i]));
#pragma unroll
        for (std::int32_t byte = 0; byte < kBytes; ++byte) {
          bytes[byte] |= (bits >> (8 * byte) & 0xFFU) << (8 * i);
        }
        has_nan = has_nan || is_nan;
      }
#pragma unroll
      for (std::int32_t byte = 0; byte < kBytes; ++byte) {
        packed[(byte * out_features + post) * words + word] = static_cast<std::int32_t>(bytes[byte]);
      }
    }
    const bool any_nan = __any_sync(device::kFullMask, has_nan ? 1 : 0) != 0;
    if (lane == 0) {
      post_is_nan[post] = any_nan ? 1 : 0;
    }
  }
}

// ---- product of rows that are no counts --------------------------------------------------------------------------

constexpr std::int32_t kTile = 64;              // rows and post neurons of a block's tile
constexpr std::int32_t kSide = 16;              // threads along either side of the tile
constexpr std::int32_t kItems = kTile / kSide;  // outputs of a thread along either side

/// Rows that are no counts, in T: one thread sums an output in the order of pre, so the tiling changes no rounding.
template <class S, class Q, class T>
__global__ void __launch_bounds__(kThreads)
    float_product_kernel(const GradedSpikesArgs<S, Q, T> args, std::int64_t weight_stride,
                         const std::uint8_t* __restrict__ row_is_float, const std::uint8_t* __restrict__ post_is_nan) {
  constexpr std::int32_t kSlice = 16;  // inputs
  GRADSPIKE_SHARED(T, spike_tile, [kSlice][kTile + 1]);
  GRADSPIKE_SHARED(T, weight_tile, [kSlice][kTile + 1]);
  const std::int64_t post_tiles = device::divide_up(args.out_features, kTile);
  const std::int64_t first_row = blockIdx.x / post_tiles * kTile;
  const std::int64_t first_post = blockIdx.x % post_tiles * kTile;
  const std::int32_t thread = static_cast<std::int32_t>(threadIdx.x);
  const std::int32_t my_rows = thread / kSide * kItems;
  const std::int32_t my_post = thread % kSide;
  const bool noted = thread < kTile && first_row + thread < args.rows && row_is_float[first_row + thread] != 0;

  // The same for all threads of the block: nobody waits at the barriers below for those that skip them.
  if (__syncthreads_or(noted ? 1 : 0) != 0) {
    T sums[kItems][kItems] = {};
    for (std::int64_t first = 0; first < args.in_features; first += kSlice) {
#pragma unroll
      for (std::int32_t i = 0; i < kTile * kSlice / kThreads; ++i) {
        const std::int32_t item = thread + i * kThreads;
        const std::int64_t pre = first + item % kSlice;
        const std::int64_t row = first_row + item / kSlice;
        const std::int64_t post = first_post + item / kSlice;
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
      const std::int64_t row = first_row + my_rows + i;
      if (row < args.rows && row_is_float[row] != 0) {
#pragma unroll
        for (std::int32_t j = 0; j < kItems; ++j) {
          const std::int64_t post = first_post + my_post + j * kSide;
          if (post < args.out_features) {
            const T value = math::mul(sums[i][j], static_cast<T>(args.factor));
            args.out[row * args.out_features + post] = post_is_nan[post] != 0 ? device::quiet_nan<T>() : value;
          }
        }
      }
    }
  }
}

/// One warp for each of `count` rows.
device::LaunchShape one_warp_each(std::int64_t count) { return {device::divide_up(count, kWarps), kThreads}; }

template <class Q>
void launch_pack_weights(const CudaExec& exec, const Q* weights, std::int64_t out_features, std::int64_t in_features,
                         std::int32_t* packed, std::uint8_t* post_is_nan) {
  device::launch("pack_weights", &pack_weights_kernel<Q>, one_warp_each(out_features), exec, weights, out_features,
                 in_features, device::rows_are_wide(weights, in_features), product::padded_words(in_features), packed,
                 post_is_nan);
}

/// Both products, with packed weights; those of `args` have rows of `weight_stride`.
template <class S, class Q, class T>
void run_products(const CudaExec& exec, const GradedSpikesArgs<S, Q, T>& args, std::int64_t weight_stride,
                  const std::int32_t* weights, const std::uint8_t* post_is_nan) {
  const std::int64_t words = product::padded_words(args.in_features);
  std::int32_t* const spikes = exec.workspace->allocate_array<std::int32_t>(args.rows * words);
  std::uint8_t* const row_is_float = exec.workspace->allocate_array<std::uint8_t>(args.rows);
  device::launch("pack_spikes", &pack_spikes_kernel<S>, one_warp_each(args.rows), exec, args.spikes, args.rows,
                 args.in_features, device::rows_are_wide(args.spikes, args.in_features), words, spikes, row_is_float);
  product::run<sizeof(Q), T>(
      exec, {spikes, weights, row_is_float, post_is_nan, args.out, args.rows, args.out_features, words, args.factor},
      plan_product(args.rows, args.in_features, args.out_features, sizeof(Q), sizeof(T)));
  device::launch("float_product", &float_product_kernel<S, Q, T>,
                 {num_tiles(args.rows, args.out_features, kTile, kTile), kThreads}, exec, args, weight_stride,
                 row_is_float, post_is_nan);
}

}  // namespace

template <class S, class Q, class T>
void graded_spikes(const CudaExec& exec, const GradedSpikesArgs<S, Q, T>& args) {
  if (args.rows == 0 || args.out_features == 0) {
    return;
  }
  const std::int64_t words = product::padded_words(args.in_features);
  std::int32_t* const weights =
      exec.workspace->allocate_array<std::int32_t>(args.out_features * words * static_cast<std::int64_t>(sizeof(Q)));
  std::uint8_t* const post_is_nan = exec.workspace->allocate_array<std::uint8_t>(args.out_features);
  launch_pack_weights(exec, args.weights, args.out_features, args.in_features, weights, post_is_nan);
  run_products(exec, args, args.in_features, weights, post_is_nan);
}

/// The rows of the packed int8 matrix are the words of the product; int16 ones are divided into bytes here.
template <class S, class Q, class T>
void prepacked_graded_spikes(const CudaExec& exec, const PrepackedGradedSpikesArgs<S, Q, T>& args) {
  static_assert(kPackedInputs == product::kWordInputs * product::kSliceWords, "the matrix has the product's padding");
  if (args.rows == 0 || args.out_features == 0) {
    return;
  }
  const std::int64_t stride = packed_inputs(args.in_features);
  const GradedSpikesArgs<S, Q, T> plain{args.spikes,      args.weights.matrix, args.out,    args.rows,
                                        args.in_features, args.out_features,   args.factor, args.wide};
  const auto* weights = reinterpret_cast<const std::int32_t*>(args.weights.matrix);
  if constexpr (sizeof(Q) > 1) {
    std::int32_t* const bytes = exec.workspace->allocate_array<std::int32_t>(
        args.out_features * product::padded_words(stride) * static_cast<std::int64_t>(sizeof(Q)));
    std::uint8_t* const unused = exec.workspace->allocate_array<std::uint8_t>(args.out_features);
    launch_pack_weights(exec, args.weights.matrix, args.out_features, stride, bytes, unused);
    weights = bytes;
  }
  run_products(exec, plain, stride, weights, reinterpret_cast<const std::uint8_t*>(args.weights.nan_posts));
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
