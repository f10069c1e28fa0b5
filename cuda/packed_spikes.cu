// CUDA kernels of pack_spikes and unpack_spikes: a lane per spike, a ballot per 32 of them.
#include "csrc/kernels/packed_spikes.h"

#include "cuda/common/device.cuh"

namespace gradspike::kernels {
namespace {

constexpr std::int32_t kThreads = 256;
constexpr std::int64_t kBytesPerWarp = device::kWarpSize / 8;

/// A warp takes 32 neurons of one row.
template <class S>
__global__ void __launch_bounds__(kThreads) pack_spikes_kernel(const PackSpikesArgs<S> args, std::int64_t words) {
  const std::int64_t item = device::global_thread() / device::kWarpSize;
  const std::int32_t lane = static_cast<std::int32_t>(threadIdx.x) % device::kWarpSize;
  if (item < args.rows * words) {  // the same for all lanes of a warp
    const std::int64_t row = item / words;
    const std::int64_t neuron = item % words * device::kWarpSize + lane;
    const S spike = neuron < args.neurons ? args.spikes[row * args.neurons + neuron] : S{0};
    const unsigned bits = __ballot_sync(device::kFullMask, spike != S{0} ? 1 : 0);
    const std::uint64_t lost = device::warp_sum(spike != S{0} && spike != S{1} ? 1 : 0);
    const std::int64_t bytes = math::packed_bytes(args.neurons);
    const std::int64_t byte = item % words * kBytesPerWarp + lane;
    if (lane < kBytesPerWarp && byte < bytes) {
      args.packed[row * bytes + byte] = static_cast<std::uint8_t>(bits >> (8 * lane));
    }
    if (lane == 0 && lost != 0) {
      device::atomic_add(reinterpret_cast<std::uint64_t*>(args.lost), lost);
    }
  }
}

template <class S>
__global__ void __launch_bounds__(kThreads) unpack_spikes_kernel(const UnpackSpikesArgs<S> args) {
  const std::int64_t i = device::global_thread();
  if (i < args.rows * args.neurons) {
    const std::int64_t neuron = i % args.neurons;
    const std::uint8_t* row = args.packed + i / args.neurons * math::packed_bytes(args.neurons);
    args.spikes[i] = math::packed_spike(row, neuron) ? S{1} : S{0};
  }
}

}  // namespace

template <class S>
void pack_spikes(const CudaExec& exec, const PackSpikesArgs<S>& args) {
  device::fill_zero(exec, args.lost, sizeof(std::int64_t));
  const std::int64_t words = device::divide_up(args.neurons, device::kWarpSize);
  device::launch("pack_spikes", &pack_spikes_kernel<S>,
                 {device::divide_up(args.rows * words, kThreads / device::kWarpSize), kThreads}, exec, args, words);
}

template <class S>
void unpack_spikes(const CudaExec& exec, const UnpackSpikesArgs<S>& args) {
  device::launch("unpack_spikes", &unpack_spikes_kernel<S>,
                 {device::divide_up(args.rows * args.neurons, kThreads), kThreads}, exec, args);
}

#define GRADSPIKE_INSTANTIATE(S)                                           \
  template void pack_spikes<S>(const CudaExec&, const PackSpikesArgs<S>&); \
  template void unpack_spikes<S>(const CudaExec&, const UnpackSpikesArgs<S>&);
GRADSPIKE_INSTANTIATE(float)
GRADSPIKE_INSTANTIATE(double)
GRADSPIKE_INSTANTIATE(std::uint8_t)
#undef GRADSPIKE_INSTANTIATE

}  // namespace gradspike::kernels
