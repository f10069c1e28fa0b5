#include "ops/eventprop_lif.h"

#include <torch/library.h>

#include "ops/eventprop_meta.h"

namespace gradspike::ops {
namespace {

EventPropForward eventprop_lif_forward_meta(const at::Tensor& input, const at::Tensor& adjoint, const at::Tensor& leak,
                                            const at::Tensor& reset, const at::Tensor& threshold,
                                            const at::Tensor& tau_mem, const at::Tensor& tau_syn, double dt,
                                            std::string_view outputs, const std::optional<at::Tensor>& measured_spikes,
                                            const std::optional<at::Tensor>& measured_membrane, bool save) {
  const EventPropParameters p{leak, reset, threshold, tau_mem, tau_syn};
  const LifOutputs asked = plan_eventprop_lif(input, adjoint, p, dt, outputs, measured_spikes, measured_membrane);
  return {eventprop_trace_meta(asked.spikes, input), eventprop_trace_meta(asked.membrane, input),
          eventprop_trace_meta(asked.current, input), eventprop_trace_meta(save, input),
          at::empty_symint({math::kNumEventPropCoefficients, coefficient_columns(input, GRADSPIKE_EVENTPROP_NAMED(p))},
                           arithmetic_options(input))};
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> eventprop_lif_meta(
    const at::Tensor& input, const at::Tensor& adjoint, const at::Tensor& leak, const at::Tensor& reset,
    const at::Tensor& threshold, const at::Tensor& tau_mem, const at::Tensor& tau_syn, double dt,
    std::string_view outputs, const std::optional<at::Tensor>& measured_spikes,
    const std::optional<at::Tensor>& measured_membrane, std::string_view population) {
  (void)population;
  auto [spikes, membrane, current, saved, coefficients] = eventprop_lif_forward_meta(
      input, adjoint, leak, reset, threshold, tau_mem, tau_syn, dt, outputs, measured_spikes, measured_membrane, false);
  return {spikes, membrane, current};
}

std::tuple<at::Tensor, at::Tensor> eventprop_lif_backward_meta(const at::Tensor& grad_spikes, const at::Tensor& saved,
                                                               const at::Tensor& coefficients,
                                                               std::array<bool, 2> mask) {
  plan_eventprop_backward("_eventprop_lif_backward", grad_spikes, saved, coefficients, math::kNumEventPropCoefficients);
  return eventprop_gradients_meta(saved, mask);
}

}  // namespace

TORCH_LIBRARY_IMPL(gradspike, CPU, m) {
  m.impl("eventprop_lif", eventprop_lif_impl<CpuExec>);
  m.impl("_eventprop_lif_forward", eventprop_lif_forward_impl<CpuExec>);
  m.impl("_eventprop_lif_backward", eventprop_lif_backward_impl<CpuExec>);
}

TORCH_LIBRARY_IMPL(gradspike, Meta, m) {
  m.impl("eventprop_lif", eventprop_lif_meta);
  m.impl("_eventprop_lif_forward", eventprop_lif_forward_meta);
  m.impl("_eventprop_lif_backward", eventprop_lif_backward_meta);
}

}  // namespace gradspike::ops
