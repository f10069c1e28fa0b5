// CUDA kernel of prepack; the product with its result is in graded_spikes.cu. One thread per packed number, once per
// set of weights.
#include "csrc/kernels/prepacked.h"

#include "csrc/math/weight.h"
#include "cuda/common/device.cuh"

namespace gradspike::kernels {
namespace {

constexpr std::int32_t kThreads = 256;

device::LaunchShape elementwise(std::int64_t count) { return {device::divide_up(count, kThreads), kThreads}; }

/// 0 for the padding and for NaN.
template <class Q>
__device__ __forceinline__ Q packed_weight(const PrepackArgs<Q>& args, std::int64_t post, std::int64_t pre) {
  const bool inside = post < args.out_features && pre < args.in_features;
  const Q weight = inside ? args.weights[post * args.in_features + pre] : Q{0};
  return weight == math::nan_weight<Q>() ? Q{0} : weight;
}

template <class Q>
__global__ void __launch_bounds__(kThreads) prepack_rows_kernel(const PrepackArgs<Q> args, std::int64_t padded) {
  const std::int64_t i = device::global_thread();
  if (i < args.in_features * padded) {
    args.rows[i] = packed_weight(args, i % padded, i / padded);
  }
}

template <class Q>
__global__ void __launch_bounds__(kThreads) prepack_groups_kernel(const PrepackArgs<Q> args, std::int64_t padded) {
  const std::int64_t i = device::global_thread();
  if (i < packed_groups(args.in_features) * padded * 4) {
    args.groups[i] = packed_weight(args, i / 4 % padded, i / 4 / padded * 4 + i % 4);
  }
}

template <class Q>
__global__ void __launch_bounds__(kThreads) prepack_matrix_kernel(const PrepackArgs<Q> args, std::int64_t inputs) {
  const std::int64_t i = device::global_thread();
  if (i < args.out_features * inputs) {
    args.matrix[i] = packed_weight(args, i / inputs, i % inputs);
  }
}

template <class Q>
__global__ void __launch_bounds__(kThreads) prepack_nan_kernel(const PrepackArgs<Q> args) {
  const std::int64_t post = device::global_thread() / device::kWarpSize;
  const std::int32_t lane = static_cast<std::int32_t>(threadIdx.x) % device::kWarpSize;
  if (post < args.out_features) {  // the same for all lanes of a warp
    bool has_nan = false;
    for (std::int64_t pre = lane; pre < args.in_features; pre += device::kWarpSize) {
      has_nan = has_nan || args.weights[post * args.in_features + pre] == math::nan_weight<Q>();
    }
    const bool any_nan = __any_sync(device::kFullMask, has_nan ? 1 : 0) != 0;
    if (lane == 0) {
      args.nan_posts[post] = any_nan;
    }
  }
}

}  // namespace

template <class Q>
void prepack(const CudaExec& exec, const PrepackArgs<Q>& args) {
  const std::int64_t padded = packed_posts(args.out_features);
  const std::int64_t inputs = packed_inputs(args.in_features);
  device::launch("prepack_rows", &prepack_rows_kernel<Q>, elementwise(args.in_features * padded), exec, args, padded);
  if (args.groups != nullptr) {
    device::launch("prepack_groups", &prepack_groups_kernel<Q>,
                   elementwise(packed_groups(args.in_features) * padded * 4), exec, args, padded);
  }
  device::launch("prepack_matrix", &prepack_matrix_kernel<Q>, elementwise(args.out_features * inputs), exec, args,
                 inputs);
  device::launch("prepack_nan", &prepack_nan_kernel<Q>, elementwise(args.out_features * device::kWarpSize), exec, args);
}

template void prepack<std::int8_t>(const CudaExec&, const PrepackArgs<std::int8_t>&);
template void prepack<std::int16_t>(const CudaExec&, const PrepackArgs<std::int16_t>&);

}  // namespace gradspike::kernels
