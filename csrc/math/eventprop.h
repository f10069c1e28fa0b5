// EventProp: the adjoint method for spiking neurons, whose backward pass is driven by spikes alone.
//
// Source: Wunderlich and Pehle 2021 (doi 10.1038/s41598-021-91786-z), equations of table 1. Two schemes:
//
// 1. eventprop: the scheme of hxtorch.spiking's EventPropLIF, kept as it is. Row 0 is the initial state, and a new
//    current drives the membrane in the same step:
//
//      i[0] = 0, v[0] = leak, z[0] = 0
//      i[t] = i[t-1] (1 - dt/tau_syn) + x[t-1]
//      v[t] = v[t-1] + dt/tau_mem ((leak - v[t-1]) + i[t]);    z[t] = [v[t] > threshold];    v[t] = reset where z[t]
//
//    Backward, t = T-1 .. 1, g the gradient to the spikes, lambda_i[T-1] = lambda_v[T-1] = 0:
//
//      lambda_i[t-1] = lambda_i[t] + dt/tau_syn (lambda_v[t] - lambda_i[t])
//      lambda_v[t-1] = lambda_v[t] (1 - dt/tau_mem)                                               without a spike at t
//      lambda_v[t-1] = (b/a) lambda_v[t] (1 - dt/tau_mem) + g[t]/a                                  with a spike at t
//      a = leak - threshold + i[t-1],  b = leak - reset + i[t-1];  a quotient that is not finite counts as 0
//
//    To the input: tau_syn lambda_i; to the adjoint channel: lambda_v - lambda_i.
//
// 2. exact_eventprop: the step of lif.h with the gradients of its spike times.
//
//    In steps of dt the neuron of lif.h moves by v += k (i + g (leak - v)) and i *= d. Let Li[t] and Lv[t] be the
//    derivatives of the loss to i[t] and v[t], the values after step t. Between spikes they follow from the step
//    itself, without approximation:
//
//      Li[t-1] = d Li[t] + k Lv[t];    Lv[t-1] = (1 - k g) Lv[t];    dL/dx[t] = Li[t]
//
//    Spike. The membrane meets the threshold with the slope k a per step and leaves the reset with the slope k b,
//
//      a = i + g (leak - threshold),    b = i + g (leak - reset),    i the current before the step.
//
//    A membrane that is higher by e before the spike reaches the threshold e / (k a) steps earlier. All that follows
//    is then earlier by as much: the membrane after the reset is higher by k b e / (k a) at any later time, and the
//    spike time s (in steps) changes by -e / (k a). The current does not feel the neuron's own spike. Hence the jump
//
//      Lv(before) = (b/a) Lv(after) + G / (k a),    G = -dL/ds: what the loss gains per step that the spike is earlier.
//
//    Refractory time. The membrane is pinned to the reset, so its derivative is 0 there, and it leaves the reset
//    a fixed time after the spike: b is the slope at the release, with the current of that time, and Lv(after) the
//    derivative at the release. The product b Lv is carried from the release back to the spike.
//
//    Spikes handed on. G of a spike at step s of a presynaptic neuron comes from the neurons that it reaches: the spike
//    adds w to their current at s. Moved to one step earlier, the current behind it is lower by the decay of one step,
//    (1 - d) w, and the membrane is higher by one step of drive, k w. So G = w (k Lv[s] - (1 - d) Li[s]), which the
//    adjoint channel carries. Where hxtorch returns lambda_v - lambda_i in 1/s, everything here is per step, so that
//    G, Lv and Li have the unit of the loss and no factor of dt or tau is left to the caller.
//
//    The derivative exists where the membrane crosses the threshold upwards (a > 0), and spikes neither appear nor
//    vanish. A jump that is not finite (a = 0, or an overflow) counts as 0.
#pragma once

#include "csrc/math/lif.h"

