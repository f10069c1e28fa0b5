// Current-based leaky integrate-and-fire (LIF) and leaky integrator (LI) in discrete time: coefficients, one step, and
// one step of the adjoint.
//
//   membrane':  v + k (i + g (leak - v))      with the old i and v;  k = dt/C, g = C/tau_mem
//   current':   i d + x                       d = 1 - dt/tau_syn
//   spike:      z = [v' > threshold], strict
//   reset:      v' = reset where z; no gradient flows through z into the reset
//   refractory: while the counter is above zero the spike is suppressed and v' = reset
//
// Source: forward Euler of Billaudelle et al. 2022 (doi 10.1016/j.neunet.2022.04.007) in the operation order of
// hxtorch.spiking's LIF, one step of synaptic delay included. The order of operations is part of the contract.
#pragma once

#include <cstdint>
#include <cstring>

#include "csrc/math/arithmetic.h"
#include "csrc/math/surrogate.h"
#include "csrc/math/weight.h"

namespace gradspike::math {

// ---- coefficients ------------------------------------------------------------------------------------------------

/// Rows of a coefficient table [coefficient, neuron]. LI uses the first four.
enum LifRow : std::int32_t {
  kInputGain = 0,        // k = dt/C
  kLeakConductance = 1,  // g = C/tau_mem
  kCurrentDecay = 2,     // d = 1 - dt/tau_syn
  kLeak = 3,
  kReset = 4,
  kThreshold = 5,
  kRefractorySteps = 6,  // a whole number of steps
};
constexpr std::int32_t kNumLiCoefficients = 4;
constexpr std::int32_t kNumLifCoefficients = 7;

/// Rows of a state tensor [state, batch, neuron]. LI uses the first two.
/// kStateSpikes, the spikes of the last step, belongs to recurrent_lif alone.
enum LifStateRow : std::int32_t { kStateCurrent = 0, kStateMembrane = 1, kStateRefractory = 2, kStateSpikes = 3 };
constexpr std::int32_t kNumLiStates = 2;
constexpr std::int32_t kNumLifStates = 3;
constexpr std::int32_t kNumRecurrentLifStates = 4;

/// A neuron parameter: either a number (kept in double) or an element of a tensor of the neuron's arithmetic.
template <class T>
struct Operand {
  bool is_number;
  double number;
  T value;

