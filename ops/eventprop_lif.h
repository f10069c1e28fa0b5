// eventprop_lif: LIF neurons in the scheme of hxtorch's EventPropLIF, with the EventProp adjoint as their backward.
//
// Equations: csrc/math/eventprop.h, scheme 1. Shapes: input, adjoint and traces [time, batch, neuron]; parameters 0-dim
// or [neuron]. Row 0 is the initial state and the last row of the input is ignored, so a run cannot be cut into parts:
// there is no state in or out. The values of `adjoint` are not read; it receives the second gradient. Only the spikes
// carry a gradient, to input and adjoint. Coefficient rule: csrc/math/lif.h. Deterministic; no synchronisation.
#pragma once

#include "csrc/kernels/eventprop.h"
#include "ops/lif.h"

namespace gradspike::ops {

constexpr const char* kEventPropLif = "eventprop_lif";

/// The parameters in the order of the schema.
struct EventPropParameters {
  const at::Tensor& leak;
  const at::Tensor& reset;
  const at::Tensor& threshold;
  const at::Tensor& tau_mem;
  const at::Tensor& tau_syn;
};

#define GRADSPIKE_EVENTPROP_NAMED(p)                                                                    \
  {                                                                                                     \
    {"leak", (p).leak}, {"reset", (p).reset}, {"threshold", (p).threshold}, {"tau_mem", (p).tau_mem}, { \
      "tau_syn", (p).tau_syn                                                                            \
    }                                                                                                   \
  }

/// Checks that eventprop_lif and exact_eventprop_lif share, beyond those of the parameters.
inline LifOutputs plan_eventprop_traces(const char* op, const at::Tensor& input, const at::Tensor& adjoint,
                                        std::string_view outputs, const std::optional<at::Tensor>& measured_spikes,
                                        const std::optional<at::Tensor>& measured_membrane) {
  check_like(op, "adjoint", adjoint, input, input.sym_sizes(), "[time, batch, neuron]");
  const OutputSet set(op, outputs, {"spikes", "membrane", "current"});
  check_measurement(op, "measured_spikes", measured_spikes, input);
  check_measurement(op, "measured_membrane", measured_membrane, input);
  return {set.has("spikes"), set.has("membrane"), set.has("current")};
}

inline LifOutputs plan_eventprop_lif(const at::Tensor& input, const at::Tensor& adjoint, const EventPropParameters& p,
                                     double dt, std::string_view outputs,
                                     const std::optional<at::Tensor>& measured_spikes,
                                     const std::optional<at::Tensor>& measured_membrane) {
  check_neuron_input(kEventPropLif, input, dt, GRADSPIKE_EVENTPROP_NAMED(p));
  return plan_eventprop_traces(kEventPropLif, input, adjoint, outputs, measured_spikes, measured_membrane);
}

/// Parameters as the kernels take them; the members keep the memory.
template <class T>
struct EventPropOperands {
  EventPropOperands(const EventPropParameters& p, const at::Tensor& like, double dt)
      : leak(read_parameter<T>(kEventPropLif, "leak", p.leak, like, Range::kFinite)),
        reset(read_parameter<T>(kEventPropLif, "reset", p.reset, like, Range::kFinite)),
        threshold(read_parameter<T>(kEventPropLif, "threshold", p.threshold, like, Range::kFinite)),
        tau_mem(read_parameter<T>(kEventPropLif, "tau_mem", p.tau_mem, like, Range::kPositive)),
        tau_syn(read_parameter<T>(kEventPropLif, "tau_syn", p.tau_syn, like, Range::kPositive)),
        parameters{
            leak.parameter, reset.parameter, threshold.parameter, tau_mem.parameter, tau_syn.parameter, {}, {}, dt} {}

