// The leaky integrate-and-fire neuron of lif.h in continuous time, with separate excitatory and inhibitory currents:
//
//   dv/dt = (leak - v) / tau_mem + gain (e + i)     de/dt = -e / tau_exc     di/dt = -i / tau_inh
//
// lif.h is its forward Euler step: gain = k/dt = 1/C, tau_mem = C/g, tau_syn = dt/(1 - d). Between two inputs
//
//   v(t) = leak + A exp(-t/tau_mem) + E exp(-t/tau_exc) + I exp(-t/tau_inh)
//   E = gain e / (1/tau_mem - 1/tau_exc), I likewise, A = v - leak - E - I
//
// Source: variation of constants; chip dynamics Billaudelle et al. 2022 (doi 10.1016/j.neunet.2022.04.007).
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "csrc/math/lif.h"

namespace gradspike::math {

/// Rates are the inverse time constants [1/s], gain [1/s] is that of a current in units of the membrane.
struct ContinuousLif {
  double mem_rate = 0.0;
  double exc_rate = 0.0;
  double inh_rate = 0.0;
  double gain = 0.0;
  double leak = 0.0;
  double reset = 0.0;
  double threshold = 0.0;
  double refractory_time = 0.0;  // [s]
};

/// What coefficients stand for; infinite where nothing decays or drives.
struct TimeConstants {
  double tau_mem = 0.0;  // [s]
  double tau_syn = 0.0;
  double capacitance = 0.0;
};

template <class T>
TimeConstants time_constants(const LifCoefficients<T>& c, double dt) {
  const auto gain = static_cast<double>(c.input_gain);
  return {dt / (gain * static_cast<double>(c.leak_conductance)), dt / (1.0 - static_cast<double>(c.current_decay)),
          dt / gain};
}

struct ContinuousState {
  double membrane = 0.0;
  double exc = 0.0;  // currents; that of inhibition is negative
  double inh = 0.0;
};

/// Where a synaptic rate comes nearer to the membrane's than 1e-6 of it, it is moved that far off: the formula divides
/// by their difference, and the membrane changes by less than 1e-6 of a postsynaptic potential.
inline double separated_rate(double synaptic, double membrane) {
  const double nearest = 1e-6 * membrane;
  return std::fabs(synaptic - membrane) >= nearest ? synaptic : membrane + nearest;
}

/// The neuron whose Euler step has these coefficients.
inline ContinuousLif continuous(const LifCoefficients<float>& c, double dt) {
  ContinuousLif neuron;
  neuron.gain = static_cast<double>(c.input_gain) / dt;
  neuron.mem_rate = neuron.gain * static_cast<double>(c.leak_conductance);
  const double synaptic = (1.0 - static_cast<double>(c.current_decay)) / dt;
  neuron.exc_rate = separated_rate(synaptic, neuron.mem_rate);
  neuron.inh_rate = neuron.exc_rate;
  neuron.leak = c.leak;
  neuron.reset = c.reset;
  neuron.threshold = c.threshold;
  neuron.refractory_time = static_cast<double>(c.refractory_steps) * dt;
  return neuron;
}

/// The neuron whose membrane, below threshold, is at every time step that of the Euler steps:
///
///   exp(-mem_rate dt) = a = 1 - k g,   exp(-exc_rate dt) = d,   gain = k (exc_rate - mem_rate) / (a - d)
///
/// since an input gives k (a^n - d^n) / (a - d) after n steps there, and gain (d^n - a^n) / (mem_rate - exc_rate) here.
/// It crosses its threshold between two steps, on the average half a step before the step that sees it: that much more
/// refractory time keeps its rate. Where a or d is not positive, no neuron has such steps: the one of `continuous`.
inline ContinuousLif matched(const LifCoefficients<float>& c, double dt) {
  ContinuousLif neuron = continuous(c, dt);
  const double membrane = 1.0 - static_cast<double>(c.input_gain) * static_cast<double>(c.leak_conductance);
  if (membrane <= 0.0 || c.current_decay <= 0.0F) {
    return neuron;
  }
  neuron.mem_rate = -std::log(membrane) / dt;
  neuron.exc_rate = separated_rate(-std::log(static_cast<double>(c.current_decay)) / dt, neuron.mem_rate);
  neuron.inh_rate = neuron.exc_rate;
  neuron.gain = static_cast<double>(c.input_gain) * (neuron.exc_rate - neuron.mem_rate) /
                (membrane - std::exp(-neuron.exc_rate * dt));
  neuron.refractory_time += 0.5 * dt;
  return neuron;
}

/// Coefficients of the three exponentials of the membrane.
struct MembraneModes {
  double mem = 0.0;
  double exc = 0.0;
  double inh = 0.0;
};

inline MembraneModes membrane_modes(const ContinuousLif& n, const ContinuousState& s) {
  MembraneModes m;
  m.exc = n.gain * s.exc / (n.mem_rate - n.exc_rate);
  m.inh = n.gain * s.inh / (n.mem_rate - n.inh_rate);
  m.mem = s.membrane - n.leak - m.exc - m.inh;
  return m;
}

/// The state `time` seconds later, without threshold.
inline ContinuousState evolve(const ContinuousLif& n, const ContinuousState& s, double time) {
  const MembraneModes m = membrane_modes(n, s);
  const double exc = std::exp(-n.exc_rate * time);
  const double inh = n.inh_rate == n.exc_rate ? exc : std::exp(-n.inh_rate * time);
  return {n.leak + m.mem * std::exp(-n.mem_rate * time) + m.exc * exc + m.inh * inh, s.exc * exc, s.inh * inh};
}

/// The state `time` seconds later with the membrane held at the reset potential.
inline ContinuousState hold(const ContinuousLif& n, const ContinuousState& s, double time) {
  return {n.reset, s.exc * std::exp(-n.exc_rate * time), s.inh * std::exp(-n.inh_rate * time)};
}

namespace detail {

/// A zero of `f` in [low, high], given f(low) and f(high) of different sign, to 0.1 ps: secants (Illinois method), and
/// a bisection where they are slow. The result lies on the far side of the zero.
template <class F>
double zero_between(F f, double low, double high) {
  constexpr double kTolerance = 1e-13;  // [s]
  double at_low = f(low);
  double at_high = f(high);
  const bool rises = at_low < 0.0;
  for (int k = 1; high - low > kTolerance && k < 200; ++k) {
    const double secant = high - at_high * (high - low) / (at_high - at_low);
    const bool inside = secant > low && secant < high && k % 4 != 0;
    const double middle = inside ? secant : 0.5 * (low + high);
    if (middle <= low || middle >= high) {
      break;
    }
    const double value = f(middle);
    if ((value < 0.0) == rises) {
      low = middle;
      at_low = value;
      at_high *= 0.5;
    } else {
      high = middle;
      at_high = value;
      at_low *= 0.5;
    }
  }
  return high;
}

/// Distance of the membrane to the threshold, and its slope times exp(slowest t), which has the same sign and does not
/// vanish: `slowest` is the least rate of a mode that is there.
struct ThresholdDistance {
  const ContinuousLif& n;
  MembraneModes m;
  double slowest;

