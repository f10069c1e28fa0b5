// li: leaky integrators with current-based synapses (readout neurons), one fused operator over time.
//
// The membrane and current of lif without threshold, reset and refractory time; everything else as in ops/lif.h.
// State [2, batch, neuron] = current, membrane. Differentiable: input, initial_state and every parameter.
#pragma once

#include "ops/neurons.h"

namespace gradspike::ops {

struct LiOutputs {
  bool membrane;
  bool current;
};

struct LiParameters {
  const at::Tensor& leak;
  const at::Tensor& tau_mem;
  const at::Tensor& tau_syn;
  const at::Tensor& membrane_capacitance;
};

#define GRADSPIKE_LI_NAMED(p)                                                 \
  {                                                                           \
    {"leak", (p).leak}, {"tau_mem", (p).tau_mem}, {"tau_syn", (p).tau_syn}, { \
      "membrane_capacitance", (p).membrane_capacitance                        \
    }                                                                         \
  }

inline LiOutputs plan_li(const at::Tensor& input, const LiParameters& p, double dt, std::string_view outputs,
                         const std::optional<at::Tensor>& initial_state,
                         const std::optional<at::Tensor>& measured_membrane) {
  constexpr const char* kOp = "li";
  check_neuron_input(kOp, input, dt, GRADSPIKE_LI_NAMED(p));
  const OutputSet set(kOp, outputs, {"membrane", "current"});
  check_like(kOp, "initial_state", initial_state, input, {2, input.sym_size(1), input.sym_size(2)},
             "[2, batch, neuron]");
  check_measurement(kOp, "measured_membrane", measured_membrane, input);
  return {set.has("membrane"), set.has("current")};
}

template <class T>
struct LiOperands {
  LiOperands(const LiParameters& p, const at::Tensor& like, double dt)
      : leak(read_parameter<T>("li", "leak", p.leak, like, Range::kFinite)),
        tau_mem(read_parameter<T>("li", "tau_mem", p.tau_mem, like, Range::kPositive)),
        tau_syn(read_parameter<T>("li", "tau_syn", p.tau_syn, like, Range::kPositive)),
        capacitance(read_parameter<T>("li", "membrane_capacitance", p.membrane_capacitance, like, Range::kPositive)) {
    parameters.leak = leak.parameter;
    parameters.tau_mem = tau_mem.parameter;
    parameters.tau_syn = tau_syn.parameter;
    parameters.membrane_capacitance = capacitance.parameter;
    parameters.dt = dt;
  }

