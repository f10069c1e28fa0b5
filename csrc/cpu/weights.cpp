// CPU kernels on weights. Elementwise loops over csrc/math; sums are integers, so any split gives the same result.
#include "csrc/kernels/weights.h"

#include <atomic>
#include <mutex>

#include "csrc/cpu/isa_local.h"

namespace gradspike::kernels::GRADSPIKE_CPU_ISA {
namespace {

constexpr std::int64_t kGrain = 32768;  // elements; some 20 us of work, well above the cost of a parallel region

constexpr std::int64_t kStatisticsGrain = 8192;  // weights; some 20 us of work
constexpr std::int64_t kStatisticsBlock = 1024;  // weights that stay in the first cache between the loops over them

/// One loop without branches, for the compiler to vectorise.
template <class T>
void add_contributions(const T* weight, std::int64_t first, std::int64_t last, const math::WeightTransform& transform,
                       math::WeightContribution& sum) {
  std::int64_t low = 0;
  std::int64_t high = 0;
  std::int64_t zero = 0;
  std::int64_t nan = 0;
  std::int64_t error = 0;
  double magnitude = 0.0;
  for (std::int64_t i = first; i < last; ++i) {
    const math::WeightContribution c = math::weight_contribution(weight[i], transform);
    low += c.clipped_low;
    high += c.clipped_high;
    zero += c.to_zero;
    nan += c.nan;
    error += c.squared_error;
    magnitude = c.magnitude > magnitude ? c.magnitude : magnitude;
  }
  sum.clipped_low += low;
  sum.clipped_high += high;
  sum.to_zero += zero;
  sum.nan += nan;
  sum.squared_error += error;
  sum.magnitude = magnitude > sum.magnitude ? magnitude : sum.magnitude;
}

template <class Q>
std::uint64_t hash_of(const Q* integers, std::int64_t first, std::int64_t last) {
  std::uint64_t hash = 0;
  for (std::int64_t i = first; i < last; ++i) {
    const std::int64_t q = integers[i] == math::nan_weight<Q>() ? math::nan_weight<std::int16_t>() : integers[i];
    hash += math::hash_element(i, q);
  }
  return hash;
}

void add_totals(const WeightTotals& part, WeightTotals& totals) {
  totals.sum.clipped_low += part.sum.clipped_low;
  totals.sum.clipped_high += part.sum.clipped_high;
  totals.sum.to_zero += part.sum.to_zero;
  totals.sum.nan += part.sum.nan;
  totals.sum.squared_error += part.sum.squared_error;
  totals.sum.magnitude = part.sum.magnitude > totals.sum.magnitude ? part.sum.magnitude : totals.sum.magnitude;
  totals.hash += part.hash;
}

}  // namespace

template <class T>
void linear_saturating(const CpuExec& exec, const LinearSaturatingArgs<T>& args) {
  exec.for_each_range(args.count, kGrain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      args.out[i] = math::clip_weight(math::scaled_weight(args.weight[i], args.transform), args.transform);
    }
  });
}

template <class T>
void straight_through(const CpuExec& exec, const StraightThroughArgs<T>& args) {
  exec.for_each_range(args.count, kGrain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      args.grad_weight[i] = math::straight_through(args.grad[i], args.weight[i], args.transform, args.rule);
    }
  });
}

template <class T, class Q>
void hardware_weights(const CpuExec& exec, const HardwareWeightsArgs<T, Q>& args) {
  exec.for_each_range(args.count, kGrain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      args.out[i] = math::hardware_weight<Q>(args.weight[i], args.transform);
    }
  });
}