  double operator()(double t) const {
    const double exc = std::exp(-n.exc_rate * t);
    const double inh = n.inh_rate == n.exc_rate ? exc : std::exp(-n.inh_rate * t);
    return n.leak - n.threshold + m.mem * std::exp(-n.mem_rate * t) + m.exc * exc + m.inh * inh;
  }
  double slope(double t) const {
    return slope_of(n.mem_rate, m.mem, t) + slope_of(n.exc_rate, m.exc, t) + slope_of(n.inh_rate, m.inh, t);
  }
  double slope_of(double rate, double mode, double t) const {
    return mode != 0.0 ? -rate * mode * std::exp((slowest - rate) * t) : 0.0;
  }
  /// Where the slope times exp(mem_rate t) has its only extremum; negative where it has none. Before and after it the
  /// slope changes its sign once at most.
  double extremum_of_slope() const {
    const double exc = n.exc_rate * m.exc * (n.mem_rate - n.exc_rate);
    const double inh = n.inh_rate * m.inh * (n.mem_rate - n.inh_rate);
    const double apart = n.exc_rate - n.inh_rate;
    return apart != 0.0 && exc * inh < 0.0 ? std::log(-exc / inh) / apart : -1.0;
  }
};

}  // namespace detail

/// Time until the membrane exceeds the threshold, at most `horizon`; infinite where it does not. 0 where it does now.
///
/// A sum of a constant and three exponentials has at most two extrema, zeros of its slope; that has at most one, which
/// is known in closed form. So the membrane is cut into at most three monotone pieces, each with one crossing at most.
inline double next_crossing(const ContinuousLif& n, const ContinuousState& s, double horizon) {
  constexpr double kNever = std::numeric_limits<double>::infinity();
  if (s.membrane > n.threshold) {
    return 0.0;
  }
  const double highest = std::max(s.membrane, n.leak) +
                         n.gain * std::max(s.exc, 0.0) / std::max(n.mem_rate, n.exc_rate) +
                         n.gain * std::max(s.inh, 0.0) / std::max(n.mem_rate, n.inh_rate);
  if (highest <= n.threshold) {
    return kNever;
  }
  const MembraneModes modes = membrane_modes(n, s);
  const auto rate_of = [](double rate, double mode) { return mode != 0.0 ? rate : kNever; };
  const double slowest =
      std::min({rate_of(n.mem_rate, modes.mem), rate_of(n.exc_rate, modes.exc), rate_of(n.inh_rate, modes.inh)});
  const detail::ThresholdDistance distance{n, modes, slowest};
  const double middle = distance.extremum_of_slope();
  double piece = 0.0;  // where the slope's monotone piece begins
  double from = 0.0;   // where the membrane's monotone piece begins
  for (const double to : {middle, horizon}) {
    if (!(to > piece) || to > horizon) {
      continue;
    }
    const auto slope = [&distance](double t) { return distance.slope(t); };
    if ((slope(piece) < 0.0) != (slope(to) < 0.0)) {
      const double extremum = detail::zero_between(slope, piece, to);
      if (distance(extremum) > 0.0) {
        return detail::zero_between(distance, from, extremum);
      }
      from = extremum;
    }
    piece = to;
  }
  return distance(horizon) > 0.0 ? detail::zero_between(distance, from, horizon) : kNever;
}

}  // namespace gradspike::math
