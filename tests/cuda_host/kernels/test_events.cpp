// spikes_to_events and events_to_spikes give the lists, spikes and counts of the CPU kernels.
#include <vector>

#include "csrc/kernels/events.h"
#include "tests/cuda_host/kernels/support.h"

namespace gradspike::testing {
namespace {

template <class S>
void check_events(std::int64_t time, std::int64_t batch, std::int64_t neurons, std::int64_t capacity, double density) {
  SCOPED_TRACE(std::to_string(time) + " x " + std::to_string(batch) + " x " + std::to_string(neurons) + ", capacity " +
               std::to_string(capacity));
  Numbers numbers(13);
  std::vector<S> spikes(static_cast<std::size_t>(time * batch * neurons));
  for (S& spike : spikes) {
    spike = numbers.chance(density) ? static_cast<S>(numbers.integer(1, 3)) : S{0};
    if constexpr (std::is_floating_point_v<S>) {
      spike = numbers.chance(0.02) ? S{0.5} : spike;
    }
  }
  std::vector<std::int32_t> events(static_cast<std::size_t>(3 * capacity));
  std::vector<std::int64_t> totals(3);
  kernels::spikes_to_events(
      CpuExec{}, kernels::SpikesToEventsArgs<S>{spikes.data(), events.data(), totals.data(), totals.data() + 1,
                                                totals.data() + 2, capacity, time, batch, neurons});
  for_each_run([&](const KernelRun& run) {
    DeviceArray<S> spikes_in(spikes);
    DeviceArray<std::int32_t> events_out(3 * capacity, run.fill);
    DeviceArray<std::int64_t> totals_out(3, run.fill);
    kernels::spikes_to_events(run.exec, kernels::SpikesToEventsArgs<S>{
                                            spikes_in.get(), events_out.get(), totals_out.get(), totals_out.get() + 1,
                                            totals_out.get() + 2, capacity, time, batch, neurons});
    expect_same_bits(totals_out.read(), totals, "totals");
    expect_same_bits(events_out.read(), events, "events");
  });
}

TEST(Events, FromSpikes) {
  check_events<float>(1, 1, 1, 4, 1.0);
  check_events<double>(5, 2, 7, 30, 0.3);
  check_events<std::uint8_t>(5, 2, 7, 3, 0.3);
  check_events<float>(5, 2, 7, 0, 0.3);
  check_events<float>(0, 2, 7, 3, 0.3);
  if (!kSmallShapes) {
    check_events<float>(30, 5, 67, 2000, 0.05);
    check_events<std::uint8_t>(30, 5, 67, 1000, 0.2);
    check_events<std::uint8_t>(600, 10, 100, 70000, 0.05);  // more chunks than the scan's block has threads
  }
}

template <class E, class S>
void check_spikes(std::int64_t num_events, std::int64_t count, bool binary) {
  constexpr std::int64_t kTime = 5;
  constexpr std::int64_t kBatch = 2;
  constexpr std::int64_t kNeurons = 3;
  Numbers numbers(17);
  std::vector<E> events(static_cast<std::size_t>(3 * num_events));
  for (std::size_t k = 0; k < events.size(); ++k) {
    const double largest = k % 3 == 0 ? kTime : (k % 3 == 1 ? kBatch : kNeurons);
    events[k] = static_cast<E>(numbers.integer(-1, static_cast<std::int64_t>(largest)));
    if (std::is_floating_point_v<E> && numbers.chance(0.3)) {
      events[k] = static_cast<E>(numbers.uniform(-1, largest));
    }
  }
  const std::vector<std::int64_t> number = {count};
  std::vector<S> spikes(static_cast<std::size_t>(kTime * kBatch * kNeurons));
  std::vector<std::int64_t> dropped(1);
  kernels::events_to_spikes(
      CpuExec{}, kernels::EventsToSpikesArgs<E, S>{events.data(), number.data(), spikes.data(), dropped.data(),
                                                   num_events, kTime, kBatch, kNeurons, 1.0, binary});
  for_each_run([&](const KernelRun& run) {
    DeviceArray<E> events_in(events);
    DeviceArray<std::int64_t> number_in(number);
    DeviceArray<S> out(kTime * kBatch * kNeurons, run.fill);
    DeviceArray<std::int64_t> dropped_out(1, run.fill);
    kernels::events_to_spikes(
        run.exec, kernels::EventsToSpikesArgs<E, S>{events_in.get(), number_in.get(), out.get(), dropped_out.get(),
                                                    num_events, kTime, kBatch, kNeurons, 1.0, binary});
    expect_same_bits(out.read(), spikes, "spikes");
    expect_same_bits(dropped_out.read(), dropped, "dropped");
  });
}

TEST(Events, ToSpikes) {
  for (const bool binary : {false, true}) {
    check_spikes<std::int32_t, float>(100, 100, binary);
    check_spikes<std::int32_t, std::uint8_t>(100, 70, binary);
    check_spikes<double, float>(100, 130, binary);
    check_spikes<double, std::uint8_t>(50, -3, binary);
    check_spikes<double, float>(0, 0, binary);
    if (!kSmallShapes) {
      check_spikes<std::int32_t, std::uint8_t>(30000, 30000, binary);  // some entries beyond 255
    }
  }
}

}  // namespace
}  // namespace gradspike::testing
