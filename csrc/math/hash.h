// Content hash of integer weights: independent of order, thread count and device.
//
// hash(q) = sum over elements of mix64(index, q) modulo 2^64, then shape and bounds are folded in. A sum modulo 2^64 is
// associative and commutative, so any parallel reduction gives the same value.
#pragma once

#include <cstdint>

#include "csrc/core/host_device.h"

namespace gradspike::math {

/// Finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014, doi 10.1145/2660193.2660195).
GRADSPIKE_HD std::uint64_t mix64(std::uint64_t x) {
  x += 0x9E3779B97F4A7C15ULL;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ULL;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBULL;
  return x ^ (x >> 31);
}

/// The share of element `index` with integer value `q` in the content hash.
GRADSPIKE_HD std::uint64_t hash_element(std::int64_t index, std::int64_t q) {
  return mix64(mix64(static_cast<std::uint64_t>(index)) ^ static_cast<std::uint64_t>(q));
}

/// Folds shape [out_features, in_features] and the integer bounds into the summed shares.
GRADSPIKE_HD std::uint64_t finish_hash(std::uint64_t sum, std::int64_t out_features, std::int64_t in_features,
                                       std::int64_t min_weight, std::int64_t max_weight) {
  std::uint64_t h = mix64(sum);
  h = mix64(h ^ static_cast<std::uint64_t>(out_features));
  h = mix64(h ^ static_cast<std::uint64_t>(in_features));
  h = mix64(h ^ static_cast<std::uint64_t>(min_weight));
  return mix64(h ^ static_cast<std::uint64_t>(max_weight));
}

}  // namespace gradspike::math
