// The exponential function, with the same bits on every host, instruction set and device.
//
// exp(x) = 2^n exp(r), n = round(x / ln 2), r = x - n ln 2 in two parts of ln 2 (Cody and Waite 1980, Software Manual
// for the Elementary Functions), exp(r) by its Taylor polynomial: |r| <= 0.35, so degree 7 (13 in double) is far below
// half a unit in the last place. Every operation is rounded on its own, none is fused: at most 1 unit in the last place
// from the true value (tests), and loops over it vectorise on every instruction set.
#pragma once

#include <cstdint>
#include <cstring>
#include <limits>

#include "csrc/math/arithmetic.h"

namespace gradspike::math {

template <class T>
struct ExpConstants;

template <>
struct ExpConstants<float> {
  using Bits = std::int32_t;
  static constexpr float kLog2E = 1.44269504F;
  static constexpr float kLn2High = 0.693359375F;  // 9 bits: n * kLn2High is exact
  static constexpr float kLn2Low = -2.12194440e-4F;
  static constexpr float kRound = 12582912.0F;     // 1.5 * 2^23: adding and subtracting it rounds to a whole number
  static constexpr float kOverflow = 88.7228317F;  // the largest float with a finite exponential
  static constexpr float kUnderflow = -103.972084F;
  static constexpr std::int32_t kMantissaBits = 23;
  static constexpr std::int32_t kBias = 127;
  static constexpr std::int32_t kDegree = 7;
};

template <>
struct ExpConstants<double> {
  using Bits = std::int64_t;
  static constexpr double kLog2E = 1.4426950408889634;
  static constexpr double kLn2High = 6.93147180369123816490e-01;  // 32 bits
  static constexpr double kLn2Low = 1.90821492927058770002e-10;
  static constexpr double kRound = 6755399441055744.0;  // 1.5 * 2^52
  static constexpr double kOverflow = 709.78271289338397;
  static constexpr double kUnderflow = -745.13321910194122;
  static constexpr std::int32_t kMantissaBits = 52;
  static constexpr std::int32_t kBias = 1023;
  static constexpr std::int32_t kDegree = 13;
};

/// 1/k!
template <class T>
GRADSPIKE_HD constexpr T inverse_factorial(std::int32_t k) {
  double factorial = 1.0;
  for (std::int32_t i = 2; i <= k; ++i) {
    factorial *= i;
  }
  return static_cast<T>(1.0 / factorial);
}

/// sum over k from kFirst of r^(k - kFirst) / k!, by Horner's rule
template <std::int32_t kFirst, class T>
GRADSPIKE_HD T exp_series(T r) {
  constexpr T kCoefficient = inverse_factorial<T>(kFirst);
  if constexpr (kFirst == ExpConstants<T>::kDegree) {
    return kCoefficient;
  } else {
    return add(mul(exp_series<kFirst + 1>(r), r), kCoefficient);
  }
}

/// 2^n for a whole number n in the range of normal numbers.
template <class T>
GRADSPIKE_HD T power_of_two(std::int32_t n) {
  using Bits = typename ExpConstants<T>::Bits;
  const Bits bits = static_cast<Bits>(n + ExpConstants<T>::kBias) << ExpConstants<T>::kMantissaBits;
  T power;
  memcpy(&power, &bits, sizeof power);
  return power;
}

/// e^x; infinity above, 0 below the range of T, NaN for NaN.
template <class T>
GRADSPIKE_HD T exponential(T x) {
  using C = ExpConstants<T>;
  const bool too_large = x > C::kOverflow;
  const bool too_small = x < C::kUnderflow;
  const bool finite = !too_large && !too_small && !is_nan(x);
  const T y = finite ? x : T{0};
  const T n = sub(add(mul(y, C::kLog2E), C::kRound), C::kRound);
  const T high = sub(y, mul(n, C::kLn2High));  // exact
  const T low = mul(n, C::kLn2Low);
  const T r = sub(high, low);
  const T rest = sub(sub(high, r), low);  // what rounding took from r
  const T mantissa = add(T{1}, add(r, add(mul(mul(r, r), exp_series<2>(r)), rest)));
  // Two factors: 2^n itself lies outside the normal numbers at both ends of the range.
  const std::int32_t exponent = static_cast<std::int32_t>(n);
  const std::int32_t half = exponent >> 1;
  const T result = mul(mul(mantissa, power_of_two<T>(half)), power_of_two<T>(exponent - half));
  if (finite) {
    return result;
  }
  return too_large ? std::numeric_limits<T>::infinity() : (too_small ? T{0} : x);
}

}  // namespace gradspike::math
