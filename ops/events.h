// spikes_to_events and events_to_spikes: dense spikes [time, batch, neuron] and lists of events.
//
// Events are rows (time, batch, neuron) in the order of the dense tensor, an entry of k as k rows. The size of a list
// depends on the data, so it has a fixed capacity and is filled with -1; `count` int64 [1] holds how many events exist,
// also beyond the capacity, `overflow` int64 [1] how many did not fit, `invalid` int64 [1] how many entries were no
// whole number in 0..2^24 and gave no event. Back to dense: events outside are left out and counted in `dropped`.
// Events in floating point hold seconds, whose step is round(t / dt), half away from zero. No gradient. Deterministic;
// no synchronisation.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/SymBool.h>

#include <limits>
#include <optional>

#include "csrc/kernels/events.h"
#include "ops/graded_spikes.h"

namespace gradspike::ops {

inline void plan_spikes_to_events(const at::Tensor& spikes, std::int64_t capacity) {
  constexpr const char* kOp = "spikes_to_events";
  check_spike_type(kOp, spikes);
  TORCH_CHECK(spikes.dim() == 3, kOp, ": spikes must have 3 dimensions [time, batch, neuron], got ", spikes.dim());
  TORCH_CHECK(capacity >= 0, kOp, ": capacity must be at least 0, got ", capacity);
  for (std::int64_t d = 0; d < 3; ++d) {
    TORCH_SYM_CHECK(spikes.sym_size(d).sym_le(std::numeric_limits<std::int32_t>::max()), kOp,
                    ": each size of spikes must fit int32, got ", spikes.sym_size(d), " in dimension ", d);
  }
}

template <class Exec>
std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor> spikes_to_events_impl(const at::Tensor& spikes,
                                                                                 std::int64_t capacity) {
  plan_spikes_to_events(spikes, capacity);
  const Scope<Exec> scope(spikes);
  const at::Tensor rows = spike_rows(spikes);
  at::Tensor events = empty_result({capacity, 3}, spikes.options().dtype(at::kInt));
  const auto number = [&] { return at::empty({1}, spikes.options().dtype(at::kLong)); };
  at::Tensor count = number();
  at::Tensor overflow = number();
  at::Tensor invalid = number();
  dispatch_spikes(rows, [&](const auto* data) {
    using S = std::remove_const_t<std::remove_pointer_t<decltype(data)>>;
    kernels::spikes_to_events(
        scope.exec(), kernels::SpikesToEventsArgs<S>{
                          data, events.mutable_data_ptr<std::int32_t>(), count.mutable_data_ptr<std::int64_t>(),
                          overflow.mutable_data_ptr<std::int64_t>(), invalid.mutable_data_ptr<std::int64_t>(), capacity,
                          spikes.size(0), spikes.size(1), spikes.size(2)});
  });
  return {events, count, overflow, invalid};
}

/// The dtype of the result; float32 where none was asked for.
inline at::ScalarType plan_events_to_spikes(const at::Tensor& events, const at::Tensor& count, std::int64_t time,
                                            std::int64_t batch, std::int64_t neuron, double dt,
                                            std::optional<at::ScalarType> dtype) {
  constexpr const char* kOp = "events_to_spikes";
  const at::ScalarType given = events.scalar_type();
  TORCH_CHECK(given == at::kInt || given == at::kLong || given == at::kFloat || given == at::kDouble, kOp,
              ": events must be int32, int64, float32 or float64, got ", given);
  TORCH_CHECK(events.dim() == 2, kOp, ": events must have 2 dimensions [capacity, 3], got ", events.dim());
  TORCH_SYM_CHECK(events.sym_size(1).sym_eq(3), kOp, ": events must have 3 columns (time, batch, neuron), got ",
                  events.sym_size(1));
  TORCH_CHECK(count.scalar_type() == at::kLong && count.dim() == 1, kOp, ": count must be int64 of shape [1], got ",
              count.scalar_type(), " of ", count.dim(), " dimensions");
  TORCH_SYM_CHECK(count.sym_size(0).sym_eq(1), kOp, ": count must have 1 entry, got ", count.sym_size(0));
  TORCH_CHECK(count.device() == events.device(), kOp, ": events and count must be on one device, got ", events.device(),
              " and ", count.device());
  TORCH_CHECK(time >= 0, kOp, ": time must be at least 0, got ", time);
  TORCH_CHECK(batch >= 0, kOp, ": batch must be at least 0, got ", batch);
  TORCH_CHECK(neuron >= 0, kOp, ": neuron must be at least 0, got ", neuron);
  TORCH_CHECK(std::isfinite(dt) && dt > 0.0, kOp, ": dt must be finite and > 0, got ", dt);
  const at::ScalarType type = dtype.value_or(at::kFloat);
  TORCH_CHECK(type == at::kFloat || type == at::kByte, kOp, ": dtype must be float32 or uint8, got ", type);
  return type;
}

template <class Exec>
std::tuple<at::Tensor, at::Tensor> events_to_spikes_impl(const at::Tensor& events, const at::Tensor& count,
                                                         std::int64_t time, std::int64_t batch, std::int64_t neuron,
                                                         double dt, bool binary, std::optional<at::ScalarType> dtype) {
  const at::ScalarType type = plan_events_to_spikes(events, count, time, batch, neuron, dt, dtype);
  const Scope<Exec> scope(events);
  const bool steps = !at::isFloatingType(events.scalar_type());
  const bool narrow = events.scalar_type() == at::kInt;
  const at::Tensor list = narrow ? events.contiguous() : events.to(at::kDouble).contiguous();
  const at::Tensor number = count.contiguous();
  at::Tensor spikes = empty_result({time, batch, neuron}, events.options().dtype(type));
  at::Tensor dropped = at::empty({1}, events.options().dtype(at::kLong));
  const auto call = [&](const auto* data, auto* out) {
    using E = std::remove_const_t<std::remove_pointer_t<decltype(data)>>;
    using S = std::remove_pointer_t<decltype(out)>;
    kernels::events_to_spikes(
        scope.exec(), kernels::EventsToSpikesArgs<E, S>{data, number.const_data_ptr<std::int64_t>(), out,
                                                        dropped.mutable_data_ptr<std::int64_t>(), list.size(0), time,
                                                        batch, neuron, steps ? 1.0 : dt, binary});
  };
  const auto call_with = [&](const auto* data) {
    type == at::kByte ? call(data, spikes.mutable_data_ptr<std::uint8_t>())
                      : call(data, spikes.mutable_data_ptr<float>());
  };
  narrow ? call_with(list.const_data_ptr<std::int32_t>()) : call_with(list.const_data_ptr<double>());
  return {spikes, dropped};
}

}  // namespace gradspike::ops
