// Adaptive exponential integrate-and-fire (AdEx) neurons in discrete time: what they have beyond csrc/math/lif.h.
//
//   membrane':    u = v + k (i + g (leak - v) + G exp((v - vT) / s) - w)     with the old i, v and w;  G = g s
//   current':     i d + x
//   spike:        y = [u > threshold], strict
//   adaptation':  w dw + f (u - leak) + b y        dw = 1 - dt/tau_adap, f = (dt/tau_adap) a; u before the reset, y
//                                                  before the refractory time suppresses it
//   reset, refractory time:  as in lif
//
// Each of the five terms (leak, spikes, exponential, adaptation to the membrane and to spikes) can be left out. With
// leak and spikes alone these are the operations of lif, in its order, so the same bits.
//
// Source: Brette and Gerstner 2005 (doi 10.1152/jn.00686.2005); forward Euler in the operation order of
// hxtorch.spiking's AELIF. The order of operations is part of the contract: the sum in the parenthesis from left to
// right, and a true division by s on every device.
#pragma once

#include <cstdint>
#include <type_traits>

#include "csrc/math/exp.h"
#include "csrc/math/lif.h"

namespace gradspike::math {

// ---- coefficients ------------------------------------------------------------------------------------------------

/// Rows of a coefficient table, after those of lif.
enum AdexRow : std::int32_t {
  kExponentialGain = kNumLifCoefficients,           // G = g s
  kExponentialSlope = kNumLifCoefficients + 1,      // s
  kExponentialThreshold = kNumLifCoefficients + 2,  // vT
  kAdaptationDecay = kNumLifCoefficients + 3,       // dw = 1 - dt/tau_adap
  kAdaptationGain = kNumLifCoefficients + 4,        // f = (dt/tau_adap) a
  kAdaptationIncrement = kNumLifCoefficients + 5,   // b
};
constexpr std::int32_t kNumAdexCoefficients = kNumLifCoefficients + 6;

/// Rows of a state tensor, after those of lif.
enum AdexStateRow : std::int32_t { kStateAdaptation = kNumLifStates };
constexpr std::int32_t kNumAdexStates = kNumLifStates + 1;

/// Which terms of the equations are there, the same for all neurons.
struct AdexTerms {
  bool leaky;
  bool fire;
  bool exponential;
  bool subthreshold;     // adaptation to the membrane
  bool spike_triggered;  // adaptation to spikes

  GRADSPIKE_HD bool adapts() const { return subthreshold || spike_triggered; }
  /// Without an initial state the membrane starts at the leak where that has a meaning, else at 0.
  GRADSPIKE_HD bool starts_at_leak() const { return leaky || subthreshold; }
};

/// The same as a type, so that loops vectorise over it.
template <bool kLeaky, bool kFire, bool kExponential, bool kSubthreshold, bool kSpikeTriggered>
struct FixedAdexTerms {
  static constexpr bool leaky = kLeaky;
  static constexpr bool fire = kFire;
  static constexpr bool exponential = kExponential;
  static constexpr bool subthreshold = kSubthreshold;
  static constexpr bool spike_triggered = kSpikeTriggered;

