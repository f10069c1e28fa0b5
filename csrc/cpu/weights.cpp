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

/// The bits of a magnitude, which order as magnitudes do; the largest of floats does not vectorise.
inline std::int32_t bits_of(float magnitude) {
  std::int32_t bits;
  std::memcpy(&bits, &magnitude, sizeof bits);
  return bits;
}
inline std::int64_t bits_of(double magnitude) {
  std::int64_t bits;
  std::memcpy(&bits, &magnitude, sizeof bits);
  return bits;
}

/// Loops without branches, for the compiler to vectorise. At most kStatisticsBlock weights: 32 bits hold the counts.
template <class T>
void add_contributions(const T* __restrict__ weight, std::int64_t count, const math::WeightTransform& of_all,
                       math::WeightContribution& sum) {
  math::with_rounding(
      of_all, [&](const math::WeightTransform transform) __attribute__((always_inline)) {
        std::int32_t low = 0;
        std::int32_t high = 0;
        std::int32_t zero = 0;
        std::int32_t nan = 0;
        std::int64_t error = 0;
        decltype(bits_of(T{})) bits = 0;
        for (std::int64_t i = 0; i < count; ++i) {
          const math::WeightContribution c = math::weight_contribution(weight[i], transform);
          low += static_cast<std::int32_t>(c.clipped_low);
          high += static_cast<std::int32_t>(c.clipped_high);
          zero += static_cast<std::int32_t>(c.to_zero);
          nan += static_cast<std::int32_t>(c.nan);
          const auto of_this = bits_of(static_cast<T>(c.magnitude));
          bits = of_this > bits ? of_this : bits;
        }
        for (std::int64_t i = 0; i < count; ++i) {
          error += math::weight_contribution(weight[i], transform).squared_error;
        }
        T largest;
        std::memcpy(&largest, &bits, sizeof largest);
        const double magnitude = static_cast<double>(largest);
        sum.clipped_low += low;
        sum.clipped_high += high;
        sum.to_zero += zero;
        sum.nan += nan;
        sum.squared_error += error;
        sum.magnitude = magnitude > sum.magnitude ? magnitude : sum.magnitude;
      });
}

/// Of the integers of elements from `first` on.
template <class Q>
std::uint64_t hash_of(const Q* __restrict__ integers, std::int64_t first, std::int64_t count) {
  std::uint64_t hash = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t q = integers[i] == math::nan_weight<Q>() ? math::nan_weight<std::int16_t>() : integers[i];
    hash += math::hash_element(first + i, q);
  }
  return hash;
}

template <class T, class Q>
void quantise(const T* __restrict__ weight, Q* __restrict__ out, std::int64_t count,
              const math::WeightTransform& of_all) {
  math::with_rounding(
      of_all, [&](const math::WeightTransform transform) __attribute__((always_inline)) {
        for (std::int64_t i = 0; i < count; ++i) {
          out[i] = math::hardware_weight<Q>(weight[i], transform);
        }
      });
}

/// Integers and statistics of the elements from `begin` to `end`. Without `out` the integers are not kept.
template <class T, class Q>
void add_range(const WeightStatisticsArgs<T>& args, Q* out, std::int64_t begin, std::int64_t end,
               WeightTotals& totals) {
  Buffer<Q> discarded(out == nullptr ? kStatisticsBlock : 0);
  for (std::int64_t first = begin; first < end; first += kStatisticsBlock) {
    const std::int64_t count = smaller(kStatisticsBlock, end - first);
    Q* integers = out == nullptr ? discarded.get() : out + first;
    quantise(args.weight + first, integers, count, args.transform);
    add_contributions(args.weight + first, count, args.transform, totals.sum);
    totals.hash += hash_of(integers, first, count);
  }
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
    quantise(args.weight + begin, args.out + begin, end - begin, args.transform);
  });
}

template <class T>
void weight_statistics(const CpuExec& exec, const WeightStatisticsArgs<T>& args) {
  (void)exec;  // one pass over at most a chip's weights: shorter than starting threads
  WeightTotals totals;
  add_range<T, std::int16_t>(args, nullptr, 0, args.out_features * args.in_features, totals);
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
    add_range(s, args.out, begin, end, of_range);
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
