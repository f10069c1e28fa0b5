// Words in operator arguments, and the checks of numbers that several operators share. Each wording exists once.
#pragma once

#include <cmath>
#include <string>
#include <string_view>

#include <c10/util/Exception.h>

#include "csrc/math/surrogate.h"
#include "csrc/math/weight.h"

namespace gradspike::ops {

inline math::Rounding parse_rounding(const char* op, std::string_view rounding, bool allow_none) {
  if (rounding == "half_even") {
    return math::Rounding::kHalfEven;
  }
  if (rounding == "half_away") {
    return math::Rounding::kHalfAway;
  }
  if (allow_none && rounding == "none") {
    return math::Rounding::kNone;
  }
  TORCH_CHECK(false, op, ": rounding must be 'half_even'", allow_none ? ", 'half_away' or 'none'" : " or 'half_away'",
              ", got '", rounding, "'");
}

inline math::StraightThrough parse_gradient(const char* op, std::string_view gradient) {
  if (gradient == "clipped") {
    return math::StraightThrough::kClipped;
  }
  if (gradient == "identity") {
    return math::StraightThrough::kIdentity;
  }
  TORCH_CHECK(gradient == "returning", op, ": gradient must be 'clipped', 'identity' or 'returning', got '", gradient,
              "'");
  return math::StraightThrough::kReturning;
}

/// True for "model", false for "lsb".
inline bool parse_units(const char* op, std::string_view units) {
  TORCH_CHECK(units == "model" || units == "lsb", op, ": units must be 'model' or 'lsb', got '", units, "'");
  return units == "model";
}

inline math::Surrogate parse_surrogate(const char* op, std::string_view surrogate) {
  std::string choices;
  for (std::int32_t k = 0; k < math::kNumSurrogates; ++k) {
    if (surrogate == math::kSurrogateNames[k]) {
      return static_cast<math::Surrogate>(k);
    }
    choices += std::string(k == 0 ? "'" : ", '") + math::kSurrogateNames[k] + "'";
  }
  TORCH_CHECK(false, op, ": surrogate must be one of ", choices, ", got '", surrogate, "'");
}

/// A transform whose bounds need only be ordered (linear_saturating). `prefix` is that of the arguments' names.
inline math::WeightTransform check_transform(const char* op, double scale, double min_weight, double max_weight,
                                             const char* prefix = "") {
  const float narrow = static_cast<float>(scale);
  TORCH_CHECK(std::isfinite(narrow) && narrow > 0.0F && std::isfinite(math::inverse_scale(narrow)), op, ": ", prefix,
              "scale must be finite and > 0 in float32, and so must 1/scale, got ", scale);
  TORCH_CHECK(min_weight <= max_weight, op, ": ", prefix, "min_weight must not be greater than ", prefix,
              "max_weight, got ", min_weight, " and ", max_weight);
  return {narrow, min_weight, max_weight, math::Rounding::kNone};
}

/// A transform to integers: bounds are whole numbers with min_weight <= 0 <= max_weight, at most 32767 in size.
inline math::WeightTransform check_integer_transform(const char* op, double scale, double min_weight, double max_weight,
                                                     math::Rounding rounding, const char* prefix = "") {
  math::WeightTransform transform = check_transform(op, scale, min_weight, max_weight, prefix);
  constexpr double kLimit = static_cast<double>(math::kMaxIntegerBound);
  TORCH_CHECK(min_weight == std::nearbyint(min_weight) && min_weight <= 0.0 && min_weight >= -kLimit, op, ": ", prefix,
              "min_weight must be a whole number in -", math::kMaxIntegerBound, "..0, got ", min_weight);
  TORCH_CHECK(max_weight == std::nearbyint(max_weight) && max_weight >= 0.0 && max_weight <= kLimit, op, ": ", prefix,
              "max_weight must be a whole number in 0..", math::kMaxIntegerBound, ", got ", max_weight);
  transform.rounding = rounding;
  return transform;
}

/// Whether the integers of these bounds are stored as int8 (else int16).
inline bool fits_int8(const math::WeightTransform& transform) {
  constexpr double kLimit = static_cast<double>(math::kMaxInt8Bound);
  return transform.min_weight >= -kLimit && transform.max_weight <= kLimit;
}

/// Set of names joined by '+', each of which must be one of `allowed`.
class OutputSet {
 public:
  OutputSet(const char* op, std::string_view outputs, std::initializer_list<std::string_view> allowed)
      : text_(outputs) {
    for (std::string_view rest = outputs; !rest.empty();) {
      const std::size_t plus = rest.find('+');
      const std::string_view name = rest.substr(0, plus);
      bool known = false;
      std::string list;
      for (const std::string_view choice : allowed) {
        known = known || choice == name;
        list += (list.empty() ? "'" : ", '") + std::string(choice) + "'";
      }
      TORCH_CHECK(known, op, ": outputs must be names out of ", list, " joined by '+', got '", outputs, "'");
      rest = plus == std::string_view::npos ? std::string_view{} : rest.substr(plus + 1);
    }
  }

  bool has(std::string_view name) const {
    for (std::string_view rest = text_; !rest.empty();) {
      const std::size_t plus = rest.find('+');
      if (rest.substr(0, plus) == name) {
        return true;
      }
      rest = plus == std::string_view::npos ? std::string_view{} : rest.substr(plus + 1);
    }
    return false;
  }

 private:
  std::string_view text_;
};

}  // namespace gradspike::ops
