// Random numbers by place: the same key gives the same number, in whatever order and on whichever thread it is asked
// for.
#pragma once

#include <cmath>
#include <cstdint>

#include "csrc/math/hash.h"

namespace gradspike::math {

/// A key that depends on all of its parts and their order.
inline std::uint64_t random_key(std::uint64_t a, std::uint64_t b) { return mix64(mix64(a) ^ b); }
inline std::uint64_t random_key(std::uint64_t a, std::uint64_t b, std::uint64_t c) {
  return random_key(random_key(a, b), c);
}

/// Uniform in (0, 1): the 53 high bits, in the middle of their interval.
inline double uniform(std::uint64_t key) { return (static_cast<double>(mix64(key) >> 11) + 0.5) * 0x1.0p-53; }

/// Standard normal (Box and Muller 1958, doi 10.1214/aoms/1177706645).
inline double normal(std::uint64_t key) {
  constexpr double kTwoPi = 6.283185307179586476925286766559;
  return std::sqrt(-2.0 * std::log(uniform(random_key(key, 1)))) * std::cos(kTwoPi * uniform(random_key(key, 2)));
}

}  // namespace gradspike::math
