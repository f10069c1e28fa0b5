// Spikes as a list of events, and the time step of an event that is given in seconds.
#pragma once

#include <cmath>
#include <cstdint>
#include <type_traits>

#include "csrc/math/arithmetic.h"

namespace gradspike::math {

/// Largest count of one entry: up to it float32 holds every whole number.
constexpr std::int64_t kMaxEventsPerEntry = 16777216;

/// Number of events of one entry of dense spikes; -1 where it is no whole number in 0..kMaxEventsPerEntry.
template <class S>
GRADSPIKE_HD std::int64_t event_count(S spike) {
  if constexpr (sizeof(S) == 1) {
    return spike;
  } else {
    const bool inside = spike >= S{0} && spike <= static_cast<S>(kMaxEventsPerEntry);
    const std::int64_t count = inside ? static_cast<std::int64_t>(spike) : -1;
    return inside && static_cast<S>(count) == spike ? count : -1;
  }
}

/// Time step of an event at `seconds`: round(seconds / dt), half away from zero; integers are steps already.
/// Source: the binning of hxtorch's conversion of spikes to a dense tensor.
GRADSPIKE_HD double event_step(double seconds, double dt) { return ::round(div(seconds, dt)); }
GRADSPIKE_HD std::int64_t event_step(std::int32_t step, double dt) {
  (void)dt;
  return step;
}

/// Position of an event (time, batch, neuron) in a dense tensor of these sizes; -1 where it lies outside or where batch
/// or neuron is no whole number. E is int32_t (steps) or double (seconds).
template <class E>
GRADSPIKE_HD std::int64_t event_position(const E* event, std::int64_t time, std::int64_t batch, std::int64_t neurons,
                                         double dt) {
  const auto step = event_step(event[0], dt);
  const E b = event[1];
  const E n = event[2];
  using Step = std::remove_const_t<decltype(step)>;
  const bool inside = step >= Step{0} && step < static_cast<Step>(time) && b >= E{0} &&
                      static_cast<Step>(b) < static_cast<Step>(batch) && n >= E{0} &&
                      static_cast<Step>(n) < static_cast<Step>(neurons);
  if (!inside) {
    return -1;
  }
  const auto of_batch = static_cast<std::int64_t>(b);
  const auto of_neuron = static_cast<std::int64_t>(n);
  if (static_cast<E>(of_batch) != b || static_cast<E>(of_neuron) != n) {
    return -1;
  }
  return (static_cast<std::int64_t>(step) * batch + of_batch) * neurons + of_neuron;
}

}  // namespace gradspike::math
