// Kernels on weights: linear_saturating, hardware_weights, weight_statistics, connections.
// T is float or double. All arrays are contiguous. `Q` is int8_t or int16_t.
#pragma once

#include <cstdint>

#include "csrc/core/execution.h"
#include "csrc/math/hash.h"
#include "csrc/math/weight.h"

namespace gradspike::kernels {

/// out[i] = clip(scale * weight[i], min_weight, max_weight)
template <class T>
struct LinearSaturatingArgs {
  const T* weight;
  T* out;
  std::int64_t count;
  math::WeightTransform transform;
};

/// grad_weight[i] = straight_through(grad[i], weight[i])
template <class T>
struct StraightThroughArgs {
  const T* grad;
  const T* weight;
  T* grad_weight;
  std::int64_t count;
  math::WeightTransform transform;
  math::StraightThrough rule;
};

/// out[i] = hardware_weight(weight[i])
template <class T, class Q>
struct HardwareWeightsArgs {
  const T* weight;
  Q* out;
  std::int64_t count;
  math::WeightTransform transform;
};

/// Rows of WeightStatisticsArgs::counts.
enum WeightCount : std::int32_t {
  kCountTotal = 0,
  kCountClippedLow = 1,   // scale * w < min_weight
  kCountClippedHigh = 2,  // scale * w > max_weight
  kCountToZero = 3,       // w != 0, but its integer is 0
  kCountNan = 4,
};
constexpr std::int32_t kNumWeightCounts = 5;
/// Rows of WeightStatisticsArgs::measures.
enum WeightMeasure : std::int32_t {
  kMeasureLargest = 0,        // max |scale * w| [LSB], NaN left out
  kMeasureRoundingError = 1,  // root mean square of integer minus clipped weight [LSB], NaN left out
};
constexpr std::int32_t kNumWeightMeasures = 2;

/// Statistics of weight [out_features, in_features] in one pass; the same bits on every device and for any split.
template <class T>
struct WeightStatisticsArgs {
  const T* weight;
  std::int64_t out_features;
  std::int64_t in_features;
  math::WeightTransform transform;
  std::int64_t* counts;  // [kNumWeightCounts]
  double* measures;      // [kNumWeightMeasures]
  std::int64_t* hash;    // [1], the bits of math::finish_hash
};

/// Sums over all weights of math::weight_contribution and math::hash_element.
struct WeightTotals {
  math::WeightContribution sum{};  // magnitude is the largest
  std::uint64_t hash = 0;
};

/// Writes the results from the totals.
template <class T>
GRADSPIKE_HD void write_statistics(const WeightStatisticsArgs<T>& args, const WeightTotals& totals) {
  const std::int64_t count = args.out_features * args.in_features;
  args.counts[kCountTotal] = count;
  args.counts[kCountClippedLow] = totals.sum.clipped_low;
  args.counts[kCountClippedHigh] = totals.sum.clipped_high;
  args.counts[kCountToZero] = totals.sum.to_zero;
  args.counts[kCountNan] = totals.sum.nan;
  args.measures[kMeasureLargest] = totals.sum.magnitude;
  args.measures[kMeasureRoundingError] = math::rms_rounding_error(totals.sum.squared_error, count - totals.sum.nan);
  args.hash[0] = static_cast<std::int64_t>(math::finish_hash(totals.hash, args.out_features, args.in_features,
                                                             static_cast<std::int64_t>(args.transform.min_weight),
                                                             static_cast<std::int64_t>(args.transform.max_weight)));
}

/// The share of one weight in the hash: NaN counts as the lowest int16 whatever the integers are stored as.
template <class T>
GRADSPIKE_HD std::uint64_t weight_hash(std::int64_t index, T weight, const math::WeightTransform& transform) {
  return math::hash_element(index, math::hardware_weight<std::int16_t>(weight, transform));
}

/// The integers and the statistics of a matrix, on the CPU in one pass; the results of the two kernels above.
template <class T, class Q>
struct WeightsWithStatisticsArgs {
  WeightStatisticsArgs<T> statistics;
  Q* out;  // [out_features, in_features]
};

/// out[k] = (pre, post, weight) with post outer and pre inner, zeros included: k = post * in_features + pre.
/// `nan_count`, where not null, receives the number of NaN weights (their entry holds nan_weight<int16_t>()).
template <class T>
struct ConnectionsArgs {
  const T* weight;
  std::int64_t out_features;
  std::int64_t in_features;
  math::WeightTransform transform;
  std::int32_t* out;  // [out_features * in_features, 3]
  std::int64_t* nan_count;
};

#define GRADSPIKE_WEIGHT_KERNELS(Exec)                                                                  \
  template <class T>                                                                                    \
  void linear_saturating(const Exec& exec, const LinearSaturatingArgs<T>& args);                        \
  template <class T>                                                                                    \
  void straight_through(const Exec& exec, const StraightThroughArgs<T>& args);                          \
  template <class T, class Q>                                                                           \
  void hardware_weights(const Exec& exec, const HardwareWeightsArgs<T, Q>& args);                       \
  template <class T>                                                                                    \
  void weight_statistics(const Exec& exec, const WeightStatisticsArgs<T>& args);                        \
  template <class T, class Q>                                                                           \
  void hardware_weights_with_statistics(const Exec& exec, const WeightsWithStatisticsArgs<T, Q>& args); \
  template <class T>                                                                                    \
  void connections(const Exec& exec, const ConnectionsArgs<T>& args);

GRADSPIKE_WEIGHT_KERNELS(CpuExec)
GRADSPIKE_WEIGHT_KERNELS(CudaExec)
#undef GRADSPIKE_WEIGHT_KERNELS

}  // namespace gradspike::kernels