  HeldParameter<T> leak;
  HeldParameter<T> tau_mem;
  HeldParameter<T> tau_syn;
  HeldParameter<T> capacitance;
  kernels::NeuronParameters<T> parameters{};
};

using LiForward = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor>;

template <class Exec>
LiForward li_forward_impl(const at::Tensor& input, const at::Tensor& leak, const at::Tensor& tau_mem,
                          const at::Tensor& tau_syn, const at::Tensor& membrane_capacitance, double dt,
                          std::string_view outputs, const std::optional<at::Tensor>& initial_state,
                          const std::optional<at::Tensor>& measured_membrane) {
  const LiParameters p{leak, tau_mem, tau_syn, membrane_capacitance};
  const LiOutputs asked = plan_li(input, p, dt, outputs, initial_state, measured_membrane);
  const Scope<Exec> scope(input);
  const at::Tensor x = widened(input);
  const at::Tensor initial = optional_to(initial_state, x.scalar_type());
  const at::Tensor measured = optional_to(measured_membrane, x.scalar_type());
  const std::int64_t columns = coefficient_columns(input, GRADSPIKE_LI_NAMED(p)).expect_int();
  at::Tensor coefficients = at::empty({math::kNumLiCoefficients, columns}, x.options());
  at::Tensor membrane = trace(asked.membrane, x);
  at::Tensor current = trace(asked.current, x);
  at::Tensor final_state = at::empty({math::kNumLiStates, x.size(1), x.size(2)}, x.options());
  dispatch_real(x.scalar_type(), [&](auto real) {
    using T = decltype(real);
    const LiOperands<T> operands(p, x, dt);
    kernels::lif_coefficients(
        scope.exec(),
        kernels::LifCoefficientsArgs<T>{operands.parameters, coefficients.mutable_data_ptr<T>(), columns, false});
    kernels::li_forward(scope.exec(), kernels::LiForwardArgs<T>{x.const_data_ptr<T>(),
                                                                {coefficients.const_data_ptr<T>(), columns},
                                                                data_or_null<T>(initial),
                                                                measurement<T>(measured),
                                                                mutable_or_null<T>(membrane),
                                                                mutable_or_null<T>(current),
                                                                final_state.mutable_data_ptr<T>(),
                                                                x.size(0),
                                                                x.size(1),
                                                                x.size(2)});
  });
  return {membrane, current, final_state, coefficients};
}

template <class Exec>
std::tuple<at::Tensor, at::Tensor, at::Tensor> li_impl(const at::Tensor& input, const at::Tensor& leak,
                                                       const at::Tensor& tau_mem, const at::Tensor& tau_syn,
                                                       const at::Tensor& membrane_capacitance, double dt,
                                                       std::string_view outputs,
                                                       const std::optional<at::Tensor>& initial_state,
                                                       const std::optional<at::Tensor>& measured_membrane,
                                                       std::string_view population) {
  (void)population;  // names the population for readers of the graph; no part of the arithmetic
  auto [membrane, current, final_state, coefficients] = li_forward_impl<Exec>(
      input, leak, tau_mem, tau_syn, membrane_capacitance, dt, outputs, initial_state, measured_membrane);
  return {membrane, current, final_state};
}

using LiBackward = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor>;

/// Which entry of the mask of _li_backward belongs to what.
enum LiMask : std::size_t { kLiMaskInput = 0, kLiMaskFirstParameter = 1, kLiMaskInitialState = 5 };

/// The tensors of _li_backward beside its parameters.
struct LiBackwardTensors {
  const std::optional<at::Tensor>& grad_membrane;
  const std::optional<at::Tensor>& grad_current;
  const std::optional<at::Tensor>& grad_final_state;
  const std::optional<at::Tensor>& membrane;
  const std::optional<at::Tensor>& current;
  const at::Tensor& coefficients;
  const std::optional<at::Tensor>& initial_state;
};

/// The operator is internal, but a wrong size must not read beyond a tensor.
inline void plan_li_backward(const LiBackwardTensors& t, const LiParameters& p, double dt, c10::SymIntArrayRef sizes,
                             const std::array<bool, 6>& mask) {
  constexpr const char* kOp = "_li_backward";
  constexpr const char* kTrace = "[time, batch, neuron]";
  TORCH_CHECK(std::isfinite(dt) && dt > 0.0, kOp, ": dt must be finite and > 0, got ", dt);
  for (std::size_t d = 0; d < sizes.size(); ++d) {
    TORCH_SYM_CHECK(sizes[d].sym_ge(0), kOp, ": sizes must be >= 0, got ", sizes[d]);
  }
  for (const NamedParameter& parameter : std::initializer_list<NamedParameter> GRADSPIKE_LI_NAMED(p)) {
    check_parameter(kOp, parameter, t.coefficients, sizes[2]);
  }
  check_arithmetic(kOp, "coefficients", t.coefficients);
  check_coefficients(kOp, t.coefficients, t.coefficients, sizes[2], math::kNumLiCoefficients);
  check_like(kOp, "grad_membrane", t.grad_membrane, t.coefficients, sizes, kTrace);
  check_like(kOp, "grad_current", t.grad_current, t.coefficients, sizes, kTrace);
  check_like(kOp, "membrane", t.membrane, t.coefficients, sizes, kTrace);
  check_like(kOp, "current", t.current, t.coefficients, sizes, kTrace);
  const std::vector<c10::SymInt> state = {math::kNumLiStates, sizes[1], sizes[2]};
  check_like(kOp, "grad_final_state", t.grad_final_state, t.coefficients, state, "[2, batch, neuron]");
  check_like(kOp, "initial_state", t.initial_state, t.coefficients, state, "[2, batch, neuron]");
  TORCH_CHECK(!wants_parameters(mask) || (is_given(t.membrane) && is_given(t.current)), kOp,
              ": membrane and current must be given for gradients to parameters");
}

/// `sizes` is the shape of the input: time, batch, neuron.
template <class Exec>
LiBackward li_backward_impl(const std::optional<at::Tensor>& grad_membrane,
                            const std::optional<at::Tensor>& grad_current,
                            const std::optional<at::Tensor>& grad_final_state,
                            const std::optional<at::Tensor>& membrane, const std::optional<at::Tensor>& current,
                            const at::Tensor& coefficients, const at::Tensor& leak, const at::Tensor& tau_mem,
                            const at::Tensor& tau_syn, const at::Tensor& membrane_capacitance,
                            const std::optional<at::Tensor>& initial_state, double dt, at::IntArrayRef sizes,
                            std::array<bool, 6> mask) {
  const LiParameters p{leak, tau_mem, tau_syn, membrane_capacitance};
  plan_li_backward({grad_membrane, grad_current, grad_final_state, membrane, current, coefficients, initial_state}, p,
                   dt, c10::fromIntArrayRefSlow(sizes), mask);
  const Scope<Exec> scope(coefficients);
  const at::TensorOptions options = coefficients.options();
  const at::Tensor table = coefficients.contiguous();
  const at::ScalarType type = coefficients.scalar_type();
  const at::Tensor gv = optional_to(grad_membrane, type), gi = optional_to(grad_current, type);
  const at::Tensor gs = optional_to(grad_final_state, type), initial = optional_to(initial_state, type);
  const at::Tensor v = optional_to(membrane, type), i = optional_to(current, type);
  const bool parameters = wants_parameters(mask);
  const std::int64_t batch = sizes[1], neurons = sizes[2];
  at::Tensor grad_input = mask[kLiMaskInput] ? empty_result(sizes, options) : at::Tensor();
  at::Tensor grad_initial =
      mask[kLiMaskInitialState] ? at::empty({math::kNumLiStates, batch, neurons}, options) : at::Tensor();
  at::Tensor sums = parameters ? at::empty({math::kNumCoefficientGradients, batch, neurons}, options) : at::Tensor();
  at::Tensor totals =
      parameters ? at::empty({math::kNumParameterGradients, neurons}, options.dtype(at::kDouble)) : at::Tensor();
  dispatch_real(type, [&](auto real) {
    using T = decltype(real);
    kernels::li_backward(scope.exec(), kernels::LiBackwardArgs<T>{data_or_null<T>(gv),
                                                                  data_or_null<T>(gi),
                                                                  data_or_null<T>(gs),
                                                                  data_or_null<T>(v),
                                                                  data_or_null<T>(i),
                                                                  {table.const_data_ptr<T>(), coefficients.size(1)},
                                                                  data_or_null<T>(initial),
                                                                  mutable_or_null<T>(grad_input),
                                                                  mutable_or_null<T>(grad_initial),
                                                                  mutable_or_null<T>(sums),
                                                                  sizes[0],
                                                                  batch,
                                                                  neurons});
    if (parameters) {
      const LiOperands<T> operands(p, coefficients, dt);
      kernels::parameter_gradients(
          scope.exec(), kernels::ParameterGradientsArgs<T>{sums.const_data_ptr<T>(), operands.parameters,
                                                           totals.mutable_data_ptr<double>(), batch, neurons});
    }
  });
  const auto gradient = [&](std::size_t entry, std::int64_t row, const at::Tensor& parameter) {
    return mask[entry] ? parameter_gradient(totals, row, parameter) : at::Tensor();
  };
  return {grad_input,
          gradient(1, math::kGradLeak, leak),
          gradient(2, math::kGradTauMem, tau_mem),
          gradient(3, math::kGradTauSyn, tau_syn),
          gradient(4, math::kGradCapacitance, membrane_capacitance),
          grad_initial};
}

}  // namespace gradspike::ops
