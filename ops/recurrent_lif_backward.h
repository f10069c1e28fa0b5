// The backward of recurrent_lif.
//
// A reverse loop over time gives the gradient to the current's input at every step, dI. From it follow, outside the
// loop, the gradient to the spikes and, event-driven, those to the weights: the recurrent one with the spikes shifted
// by one step. With recompute_every = K the loop is taken in segments of K steps, whose traces are computed again from
// the checkpoints: the same operations in the same order, hence the same bits.
#pragma once

#include "ops/recurrent_lif.h"

namespace gradspike::ops {

// The arguments of _recurrent_lif_backward in the order of the schema, without the mask.
#define GRADSPIKE_RECURRENT_LIF_BACKWARD_SIGNATURE                                                                    \
  OptionalTensorRef grad_spikes, OptionalTensorRef grad_membrane, OptionalTensorRef grad_current,                     \
      OptionalTensorRef grad_final_state, const at::Tensor &spikes, const at::Tensor &input_weight,                   \
      const at::Tensor &recurrent_weight, OptionalTensorRef recurrent_mask, const at::Tensor &input_integers,         \
      const at::Tensor &recurrent_integers, OptionalTensorRef saved, OptionalTensorRef current,                       \
      OptionalTensorRef checkpoints, const at::Tensor &coefficients, const at::Tensor &leak, const at::Tensor &reset, \
      const at::Tensor &threshold, const at::Tensor &tau_mem, const at::Tensor &tau_syn,                              \
      const at::Tensor &membrane_capacitance, OptionalTensorRef initial_state, OptionalTensorRef measured_spikes,     \
      OptionalTensorRef measured_membrane, double input_scale, double input_min_weight, double input_max_weight,      \
      double recurrent_scale, double recurrent_min_weight, double recurrent_max_weight, std::string_view rounding,    \
      std::string_view gradient, std::string_view units, double dt, std::string_view surrogate, double alpha,         \
      std::int64_t recompute_every, std::array<bool, 10> grad_mask
#define GRADSPIKE_RECURRENT_LIF_BACKWARD_ARGUMENTS                                                                     \
  grad_spikes, grad_membrane, grad_current, grad_final_state, spikes, input_weight, recurrent_weight, recurrent_mask,  \
      input_integers, recurrent_integers, saved, current, checkpoints, coefficients, leak, reset, threshold, tau_mem,  \
      tau_syn, membrane_capacitance, initial_state, measured_spikes, measured_membrane, input_scale, input_min_weight, \
      input_max_weight, recurrent_scale, recurrent_min_weight, recurrent_max_weight, rounding, gradient, units, dt,    \
      surrogate, alpha, recompute_every, grad_mask

/// Which entry of the mask of _recurrent_lif_backward belongs to what.
enum RecurrentLifMask : std::size_t {
  kRecurrentMaskSpikes = 0,
  kRecurrentMaskInputWeight = 1,
  kRecurrentMaskRecurrentWeight = 2,
  kRecurrentMaskFirstRecurrentParameter = 3,
  kRecurrentMaskState = 9,
};

inline bool wants_recurrent_parameters(const std::array<bool, 10>& mask) {
  return std::any_of(mask.begin() + kRecurrentMaskFirstRecurrentParameter, mask.begin() + kRecurrentMaskState,
                     [](bool wanted) { return wanted; });
}

/// The operator is internal, but a wrong size must not read beyond a tensor.
inline RecurrentPlan plan_recurrent_lif_backward(GRADSPIKE_RECURRENT_LIF_BACKWARD_SIGNATURE) {
  constexpr const char* kOp = "_recurrent_lif_backward";
  constexpr const char* kTrace = "[time, batch, neuron]";
  RecurrentPlan plan = plan_recurrent_weights(kOp, GRADSPIKE_RECURRENT_WEIGHTS);
  check_recurrent_neurons(kOp, plan, spikes,
                          {{"leak", leak},
                           {"reset", reset},
                           {"threshold", threshold},
                           {"tau_mem", tau_mem},
                           {"tau_syn", tau_syn},
                           {"membrane_capacitance", membrane_capacitance}},
                          dt, surrogate, alpha, initial_state, measured_spikes, measured_membrane);
  check_recompute_every(kOp, recompute_every);
  check_integers(kOp, "input_integers", input_integers, plan.input, input_weight);
  check_integers(kOp, "recurrent_integers", recurrent_integers, plan.recurrent, recurrent_weight);
  check_like(kOp, "grad_spikes", grad_spikes, spikes, plan.trace, kTrace);
  check_like(kOp, "grad_membrane", grad_membrane, spikes, plan.trace, kTrace);
  check_like(kOp, "grad_current", grad_current, spikes, plan.trace, kTrace);
  check_like(kOp, "saved", saved, spikes, plan.trace, kTrace);
  check_like(kOp, "current", current, spikes, plan.trace, kTrace);
  const std::vector<c10::SymInt> state = {math::kNumRecurrentLifStates, plan.trace[1], plan.neurons()};
  check_like(kOp, "grad_final_state", grad_final_state, spikes, state, "[4, batch, neuron]");
  check_coefficients(kOp, coefficients, plan.type(), spikes, plan.neurons(), math::kNumLifCoefficients);
  if (recompute_every > 0) {
    TORCH_CHECK(is_given(checkpoints), kOp, ": checkpoints must be given where recompute_every is above 0, got none");
    check_like(kOp, "checkpoints", checkpoints, spikes,
               {num_checkpoints(plan.trace[0], recompute_every), state[0], state[1], state[2]},
               "[segment, 4, batch, neuron]");
  } else {
    TORCH_CHECK(is_given(saved), kOp, ": saved must be given where recompute_every is 0, got none");
    TORCH_CHECK(!wants_recurrent_parameters(grad_mask) || is_given(current), kOp,
                ": current must be given for gradients to parameters, got none");
  }
  return plan;
}

/// Tensors of the reverse loop in the arithmetic of the run, contiguous; undefined where absent or unwanted.
struct RecurrentReverse {
  at::Tensor grad_spikes;
  at::Tensor grad_membrane;
  at::Tensor grad_current;
  at::Tensor grad_final_state;
  at::Tensor saved;
  at::Tensor current;
  at::Tensor checkpoints;
  at::Tensor initial_state;
  at::Tensor grad_input;
  at::Tensor previous_spikes;
  at::Tensor grad_initial_state;
  at::Tensor sums;
  math::Surrogate surrogate;
  double alpha;
};

template <class T>
const T* from_step(const at::Tensor& trace, std::int64_t first, std::int64_t elements) {
  return trace.defined() ? trace.const_data_ptr<T>() + first * elements : nullptr;
}
template <class T>
T* mutable_from_step(const at::Tensor& trace, std::int64_t first, std::int64_t elements) {
  return trace.defined() ? trace.mutable_data_ptr<T>() + first * elements : nullptr;
}

/// The reverse loop, in segments of `steps` time steps; `recompute` makes their traces again.
template <class T, class Exec>
void recurrent_reverse(const Scope<Exec>& scope, const RecurrentRun& run, const RecurrentReverse& r, std::int64_t steps,
                       bool recompute) {
  const std::int64_t elements = run.elements();
  const std::int64_t segments = std::max<std::int64_t>(1, (run.time + steps - 1) / steps);
  const at::TensorOptions options = r.grad_input.options();
  RecurrentTraces again;
  if (recompute) {
    again.saved = at::empty({steps, run.batch, run.neurons}, options);
    again.current = r.sums.defined() ? at::empty({steps, run.batch, run.neurons}, options) : at::Tensor();
    again.final_state = at::empty({math::kNumRecurrentLifStates, run.batch, run.neurons}, options);
  }
  at::Tensor grad_state = r.grad_final_state;
  for (std::int64_t segment = segments - 1; segment >= 0; --segment) {
    const std::int64_t first = segment * steps;
    const std::int64_t length = std::min(steps, run.time - first);
    const T* const initial =
        segment == 0 ? data_or_null<T>(r.initial_state)
                     : r.checkpoints.const_data_ptr<T>() + segment * math::kNumRecurrentLifStates * elements;
    if (recompute) {
      recurrent_forward_steps<T>(scope, run, initial, again, 0, first, length);
    }
    const at::Tensor before =
        segment > 0 ? at::empty({math::kNumRecurrentLifStates, run.batch, run.neurons}, options) : r.grad_initial_state;
    kernels::RecurrentLifBackwardArgs<T> args{
        {from_step<T>(r.grad_spikes, first, elements),
         from_step<T>(r.grad_membrane, first, elements),
         from_step<T>(r.grad_current, first, elements),
         data_or_null<T>(grad_state),
         recompute ? again.saved.const_data_ptr<T>() : r.saved.const_data_ptr<T>(),
         data_or_null<T>(recompute ? again.current : r.current),
         {run.coefficients.const_data_ptr<T>(), run.coefficients.size(1)},
         initial,
         measurement_from<T>(run.measured_spikes, first, elements),
         measurement_from<T>(run.measured_membrane, first, elements),
         r.surrogate,
         r.alpha,
         mutable_from_step<T>(r.grad_input, first, elements),
         mutable_or_null<T>(before),
         mutable_or_null<T>(r.sums),
         length,
         run.batch,
         run.neurons},
        run.recurrent.weights,
        mutable_from_step<T>(r.previous_spikes, first, elements),
        segment + 1 < segments};
    kernels::recurrent_lif_backward(scope.exec(), args);
    grad_state = before;
  }
}

using RecurrentLifBackward = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor,
                                        at::Tensor, at::Tensor, at::Tensor, at::Tensor>;

template <class Exec>
RecurrentLifBackward recurrent_lif_backward_impl(GRADSPIKE_RECURRENT_LIF_BACKWARD_SIGNATURE) {
  const RecurrentPlan plan = plan_recurrent_lif_backward(GRADSPIKE_RECURRENT_LIF_BACKWARD_ARGUMENTS);
  const Scope<Exec> scope(spikes);
  const at::ScalarType type = plan.type();
  const at::TensorOptions options = input_weight.options().dtype(type);
  const std::int64_t time = spikes.size(0), batch = spikes.size(1), neurons = input_weight.size(0);
  const at::Tensor masked = connected(recurrent_weight, recurrent_mask);
  const RecurrentRun run{spike_rows(spikes),
                         HeldWeights(plan.input, input_weight, input_integers),
                         HeldWeights(plan.recurrent, masked, recurrent_integers),
                         coefficients.contiguous(),
                         optional_to(measured_spikes, type),
                         optional_to(measured_membrane, type),
                         time,
                         batch,
                         neurons};
  const bool parameters = wants_recurrent_parameters(grad_mask);
  const auto wanted = [&](bool is_wanted, std::vector<std::int64_t> sizes) {
    return is_wanted ? empty_result(sizes, options) : at::Tensor();
  };
  const RecurrentReverse reverse{optional_to(grad_spikes, type),
                                 optional_to(grad_membrane, type),
                                 optional_to(grad_current, type),
                                 optional_to(grad_final_state, type),
                                 optional_to(saved, type),
                                 optional_to(current, type),
                                 optional_to(checkpoints, type),
                                 optional_to(initial_state, type),
                                 empty_result({time, batch, neurons}, options),
                                 wanted(grad_mask[kRecurrentMaskRecurrentWeight], {time, batch, neurons}),
                                 wanted(grad_mask[kRecurrentMaskState], {math::kNumRecurrentLifStates, batch, neurons}),
                                 wanted(parameters, {math::kNumCoefficientGradients, batch, neurons}),
                                 parse_surrogate("_recurrent_lif_backward", surrogate),
                                 alpha};
  at::Tensor totals =
      parameters ? at::empty({math::kNumParameterGradients, neurons}, options.dtype(at::kDouble)) : at::Tensor();
  dispatch_real(type, [&](auto real) {
    using T = decltype(real);
    const std::int64_t steps =
        std::max<std::int64_t>(1, recompute_every > 0 ? segment_steps(recompute_every, time) : time);
    recurrent_reverse<T>(scope, run, reverse, steps, recompute_every > 0);
    if (parameters) {
      const at::Tensor refractory_time = at::zeros({}, at::kDouble);  // has no gradient and plays no part in it
      const LifParameters p{leak, reset, threshold, tau_mem, tau_syn, membrane_capacitance, refractory_time};
      const LifOperands<T> operands(p, reverse.grad_input, dt, "_recurrent_lif_backward");
      kernels::parameter_gradients(
          scope.exec(), kernels::ParameterGradientsArgs<T>{reverse.sums.const_data_ptr<T>(), operands.parameters,
                                                           totals.mutable_data_ptr<double>(), batch, neurons});
    }
  });
  const at::Tensor grad_rows = reverse.grad_input.view({time * batch, neurons});
  at::Tensor grad_recurrent;
  if (grad_mask[kRecurrentMaskRecurrentWeight]) {
    grad_recurrent = connected(weight_gradient(scope, plan.recurrent, grad_rows,
                                               reverse.previous_spikes.view({time * batch, neurons}), masked),
                               recurrent_mask);
  }
  const auto gradient_to = [&](std::int64_t row, const at::Tensor& parameter) {
    return grad_mask[kRecurrentMaskFirstRecurrentParameter + static_cast<std::size_t>(row)]
               ? parameter_gradient(totals, row, parameter)
               : at::Tensor();
  };
  return {grad_mask[kRecurrentMaskSpikes] ? spike_gradient(plan.input, grad_rows, spikes, input_weight, input_integers)
                                          : at::Tensor(),
          grad_mask[kRecurrentMaskInputWeight] ? weight_gradient(scope, plan.input, grad_rows, run.rows, input_weight)
                                               : at::Tensor(),
          grad_recurrent,
          gradient_to(math::kGradLeak, leak),
          gradient_to(math::kGradReset, reset),
          gradient_to(math::kGradThreshold, threshold),
          gradient_to(math::kGradTauMem, tau_mem),
          gradient_to(math::kGradTauSyn, tau_syn),
          gradient_to(math::kGradCapacitance, membrane_capacitance),
          reverse.grad_initial_state};
}

}  // namespace gradspike::ops
