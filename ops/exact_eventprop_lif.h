// exact_eventprop_lif: the neurons of lif, bit for bit, with the gradients of their spike times as the backward.
//
// Forward: csrc/math/lif.h. Backward: csrc/math/eventprop.h, scheme 2, where the gradients are derived. Shapes: input,
// adjoint and traces [time, batch, neuron]; parameters 0-dim or [neuron]; state [3, batch, neuron] as in lif, so that a
// run can be cut into parts. The values of `adjoint` are not read; it receives the second gradient. Only the spikes
// carry a gradient, to input and adjoint: none flows through membrane, current, state or parameters. Deterministic; no
// synchronisation.
#pragma once

#include "ops/eventprop_lif.h"

namespace gradspike::ops {

constexpr const char* kExactEventPropLif = "exact_eventprop_lif";

inline LifOutputs plan_exact_eventprop_lif(const at::Tensor& input, const at::Tensor& adjoint, const LifParameters& p,
                                           double dt, std::string_view outputs,
                                           const std::optional<at::Tensor>& initial_state,
                                           const std::optional<at::Tensor>& measured_spikes,
                                           const std::optional<at::Tensor>& measured_membrane) {
  check_neuron_input(kExactEventPropLif, input, dt, GRADSPIKE_LIF_NAMED(p));
  check_like(kExactEventPropLif, "initial_state", initial_state, input,
             {math::kNumLifStates, input.sym_size(1), input.sym_size(2)}, "[3, batch, neuron]");
  return plan_eventprop_traces(kExactEventPropLif, input, adjoint, outputs, measured_spikes, measured_membrane);
}

using ExactForward = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor>;

template <class Exec>
ExactForward exact_eventprop_lif_forward_impl(const at::Tensor& input, const at::Tensor& adjoint,
                                              const at::Tensor& leak, const at::Tensor& reset,
                                              const at::Tensor& threshold, const at::Tensor& tau_mem,
                                              const at::Tensor& tau_syn, const at::Tensor& membrane_capacitance,
                                              const at::Tensor& refractory_time, double dt, std::string_view outputs,
                                              const std::optional<at::Tensor>& initial_state,
                                              const std::optional<at::Tensor>& measured_spikes,
                                              const std::optional<at::Tensor>& measured_membrane, bool save) {
  const LifParameters p{leak, reset, threshold, tau_mem, tau_syn, membrane_capacitance, refractory_time};
  const LifOutputs asked =
      plan_exact_eventprop_lif(input, adjoint, p, dt, outputs, initial_state, measured_spikes, measured_membrane);
  const Scope<Exec> scope(input);
  const at::Tensor x = widened(input);
  const at::Tensor initial = optional_to(initial_state, x.scalar_type());
  const at::Tensor z_measured = optional_to(measured_spikes, x.scalar_type());
  const at::Tensor v_measured = optional_to(measured_membrane, x.scalar_type());
  const std::int64_t columns = coefficient_columns(input, GRADSPIKE_LIF_NAMED(p)).expect_int();
  at::Tensor coefficients = at::empty({math::kNumLifCoefficients, columns}, x.options());
  at::Tensor spikes = trace(asked.spikes, x);
  at::Tensor membrane = trace(asked.membrane, x);
  at::Tensor current = trace(asked.current, x);
  at::Tensor saved = trace(save, x);
  at::Tensor final_state = at::empty({math::kNumLifStates, x.size(1), x.size(2)}, x.options());
  dispatch_real(x.scalar_type(), [&](auto real) {
    using T = decltype(real);
    const LifOperands<T> operands(p, x, dt, kExactEventPropLif);
    kernels::lif_coefficients(
        scope.exec(),
        kernels::LifCoefficientsArgs<T>{operands.parameters, coefficients.mutable_data_ptr<T>(), columns, true});
    kernels::exact_eventprop_forward(scope.exec(),
                                     kernels::LifForwardArgs<T>{x.const_data_ptr<T>(),
                                                                {coefficients.const_data_ptr<T>(), columns},
                                                                data_or_null<T>(initial),
                                                                measurement<T>(z_measured),
                                                                measurement<T>(v_measured),
                                                                mutable_or_null<T>(spikes),
                                                                mutable_or_null<T>(membrane),
                                                                mutable_or_null<T>(current),
                                                                mutable_or_null<T>(saved),
                                                                final_state.mutable_data_ptr<T>(),
                                                                x.size(0),
                                                                x.size(1),
                                                                x.size(2)});
  });
  return {spikes, membrane, current, final_state, saved, coefficients};
}

template <class Exec>
std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor> exact_eventprop_lif_impl(
    const at::Tensor& input, const at::Tensor& adjoint, const at::Tensor& leak, const at::Tensor& reset,
    const at::Tensor& threshold, const at::Tensor& tau_mem, const at::Tensor& tau_syn,
    const at::Tensor& membrane_capacitance, const at::Tensor& refractory_time, double dt, std::string_view outputs,
    const std::optional<at::Tensor>& initial_state, const std::optional<at::Tensor>& measured_spikes,
    const std::optional<at::Tensor>& measured_membrane, std::string_view population) {
  (void)population;  // names the population for readers of the graph; no part of the arithmetic
  auto [spikes, membrane, current, final_state, saved, coefficients] = exact_eventprop_lif_forward_impl<Exec>(
      input, adjoint, leak, reset, threshold, tau_mem, tau_syn, membrane_capacitance, refractory_time, dt, outputs,
      initial_state, measured_spikes, measured_membrane, /*save=*/false);
  return {spikes, membrane, current, final_state};
}

template <class Exec>
std::tuple<at::Tensor, at::Tensor> exact_eventprop_lif_backward_impl(const at::Tensor& grad_spikes,
                                                                     const at::Tensor& saved,
                                                                     const at::Tensor& coefficients,
                                                                     std::array<bool, 2> mask) {
  plan_eventprop_backward("_exact_eventprop_lif_backward", grad_spikes, saved, coefficients, math::kNumLifCoefficients);
  return run_eventprop_backward<Exec, kernels::CoefficientTable>(
      grad_spikes, saved, coefficients, mask,
      [](const Exec& exec, const auto& args) { kernels::exact_eventprop_backward(exec, args); });
}

}  // namespace gradspike::ops
