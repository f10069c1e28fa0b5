// CUDA kernels of spikes_to_events and events_to_spikes.
//
// To events: the linear index of the dense tensor is already the order of the list, so no sort is needed: blocks count
// the events of their chunk, one block scans the counts, and each block writes its events where the scan says. Nothing
// depends on the order in which blocks run. To spikes: integer atomics, whose order changes nothing.
#include "csrc/kernels/events.h"

#include "cuda/common/device.cuh"

namespace gradspike::kernels {
namespace {

constexpr std::int32_t kThreads = 256;
constexpr std::int32_t kWarps = kThreads / device::kWarpSize;
constexpr std::int64_t kItems = 8;  // entries per thread and chunk: few enough blocks, so that one block can scan them
constexpr std::int64_t kChunk = kThreads * kItems;

device::LaunchShape elementwise(std::int64_t count) { return {device::divide_up(count, kThreads), kThreads}; }

/// Sum over the threads before this one, and of all threads of the block; every thread takes part.
struct Scanned {
  std::int64_t before;
  std::int64_t total;
};
__device__ __forceinline__ Scanned block_scan(std::int64_t value, std::int64_t* warps) {
  const std::int32_t thread = static_cast<std::int32_t>(threadIdx.x);
  const std::int32_t lane = thread % device::kWarpSize;
  std::int64_t sum = value;
#pragma unroll
  for (std::int32_t offset = 1; offset < device::kWarpSize; offset *= 2) {
    const std::int64_t other = __shfl_up_sync(device::kFullMask, sum, static_cast<unsigned>(offset));
    sum += lane >= offset ? other : 0;
  }
  if (lane == device::kWarpSize - 1) {
    warps[thread / device::kWarpSize] = sum;
  }
  __syncthreads();
  std::int64_t before = 0;
  std::int64_t total = 0;
  for (std::int32_t w = 0; w < kWarps; ++w) {
    before += w < thread / device::kWarpSize ? warps[w] : 0;
    total += warps[w];
  }
  __syncthreads();  // `warps` is used again
  return {before + sum - value, total};
}

/// Events of each chunk. A thread takes kItems entries that follow each other.
template <class S>
__global__ void __launch_bounds__(kThreads)
    count_events_kernel(const SpikesToEventsArgs<S> args, std::int64_t size, std::int64_t* __restrict__ chunk_events) {
  GRADSPIKE_SHARED(std::int64_t, warps, [kWarps]);
  const std::int64_t first = device::global_thread() * kItems;
  std::int64_t events = 0;
  std::uint64_t invalid = 0;
  for (std::int64_t i = first; i < first + kItems && i < size; ++i) {
    const std::int64_t count = math::event_count(args.spikes[i]);
    events += count < 0 ? 0 : count;
    invalid += count < 0 ? 1 : 0;
  }
  const Scanned scanned = block_scan(events, warps);
  invalid = device::warp_sum(invalid);
  if (threadIdx.x % device::kWarpSize == 0 && invalid != 0) {
    device::atomic_add(reinterpret_cast<std::uint64_t*>(args.invalid), invalid);
  }
  if (threadIdx.x == 0) {
    chunk_events[blockIdx.x] = scanned.total;
  }
}

/// One block: chunk_events becomes the row of the first event of each chunk.
template <class S>
__global__ void __launch_bounds__(kThreads)
    scan_events_kernel(const SpikesToEventsArgs<S> args, std::int64_t chunks, std::int64_t* __restrict__ chunk_events) {
  GRADSPIKE_SHARED(std::int64_t, warps, [kWarps]);
  const std::int32_t thread = static_cast<std::int32_t>(threadIdx.x);
  std::int64_t base = 0;
  for (std::int64_t first = 0; first < chunks; first += kThreads) {
    const std::int64_t c = first + thread;
    const Scanned scanned = block_scan(c < chunks ? chunk_events[c] : 0, warps);
    if (c < chunks) {
      chunk_events[c] = base + scanned.before;
    }
    base += scanned.total;
  }
  if (thread == 0) {
    *args.count = base;
    *args.overflow = base > args.capacity ? base - args.capacity : 0;
  }
}

template <class S>
__global__ void __launch_bounds__(kThreads) write_events_kernel(const SpikesToEventsArgs<S> args, std::int64_t size,
                                                                const std::int64_t* __restrict__ chunk_start) {
  GRADSPIKE_SHARED(std::int64_t, warps, [kWarps]);
  const std::int64_t first = device::global_thread() * kItems;
  std::int64_t events = 0;
  for (std::int64_t i = first; i < first + kItems && i < size; ++i) {
    const std::int64_t count = math::event_count(args.spikes[i]);
    events += count < 0 ? 0 : count;
  }
  std::int64_t at = chunk_start[blockIdx.x] + block_scan(events, warps).before;
  for (std::int64_t i = first; events > 0 && i < first + kItems && i < size; ++i) {
    const std::int64_t count = math::event_count(args.spikes[i]);
    const std::int64_t row = i / args.neurons;
    for (std::int64_t k = 0; k < count && at < args.capacity; ++k, ++at) {
      args.events[3 * at] = static_cast<std::int32_t>(row / args.batch);
      args.events[3 * at + 1] = static_cast<std::int32_t>(row % args.batch);
      args.events[3 * at + 2] = static_cast<std::int32_t>(i % args.neurons);
    }
  }
}

template <class S>
__global__ void __launch_bounds__(kThreads) fill_events_kernel(const SpikesToEventsArgs<S> args) {
  const std::int64_t k = device::global_thread();
  if (k < 3 * args.capacity && k >= 3 * *args.count) {
    args.events[k] = -1;
  }
}

// ---- to spikes ---------------------------------------------------------------------------------------------------

template <class E, class S>
__global__ void __launch_bounds__(kThreads)
    scatter_events_kernel(const EventsToSpikesArgs<E, S> args, std::uint32_t* __restrict__ counts) {
  const std::int64_t k = device::global_thread();
  const std::int64_t given = *args.count > 0 ? *args.count : 0;
  bool dropped = false;
  if (k < given && k < args.capacity) {
    const std::int64_t at = math::event_position(args.events + 3 * k, args.time, args.batch, args.neurons, args.dt);
    dropped = at < 0;
    if (!dropped) {
      device::atomic_add(counts + at, 1U);
    }
  }
  const std::uint64_t of_warp = device::warp_sum(dropped ? 1 : 0);
  if (threadIdx.x % device::kWarpSize == 0 && of_warp != 0) {
    device::atomic_add(reinterpret_cast<std::uint64_t*>(args.dropped), of_warp);
  }
}

template <class E, class S>
__global__ void __launch_bounds__(kThreads)
    counts_to_spikes_kernel(const EventsToSpikesArgs<E, S> args, std::int64_t size,
                            const std::uint32_t* __restrict__ counts) {
  const std::int64_t i = device::global_thread();
  std::int64_t excess = 0;
  if (i < size) {
    const std::int64_t count = counts[i];
    const std::int64_t largest = largest_entry<S>();
    excess = !args.binary && count > largest ? count - largest : 0;
    args.spikes[i] = static_cast<S>(args.binary ? (count > 0 ? 1 : 0) : count - excess);
  }
  const std::uint64_t of_warp = device::warp_sum(static_cast<std::uint64_t>(excess));
  if (threadIdx.x % device::kWarpSize == 0 && of_warp != 0) {
    device::atomic_add(reinterpret_cast<std::uint64_t*>(args.dropped), of_warp);
  }
}

/// Events beyond the capacity are dropped too. One thread.
template <class E, class S>
__global__ void beyond_capacity_kernel(const EventsToSpikesArgs<E, S> args) {
  *args.dropped = *args.count > args.capacity ? *args.count - args.capacity : 0;
}

}  // namespace

template <class S>
void spikes_to_events(const CudaExec& exec, const SpikesToEventsArgs<S>& args) {
  const std::int64_t size = args.time * args.batch * args.neurons;
  const std::int64_t chunks = device::divide_up(size, kChunk);
  std::int64_t* const chunk_events = exec.workspace->allocate_array<std::int64_t>(chunks + 1);
  device::fill_zero(exec, args.invalid, sizeof(std::int64_t));
  device::launch("count_events", &count_events_kernel<S>, {chunks, kThreads}, exec, args, size, chunk_events);
  device::launch("scan_events", &scan_events_kernel<S>, {1, kThreads}, exec, args, chunks, chunk_events);
  if (args.capacity > 0) {
    device::launch("write_events", &write_events_kernel<S>, {chunks, kThreads}, exec, args, size, chunk_events);
    device::launch("fill_events", &fill_events_kernel<S>, elementwise(3 * args.capacity), exec, args);
  }
}

template <class E, class S>
void events_to_spikes(const CudaExec& exec, const EventsToSpikesArgs<E, S>& args) {
  const std::int64_t size = args.time * args.batch * args.neurons;
  std::uint32_t* const counts = exec.workspace->allocate_array<std::uint32_t>(size + 1);
  device::fill_zero(exec, counts, static_cast<std::size_t>(size) * sizeof(std::uint32_t));
  device::launch("beyond_capacity", &beyond_capacity_kernel<E, S>, {1, 1}, exec, args);
  device::launch("scatter_events", &scatter_events_kernel<E, S>, elementwise(args.capacity), exec, args, counts);
  device::launch("counts_to_spikes", &counts_to_spikes_kernel<E, S>, elementwise(size), exec, args, size, counts);
}

#define GRADSPIKE_INSTANTIATE(S) template void spikes_to_events<S>(const CudaExec&, const SpikesToEventsArgs<S>&);
GRADSPIKE_INSTANTIATE(float)
GRADSPIKE_INSTANTIATE(double)
GRADSPIKE_INSTANTIATE(std::uint8_t)
#undef GRADSPIKE_INSTANTIATE
#define GRADSPIKE_INSTANTIATE(E, S) \
  template void events_to_spikes<E, S>(const CudaExec&, const EventsToSpikesArgs<E, S>&);
GRADSPIKE_INSTANTIATE(std::int32_t, float)
GRADSPIKE_INSTANTIATE(std::int32_t, std::uint8_t)
GRADSPIKE_INSTANTIATE(double, float)
GRADSPIKE_INSTANTIATE(double, std::uint8_t)
#undef GRADSPIKE_INSTANTIATE

}  // namespace gradspike::kernels
