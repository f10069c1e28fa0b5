// What the coefficients of lif.h stand for, the other way round.
#pragma once

#include <limits>

#include "csrc/math/lif.h"

namespace gradspike::math {

struct LifParameters {
  double membrane_capacitance = 0.0;
  double tau_mem = 0.0;          // [s]
  double tau_syn = 0.0;          // [s]
  double refractory_time = 0.0;  // [s]
};

/// C = dt/k, tau_mem = dt/(k g), tau_syn = dt/(1 - d); infinite where the divisor is 0. As exact as the coefficients:
/// a float32 d holds tau_syn to about 2^-25 tau_syn/dt of it.
inline LifParameters parameters_of(const LifCoefficients<float>& c, double dt) {
  const auto ratio = [dt](double divisor) {
    return divisor != 0.0 ? dt / divisor : std::numeric_limits<double>::infinity();
  };
  const auto gain = static_cast<double>(c.input_gain);
  return {ratio(gain), ratio(gain * static_cast<double>(c.leak_conductance)),
          ratio(1.0 - static_cast<double>(c.current_decay)), static_cast<double>(c.refractory_steps) * dt};
}

}  // namespace gradspike::math