  GRADSPIKE_HD static constexpr bool adapts() { return kSubthreshold || kSpikeTriggered; }
};

/// Calls f(FixedAdexTerms) for leaky neurons that fire; the others, which are rare, share f(AdexTerms).
template <class F>
inline void with_adex_terms(const AdexTerms& terms, F&& f) {
  if (!terms.leaky || !terms.fire) {
    return f(terms);
  }
  const auto with_adaptation = [&](auto exponential) {
    constexpr bool kExponential = decltype(exponential)::value;
    if (terms.subthreshold) {
      return terms.spike_triggered ? f(FixedAdexTerms<true, true, kExponential, true, true>{})
                                   : f(FixedAdexTerms<true, true, kExponential, true, false>{});
    }
    return terms.spike_triggered ? f(FixedAdexTerms<true, true, kExponential, false, true>{})
                                 : f(FixedAdexTerms<true, true, kExponential, false, false>{});
  };
  return terms.exponential ? with_adaptation(std::true_type{}) : with_adaptation(std::false_type{});
}

/// g s, by the coefficient rule of lif.
template <class T>
GRADSPIKE_HD T exponential_gain(const Operand<T>& capacitance, const Operand<T>& tau_mem, const Operand<T>& slope) {
  return capacitance.is_number && tau_mem.is_number && slope.is_number
             ? static_cast<T>(mul(div(capacitance.number, tau_mem.number), slope.number))
             : mul(leak_conductance(capacitance, tau_mem), slope.rounded());
}

/// (dt/tau_adap) a, by the coefficient rule of lif.
template <class T>
GRADSPIKE_HD T adaptation_gain(const Operand<T>& tau_adap, const Operand<T>& strength, double dt) {
  return tau_adap.is_number && strength.is_number ? static_cast<T>(mul(div(dt, tau_adap.number), strength.number))
                                                  : mul(input_gain(tau_adap, dt), strength.rounded());
}

template <class T>
struct AdexCoefficients : LifCoefficients<T> {
  T exponential_gain;
  T exponential_slope;
  T exponential_threshold;
  T adaptation_decay;
  T adaptation_gain;
  T adaptation_increment;
};

// ---- forward -----------------------------------------------------------------------------------------------------

template <class T>
struct AdexState : LifState<T> {
  T adaptation;
};

/// What one step gives besides the new state.
template <class T>
struct AdexStep {
  T spike;
  T before;  // membrane before the reset
};

/// Values of a chip in one step.
template <class T>
struct AdexMeasured : Measured<T> {
  MeasuredValue<T> adaptation;
};

/// exp((v - vT) / s)
template <class T>
GRADSPIKE_HD T exponential_term(T membrane, const AdexCoefficients<T>& c) {
  return exponential(div(sub(membrane, c.exponential_threshold), c.exponential_slope));
}

/// i + g (leak - v) + G exp((v - vT) / s) - w, from left to right. `term` is the exponential.
template <class T, class Terms>
GRADSPIKE_HD T adex_drive(T current, T membrane, T adaptation, T term, const AdexCoefficients<T>& c,
                          const Terms& terms) {
  T drive = terms.leaky ? leaky_drive(current, membrane, c.leak_conductance, c.leak) : current;
  if (terms.exponential) {
    drive = add(drive, mul(c.exponential_gain, term));
  }
  return terms.adapts() ? sub(drive, adaptation) : drive;
}

/// The membrane before the reset.
template <class T, class Terms>
GRADSPIKE_HD T integrate_adex_membrane(const AdexState<T>& state, const AdexCoefficients<T>& c, const Terms& terms) {
  const T term = terms.exponential ? exponential_term(state.membrane, c) : T{0};
  return add(state.membrane,
             mul(c.input_gain, adex_drive(state.current, state.membrane, state.adaptation, term, c, terms)));
}

/// w dw + f (u - leak) + b y, from left to right; `fired` is y.
template <class T, class Terms>
GRADSPIKE_HD T integrate_adaptation(T adaptation, T before, T fired, const AdexCoefficients<T>& c, const Terms& terms) {
  if (!terms.adapts()) {
    return adaptation;
  }
  T sum = mul(adaptation, c.adaptation_decay);
  sum = terms.subthreshold ? add(sum, mul(c.adaptation_gain, sub(before, c.leak))) : sum;
  return terms.spike_triggered ? add(sum, mul(c.adaptation_increment, fired)) : sum;
}

/// The spike before the refractory time suppresses it, of the model.
template <class T, class Terms>
GRADSPIKE_HD bool adex_crosses(T before, const AdexCoefficients<T>& c, const Terms& terms) {
  return terms.fire && before > c.threshold;
}

/// One step without measured data. `kRefractory` as in lif_step. Without spikes the refractory counter must be 0.
template <bool kRefractory, class T, class Terms>
GRADSPIKE_HD AdexStep<T> adex_step(AdexState<T>& state, T input, const AdexCoefficients<T>& c, const Terms& terms) {
  const T before = integrate_adex_membrane(state, c, terms);
  state.current = integrate_current(state.current, input, c.current_decay);
  const bool crosses = adex_crosses(before, c, terms);
  state.adaptation = integrate_adaptation(state.adaptation, before, crosses ? T{1} : T{0}, c, terms);
  return {fire_and_reset<kRefractory>(state, before, crosses, c).spike, before};
}

/// One step in which measured values replace the model's in the forward pass (in-the-loop training).
template <class T, class Terms>
GRADSPIKE_HD AdexStep<T> adex_step_measured(AdexState<T>& state, T input, const AdexCoefficients<T>& c,
                                            const Terms& terms, const AdexMeasured<T>& measured) {
  const T model = integrate_adex_membrane(state, c, terms);
  const T before = measured.membrane.given ? measured.membrane.value : model;
  state.current = integrate_current(state.current, input, c.current_decay);
  const bool crosses = adex_crosses(before, c, terms);
  const T fired = measured.spike.given ? measured.spike.value : (crosses ? T{1} : T{0});
  const T adaptation = integrate_adaptation(state.adaptation, before, fired, c, terms);
  state.adaptation = measured.adaptation.given ? measured.adaptation.value : adaptation;
  return {fire_and_reset_measured(state, before, crosses, c, measured).spike, before};
}

// ---- adjoint -----------------------------------------------------------------------------------------------------

/// Gradients carried backwards in time: to i[t], v[t] (after reset) and w[t].
template <class T>
struct AdexAdjoint : LifAdjoint<T> {
  T adaptation;
};

/// What the adjoint of one step reads of the forward pass.
template <class T>
struct AdexSaved {
  T before;         // u[t]
  bool blocked;     // refractory at t
  T membrane;       // v[t-1]
  Measured<T> now;  // at t
};

template <class T>
struct AdexAdjointStep : LifAdjointStep<T> {
  T adaptation;  // dL/dw[t]
  T fired;       // y, measured or the model's
  T term;        // the exponential
};

/// Gradient that the spike passes to the membrane before the reset: that of the spike itself, unless it is suppressed,
/// and that of the adaptation which it triggers.
template <class T, class Kind, class Terms>
GRADSPIKE_HD T adex_surrogate_gradient(T grad_spike, T grad_adaptation, T before, bool blocked, T alpha, Kind surrogate,
                                       const AdexCoefficients<T>& c, const Terms& terms) {
  const bool triggers = terms.adapts() && terms.spike_triggered;
  const T own = blocked ? T{0} : grad_spike;
  const T sum = triggers ? add(own, mul(c.adaptation_increment, grad_adaptation)) : own;
  const T gradient = surrogate_gradient(sum, sub(before, c.threshold), alpha, surrogate);
  return terms.fire && (triggers || !blocked) ? gradient : T{0};
}

/// Carries `before` through the membrane, current and adaptation of the step before.
template <class T, class Terms>
GRADSPIKE_HD void integrate_adex_adjoint(AdexAdjoint<T>& adjoint, T before, T term, const AdexCoefficients<T>& c,
                                         const Terms& terms) {
  const T gained = mul(before, c.input_gain);
  adjoint.current = add(mul(adjoint.current, c.current_decay), gained);
  T factor = terms.leaky ? sub(T{1}, mul(c.input_gain, c.leak_conductance)) : T{1};
  if (terms.exponential) {
    factor = add(factor, mul(c.input_gain, div(mul(c.exponential_gain, term), c.exponential_slope)));
    // A reset stops the gradient, also that to a membrane whose exponential is beyond the range of T.
    adjoint.membrane = before == T{0} ? T{0} : mul(before, factor);
  } else {
    adjoint.membrane = mul(before, factor);
  }
  if (terms.adapts()) {
    adjoint.adaptation = sub(mul(adjoint.adaptation, c.adaptation_decay), gained);
  }
}

/// What both adjoint steps begin with.
template <class T, class Terms>
GRADSPIKE_HD AdexAdjointStep<T> begin_adex_adjoint(const AdexAdjoint<T>& adjoint, const AdexSaved<T>& saved,
                                                   T surrogate, const AdexCoefficients<T>& c, const Terms& terms) {
  AdexAdjointStep<T> step;
  step.input = adjoint.current;
  step.surrogate = surrogate;
  step.adaptation = adjoint.adaptation;
  step.fired = adex_crosses(saved.before, c, terms) ? T{1} : T{0};
  step.term = terms.exponential ? exponential_term(saved.membrane, c) : T{0};
  return step;
}

/// What both end with.
template <class T, class Terms>
GRADSPIKE_HD void finish_adex_adjoint(AdexAdjoint<T>& adjoint, AdexAdjointStep<T>& step, const AdexCoefficients<T>& c,
                                      const Terms& terms) {
  if (terms.adapts()) {
    step.before = terms.subthreshold ? add(step.before, mul(c.adaptation_gain, adjoint.adaptation)) : step.before;
  }
  integrate_adex_adjoint(adjoint, step.before, step.term, c, terms);
}

/// One step back in time; `adjoint` holds the gradients to i[t], v[t] and w[t] and is left with those at t-1.
/// `surrogate` is adex_surrogate_gradient of this step.
template <class T, class Terms>
GRADSPIKE_HD AdexAdjointStep<T> adex_adjoint_step(AdexAdjoint<T>& adjoint, const AdexSaved<T>& saved, T surrogate,
                                                  const AdexCoefficients<T>& c, const Terms& terms) {
  AdexAdjointStep<T> step = begin_adex_adjoint(adjoint, saved, surrogate, c, terms);
  reset_adjoint(step, adjoint.membrane, saved.blocked || adex_crosses(saved.before, c, terms));
  finish_adex_adjoint(adjoint, step, c, terms);
  return step;
}

/// The same with measured data: the values are the measured ones, the gradients the model's.
template <class T, class Terms>
GRADSPIKE_HD AdexAdjointStep<T> adex_adjoint_step_measured(AdexAdjoint<T>& adjoint, const AdexSaved<T>& saved,
                                                           T surrogate, const AdexCoefficients<T>& c,
                                                           const Terms& terms) {
  AdexAdjointStep<T> step = begin_adex_adjoint(adjoint, saved, surrogate, c, terms);
  step.fired = saved.now.spike.given ? saved.now.spike.value : step.fired;
  reset_adjoint_measured(step, adjoint.membrane, saved.blocked, saved.now.membrane.given ? T{0} : step.fired);
  finish_adex_adjoint(adjoint, step, c, terms);
  return step;
}

/// v[t] after the reset, from the saved trace.
template <class T, class Terms>
GRADSPIKE_HD T adex_membrane_after_reset(T before, bool blocked, const AdexCoefficients<T>& c, const Terms& terms,
                                         const Measured<T>& measured) {
  return terms.fire ? membrane_after_reset(blocked ? refractory_mark(T{}) : before, c, measured) : before;
}

/// Sums over time of the gradients to the coefficients of one neuron and batch entry: those of lif, and those of
/// AdexRow in its order.
template <class T>
struct AdexCoefficientGradients : CoefficientGradients<T> {
  T exponential_gain = T{0};
  T exponential_slope = T{0};
  T exponential_threshold = T{0};
  T adaptation_decay = T{0};
  T adaptation_gain = T{0};
  T adaptation_increment = T{0};