  HeldParameter<T> leak;
  HeldParameter<T> reset;
  HeldParameter<T> threshold;
  HeldParameter<T> tau_mem;
  HeldParameter<T> tau_syn;
  kernels::NeuronParameters<T> parameters;
};

using EventPropForward = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor>;

template <class Exec>
EventPropForward eventprop_lif_forward_impl(const at::Tensor& input, const at::Tensor& adjoint, const at::Tensor& leak,
                                            const at::Tensor& reset, const at::Tensor& threshold,
                                            const at::Tensor& tau_mem, const at::Tensor& tau_syn, double dt,
                                            std::string_view outputs, const std::optional<at::Tensor>& measured_spikes,
                                            const std::optional<at::Tensor>& measured_membrane, bool save) {
  const EventPropParameters p{leak, reset, threshold, tau_mem, tau_syn};
  const LifOutputs asked = plan_eventprop_lif(input, adjoint, p, dt, outputs, measured_spikes, measured_membrane);
  const Scope<Exec> scope(input);
  const at::Tensor x = widened(input);
  const at::Tensor z_measured = optional_to(measured_spikes, x.scalar_type());
  const at::Tensor v_measured = optional_to(measured_membrane, x.scalar_type());
  const std::int64_t columns = coefficient_columns(input, GRADSPIKE_EVENTPROP_NAMED(p)).expect_int();
  at::Tensor coefficients = at::empty({math::kNumEventPropCoefficients, columns}, x.options());
  at::Tensor spikes = trace(asked.spikes, x);
  at::Tensor membrane = trace(asked.membrane, x);
  at::Tensor current = trace(asked.current, x);
  at::Tensor saved = trace(save, x);
  dispatch_real(x.scalar_type(), [&](auto real) {
    using T = decltype(real);
    const EventPropOperands<T> operands(p, x, dt);
    kernels::eventprop_coefficients(
        scope.exec(),
        kernels::EventPropCoefficientsArgs<T>{operands.parameters, coefficients.mutable_data_ptr<T>(), columns});
    kernels::eventprop_forward(scope.exec(),
                               kernels::EventPropForwardArgs<T>{x.const_data_ptr<T>(),
                                                                {coefficients.const_data_ptr<T>(), columns},
                                                                measurement<T>(z_measured),
                                                                measurement<T>(v_measured),
                                                                mutable_or_null<T>(spikes),
                                                                mutable_or_null<T>(membrane),
                                                                mutable_or_null<T>(current),
                                                                mutable_or_null<T>(saved),
                                                                x.size(0),
                                                                x.size(1),
                                                                x.size(2)});
  });
  return {spikes, membrane, current, saved, coefficients};
}

template <class Exec>
std::tuple<at::Tensor, at::Tensor, at::Tensor> eventprop_lif_impl(
    const at::Tensor& input, const at::Tensor& adjoint, const at::Tensor& leak, const at::Tensor& reset,
    const at::Tensor& threshold, const at::Tensor& tau_mem, const at::Tensor& tau_syn, double dt,
    std::string_view outputs, const std::optional<at::Tensor>& measured_spikes,
    const std::optional<at::Tensor>& measured_membrane, std::string_view population) {
  (void)population;  // names the population for readers of the graph; no part of the arithmetic
  auto [spikes, membrane, current, saved, coefficients] =
      eventprop_lif_forward_impl<Exec>(input, adjoint, leak, reset, threshold, tau_mem, tau_syn, dt, outputs,
                                       measured_spikes, measured_membrane, /*save=*/false);
  return {spikes, membrane, current};
}

/// The operators are internal, but a wrong size must not read beyond a tensor.
inline void plan_eventprop_backward(const char* op, const at::Tensor& grad_spikes, const at::Tensor& saved,
                                    const at::Tensor& coefficients, std::int64_t rows) {
  TORCH_CHECK(saved.dim() == 3, op, ": saved must have 3 dimensions [time, batch, neuron], got ", saved.dim());
  TORCH_CHECK(is_float(saved.scalar_type()), op, ": saved must be floating point, got ", saved.scalar_type());
  check_arithmetic(op, "saved", saved);
  check_like(op, "grad_spikes", grad_spikes, saved, saved.sym_sizes(), "[time, batch, neuron]");
  check_coefficients(op, coefficients, saved, saved.sym_size(2), rows);
}

/// Runs one of the two backward kernels: `kernel(exec, args)` with Table<T> as the coefficient table.
template <class Exec, template <class> class Table, class Kernel>
std::tuple<at::Tensor, at::Tensor> run_eventprop_backward(const at::Tensor& grad_spikes, const at::Tensor& saved,
                                                          const at::Tensor& coefficients,
                                                          const std::array<bool, 2>& mask, Kernel&& kernel) {
  const Scope<Exec> scope(saved);
  const at::Tensor events = saved.contiguous(), table = coefficients.contiguous();
  const at::Tensor grad = grad_spikes.to(saved.scalar_type()).contiguous();
  at::Tensor grad_input = mask[0] ? empty_result(saved.sizes(), saved.options()) : at::Tensor();
  at::Tensor grad_adjoint = mask[1] ? empty_result(saved.sizes(), saved.options()) : at::Tensor();
  dispatch_real(saved.scalar_type(), [&](auto real) {
    using T = decltype(real);
    kernel(scope.exec(), kernels::EventPropBackwardArgs<T, Table<T>>{grad.const_data_ptr<T>(),
                                                                     events.const_data_ptr<T>(),
                                                                     {table.const_data_ptr<T>(), table.size(1)},
                                                                     mutable_or_null<T>(grad_input),
                                                                     mutable_or_null<T>(grad_adjoint),
                                                                     saved.size(0),
                                                                     saved.size(1),
                                                                     saved.size(2)});
  });
  return {grad_input, grad_adjoint};
}

template <class Exec>
std::tuple<at::Tensor, at::Tensor> eventprop_lif_backward_impl(const at::Tensor& grad_spikes, const at::Tensor& saved,
                                                               const at::Tensor& coefficients,
                                                               std::array<bool, 2> mask) {
  plan_eventprop_backward("_eventprop_lif_backward", grad_spikes, saved, coefficients, math::kNumEventPropCoefficients);
  return run_eventprop_backward<Exec, kernels::EventPropTable>(
      grad_spikes, saved, coefficients, mask,
      [](const Exec& exec, const auto& args) { kernels::eventprop_backward(exec, args); });
}

}  // namespace gradspike::ops