  GRADSPIKE_HD T rounded() const { return is_number ? static_cast<T>(number) : value; }
  GRADSPIKE_HD T reciprocal() const { return div(T{1}, rounded()); }
};

/// The coefficient rule: where all operands are numbers, computed in double and rounded once; where any is a tensor, in
/// the tensor's arithmetic in the order that eager PyTorch uses (a number over a tensor is number * reciprocal).
template <class T>
GRADSPIKE_HD T input_gain(const Operand<T>& capacitance, double dt) {
  return capacitance.is_number ? static_cast<T>(div(dt, capacitance.number))
                               : mul(capacitance.reciprocal(), static_cast<T>(dt));
}

template <class T>
GRADSPIKE_HD T leak_conductance(const Operand<T>& capacitance, const Operand<T>& tau_mem) {
  return capacitance.is_number && tau_mem.is_number ? static_cast<T>(div(capacitance.number, tau_mem.number))
                                                    : mul(capacitance.rounded(), tau_mem.reciprocal());
}

template <class T>
GRADSPIKE_HD T current_decay(const Operand<T>& tau_syn, double dt) {
  return tau_syn.is_number ? static_cast<T>(sub(1.0, div(dt, tau_syn.number)))
                           : sub(T{1}, mul(tau_syn.reciprocal(), static_cast<T>(dt)));
}

/// Fractions of a step count as a whole one. A time that float32 rounding moved off a whole number of steps is that
/// number: 3e-6 s in steps of 1e-6 s are 3 steps although neither time is exact in binary. Negative and NaN give 0.
template <class T>
GRADSPIKE_HD T refractory_steps(const Operand<T>& refractory_time, double dt) {
  const double seconds =
      refractory_time.is_number ? refractory_time.number : static_cast<double>(refractory_time.value);
  const double steps = div(seconds, dt);
  if (!(steps > 0.0)) {
    return T{0};
  }
  const double whole = round_half_even(steps);
  const double tolerance = mul(whole, 1.0 / 8388608.0);  // 2^-23, one unit in the last place of float32
  return static_cast<T>(absolute(sub(steps, whole)) <= (tolerance < 0.5 ? tolerance : 0.0) ? whole : ceil(steps));
}

template <class T>
struct LifCoefficients {
  T input_gain;
  T leak_conductance;
  T current_decay;
  T leak;
  T reset;
  T threshold;
  T refractory_steps;
};

// ---- forward -----------------------------------------------------------------------------------------------------

template <class T>
struct LifState {
  T current;
  T membrane;
  T refractory;  // remaining refractory steps
};

/// What one step gives besides the new state.
template <class T>
struct LifStep {
  T spike;
  T saved;  // membrane before the reset, or refractory_mark: all that the backward needs
};

/// The NaN with this payload marks refractory steps in the saved trace. NaNs that arithmetic makes have other payloads,
/// so a diverged membrane is not taken for it; an input NaN that carries this very payload would be.
GRADSPIKE_HD float refractory_mark(float) {
  const std::uint32_t bits = 0x7FC5A5A5U;
  float mark;
  memcpy(&mark, &bits, sizeof mark);
  return mark;
}
GRADSPIKE_HD double refractory_mark(double) {
  const std::uint64_t bits = 0x7FF8A5A5A5A5A5A5ULL;
  double mark;
  memcpy(&mark, &bits, sizeof mark);
  return mark;
}
GRADSPIKE_HD bool is_refractory_mark(float x) {
  std::uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits == 0x7FC5A5A5U;
}
GRADSPIKE_HD bool is_refractory_mark(double x) {
  std::uint64_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits == 0x7FF8A5A5A5A5A5A5ULL;
}

/// i + g (leak - v)
template <class T>
GRADSPIKE_HD T leaky_drive(T current, T membrane, T leak_conductance, T leak) {
  return add(current, mul(leak_conductance, sub(leak, membrane)));
}

/// v + k (i + g (leak - v))
template <class T>
GRADSPIKE_HD T integrate_membrane(T current, T membrane, T input_gain, T leak_conductance, T leak) {
  return add(membrane, mul(input_gain, leaky_drive(current, membrane, leak_conductance, leak)));
}

/// i d + x
template <class T>
GRADSPIKE_HD T integrate_current(T current, T input, T current_decay) {
  return add(mul(current, current_decay), input);
}

/// (1 - z) v + z reset, for spike counts that are not only 0 and 1. A spike resets a v that is not finite, too.
template <class T>
GRADSPIKE_HD T blend(T z, T v, T reset) {
  return z == T{1} ? reset : add(mul(sub(T{1}, z), v), mul(z, reset));
}

/// Reset and refractory time of one step: the membrane `before` the reset, and whether it crosses the threshold.
template <bool kRefractory, class T>
GRADSPIKE_HD LifStep<T> fire_and_reset(LifState<T>& state, T before, bool crosses, const LifCoefficients<T>& c) {
  if constexpr (!kRefractory) {
    state.membrane = crosses ? c.reset : before;
    return {crosses ? T{1} : T{0}, before};
  } else {
    const bool blocked = state.refractory > T{0};
    const bool spikes = crosses && !blocked;
    const T remaining = blocked ? sub(state.refractory, T{1}) : T{0};
    state.membrane = (crosses || blocked) ? c.reset : before;
    state.refractory = spikes ? c.refractory_steps : (remaining > T{0} ? remaining : T{0});
    return {spikes ? T{1} : T{0}, blocked ? refractory_mark(T{}) : before};
  }
}

/// One step without measured data. `kRefractory` false is for refractory_steps == 0 everywhere: same bits, less work.
template <bool kRefractory, class T>
GRADSPIKE_HD LifStep<T> lif_step(LifState<T>& state, T input, const LifCoefficients<T>& c) {
  const T before = integrate_membrane(state.current, state.membrane, c.input_gain, c.leak_conductance, c.leak);
  state.current = integrate_current(state.current, input, c.current_decay);
  return fire_and_reset<kRefractory>(state, before, before > c.threshold, c);
}

/// A value that a chip gave, or none.
template <class T>
struct MeasuredValue {
  bool given = false;
  T value = T{0};
};

template <class T>
GRADSPIKE_HD MeasuredValue<T> measured_value(const T* data) {
  return data == nullptr ? MeasuredValue<T>{} : MeasuredValue<T>{true, *data};
}

/// Measured data of one step.
template <class T>
struct Measured {
  MeasuredValue<T> spike;
  MeasuredValue<T> membrane;
};

/// fire_and_reset with measured spikes or membranes, which replace the model's values; `before` is the measured
/// membrane where one is given. Then there is no reset; measured spikes may be counts.
template <class T>
GRADSPIKE_HD LifStep<T> fire_and_reset_measured(LifState<T>& state, T before, bool crosses, const LifCoefficients<T>& c,
                                                const Measured<T>& measured) {
  const bool blocked = state.refractory > T{0};
  const T fired = measured.spike.given ? measured.spike.value : (crosses ? T{1} : T{0});
  const T spike = measured.spike.given ? measured.spike.value : (crosses && !blocked ? T{1} : T{0});
  if (measured.membrane.given) {
    state.membrane = before;
  } else {
    state.membrane = blocked ? c.reset : blend(fired, before, c.reset);
  }
  const T remaining = blocked ? sub(state.refractory, T{1}) : T{0};
  const T left = remaining > T{0} ? remaining : T{0};
  const T counter = blend(spike, left, c.refractory_steps);
  state.refractory = is_nan(counter) ? left : counter;  // a spike that is no number blocks nothing
  return {spike, blocked ? refractory_mark(T{}) : before};
}

/// One step in which measured spikes or membranes replace the model's values in the forward pass (in-the-loop
/// training).
template <class T>
GRADSPIKE_HD LifStep<T> lif_step_measured(LifState<T>& state, T input, const LifCoefficients<T>& c,
                                          const Measured<T>& measured) {
  const T model = integrate_membrane(state.current, state.membrane, c.input_gain, c.leak_conductance, c.leak);
  const T before = measured.membrane.given ? measured.membrane.value : model;
  state.current = integrate_current(state.current, input, c.current_decay);
  return fire_and_reset_measured(state, before, before > c.threshold, c, measured);
}

/// One step of the leaky integrator, with the measured membrane where one is given.
template <class T>
GRADSPIKE_HD void li_step(LifState<T>& state, T input, const LifCoefficients<T>& c, const MeasuredValue<T>& measured) {
  const T model = integrate_membrane(state.current, state.membrane, c.input_gain, c.leak_conductance, c.leak);
  state.current = integrate_current(state.current, input, c.current_decay);
  state.membrane = measured.given ? measured.value : model;
}

// ---- adjoint -----------------------------------------------------------------------------------------------------

/// Gradients carried backwards in time: to i[t] and to v[t] (after reset).
template <class T>
struct LifAdjoint {
  T current;
  T membrane;
};

/// What the adjoint of one step gives besides the carried gradients.
template <class T>
struct LifAdjointStep {
  T input;      // dL/dx[t]
  T before;     // gradient to the membrane before the reset
  T reset;      // contribution to dL/dreset
  T surrogate;  // surrogate gradient at this step; minus the contribution to dL/dthreshold
};

/// Carries `before` through v' = v + k (i + g (leak - v)) and the current through i' = i d + x.
template <class T>
GRADSPIKE_HD void integrate_adjoint(LifAdjoint<T>& adjoint, T before, const LifCoefficients<T>& c) {
  adjoint.current = add(mul(adjoint.current, c.current_decay), mul(before, c.input_gain));
  adjoint.membrane = mul(before, sub(T{1}, mul(c.input_gain, c.leak_conductance)));
}

/// The gradient to v[t] splits into those to the reset and to the membrane before it, to which the surrogate's is
/// added.
template <class T>
GRADSPIKE_HD void reset_adjoint(LifAdjointStep<T>& step, T grad_membrane, bool is_reset) {
  step.reset = is_reset ? grad_membrane : T{0};
  step.before = is_reset ? step.surrogate : add(grad_membrane, step.surrogate);
}

/// The same where `fired` may be a count.
template <class T>
GRADSPIKE_HD void reset_adjoint_measured(LifAdjointStep<T>& step, T grad_membrane, bool blocked, T fired) {
  step.reset = blocked ? grad_membrane : mul(fired, grad_membrane);
  step.before = add(blocked ? T{0} : mul(sub(T{1}, fired), grad_membrane), step.surrogate);
}

/// One step back in time; `adjoint` holds the gradients to i[t] and v[t] and is left with those to i[t-1] and v[t-1].
/// `Kind` is Surrogate, or a SurrogateTag where it is known at compile time.
template <class T, class Kind>
GRADSPIKE_HD LifAdjointStep<T> lif_adjoint_step(LifAdjoint<T>& adjoint, T saved, T grad_spike, T alpha, Kind surrogate,
                                                const LifCoefficients<T>& c) {
  const bool blocked = is_refractory_mark(saved);
  const bool crosses = saved > c.threshold;
  LifAdjointStep<T> step;
  step.input = adjoint.current;
  step.surrogate = blocked ? T{0} : surrogate_gradient(grad_spike, sub(saved, c.threshold), alpha, surrogate);
  reset_adjoint(step, adjoint.membrane, blocked || crosses);
  integrate_adjoint(adjoint, step.before, c);
  return step;
}

/// The same with measured data: the values are the measured ones, the gradients the model's.
template <class T>
GRADSPIKE_HD LifAdjointStep<T> lif_adjoint_step_measured(LifAdjoint<T>& adjoint, T saved, T grad_spike, T alpha,
                                                         Surrogate surrogate, const LifCoefficients<T>& c,
                                                         const Measured<T>& measured) {
  const bool blocked = is_refractory_mark(saved);
  const T fired = measured.membrane.given ? T{0}
                  : measured.spike.given  ? measured.spike.value
                                          : (saved > c.threshold ? T{1} : T{0});
  LifAdjointStep<T> step;
  step.input = adjoint.current;
  step.surrogate = blocked ? T{0} : surrogate_gradient(grad_spike, sub(saved, c.threshold), alpha, surrogate);
  reset_adjoint_measured(step, adjoint.membrane, blocked, fired);
  integrate_adjoint(adjoint, step.before, c);
  return step;
}

/// v[t] after the reset, from the saved trace.
template <class T>
GRADSPIKE_HD T membrane_after_reset(T saved, const LifCoefficients<T>& c, const Measured<T>& measured) {
  if (measured.membrane.given) {
    return measured.membrane.value;
  }
  if (is_refractory_mark(saved)) {
    return c.reset;
  }
  return measured.spike.given ? blend(measured.spike.value, saved, c.reset) : (saved > c.threshold ? c.reset : saved);
}

/// z[t] from the saved trace.
template <class T>
GRADSPIKE_HD T spike_of_step(T saved, T threshold, const MeasuredValue<T>& measured) {
  return measured.given ? measured.value : (saved > threshold ? T{1} : T{0});
}

/// Sums over time of the gradients to the coefficients of one neuron and batch entry, in the order of LifRow.
template <class T>
struct CoefficientGradients {
  T input_gain = T{0};
  T leak_conductance = T{0};
  T current_decay = T{0};
  T leak = T{0};
  T reset = T{0};
  T threshold = T{0};

