// CUDA kernels of sparse_graded_spikes. Lanes are rows: a warp walks the connections of one neuron, whose indices and
// weights are the same for all lanes, and reads the activations transposed, so that the lanes read side by side.
//
// Sorted by post, the list itself holds the connections by post; by pre they are sorted with a stable sort by key.
// Every sum has one order: the results are the same in every run. The forward and the gradient to the spikes have the
// order, and so the bits, of the CPU kernels.
#include "csrc/kernels/sparse_graded_spikes.h"

#include <thrust/sort.h>

#include <type_traits>

#include "cuda/common/device.cuh"
#include "cuda/common/thrust_exec.h"

namespace gradspike::kernels {
namespace {

constexpr std::int32_t kThreads = 256;
constexpr std::int32_t kWarps = kThreads / device::kWarpSize;
constexpr std::int32_t kTile = 32;                        // rows and neurons of a block's tile: one warp's width
constexpr std::int32_t kNeuronsPerWarp = kTile / kWarps;  // a warp walks these one after the other

device::LaunchShape elementwise(std::int64_t count) { return {device::divide_up(count, kThreads), kThreads}; }

std::int64_t num_tiles(std::int64_t rows, std::int64_t columns) {
  return device::divide_up(rows, kTile) * device::divide_up(columns, kTile);
}

// ---- lists -------------------------------------------------------------------------------------------------------

/// The first place in sorted `keys` whose key is not below `key`.
template <class K>
__device__ __forceinline__ std::int64_t lower_bound(const K* __restrict__ keys, std::int64_t count, std::int64_t key) {
  std::int64_t low = 0;
  std::int64_t high = count;
  while (low < high) {
    const std::int64_t middle = low + (high - low) / 2;
    if (static_cast<std::int64_t>(keys[middle]) < key) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

/// start[n] .. start[n + 1] are the connections of neuron n; keys outside 0..neurons - 1 belong to none.
template <class K>
__global__ void __launch_bounds__(kThreads) list_starts_kernel(const K* __restrict__ keys, std::int64_t count,
                                                               std::int64_t neurons, std::int64_t* __restrict__ start) {
  const std::int64_t n = device::global_thread();
  if (n <= neurons) {
    start[n] = lower_bound(keys, count, n);
  }
}

/// Keys of the sort by pre: a connection that is outside goes behind all others.
__global__ void __launch_bounds__(kThreads)
    pre_keys_kernel(const ConnectionIndex index, std::int64_t* __restrict__ keys, std::int64_t* __restrict__ position) {
  const std::int64_t k = device::global_thread();
  if (k < index.count) {
    const bool inside = index.pre[k] >= 0 && index.pre[k] < index.in_features && index.post[k] >= 0 &&
                        index.post[k] < index.out_features;
    keys[k] = inside ? index.pre[k] : index.in_features;
    position[k] = k;
  }
}

template <class Q>
__global__ void __launch_bounds__(kThreads)
    nan_posts_kernel(const ConnectionIndex index, const std::int64_t* __restrict__ start, const Q* __restrict__ weights,
                     std::uint8_t* __restrict__ post_is_nan) {
  const std::int64_t post = device::global_thread();
  if (post < index.out_features) {
    bool is_nan = false;
    for (std::int64_t k = start[post]; k < start[post + 1]; ++k) {
      is_nan = is_nan || (is_nan_weight(weights[k]) && index.pre[k] >= 0 && index.pre[k] < index.in_features);
    }
    post_is_nan[post] = is_nan ? 1 : 0;
  }
}

// ---- activations -------------------------------------------------------------------------------------------------

struct TileCorner {
  std::int64_t row;
  std::int64_t column;
};
__device__ __forceinline__ TileCorner tile_corner(std::int64_t columns) {
  const std::int64_t tiles = device::divide_up(columns, kTile);
  return {blockIdx.x / tiles * kTile, blockIdx.x % tiles * kTile};
}

/// to[column][row] = from[row][column], with kCounts as bytes, 0 where the value is no count of a spike.
template <class From, class To, bool kCounts>
__global__ void __launch_bounds__(kThreads)
    transpose_kernel(const From* __restrict__ from, std::int64_t rows, std::int64_t columns, To* __restrict__ to) {
  GRADSPIKE_SHARED(To, tile, [kTile][kTile + 1]);
  const TileCorner corner = tile_corner(columns);
  const std::int32_t lane = static_cast<std::int32_t>(threadIdx.x) % kTile;
  const std::int32_t first = static_cast<std::int32_t>(threadIdx.x) / kTile;
  for (std::int32_t r = first; r < kTile; r += kWarps) {
    const bool inside = corner.row + r < rows && corner.column + lane < columns;
    const From value = inside ? from[(corner.row + r) * columns + corner.column + lane] : From{0};
    if constexpr (kCounts) {
      tile[r][lane] = math::is_spike_count(value) ? static_cast<To>(value) : To{0};
    } else {
      tile[r][lane] = static_cast<To>(value);
    }
  }
  __syncthreads();
  for (std::int32_t c = first; c < kTile; c += kWarps) {
    if (corner.column + c < columns && corner.row + lane < rows) {
      to[(corner.column + c) * rows + corner.row + lane] = tile[lane][c];
    }
  }
}

/// Per row whether it holds a spike that is no count, and the number of spikes that are not finite; one warp per row.
template <class S>
__global__ void __launch_bounds__(kThreads)
    inspect_rows_kernel(const S* __restrict__ spikes, std::int64_t rows, std::int64_t in_features,
                        std::uint8_t* __restrict__ row_is_float, std::int32_t* __restrict__ num_not_finite) {
  const std::int64_t row = device::global_thread() / device::kWarpSize;
  const std::int32_t lane = static_cast<std::int32_t>(threadIdx.x) % device::kWarpSize;
  if (row < rows) {  // the same for all lanes of a warp
    bool counts = true;
    std::uint64_t not_finite = 0;
    for (std::int64_t pre = lane; pre < in_features; pre += device::kWarpSize) {
      const S spike = spikes[row * in_features + pre];
      counts = counts && math::is_spike_count(spike);
      not_finite += is_finite(spike) ? 0 : 1;
    }
    const bool all_counts = __all_sync(device::kFullMask, counts ? 1 : 0) != 0;
    not_finite = device::warp_sum(not_finite);
    if (lane == 0) {
      row_is_float[row] = all_counts ? 0 : 1;
      num_not_finite[row] = static_cast<std::int32_t>(not_finite);
    }
  }
}

// ---- forward -----------------------------------------------------------------------------------------------------

/// Integer sums of one tile of rows x post neurons.
template <class T, bool kWide>
__global__ void __launch_bounds__(kThreads)
    integer_sums_kernel(const ConnectionIndex index, const std::int64_t* __restrict__ start,
                        const std::int16_t* __restrict__ weights, const std::uint8_t* __restrict__ counts,
                        const std::uint8_t* __restrict__ row_is_float, const std::uint8_t* __restrict__ post_is_nan,
                        std::int64_t rows, float factor, T* __restrict__ out) {
  using Sum = std::conditional_t<kWide, std::int64_t, std::int32_t>;
  GRADSPIKE_SHARED(T, tile, [kTile][kTile + 1]);
  const TileCorner corner = tile_corner(index.out_features);
  const std::int32_t lane = static_cast<std::int32_t>(threadIdx.x) % kTile;
  const std::int32_t warp = static_cast<std::int32_t>(threadIdx.x) / kTile;
  const std::int64_t row = corner.row + lane;
  for (std::int32_t i = 0; i < kNeuronsPerWarp; ++i) {
    const std::int32_t c = warp * kNeuronsPerWarp + i;
    const std::int64_t post = corner.column + c;
    if (post < index.out_features && row < rows) {
      Sum sum = 0;
      for (std::int64_t k = start[post]; k < start[post + 1]; ++k) {
        const std::int64_t pre = index.pre[k];
        if (pre >= 0 && pre < index.in_features) {
          sum += static_cast<Sum>(counts[pre * rows + row]) * static_cast<Sum>(weights[k]);
        }
      }
      tile[lane][c] =
          post_is_nan[post] != 0 ? device::quiet_nan<T>() : math::mul(static_cast<T>(sum), static_cast<T>(factor));
    }
  }
  __syncthreads();
  for (std::int32_t r = warp; r < kTile; r += kWarps) {
    const std::int64_t out_row = corner.row + r;
    const std::int64_t post = corner.column + lane;
    if (out_row < rows && post < index.out_features && row_is_float[out_row] == 0) {
      out[out_row * index.out_features + post] = tile[r][lane];
    }
  }
}

/// Rows in T: a block per row, a thread per post neuron. `row_is_float` null: all rows.
template <class S, class Q, class T>
__global__ void __launch_bounds__(kThreads)
    float_sums_kernel(const SparseGradedSpikesArgs<S, Q, T> args, const std::int64_t* __restrict__ start,
                      const std::uint8_t* __restrict__ row_is_float, const std::int32_t* __restrict__ num_not_finite,
                      const std::uint8_t* __restrict__ post_is_nan) {
  const std::int64_t row = blockIdx.x;
  if (row_is_float == nullptr || row_is_float[row] != 0) {
    const S* __restrict__ spikes = args.spikes + row * args.index.in_features;
    for (std::int64_t post = threadIdx.x; post < args.index.out_features; post += kThreads) {
      T sum{0};
      std::int32_t reached = 0;
      for (std::int64_t k = start[post]; k < start[post + 1]; ++k) {
        const std::int64_t pre = args.index.pre[k];
        const T spike = pre >= 0 && pre < args.index.in_features ? static_cast<T>(spikes[pre]) : T{0};
        if (spike != T{0}) {
          sum = math::add(sum, math::mul(spike, static_cast<T>(args.weights[k])));
          reached += is_finite(spike) ? 0 : 1;
        }
      }
      const bool undefined = reached != num_not_finite[row] || post_is_nan[post] != 0;
      args.out[row * args.index.out_features + post] =
          undefined ? device::quiet_nan<T>() : math::mul(sum, static_cast<T>(args.factor));
    }
  }
}

// ---- gradients ---------------------------------------------------------------------------------------------------

/// One warp per connection; lanes take rows in turn and add in double, in a fixed order.
template <class S, class T>
__global__ void __launch_bounds__(kThreads)
    weight_grad_kernel(const ConnectionIndex index, const T* __restrict__ grad, const S* __restrict__ spikes,
                       std::int64_t rows, float factor, T* __restrict__ grad_weights) {
  const std::int64_t k = device::global_thread() / device::kWarpSize;
  const std::int32_t lane = static_cast<std::int32_t>(threadIdx.x) % device::kWarpSize;
  if (k < index.count) {  // the same for all lanes of a warp
    const std::int64_t post = index.post[k];
    const std::int64_t pre = index.pre[k];
    const bool inside = pre >= 0 && pre < index.in_features && post >= 0 && post < index.out_features;
    double sum = 0;
    for (std::int64_t row = lane; inside && row < rows; row += device::kWarpSize) {
      const S spike = spikes[pre * rows + row];
      if (spike != S{0}) {
        sum = math::add(sum, math::mul(static_cast<double>(spike), static_cast<double>(grad[post * rows + row])));
      }
    }
#pragma unroll
    for (std::int32_t offset = device::kWarpSize / 2; offset > 0; offset /= 2) {
      sum = math::add(sum, __shfl_down_sync(device::kFullMask, sum, offset));
    }
    if (lane == 0) {
      grad_weights[k] = math::mul(static_cast<T>(factor), static_cast<T>(sum));
    }
  }
}

/// Sums of one tile of rows x pre neurons, over the connections of each in the order of post.
template <class Q, class T>
__global__ void __launch_bounds__(kThreads)
    spike_grad_kernel(const SparseSpikeGradArgs<Q, T> args, const std::int64_t* __restrict__ start,
                      const std::int64_t* __restrict__ position, const T* __restrict__ grad) {
  GRADSPIKE_SHARED(T, tile, [kTile][kTile + 1]);
  const TileCorner corner = tile_corner(args.index.in_features);
  const std::int32_t lane = static_cast<std::int32_t>(threadIdx.x) % kTile;
  const std::int32_t warp = static_cast<std::int32_t>(threadIdx.x) / kTile;
  const std::int64_t row = corner.row + lane;
  for (std::int32_t i = 0; i < kNeuronsPerWarp; ++i) {
    const std::int32_t c = warp * kNeuronsPerWarp + i;
    const std::int64_t pre = corner.column + c;
    if (pre < args.index.in_features && row < args.rows) {
      T sum{0};
      for (std::int64_t at = start[pre]; at < start[pre + 1]; ++at) {
        const std::int64_t k = position[at];
        const Q weight = args.weights[k];
        const T factor = is_nan_weight(weight) ? device::quiet_nan<T>()
                                               : math::mul(static_cast<T>(args.factor), static_cast<T>(weight));
        sum = math::add(sum, math::mul(factor, grad[args.index.post[k] * args.rows + row]));
      }
      tile[lane][c] = sum;
    }
  }
  __syncthreads();
  for (std::int32_t r = warp; r < kTile; r += kWarps) {
    if (corner.row + r < args.rows && corner.column + lane < args.index.in_features) {
      args.grad_spikes[(corner.row + r) * args.index.in_features + corner.column + lane] = tile[r][lane];
    }
  }
}

template <class From, class To, bool kCounts>
const To* transposed(const CudaExec& exec, const From* from, std::int64_t rows, std::int64_t columns) {
  To* const to = exec.workspace->allocate_array<To>(rows * columns);
  device::launch("transpose", &transpose_kernel<From, To, kCounts>, {num_tiles(rows, columns), kThreads}, exec, from,
                 rows, columns, to);
  return to;
}

template <class K>
const std::int64_t* list_starts(const CudaExec& exec, const K* keys, std::int64_t count, std::int64_t neurons) {
  std::int64_t* const start = exec.workspace->allocate_array<std::int64_t>(neurons + 1);
  device::launch("list_starts", &list_starts_kernel<K>, elementwise(neurons + 1), exec, keys, count, neurons, start);
  return start;
}

}  // namespace

template <class S, class Q, class T>
void sparse_graded_spikes(const CudaExec& exec, const SparseGradedSpikesArgs<S, Q, T>& args) {
  if (args.rows == 0 || args.index.out_features == 0) {
    return;
  }
  const std::int64_t* const start = list_starts(exec, args.index.post, args.index.count, args.index.out_features);
  std::uint8_t* const post_is_nan = exec.workspace->allocate_array<std::uint8_t>(args.index.out_features);
  device::launch("sparse_nan_posts", &nan_posts_kernel<Q>, elementwise(args.index.out_features), exec, args.index,
                 start, args.weights, post_is_nan);
  constexpr bool kIntegers = std::is_same_v<Q, std::int16_t>;
  std::uint8_t* const row_is_float = exec.workspace->allocate_array<std::uint8_t>(args.rows);
  std::int32_t* const num_not_finite = exec.workspace->allocate_array<std::int32_t>(args.rows);
  device::launch("sparse_inspect_rows", &inspect_rows_kernel<S>, {device::divide_up(args.rows, kWarps), kThreads}, exec,
                 args.spikes, args.rows, args.index.in_features, row_is_float, num_not_finite);
  if constexpr (kIntegers) {
    const std::uint8_t* const counts =
        transposed<S, std::uint8_t, true>(exec, args.spikes, args.rows, args.index.in_features);
    device::launch("sparse_integer_sums", args.wide ? &integer_sums_kernel<T, true> : &integer_sums_kernel<T, false>,
                   {num_tiles(args.rows, args.index.out_features), kThreads}, exec, args.index, start, args.weights,
                   counts, row_is_float, post_is_nan, args.rows, args.factor, args.out);
  }
  device::launch("sparse_float_sums", &float_sums_kernel<S, Q, T>, {args.rows, kThreads}, exec, args, start,
                 kIntegers ? row_is_float : nullptr, num_not_finite, post_is_nan);
}

template <class S, class T>
void sparse_weight_grad(const CudaExec& exec, const SparseWeightGradArgs<S, T>& args) {
  if (args.index.count == 0) {
    return;
  }
  const T* const grad = transposed<T, T, false>(exec, args.grad, args.rows, args.index.out_features);
  const S* const spikes = transposed<S, S, false>(exec, args.spikes, args.rows, args.index.in_features);
  device::launch("sparse_weight_grad", &weight_grad_kernel<S, T>,
                 {device::divide_up(args.index.count, kWarps), kThreads}, exec, args.index, grad, spikes, args.rows,
                 args.factor, args.grad_weights);
}

template <class Q, class T>
void sparse_spike_grad(const CudaExec& exec, const SparseSpikeGradArgs<Q, T>& args) {
  if (args.rows == 0 || args.index.in_features == 0) {
    return;
  }
  std::int64_t* const keys = exec.workspace->allocate_array<std::int64_t>(args.index.count);
  std::int64_t* const position = exec.workspace->allocate_array<std::int64_t>(args.index.count);
  device::launch("sparse_pre_keys", &pre_keys_kernel, elementwise(args.index.count), exec, args.index, keys, position);
  if (args.index.count > 0) {
    device::ThrustAllocator allocator(exec.workspace);
    thrust::stable_sort_by_key(device::thrust_policy(allocator, exec), keys, keys + args.index.count, position);
  }
  const std::int64_t* const start = list_starts(exec, keys, args.index.count, args.index.in_features);
  const T* const grad = transposed<T, T, false>(exec, args.grad, args.rows, args.index.out_features);
  device::launch("sparse_spike_grad", &spike_grad_kernel<Q, T>,
                 {num_tiles(args.rows, args.index.in_features), kThreads}, exec, args, start, position, grad);
}

#define GRADSPIKE_INSTANTIATE(S, Q, T) \
  template void sparse_graded_spikes<S, Q, T>(const CudaExec&, const SparseGradedSpikesArgs<S, Q, T>&);
#define GRADSPIKE_INSTANTIATE_S(S)                                                                    \
  GRADSPIKE_INSTANTIATE(S, std::int16_t, float)                                                       \
  GRADSPIKE_INSTANTIATE(S, std::int16_t, double)                                                      \
  GRADSPIKE_INSTANTIATE(S, float, float)                                                              \
  GRADSPIKE_INSTANTIATE(S, double, double)                                                            \
  template void sparse_weight_grad<S, float>(const CudaExec&, const SparseWeightGradArgs<S, float>&); \
  template void sparse_weight_grad<S, double>(const CudaExec&, const SparseWeightGradArgs<S, double>&);
GRADSPIKE_INSTANTIATE_S(float)
GRADSPIKE_INSTANTIATE_S(double)
GRADSPIKE_INSTANTIATE_S(std::uint8_t)
#define GRADSPIKE_INSTANTIATE_QT(Q, T) \
  template void sparse_spike_grad<Q, T>(const CudaExec&, const SparseSpikeGradArgs<Q, T>&);
GRADSPIKE_INSTANTIATE_QT(std::int16_t, float)
GRADSPIKE_INSTANTIATE_QT(std::int16_t, double)
GRADSPIKE_INSTANTIATE_QT(float, float)
GRADSPIKE_INSTANTIATE_QT(double, double)
#undef GRADSPIKE_INSTANTIATE_QT
#undef GRADSPIKE_INSTANTIATE_S
#undef GRADSPIKE_INSTANTIATE

}  // namespace gradspike::kernels