template <class T>
void weight_statistics(const CpuExec& exec, const WeightStatisticsArgs<T>& args) {
  (void)exec;  // one pass over at most a chip's weights: shorter than starting threads
  WeightTotals totals;
  for (std::int64_t i = 0; i < args.out_features * args.in_features; ++i) {
    const math::WeightContribution c = math::weight_contribution(args.weight[i], args.transform);
    totals.sum.clipped_low += c.clipped_low;
    totals.sum.clipped_high += c.clipped_high;
    totals.sum.to_zero += c.to_zero;
    totals.sum.nan += c.nan;
    totals.sum.squared_error += c.squared_error;
    totals.sum.magnitude = c.magnitude > totals.sum.magnitude ? c.magnitude : totals.sum.magnitude;
    totals.hash += weight_hash(i, args.weight[i], args.transform);
  }
  write_statistics(args, totals);
}

/// Sums are of integers, so that ranges may be combined in any order.
template <class T, class Q>
void hardware_weights_with_statistics(const CpuExec& exec, const WeightsWithStatisticsArgs<T, Q>& args) {
  const WeightStatisticsArgs<T>& s = args.statistics;
  std::mutex mutex;
  WeightTotals totals;
  exec.for_each_range(s.out_features * s.in_features, kStatisticsGrain, [&](std::int64_t begin, std::int64_t end) {
    WeightTotals of_range;
    for (std::int64_t first = begin; first < end; first += kStatisticsBlock) {
      const std::int64_t last = smaller(end, first + kStatisticsBlock);
      for (std::int64_t i = first; i < last; ++i) {
        args.out[i] = math::hardware_weight<Q>(s.weight[i], s.transform);
      }
      add_contributions(s.weight, first, last, s.transform, of_range.sum);
      of_range.hash += hash_of(args.out, first, last);
    }
    const std::lock_guard<std::mutex> lock(mutex);
    add_totals(of_range, totals);
  });
  write_statistics(s, totals);
}

template <class T>
void connections(const CpuExec& exec, const ConnectionsArgs<T>& args) {
  std::atomic<std::int64_t> nan_count{0};
  exec.for_each_range(args.out_features, larger(1, kGrain / larger(1, args.in_features)),
                      [&](std::int64_t begin, std::int64_t end) {
                        std::int64_t nans = 0;
                        for (std::int64_t post = begin; post < end; ++post) {
                          for (std::int64_t pre = 0; pre < args.in_features; ++pre) {
                            const std::int64_t k = post * args.in_features + pre;
                            nans += math::is_nan(args.weight[k]) ? 1 : 0;
                            args.out[3 * k] = static_cast<std::int32_t>(pre);
                            args.out[3 * k + 1] = static_cast<std::int32_t>(post);
                            args.out[3 * k + 2] = math::hardware_weight<std::int16_t>(args.weight[k], args.transform);
                          }
                        }
                        nan_count += nans;
                      });
  if (args.nan_count != nullptr) {
    *args.nan_count = nan_count;
  }
}

#define GRADSPIKE_INSTANTIATE(T)                                                                                      \
  template void linear_saturating<T>(const CpuExec&, const LinearSaturatingArgs<T>&);                                 \
  template void straight_through<T>(const CpuExec&, const StraightThroughArgs<T>&);                                   \
  template void hardware_weights<T, std::int8_t>(const CpuExec&, const HardwareWeightsArgs<T, std::int8_t>&);         \
  template void hardware_weights<T, std::int16_t>(const CpuExec&, const HardwareWeightsArgs<T, std::int16_t>&);       \
  template void weight_statistics<T>(const CpuExec&, const WeightStatisticsArgs<T>&);                                 \
  template void hardware_weights_with_statistics<T, std::int8_t>(const CpuExec&,                                      \
                                                                 const WeightsWithStatisticsArgs<T, std::int8_t>&);   \
  template void hardware_weights_with_statistics<T, std::int16_t>(const CpuExec&,                                     \
                                                                  const WeightsWithStatisticsArgs<T, std::int16_t>&); \
  template void connections<T>(const CpuExec&, const ConnectionsArgs<T>&);
GRADSPIKE_INSTANTIATE(float)
GRADSPIKE_INSTANTIATE(double)
#undef GRADSPIKE_INSTANTIATE

}  // namespace gradspike::kernels::GRADSPIKE_CPU_ISA
