// lif: leaky integrate-and-fire neurons with current-based synapses, one fused operator over time.
//
// Equations, operation order and coefficient rule: csrc/math/lif.h. Shapes: input and traces [time, batch, neuron];
// parameters 0-dim or [neuron]; state [3, batch, neuron] = current, membrane, refractory counter, so that T steps at
// once and T calls of one step give the same bits. Traces that `outputs` does not name are empty tensors; final_state
// is always there. Arithmetic is float64 for float64 input, else float32. measured_spikes and measured_membrane replace
// the model's values in the forward pass; gradients stay the model's. Differentiable: input, initial_state (current and
// membrane) and every parameter except refractory_time. Deterministic; no synchronisation.
#pragma once

#include "ops/neurons.h"

namespace gradspike::ops {

struct LifOutputs {
  bool spikes;
  bool membrane;
  bool current;
};

/// The parameters of lif in the order of its schema.
struct LifParameters {
  const at::Tensor& leak;
  const at::Tensor& reset;
  const at::Tensor& threshold;
  const at::Tensor& tau_mem;
  const at::Tensor& tau_syn;
  const at::Tensor& membrane_capacitance;
  const at::Tensor& refractory_time;
};

#define GRADSPIKE_LIF_NAMED(p)                                                                        \
  {                                                                                                   \
    {"leak", (p).leak}, {"reset", (p).reset}, {"threshold", (p).threshold}, {"tau_mem", (p).tau_mem}, \
        {"tau_syn", (p).tau_syn}, {"membrane_capacitance", (p).membrane_capacitance}, {               \
      "refractory_time", (p).refractory_time                                                          \
    }                                                                                                 \
  }

inline LifOutputs plan_lif(const at::Tensor& input, const LifParameters& p, double dt, std::string_view surrogate,
                           double alpha, std::string_view outputs, const std::optional<at::Tensor>& initial_state,
                           const std::optional<at::Tensor>& measured_spikes,
                           const std::optional<at::Tensor>& measured_membrane) {
  constexpr const char* kOp = "lif";
  check_neuron_input(kOp, input, dt, GRADSPIKE_LIF_NAMED(p));
  check_surrogate(kOp, surrogate, alpha);
  const OutputSet set(kOp, outputs, {"spikes", "membrane", "current"});
  check_like(kOp, "initial_state", initial_state, input, {3, input.sym_size(1), input.sym_size(2)},
             "[3, batch, neuron]");
  check_measurement(kOp, "measured_spikes", measured_spikes, input);
  check_measurement(kOp, "measured_membrane", measured_membrane, input);
  return {set.has("spikes"), set.has("membrane"), set.has("current")};
}

/// Parameters as the kernels take them; the members keep the memory.
template <class T>
struct LifOperands {
  LifOperands(const LifParameters& p, const at::Tensor& like, double dt, const char* op = "lif")
      : leak(read_parameter<T>(op, "leak", p.leak, like, Range::kFinite)),
        reset(read_parameter<T>(op, "reset", p.reset, like, Range::kFinite)),
        threshold(read_parameter<T>(op, "threshold", p.threshold, like, Range::kFinite)),
        tau_mem(read_parameter<T>(op, "tau_mem", p.tau_mem, like, Range::kPositive)),
        tau_syn(read_parameter<T>(op, "tau_syn", p.tau_syn, like, Range::kPositive)),
        capacitance(read_parameter<T>(op, "membrane_capacitance", p.membrane_capacitance, like, Range::kPositive)),
        refractory(read_parameter<T>(op, "refractory_time", p.refractory_time, like, Range::kNotNegative)),
        parameters{leak.parameter,    reset.parameter,       threshold.parameter,  tau_mem.parameter,
                   tau_syn.parameter, capacitance.parameter, refractory.parameter, dt} {}

