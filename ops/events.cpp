#include "ops/events.h"

#include <torch/library.h>

namespace gradspike::ops {
namespace {

std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor> spikes_to_events_meta(const at::Tensor& spikes,
                                                                                 std::int64_t capacity) {
  plan_spikes_to_events(spikes, capacity);
  const auto number = [&] { return at::empty({1}, spikes.options().dtype(at::kLong)); };
  return {at::empty({capacity, 3}, spikes.options().dtype(at::kInt)), number(), number(), number()};
}

std::tuple<at::Tensor, at::Tensor> events_to_spikes_meta(const at::Tensor& events, const at::Tensor& count,
                                                         std::int64_t time, std::int64_t batch, std::int64_t neuron,
                                                         double dt, bool binary, std::optional<at::ScalarType> dtype) {
  (void)binary;
  const at::ScalarType type = plan_events_to_spikes(events, count, time, batch, neuron, dt, dtype);
  return {at::empty({time, batch, neuron}, events.options().dtype(type)),
          at::empty({1}, events.options().dtype(at::kLong))};
}

}  // namespace

TORCH_LIBRARY_IMPL(gradspike, CPU, m) {
  m.impl("spikes_to_events", spikes_to_events_impl<CpuExec>);
  m.impl("events_to_spikes", events_to_spikes_impl<CpuExec>);
}

TORCH_LIBRARY_IMPL(gradspike, Meta, m) {
  m.impl("spikes_to_events", spikes_to_events_meta);
  m.impl("events_to_spikes", events_to_spikes_meta);
}

TORCH_LIBRARY_IMPL(gradspike, Autograd, m) {
  m.impl("spikes_to_events", torch::CppFunction::makeFallthrough());
  m.impl("events_to_spikes", torch::CppFunction::makeFallthrough());
}

}  // namespace gradspike::ops
