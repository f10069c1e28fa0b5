// The one quantiser: from a weight of the model to the integer that the chip holds, and its straight-through gradient.
//
//   x = scale * w            one rounding in the weight's arithmetic (float32; float64 for float64 weights)
//   c = min(max(x, min_weight), max_weight)
//   q = round(c)             half to even (default) or half away from zero
//
// Source of the transform: hxtorch's linear_saturating, clamp(scale * w, min, max); bounds of 63 are the 6-bit weight
// of the BrainScaleS-2 synapse with the sign of its row (Pehle et al. 2022, doi 10.3389/fnins.2022.795876).
#pragma once

#include <cstdint>

#include "csrc/math/arithmetic.h"

namespace gradspike::math {

enum class Rounding : std::int32_t { kNone = 0, kHalfEven = 1, kHalfAway = 2 };
enum class StraightThrough : std::int32_t { kClipped = 0, kIdentity = 1, kReturning = 2 };

/// Largest magnitude of a bound where rounding happens: integers are stored as int8 or int16.
constexpr std::int64_t kMaxIntegerBound = 32767;
/// Bounds up to this magnitude are stored as int8; its lowest value, -128, stands for NaN.
constexpr std::int64_t kMaxInt8Bound = 127;
/// Weights of one synapse circuit: 6 bit.
constexpr std::int64_t kSynapseMaxWeight = 63;

/// `scale` is a float32 value; the bounds are kept in double and are exact in every arithmetic used here.
struct WeightTransform {
  float scale = 1.0F;
  double min_weight = -63.0;
  double max_weight = 63.0;
  Rounding rounding = Rounding::kHalfEven;
};

/// float32 1/scale, the model weight of one LSB.
GRADSPIKE_HD float inverse_scale(float scale) { return div(1.0F, scale); }

template <class T>
GRADSPIKE_HD T scaled_weight(T weight, const WeightTransform& transform) {
  return mul(static_cast<T>(transform.scale), weight);
}

/// clip(x, min, max); NaN stays NaN.
template <class T>
GRADSPIKE_HD T clip_weight(T x, const WeightTransform& transform) {
  const T lo = static_cast<T>(transform.min_weight);
  const T hi = static_cast<T>(transform.max_weight);
  return x < lo ? lo : (x > hi ? hi : x);
}

GRADSPIKE_HD float round_half_even(float x) { return rintf(x); }
GRADSPIKE_HD double round_half_even(double x) { return rint(x); }
/// Exact: 0.49999997 rounds to 0, unlike adding 0.5 and truncating.
GRADSPIKE_HD float round_half_away(float x) { return roundf(x); }
GRADSPIKE_HD double round_half_away(double x) { return round(x); }

/// round(c) as a number of the weight's arithmetic; the value itself where rounding is kNone.
template <class T>
GRADSPIKE_HD T round_weight(T clipped, Rounding rounding) {
  return rounding == Rounding::kHalfEven   ? round_half_even(clipped)
         : rounding == Rounding::kHalfAway ? round_half_away(clipped)
                                           : clipped;
}

/// Calls f with the transform whose rounding is a constant once f is inlined, so that loops over one kind vectorise.
template <class F>
inline void with_rounding(const WeightTransform& transform, F&& f) {
  WeightTransform constant = transform;
  switch (transform.rounding) {
    case Rounding::kHalfEven:
      constant.rounding = Rounding::kHalfEven;
      return f(constant);
    case Rounding::kHalfAway:
      constant.rounding = Rounding::kHalfAway;
      return f(constant);
    case Rounding::kNone:
      constant.rounding = Rounding::kNone;
      return f(constant);
  }
}

/// Stored for NaN: the lowest value of the integer type, which no finite weight can reach.
template <class Q>
GRADSPIKE_HD constexpr Q nan_weight() {
  return sizeof(Q) == 1 ? static_cast<Q>(-128) : static_cast<Q>(-32768);
}

/// The integer that the chip holds for `weight`.
template <class Q, class T>
GRADSPIKE_HD Q hardware_weight(T weight, const WeightTransform& transform) {
  const T clipped = clip_weight(scaled_weight(weight, transform), transform);
  // By way of int32, whose conversions vectorise.
  return is_nan(clipped) ? nan_weight<Q>()
                         : static_cast<Q>(static_cast<std::int32_t>(round_weight(clipped, transform.rounding)));
}

/// dL/dw for dL/dq = `gradient`. The bounds are inclusive and tested on scale * w.
///   kClipped    scale inside the bounds, 0 outside (the derivative of the clip)
///   kIdentity   scale everywhere
///   kReturning  as kClipped, and outside the bounds where descent moves the weight back inside
/// A NaN weight lies inside no bound: kClipped and kReturning give 0.
template <class T>
GRADSPIKE_HD T straight_through(T gradient, T weight, const WeightTransform& transform, StraightThrough rule) {
  const T x = scaled_weight(weight, transform);
  const bool below = x < static_cast<T>(transform.min_weight);
  const bool above = x > static_cast<T>(transform.max_weight);
  const bool inside = !below && !above && !is_nan(x);
  const bool returns = (above && gradient > T{0}) || (below && gradient < T{0});
  const bool passes = rule == StraightThrough::kIdentity || inside || (rule == StraightThrough::kReturning && returns);
  return passes ? mul(static_cast<T>(transform.scale), gradient) : T{0};
}

/// Rounding errors are summed as integers of this unit (2^-32 LSB^2), so that the sum is the same in any order.
constexpr double kSquaredErrorUnit = 1.0 / 4294967296.0;

/// At most 2^30 units, as the error is at most one half.
template <class T>
GRADSPIKE_HD std::int32_t squared_rounding_error(T clipped, Rounding rounding) {
  const double error = add(static_cast<double>(round_weight(clipped, rounding)), -static_cast<double>(clipped));
  return static_cast<std::int32_t>(rint(div(mul(error, error), kSquaredErrorUnit)));
}

/// What one weight adds to the statistics of its matrix. All but `magnitude` are summed, so any order gives the same.
struct WeightContribution {
  std::int64_t clipped_low;
  std::int64_t clipped_high;
  std::int64_t to_zero;  // the weight is not 0, its integer is
  std::int64_t nan;
  std::int64_t squared_error;  // in units of kSquaredErrorUnit; 0 for NaN
  double magnitude;            // |scale * w|; 0 for NaN
};

template <class T>
GRADSPIKE_HD WeightContribution weight_contribution(T weight, const WeightTransform& transform) {
  // No comparison holds for NaN. Without branches, so that loops vectorise.
  const T x = scaled_weight(weight, transform);
  const T clipped = clip_weight(x, transform);
  const bool counts = !is_nan(x);
  return {x < static_cast<T>(transform.min_weight) ? 1 : 0,
          x > static_cast<T>(transform.max_weight) ? 1 : 0,
          (weight != T{0}) & (round_weight(clipped, transform.rounding) == T{0}) ? 1 : 0,
          counts ? 0 : 1,
          squared_rounding_error(counts ? clipped : T{0}, transform.rounding),
          static_cast<double>(counts ? absolute(x) : T{0})};
}

/// Root mean square in LSB of `count` rounding errors whose squares were summed in units of kSquaredErrorUnit.
GRADSPIKE_HD double rms_rounding_error(std::int64_t squared_errors, std::int64_t count) {
  return count > 0 ? sqrt(div(mul(static_cast<double>(squared_errors), kSquaredErrorUnit), static_cast<double>(count)))
                   : 0.0;
}

/// Largest spike count that integer sums take.
constexpr std::int64_t kMaxSpikeCount = 127;

/// Whether a spike is a whole number in 0..kMaxSpikeCount.
template <class S>
GRADSPIKE_HD bool is_spike_count(S spike) {
  if constexpr (sizeof(S) == 1) {
    return spike <= kMaxSpikeCount;
  } else {
    return spike >= S{0} && spike <= static_cast<S>(kMaxSpikeCount) &&
           static_cast<S>(static_cast<std::int32_t>(spike)) == spike;
  }
}

}  // namespace gradspike::math
