// CPU kernels of spikes_to_events and events_to_spikes.
#include <algorithm>

#include "csrc/kernels/events.h"

#include "csrc/cpu/find_spikes.h"

namespace gradspike::kernels::GRADSPIKE_CPU_ISA {
namespace {

constexpr std::int64_t kChunk = 32768;  // entries whose events are counted, and later written, by one thread

struct ChunkCount {
  std::int64_t events;
  std::int64_t invalid;
};

template <class S>
ChunkCount count_chunk(const S* spikes, std::int64_t size, std::int32_t* index) {
  const std::int64_t found = find_spikes(spikes, size, index);
  ChunkCount total{0, 0};
  for (std::int64_t i = 0; i < found; ++i) {
    const std::int64_t count = math::event_count(spikes[index[i]]);
    total.events += count < 0 ? 0 : count;
    total.invalid += count < 0 ? 1 : 0;
  }
  return total;
}

/// Writes the events of a chunk from row `at` on.
template <class S>
void write_chunk(const SpikesToEventsArgs<S>& args, std::int64_t first, std::int64_t size, std::int64_t at,
                 std::int32_t* index) {
  const std::int64_t found = find_spikes(args.spikes + first, size, index);
  for (std::int64_t i = 0; i < found && at < args.capacity; ++i) {
    const std::int64_t place = first + index[i];
    const std::int64_t count = math::event_count(args.spikes[place]);
    const std::int64_t row = place / args.neurons;
    for (std::int64_t k = 0; k < count && at < args.capacity; ++k, ++at) {
      args.events[3 * at] = static_cast<std::int32_t>(row / args.batch);
      args.events[3 * at + 1] = static_cast<std::int32_t>(row % args.batch);
      args.events[3 * at + 2] = static_cast<std::int32_t>(place % args.neurons);
    }
  }
}

}  // namespace

template <class S>
void spikes_to_events(const CpuExec& exec, const SpikesToEventsArgs<S>& args) {
  const std::int64_t size = args.time * args.batch * args.neurons;
  const std::int64_t chunks = (size + kChunk - 1) / kChunk;
  Buffer<ChunkCount> counts(chunks);
  exec.for_each_range(chunks, 1, [&](std::int64_t begin, std::int64_t end) {
    Buffer<std::int32_t> index(kChunk + kFindSlack);
    for (std::int64_t c = begin; c < end; ++c) {
      counts[c] = count_chunk(args.spikes + c * kChunk, smaller(kChunk, size - c * kChunk), index.get());
    }
  });
  Buffer<std::int64_t> start(chunks + 1);
  std::int64_t invalid = 0;
  for (std::int64_t c = 0; c < chunks; ++c) {
    start[c + 1] = start[c] + counts[c].events;
    invalid += counts[c].invalid;
  }
  exec.for_each_range(chunks, 1, [&](std::int64_t begin, std::int64_t end) {
    Buffer<std::int32_t> index(kChunk + kFindSlack);
    for (std::int64_t c = begin; c < end; ++c) {
      if (counts[c].events > 0 && start[c] < args.capacity) {
        write_chunk(args, c * kChunk, smaller(kChunk, size - c * kChunk), start[c], index.get());
      }
    }
  });
  for (std::int64_t k = 3 * smaller(start[chunks], args.capacity); k < 3 * args.capacity; ++k) {
    args.events[k] = -1;
  }
  *args.count = start[chunks];
  *args.overflow = larger(0, start[chunks] - args.capacity);
  *args.invalid = invalid;
}

/// One thread: events are few, and the order of additions to one entry must not matter to what is dropped.
template <class E, class S>
void events_to_spikes(const CpuExec& exec, const EventsToSpikesArgs<E, S>& args) {
  (void)exec;
  const std::int64_t size = args.time * args.batch * args.neurons;
  std::fill(args.spikes, args.spikes + size, S{0});
  const std::int64_t given = larger(0, *args.count);
  const std::int64_t present = smaller(given, args.capacity);
  std::int64_t placed = 0;
  for (std::int64_t k = 0; k < present; ++k) {
    const std::int64_t at = math::event_position(args.events + 3 * k, args.time, args.batch, args.neurons, args.dt);
    if (at < 0) {
      continue;
    }
    if (args.binary) {
      args.spikes[at] = S{1};
      ++placed;
    } else if (args.spikes[at] < static_cast<S>(largest_entry<S>())) {
      args.spikes[at] = static_cast<S>(args.spikes[at] + S{1});
      ++placed;
    }
  }
  *args.dropped = given - placed;
}

#define GRADSPIKE_INSTANTIATE(S) template void spikes_to_events<S>(const CpuExec&, const SpikesToEventsArgs<S>&);
GRADSPIKE_INSTANTIATE(float)
GRADSPIKE_INSTANTIATE(double)
GRADSPIKE_INSTANTIATE(std::uint8_t)
#undef GRADSPIKE_INSTANTIATE
#define GRADSPIKE_INSTANTIATE(E, S) \
  template void events_to_spikes<E, S>(const CpuExec&, const EventsToSpikesArgs<E, S>&);
GRADSPIKE_INSTANTIATE(std::int32_t, float)
GRADSPIKE_INSTANTIATE(std::int32_t, std::uint8_t)
GRADSPIKE_INSTANTIATE(double, float)
GRADSPIKE_INSTANTIATE(double, std::uint8_t)
#undef GRADSPIKE_INSTANTIATE

}  // namespace gradspike::kernels::GRADSPIKE_CPU_ISA