  HeldParameter<T> leak;
  HeldParameter<T> reset;
  HeldParameter<T> threshold;
  HeldParameter<T> tau_mem;
  HeldParameter<T> tau_syn;
  HeldParameter<T> capacitance;
  HeldParameter<T> refractory;
  kernels::NeuronParameters<T> parameters;
};

using LifForward = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor>;

template <class Exec>
LifForward lif_forward_impl(const at::Tensor& input, const at::Tensor& leak, const at::Tensor& reset,
                            const at::Tensor& threshold, const at::Tensor& tau_mem, const at::Tensor& tau_syn,
                            const at::Tensor& membrane_capacitance, const at::Tensor& refractory_time, double dt,
                            std::string_view surrogate, double alpha, std::string_view outputs,
                            const std::optional<at::Tensor>& initial_state,
                            const std::optional<at::Tensor>& measured_spikes,
                            const std::optional<at::Tensor>& measured_membrane, bool save) {
  const LifParameters p{leak, reset, threshold, tau_mem, tau_syn, membrane_capacitance, refractory_time};
  const LifOutputs asked =
      plan_lif(input, p, dt, surrogate, alpha, outputs, initial_state, measured_spikes, measured_membrane);
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
    const LifOperands<T> operands(p, x, dt);
    kernels::lif_coefficients(
        scope.exec(),
        kernels::LifCoefficientsArgs<T>{operands.parameters, coefficients.mutable_data_ptr<T>(), columns, true});
    kernels::lif_forward(scope.exec(), kernels::LifForwardArgs<T>{x.const_data_ptr<T>(),
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
std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor> lif_impl(
    const at::Tensor& input, const at::Tensor& leak, const at::Tensor& reset, const at::Tensor& threshold,
    const at::Tensor& tau_mem, const at::Tensor& tau_syn, const at::Tensor& membrane_capacitance,
    const at::Tensor& refractory_time, double dt, std::string_view surrogate, double alpha, std::string_view outputs,
    const std::optional<at::Tensor>& initial_state, const std::optional<at::Tensor>& measured_spikes,
    const std::optional<at::Tensor>& measured_membrane, std::string_view population) {
  (void)population;  // names the population for readers of the graph; no part of the arithmetic
  auto [spikes, membrane, current, final_state, saved, coefficients] = lif_forward_impl<Exec>(
      input, leak, reset, threshold, tau_mem, tau_syn, membrane_capacitance, refractory_time, dt, surrogate, alpha,
      outputs, initial_state, measured_spikes, measured_membrane, /*save=*/false);
  return {spikes, membrane, current, final_state};
}

using LifBackward =
    std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor>;

/// Which entry of the mask of _lif_backward belongs to what.
enum LifMask : std::size_t { kMaskInput = 0, kMaskFirstParameter = 1, kMaskInitialState = 7 };

/// The tensors of _lif_backward beside its parameters.
struct LifBackwardTensors {
  const std::optional<at::Tensor>& grad_spikes;
  const std::optional<at::Tensor>& grad_membrane;
  const std::optional<at::Tensor>& grad_current;
  const std::optional<at::Tensor>& grad_final_state;
  const at::Tensor& saved;
  const std::optional<at::Tensor>& current;
  const at::Tensor& coefficients;
  const std::optional<at::Tensor>& initial_state;
  const std::optional<at::Tensor>& measured_spikes;
  const std::optional<at::Tensor>& measured_membrane;
};

/// The operator is internal, but a wrong size must not read beyond a tensor.
inline void plan_lif_backward(const LifBackwardTensors& t, const LifParameters& p, double dt,
                              std::string_view surrogate, double alpha, const std::array<bool, 8>& mask) {
  constexpr const char* kOp = "_lif_backward";
  constexpr const char* kTrace = "[time, batch, neuron]";
  check_neuron_input(kOp, t.saved, dt, GRADSPIKE_LIF_NAMED(p));
  check_surrogate(kOp, surrogate, alpha);
  check_arithmetic(kOp, "saved", t.saved);
  const std::vector<c10::SymInt> trace = t.saved.sym_sizes().vec();
  check_like(kOp, "grad_spikes", t.grad_spikes, t.saved, trace, kTrace);
  check_like(kOp, "grad_membrane", t.grad_membrane, t.saved, trace, kTrace);
  check_like(kOp, "grad_current", t.grad_current, t.saved, trace, kTrace);
  check_like(kOp, "current", t.current, t.saved, trace, kTrace);
  check_measurement(kOp, "measured_spikes", t.measured_spikes, t.saved);
  check_measurement(kOp, "measured_membrane", t.measured_membrane, t.saved);
  const std::vector<c10::SymInt> state = {math::kNumLifStates, trace[1], trace[2]};
  check_like(kOp, "grad_final_state", t.grad_final_state, t.saved, state, "[3, batch, neuron]");
  check_like(kOp, "initial_state", t.initial_state, t.saved, state, "[3, batch, neuron]");
  check_coefficients(kOp, t.coefficients, t.saved, trace[2], math::kNumLifCoefficients);
  TORCH_CHECK(!wants_parameters(mask) || is_given(t.current), kOp,
              ": current must be given for gradients to parameters, got none");
}

template <class Exec>
LifBackward lif_backward_impl(
    const std::optional<at::Tensor>& grad_spikes, const std::optional<at::Tensor>& grad_membrane,
    const std::optional<at::Tensor>& grad_current, const std::optional<at::Tensor>& grad_final_state,
    const at::Tensor& saved, const std::optional<at::Tensor>& current, const at::Tensor& coefficients,
    const at::Tensor& leak, const at::Tensor& reset, const at::Tensor& threshold, const at::Tensor& tau_mem,
    const at::Tensor& tau_syn, const at::Tensor& membrane_capacitance, const std::optional<at::Tensor>& initial_state,
    const std::optional<at::Tensor>& measured_spikes, const std::optional<at::Tensor>& measured_membrane, double dt,
    std::string_view surrogate, double alpha, std::array<bool, 8> mask) {
  const at::Tensor refractory_time = at::zeros({}, at::kDouble);  // has no gradient and plays no part in it
  const LifParameters p{leak, reset, threshold, tau_mem, tau_syn, membrane_capacitance, refractory_time};
  plan_lif_backward({grad_spikes, grad_membrane, grad_current, grad_final_state, saved, current, coefficients,
                     initial_state, measured_spikes, measured_membrane},
                    p, dt, surrogate, alpha, mask);
  const math::Surrogate kind = parse_surrogate("_lif_backward", surrogate);
  const Scope<Exec> scope(saved);
  const at::ScalarType type = saved.scalar_type();
  const at::Tensor trace = saved.contiguous(), table = coefficients.contiguous();
  const at::Tensor gz = optional_to(grad_spikes, type), gv = optional_to(grad_membrane, type);
  const at::Tensor gi = optional_to(grad_current, type), gs = optional_to(grad_final_state, type);
  const at::Tensor i = optional_to(current, type), initial = optional_to(initial_state, type);
  const at::Tensor z_measured = optional_to(measured_spikes, type), v_measured = optional_to(measured_membrane, type);
  const bool parameters = wants_parameters(mask);
  const std::int64_t batch = saved.size(1), neurons = saved.size(2);
  at::Tensor grad_input = mask[kMaskInput] ? empty_result(saved.sizes(), saved.options()) : at::Tensor();
  at::Tensor grad_initial =
      mask[kMaskInitialState] ? at::empty({math::kNumLifStates, batch, neurons}, saved.options()) : at::Tensor();
  at::Tensor sums =
      parameters ? at::empty({math::kNumCoefficientGradients, batch, neurons}, saved.options()) : at::Tensor();
  at::Tensor totals = parameters
                          ? at::empty({math::kNumParameterGradients, neurons}, saved.options().dtype(at::kDouble))
                          : at::Tensor();
  dispatch_real(type, [&](auto real) {
    using T = decltype(real);
    kernels::lif_backward(scope.exec(), kernels::LifBackwardArgs<T>{data_or_null<T>(gz),
                                                                    data_or_null<T>(gv),
                                                                    data_or_null<T>(gi),
                                                                    data_or_null<T>(gs),
                                                                    trace.const_data_ptr<T>(),
                                                                    data_or_null<T>(i),
                                                                    {table.const_data_ptr<T>(), coefficients.size(1)},
                                                                    data_or_null<T>(initial),
                                                                    measurement<T>(z_measured),
                                                                    measurement<T>(v_measured),
                                                                    kind,
                                                                    alpha,
                                                                    mutable_or_null<T>(grad_input),
                                                                    mutable_or_null<T>(grad_initial),
                                                                    mutable_or_null<T>(sums),
                                                                    saved.size(0),
                                                                    batch,
                                                                    neurons});
    if (parameters) {
      const LifOperands<T> operands(p, saved, dt);
      kernels::parameter_gradients(
          scope.exec(), kernels::ParameterGradientsArgs<T>{sums.const_data_ptr<T>(), operands.parameters,
                                                           totals.mutable_data_ptr<double>(), batch, neurons});
    }
  });
  const auto gradient = [&](std::int64_t row, const at::Tensor& parameter) {
    return mask[kMaskFirstParameter + static_cast<std::size_t>(row)] ? parameter_gradient(totals, row, parameter)
                                                                     : at::Tensor();
  };
  return {grad_input,
          gradient(math::kGradLeak, leak),
          gradient(math::kGradReset, reset),
          gradient(math::kGradThreshold, threshold),
          gradient(math::kGradTauMem, tau_mem),
          gradient(math::kGradTauSyn, tau_syn),
          gradient(math::kGradCapacitance, membrane_capacitance),
          grad_initial};
}

}  // namespace gradspike::ops