namespace gradspike::math {

// ---- what the backward needs of a step ---------------------------------------------------------------------------
//
// One number per step: 0 where nothing happens to the adjoint, else the current before the step. A current of 0 (or
// below the smallest normal number) is kept as that number, so that 0 stands for silence alone.

GRADSPIKE_HD float smallest_normal(float) { return 1.17549435e-38F; }
GRADSPIKE_HD double smallest_normal(double) { return 2.2250738585072014e-308; }

template <class T>
GRADSPIKE_HD T encode_current(T current) {
  return absolute(current) < smallest_normal(T{}) ? smallest_normal(T{}) : current;
}

template <class T>
GRADSPIKE_HD T decode_current(T saved) {
  return absolute(saved) <= smallest_normal(T{}) ? T{0} : saved;
}

template <class T>
GRADSPIKE_HD bool is_event(T saved) {
  return saved != T{0};
}

/// The value with the last bit of its mantissa set or cleared: one unit in the last place, and a kind of event.
GRADSPIKE_HD float with_last_bit(float x, bool set) {
  std::uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  bits = (bits & ~std::uint32_t{1}) | (set ? std::uint32_t{1} : std::uint32_t{0});
  memcpy(&x, &bits, sizeof x);
  return x;
}
GRADSPIKE_HD double with_last_bit(double x, bool set) {
  std::uint64_t bits;
  memcpy(&bits, &x, sizeof bits);
  bits = (bits & ~std::uint64_t{1}) | (set ? std::uint64_t{1} : std::uint64_t{0});
  memcpy(&x, &bits, sizeof x);
  return x;
}
GRADSPIKE_HD bool last_bit(float x) {
  std::uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return (bits & 1U) != 0;
}
GRADSPIKE_HD bool last_bit(double x) {
  std::uint64_t bits;
  memcpy(&bits, &x, sizeof bits);
  return (bits & 1U) != 0;
}

template <class T>
GRADSPIKE_HD T finite_or_zero(T x) {
  return sub(x, x) == T{0} ? x : T{0};
}

// ---- eventprop: the scheme of hxtorch ----------------------------------------------------------------------------

/// Rows of a coefficient table [coefficient, neuron].
enum EventPropRow : std::int32_t {
  kEventPropMembraneGain = 0,   // dt/tau_mem
  kEventPropMembraneDecay = 1,  // 1 - dt/tau_mem
  kEventPropCurrentGain = 2,    // dt/tau_syn
  kEventPropCurrentDecay = 3,   // 1 - dt/tau_syn
  kEventPropTauSyn = 4,
  kEventPropLeak = 5,
  kEventPropReset = 6,
  kEventPropThreshold = 7,
};
constexpr std::int32_t kNumEventPropCoefficients = 8;

/// dt/tau by the coefficient rule of lif.h.
template <class T>
GRADSPIKE_HD T step_over(const Operand<T>& tau, double dt) {
  return input_gain(tau, dt);
}
/// 1 - dt/tau by the coefficient rule of lif.h.
template <class T>
GRADSPIKE_HD T decay_per_step(const Operand<T>& tau, double dt) {
  return current_decay(tau, dt);
}

template <class T>
struct EventPropCoefficients {
  T membrane_gain;
  T membrane_decay;
  T current_gain;
  T current_decay;
  T tau_syn;
  T leak;
  T reset;
  T threshold;
};

template <class T>
struct EventPropState {
  T current;
  T membrane;
};

/// From row t-1 to row t; `input` is x[t-1], `measured` belongs to row t. `saved` of the result is i[t-1] at a spike,
/// else 0. A measured count above 1 is one spike.
template <class T>
GRADSPIKE_HD LifStep<T> eventprop_step(EventPropState<T>& state, T input, const EventPropCoefficients<T>& c,
                                       const Measured<T>& measured) {
  const T before = state.current;
  state.current = integrate_current(before, input, c.current_decay);
  const T drive = add(sub(c.leak, state.membrane), state.current);
  const T model = add(state.membrane, mul(c.membrane_gain, drive));
  const T membrane = measured.membrane.given ? measured.membrane.value : model;
  const T spike = measured.spike.given ? measured.spike.value : (membrane > c.threshold ? T{1} : T{0});
  const bool fires = spike != T{0};
  state.membrane = fires && !measured.membrane.given ? c.reset : membrane;
  return {spike, fires ? encode_current(before) : T{0}};
}

/// Row 0: the initial state, or what was measured of it.
template <class T>
GRADSPIKE_HD LifStep<T> eventprop_start(EventPropState<T>& state, const EventPropCoefficients<T>& c,
                                        const Measured<T>& measured) {
  const T spike = measured.spike.given ? measured.spike.value : T{0};
  state.current = T{0};
  state.membrane = measured.membrane.given ? measured.membrane.value : (spike != T{0} ? c.reset : c.leak);
  return {spike, T{0}};
}

/// lambda_i and lambda_v.
template <class T>
struct EventPropAdjoint {
  T current;
  T membrane;
};

/// From row t to row t-1 as if there were no spike at t.
template <class T>
GRADSPIKE_HD void eventprop_adjoint_step(EventPropAdjoint<T>& adjoint, const EventPropCoefficients<T>& c) {
  adjoint.current = add(adjoint.current, mul(c.current_gain, sub(adjoint.membrane, adjoint.current)));
  adjoint.membrane = mul(adjoint.membrane, c.membrane_decay);
}

/// After eventprop_adjoint_step, where there was one.
template <class T>
GRADSPIKE_HD void eventprop_adjoint_spike(EventPropAdjoint<T>& adjoint, T saved, T grad_spike,
                                          const EventPropCoefficients<T>& c) {
  const T current = decode_current(saved);
  const T a = add(sub(c.leak, c.threshold), current);
  const T b = add(sub(c.leak, c.reset), current);
  adjoint.membrane = add(mul(finite_or_zero(div(b, a)), adjoint.membrane), finite_or_zero(div(grad_spike, a)));
}

template <class T>
GRADSPIKE_HD T eventprop_to_input(const EventPropAdjoint<T>& adjoint, const EventPropCoefficients<T>& c) {
  return mul(c.tau_syn, adjoint.current);
}
template <class T>
GRADSPIKE_HD T eventprop_to_adjoint(const EventPropAdjoint<T>& adjoint) {
  return sub(adjoint.membrane, adjoint.current);
}

// ---- exact_eventprop: the step of lif.h --------------------------------------------------------------------------

/// `saved` of a step: the current before it, where it is a spike or the last refractory step; else 0.
template <class T>
GRADSPIKE_HD T exact_event(bool spike, bool release, T current) {
  return spike || release ? with_last_bit(encode_current(current), spike) : T{0};
}

template <bool kRefractory, class T>
GRADSPIKE_HD LifStep<T> exact_eventprop_step(LifState<T>& state, T input, const LifCoefficients<T>& c) {
  const T current = state.current;
  const bool blocked = kRefractory && state.refractory > T{0};
  LifStep<T> step = lif_step<kRefractory>(state, input, c);
  step.saved = exact_event(step.spike != T{0}, blocked && !(state.refractory > T{0}), current);
  return step;
}

template <class T>
GRADSPIKE_HD LifStep<T> exact_eventprop_step_measured(LifState<T>& state, T input, const LifCoefficients<T>& c,
                                                      const Measured<T>& measured) {
  const T current = state.current;
  const bool blocked = state.refractory > T{0};
  LifStep<T> step = lif_step_measured(state, input, c, measured);
  step.saved = exact_event(step.spike != T{0}, blocked && !(state.refractory > T{0}), current);
  return step;
}

/// Li, Lv, and the product b Lv of a release on its way back to the spike.
template <class T>
struct ExactAdjoint {
  T current;
  T membrane;
  T release;
};

/// The jump of an event, before exact_adjoint_step. Between a spike and its release the membrane's part is 0.
template <class T>
GRADSPIKE_HD void exact_adjoint_event(ExactAdjoint<T>& adjoint, T saved, T grad_spike, const LifCoefficients<T>& c) {
  const T current = decode_current(with_last_bit(saved, false));
  const T b = add(current, mul(c.leak_conductance, sub(c.leak, c.reset)));
  adjoint.release = add(adjoint.release, mul(b, adjoint.membrane));
  adjoint.membrane = T{0};
  if (last_bit(saved)) {
    const T a = add(current, mul(c.leak_conductance, sub(c.leak, c.threshold)));
    adjoint.membrane =
        add(finite_or_zero(div(adjoint.release, a)), finite_or_zero(div(grad_spike, mul(c.input_gain, a))));
    adjoint.release = T{0};
  }
}

/// From the values after step t to those after step t-1.
template <class T>
GRADSPIKE_HD void exact_adjoint_step(ExactAdjoint<T>& adjoint, const LifCoefficients<T>& c) {
  LifAdjoint<T> carried{adjoint.current, adjoint.membrane};
  integrate_adjoint(carried, adjoint.membrane, c);
  adjoint.current = carried.current;
  adjoint.membrane = carried.membrane;
}

template <class T>
GRADSPIKE_HD T exact_to_adjoint(const ExactAdjoint<T>& adjoint, const LifCoefficients<T>& c) {
  return sub(mul(c.input_gain, adjoint.membrane), mul(sub(T{1}, c.current_decay), adjoint.current));
}

}  // namespace gradspike::math