  /// Adds step t: `current` and `membrane` are i[t-1] and v[t-1], `grad_current` is dL/di[t].
  GRADSPIKE_HD void accumulate(const LifAdjointStep<T>& step, T current, T membrane, T grad_current,
                               const LifCoefficients<T>& c) {
    const T distance = sub(c.leak, membrane);
    const T gained = mul(step.before, c.input_gain);
    input_gain = add(input_gain, mul(step.before, add(current, mul(c.leak_conductance, distance))));
    leak_conductance = add(leak_conductance, mul(gained, distance));
    current_decay = add(current_decay, mul(grad_current, current));
    leak = add(leak, mul(gained, c.leak_conductance));
    reset = add(reset, step.reset);
    threshold = sub(threshold, step.surrogate);
  }
};
constexpr std::int32_t kNumCoefficientGradients = 6;

/// Rows of the parameter gradients [parameter, neuron].
enum LifParameterRow : std::int32_t {
  kGradLeak = 0,
  kGradReset = 1,
  kGradThreshold = 2,
  kGradTauMem = 3,
  kGradTauSyn = 4,
  kGradCapacitance = 5,
};
constexpr std::int32_t kNumParameterGradients = 6;

/// Chain rule from the coefficients to tau_mem, tau_syn and C, in double.
struct TimeConstantGradients {
  double tau_mem;
  double tau_syn;
  double capacitance;
};

GRADSPIKE_HD TimeConstantGradients time_constant_gradients(double grad_input_gain, double grad_leak_conductance,
                                                           double grad_current_decay, double tau_mem, double tau_syn,
                                                           double capacitance, double dt) {
  return {-mul(grad_leak_conductance, div(capacitance, mul(tau_mem, tau_mem))),
          mul(grad_current_decay, div(dt, mul(tau_syn, tau_syn))),
          sub(div(grad_leak_conductance, tau_mem), mul(grad_input_gain, div(dt, mul(capacitance, capacitance))))};
}

}  // namespace gradspike::math