  /// Adds step t: `current`, `membrane` and `adaptation` are i, v and w at t-1, `before` is u[t].
  template <class Terms>
  GRADSPIKE_HD void accumulate(const AdexAdjointStep<T>& step, T current, T membrane, T adaptation, T before,
                               const AdexCoefficients<T>& c, const Terms& terms) {
    const T gained = mul(step.before, c.input_gain);
    // Where no gradient arrives, nothing is added: the drive may be beyond the range of T.
    if (!terms.exponential || step.before != T{0}) {
      const T drive = adex_drive(current, membrane, adaptation, step.term, c, terms);
      this->input_gain = add(this->input_gain, mul(step.before, drive));
    }
    if (terms.leaky) {
      this->leak_conductance = add(this->leak_conductance, mul(gained, sub(c.leak, membrane)));
      this->leak = add(this->leak, mul(gained, c.leak_conductance));
    }
    this->current_decay = add(this->current_decay, mul(step.input, current));
    this->reset = add(this->reset, step.reset);
    this->threshold = sub(this->threshold, step.surrogate);
    if (terms.exponential && step.before != T{0}) {
      const T exponent = div(sub(membrane, c.exponential_threshold), c.exponential_slope);
      const T steepness = mul(gained, div(mul(c.exponential_gain, step.term), c.exponential_slope));
      exponential_gain = add(exponential_gain, mul(gained, step.term));
      exponential_slope = sub(exponential_slope, mul(steepness, exponent));
      exponential_threshold = sub(exponential_threshold, steepness);
    }
    if (terms.subthreshold) {
      this->leak = sub(this->leak, mul(c.adaptation_gain, step.adaptation));
      adaptation_gain = add(adaptation_gain, mul(step.adaptation, sub(before, c.leak)));
    }
    if (terms.spike_triggered) {
      adaptation_increment = add(adaptation_increment, mul(step.adaptation, step.fired));
    }
    if (terms.adapts()) {
      adaptation_decay = add(adaptation_decay, mul(step.adaptation, adaptation));
    }
  }
};
constexpr std::int32_t kNumAdexCoefficientGradients = kNumCoefficientGradients + 6;

/// Rows of the parameter gradients [parameter, neuron], after those of lif.
enum AdexParameterRow : std::int32_t {
  kGradExponentialSlope = kNumParameterGradients,
  kGradExponentialThreshold = kNumParameterGradients + 1,
  kGradAdaptationStrength = kNumParameterGradients + 2,
  kGradAdaptationIncrement = kNumParameterGradients + 3,
  kGradTauAdap = kNumParameterGradients + 4,
};
constexpr std::int32_t kNumAdexParameterGradients = kNumParameterGradients + 5;

/// Chain rule from dw and f to tau_adap and a, in double.
struct AdaptationGradients {
  double tau_adap;
  double strength;
};

GRADSPIKE_HD AdaptationGradients adaptation_gradients(double grad_decay, double grad_gain, double tau_adap,
                                                      double strength, double dt) {
  return {mul(sub(grad_decay, mul(grad_gain, strength)), div(dt, mul(tau_adap, tau_adap))),
          mul(grad_gain, div(dt, tau_adap))};
}

}  // namespace gradspike::math
