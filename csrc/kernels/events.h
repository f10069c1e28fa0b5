// Kernels of spikes_to_events and events_to_spikes.
// S (dense spikes) is float, double or uint8_t; E (events) is int32_t or double.
#pragma once

#include <cstdint>

#include "csrc/core/execution.h"
#include "csrc/math/event.h"

namespace gradspike::kernels {

/// Rows (time, batch, neuron) of the spikes in the order of the dense tensor; an entry of k gives k rows. Rows beyond
/// the last event hold -1; events beyond the capacity are left out.
template <class S>
struct SpikesToEventsArgs {
  const S* spikes;         // [time, batch, neurons]
  std::int32_t* events;    // [capacity, 3]
  std::int64_t* count;     // [1], events that exist
  std::int64_t* overflow;  // [1], of these beyond the capacity
  std::int64_t* invalid;   // [1], entries that are no count of events and gave none
  std::int64_t capacity;
  std::int64_t time;
  std::int64_t batch;
  std::int64_t neurons;
};

/// Dense spikes from the first min(count, capacity) events. `dropped` counts those of `count` that are not in the
/// result: outside of it, beyond the capacity, or beyond the largest number that an entry of S holds.
template <class E, class S>
struct EventsToSpikesArgs {
  const E* events;            // [capacity, 3]
  const std::int64_t* count;  // [1]
  S* spikes;                  // [time, batch, neurons]
  std::int64_t* dropped;      // [1]
  std::int64_t capacity;
  std::int64_t time;
  std::int64_t batch;
  std::int64_t neurons;
  double dt;    // of events in seconds
  bool binary;  // 1 where there is an event, however many there are
};

/// Largest number of events that an entry of dense spikes holds.
template <class S>
GRADSPIKE_HD constexpr std::int64_t largest_entry() {
  return sizeof(S) == 1 ? 255 : math::kMaxEventsPerEntry;
}

#define GRADSPIKE_EVENT_KERNELS(Exec)                                         \
  template <class S>                                                          \
  void spikes_to_events(const Exec& exec, const SpikesToEventsArgs<S>& args); \
  template <class E, class S>                                                 \
  void events_to_spikes(const Exec& exec, const EventsToSpikesArgs<E, S>& args);

GRADSPIKE_EVENT_KERNELS(CpuExec)
GRADSPIKE_EVENT_KERNELS(CudaExec)
#undef GRADSPIKE_EVENT_KERNELS

}  // namespace gradspike::kernels
