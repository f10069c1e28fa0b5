// Surrogate derivatives of the spike function z = [v > threshold].
#pragma once

#include <cstdint>

#include "csrc/math/arithmetic.h"

namespace gradspike::math {

enum class Surrogate : std::int32_t { kSuperspike = 0 };

/// Gradient to x = v - threshold for the gradient `gradient` to the spike.
/// SuperSpike: g / (alpha |x| + 1)^2 (Zenke and Ganguli 2018, doi 10.1162/neco_a_01086, in hxtorch's normalisation).
template <class T>
GRADSPIKE_HD T surrogate_gradient(T gradient, T x, T alpha, Surrogate surrogate) {
  (void)surrogate;
  const T denominator = add(mul(alpha, absolute(x)), T{1});
  return div(gradient, mul(denominator, denominator));
}

}  // namespace gradspike::math
