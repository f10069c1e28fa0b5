// CUDA kernels on weights. Sums are integers, so their order changes nothing: the results are the CPU kernels' bits.
#include "csrc/kernels/weights.h"

#include "csrc/math/weight.h"
#include "cuda/common/device.cuh"

namespace gradspike::kernels {
namespace {

constexpr std::int32_t kThreads = 256;  // one element per thread; eight warps hide the latency of its two accesses

device::LaunchShape elementwise(std::int64_t count) { return {device::divide_up(count, kThreads), kThreads}; }

template <class T>
__global__ void __launch_bounds__(kThreads) linear_saturating_kernel(const LinearSaturatingArgs<T> args) {
  const std::int64_t i = device::global_thread();
  if (i < args.count) {
    args.out[i] = math::clip_weight(math::scaled_weight(args.weight[i], args.transform), args.transform);
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads) straight_through_kernel(const StraightThroughArgs<T> args) {
  const std::int64_t i = device::global_thread();
  if (i < args.count) {
    args.grad_weight[i] = math::straight_through(args.grad[i], args.weight[i], args.transform, args.rule);
  }
}

template <class T, class Q>
__global__ void __launch_bounds__(kThreads) hardware_weights_kernel(const HardwareWeightsArgs<T, Q> args) {
  const std::int64_t i = device::global_thread();
  if (i < args.count) {
    args.out[i] = math::hardware_weight<Q>(args.weight[i], args.transform);
  }
}

// ---- statistics --------------------------------------------------------------------------------------------------

/// Order-independent totals over all weights; all but kTotalLargest are added.
enum Total : std::int32_t {
  kTotalClippedLow = 0,
  kTotalClippedHigh = 1,
  kTotalToZero = 2,
  kTotalNan = 3,
  kTotalSquaredError = 4,
  kTotalHash = 5,
  kTotalLargest = 6,  // bits of a double
};
constexpr std::int32_t kNumTotals = 7;
constexpr std::int64_t kStatisticsBlocks = 512;  // enough to occupy any device; more would only add atomics
constexpr std::int32_t kStatisticsWarps = kThreads / device::kWarpSize;

/// The totals of one thread, in one array so that warps and blocks combine them in a loop.
struct ThreadTotals {
  std::uint64_t value[kNumTotals] = {};

  template <class T>
  __device__ __forceinline__ void add(std::int64_t index, T weight, const math::WeightTransform& transform) {
    const math::WeightContribution c = math::weight_contribution(weight, transform);
    value[kTotalClippedLow] += static_cast<std::uint64_t>(c.clipped_low);
    value[kTotalClippedHigh] += static_cast<std::uint64_t>(c.clipped_high);
    value[kTotalToZero] += static_cast<std::uint64_t>(c.to_zero);
    value[kTotalNan] += static_cast<std::uint64_t>(c.nan);
    value[kTotalSquaredError] += static_cast<std::uint64_t>(c.squared_error);
    value[kTotalHash] += weight_hash(index, weight, transform);
    const std::uint64_t magnitude = device::double_bits(c.magnitude);
    value[kTotalLargest] = magnitude > value[kTotalLargest] ? magnitude : value[kTotalLargest];
  }
};

template <class T>
__global__ void __launch_bounds__(kThreads)
    weight_totals_kernel(const WeightStatisticsArgs<T> args, std::uint64_t* totals) {
  GRADSPIKE_SHARED(std::uint64_t, warps, [kNumTotals][kStatisticsWarps]);
  const std::int64_t count = args.out_features * args.in_features;
  const std::int32_t thread = static_cast<std::int32_t>(threadIdx.x);

  ThreadTotals sums;
  for (std::int64_t i = device::global_thread(); i < count; i += device::num_global_threads()) {
    sums.add(i, args.weight[i], args.transform);
  }

#pragma unroll
  for (std::int32_t k = 0; k < kNumTotals; ++k) {
    const std::uint64_t warp = k == kTotalLargest ? device::warp_max(sums.value[k]) : device::warp_sum(sums.value[k]);
    if (thread % device::kWarpSize == 0) {
      warps[k][thread / device::kWarpSize] = warp;
    }
  }
  __syncthreads();

  if (thread < kNumTotals) {
    std::uint64_t block = 0;
    for (std::int32_t w = 0; w < kStatisticsWarps; ++w) {
      const std::uint64_t warp = warps[thread][w];
      block = thread != kTotalLargest ? block + warp : (warp > block ? warp : block);
    }
    if (thread == kTotalLargest) {
      device::atomic_max(&totals[thread], block);
    } else {
      device::atomic_add(&totals[thread], block);
    }
  }
}

template <class T>
__global__ void weight_statistics_kernel(const WeightStatisticsArgs<T> args, const std::uint64_t* totals) {
  const auto total = [&](Total k) { return static_cast<std::int64_t>(totals[k]); };
  write_statistics(args, {{total(kTotalClippedLow), total(kTotalClippedHigh), total(kTotalToZero), total(kTotalNan),
                           total(kTotalSquaredError), device::double_from_bits(totals[kTotalLargest])},
                          totals[kTotalHash]});
}

// ---- connections -------------------------------------------------------------------------------------------------

template <class T>
__global__ void __launch_bounds__(kThreads) connections_kernel(const ConnectionsArgs<T> args) {
  const std::int64_t k = device::global_thread();
  bool is_nan = false;
  if (k < args.out_features * args.in_features) {
    const T weight = args.weight[k];
    is_nan = math::is_nan(weight);
    args.out[3 * k] = static_cast<std::int32_t>(k % args.in_features);
    args.out[3 * k + 1] = static_cast<std::int32_t>(k / args.in_features);
    args.out[3 * k + 2] = math::hardware_weight<std::int16_t>(weight, args.transform);
  }
  if (args.nan_count != nullptr) {
    const std::uint64_t nans = device::warp_sum(is_nan ? 1 : 0);
    if (threadIdx.x % device::kWarpSize == 0 && nans != 0) {
      device::atomic_add(reinterpret_cast<std::uint64_t*>(args.nan_count), nans);
    }
  }
}

}  // namespace

template <class T>
void linear_saturating(const CudaExec& exec, const LinearSaturatingArgs<T>& args) {
  device::launch("linear_saturating", &linear_saturating_kernel<T>, elementwise(args.count), exec, args);
}

template <class T>
void straight_through(const CudaExec& exec, const StraightThroughArgs<T>& args) {
  device::launch("straight_through", &straight_through_kernel<T>, elementwise(args.count), exec, args);
}

template <class T, class Q>
void hardware_weights(const CudaExec& exec, const HardwareWeightsArgs<T, Q>& args) {
  device::launch("hardware_weights", &hardware_weights_kernel<T, Q>, elementwise(args.count), exec, args);
}

template <class T>
void weight_statistics(const CudaExec& exec, const WeightStatisticsArgs<T>& args) {
  std::uint64_t* const totals = exec.workspace->allocate_array<std::uint64_t>(kNumTotals);
  device::fill_zero(exec, totals, kNumTotals * sizeof(std::uint64_t));
  device::LaunchShape shape = elementwise(args.out_features * args.in_features);
  shape.blocks = shape.blocks < kStatisticsBlocks ? shape.blocks : kStatisticsBlocks;
  device::launch("weight_totals", &weight_totals_kernel<T>, shape, exec, args, totals);
  device::launch("weight_statistics", &weight_statistics_kernel<T>, {1, 1}, exec, args, totals);
}

/// Two kernels: in one, the registers of the integers spill around the division. The second reads from cache.
template <class T, class Q>
void hardware_weights_with_statistics(const CudaExec& exec, const WeightsWithStatisticsArgs<T, Q>& args) {
  const WeightStatisticsArgs<T>& s = args.statistics;
  hardware_weights(exec, HardwareWeightsArgs<T, Q>{s.weight, args.out, s.out_features * s.in_features, s.transform});
  weight_statistics(exec, s);
}

template <class T>
void connections(const CudaExec& exec, const ConnectionsArgs<T>& args) {
  if (args.nan_count != nullptr) {
    device::fill_zero(exec, args.nan_count, sizeof(std::int64_t));
  }
  device::launch("connections", &connections_kernel<T>, elementwise(args.out_features * args.in_features), exec, args);
}

#define GRADSPIKE_INSTANTIATE(T)                                                                                      \
  template void linear_saturating<T>(const CudaExec&, const LinearSaturatingArgs<T>&);                                \
  template void straight_through<T>(const CudaExec&, const StraightThroughArgs<T>&);                                  \
  template void hardware_weights<T, std::int8_t>(const CudaExec&, const HardwareWeightsArgs<T, std::int8_t>&);        \
  template void hardware_weights<T, std::int16_t>(const CudaExec&, const HardwareWeightsArgs<T, std::int16_t>&);      \
  template void weight_statistics<T>(const CudaExec&, const WeightStatisticsArgs<T>&);                                \
  template void hardware_weights_with_statistics<T, std::int8_t>(const CudaExec&,                                     \
                                                                 const WeightsWithStatisticsArgs<T, std::int8_t>&);   \
  template void hardware_weights_with_statistics<T, std::int16_t>(const CudaExec&,                                    \
                                                                  const WeightsWithStatisticsArgs<T, std::int16_t>&); \
  template void connections<T>(const CudaExec&, const ConnectionsArgs<T>&);
GRADSPIKE_INSTANTIATE(float)
GRADSPIKE_INSTANTIATE(double)
#undef GRADSPIKE_INSTANTIATE

}  // namespace gradspike::kernels
