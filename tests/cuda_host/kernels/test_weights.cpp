// The CUDA kernels on weights give the bits of the CPU kernels.
#include <vector>

#include "csrc/kernels/weights.h"
#include "tests/cuda_host/kernels/support.h"

namespace gradspike::testing {
namespace {

using math::Rounding;
using math::StraightThrough;
using math::WeightTransform;

/// Random weights, and among them exact ties, exact bounds, values beyond them, zeros of both signs, denormals and
/// what is no number.
template <class T>
std::vector<T> make_weights(std::int64_t count, float scale, bool with_nan, std::uint32_t seed) {
  Numbers numbers(seed);
  const T special[] = {static_cast<T>(0.5 / scale),
                       static_cast<T>(-1.5 / scale),
                       static_cast<T>(63.0 / scale),
                       static_cast<T>(-63.0 / scale),
                       static_cast<T>(63.5 / scale),
                       static_cast<T>(1e9),
                       T{0},
                       -T{0},
                       std::numeric_limits<T>::denorm_min(),
                       std::numeric_limits<T>::infinity(),
                       -std::numeric_limits<T>::infinity(),
                       static_cast<T>(0.49999997 / scale)};
  std::vector<T> weights = numbers.vector<T>(count, -70.0 / scale, 70.0 / scale);
  for (T& weight : weights) {
    if (numbers.chance(0.3)) {
      weight = special[numbers.integer(0, std::size(special) - 1)];
    } else if (with_nan && numbers.chance(0.02)) {
      weight = std::numeric_limits<T>::quiet_NaN();
    }
  }
  return weights;
}

const WeightTransform kTransforms[] = {
    {1.0F, -63.0, 63.0, Rounding::kHalfEven},     {41.3F, -63.0, 63.0, Rounding::kHalfAway},
    {16.0F, 0.0, 63.0, Rounding::kHalfEven},      {0.7F, -63.0, 0.0, Rounding::kHalfAway},
    {50.0F, -1000.0, 800.0, Rounding::kHalfEven},
};
const std::int64_t kCounts[] = {0, 1, 31, 257, 1003};

template <class T>
class Weights : public ::testing::Test {};
using Types = ::testing::Types<float, double>;
TYPED_TEST_SUITE(Weights, Types);

TYPED_TEST(Weights, LinearSaturating) {
  using T = TypeParam;
  for (const WeightTransform& transform : kTransforms) {
    for (const std::int64_t count : kCounts) {
      const std::vector<T> weight = make_weights<T>(count, transform.scale, true, 1);
      std::vector<T> expected(weight.size());
      kernels::linear_saturating(CpuExec{},
                                 kernels::LinearSaturatingArgs<T>{weight.data(), expected.data(), count, transform});
      for_each_run([&](const KernelRun& run) {
        DeviceArray<T> input(weight);
        DeviceArray<T> out(count, run.fill);
        kernels::linear_saturating(run.exec,
                                   kernels::LinearSaturatingArgs<T>{input.get(), out.get(), count, transform});
        expect_same_bits(out.read(), expected, "out");
      });
    }
  }
}

TYPED_TEST(Weights, StraightThrough) {
  using T = TypeParam;
  for (const StraightThrough rule :
       {StraightThrough::kClipped, StraightThrough::kIdentity, StraightThrough::kReturning}) {
    for (const WeightTransform& transform : kTransforms) {
      const std::int64_t count = 600;
      const std::vector<T> weight = make_weights<T>(count, transform.scale, true, 2);
      const std::vector<T> grad = Numbers(3).vector<T>(count, -1.0, 1.0);
      std::vector<T> expected(weight.size());
      kernels::straight_through(CpuExec{}, kernels::StraightThroughArgs<T>{grad.data(), weight.data(), expected.data(),
                                                                           count, transform, rule});
      for_each_run([&](const KernelRun& run) {
        DeviceArray<T> grad_in(grad);
        DeviceArray<T> weight_in(weight);
        DeviceArray<T> out(count, run.fill);
        kernels::straight_through(run.exec, kernels::StraightThroughArgs<T>{grad_in.get(), weight_in.get(), out.get(),
                                                                            count, transform, rule});
        expect_same_bits(out.read(), expected, "grad_weight");
      });
    }
  }
}

template <class T, class Q>
void check_hardware_weights(const WeightTransform& transform, std::int64_t count) {
  const std::vector<T> weight = make_weights<T>(count, transform.scale, true, 4);
  std::vector<Q> expected(weight.size());
  kernels::hardware_weights(CpuExec{},
                            kernels::HardwareWeightsArgs<T, Q>{weight.data(), expected.data(), count, transform});
  for_each_run([&](const KernelRun& run) {
    DeviceArray<T> input(weight);
    DeviceArray<Q> out(count, run.fill);
    kernels::hardware_weights(run.exec, kernels::HardwareWeightsArgs<T, Q>{input.get(), out.get(), count, transform});
    expect_same_bits(out.read(), expected, "q");
  });
}

TYPED_TEST(Weights, HardwareWeights) {
  for (const WeightTransform& transform : kTransforms) {
    for (const std::int64_t count : kCounts) {
      check_hardware_weights<TypeParam, std::int16_t>(transform, count);
      if (transform.max_weight <= math::kMaxInt8Bound && transform.min_weight >= -math::kMaxInt8Bound) {
        check_hardware_weights<TypeParam, std::int8_t>(transform, count);
      }
    }
  }
}

template <class T>
void check_statistics(std::int64_t out_features, std::int64_t in_features, const WeightTransform& transform,
                      bool with_nan) {
  SCOPED_TRACE(std::to_string(out_features) + " x " + std::to_string(in_features));
  const std::vector<T> weight = make_weights<T>(out_features * in_features, transform.scale, with_nan, 5);
  std::vector<std::int64_t> counts(kernels::kNumWeightCounts);
  std::vector<double> measures(kernels::kNumWeightMeasures);
  std::vector<std::int64_t> hash(1);
  kernels::weight_statistics(
      CpuExec{}, kernels::WeightStatisticsArgs<T>{weight.data(), out_features, in_features, transform, counts.data(),
                                                  measures.data(), hash.data()});
  for_each_run([&](const KernelRun& run) {
    DeviceArray<T> input(weight);
    DeviceArray<std::int64_t> counts_out(kernels::kNumWeightCounts, run.fill);
    DeviceArray<double> measures_out(kernels::kNumWeightMeasures, run.fill);
    DeviceArray<std::int64_t> hash_out(1, run.fill);
    kernels::weight_statistics(
        run.exec, kernels::WeightStatisticsArgs<T>{input.get(), out_features, in_features, transform, counts_out.get(),
                                                   measures_out.get(), hash_out.get()});
    expect_same_bits(counts_out.read(), counts, "counts");
    expect_same_bits(measures_out.read(), measures, "measures");
    expect_same_bits(hash_out.read(), hash, "hash");
  });

  // Integers and statistics in one pass: the results of the two kernels.
  std::vector<std::int16_t> integers(weight.size());
  const auto count = static_cast<std::int64_t>(weight.size());
  kernels::hardware_weights(
      CpuExec{}, kernels::HardwareWeightsArgs<T, std::int16_t>{weight.data(), integers.data(), count, transform});
  std::vector<std::int16_t> both(weight.size());
  std::vector<std::int64_t> counts_of_both(counts.size());
  std::vector<double> measures_of_both(measures.size());
  std::vector<std::int64_t> hash_of_both(1);
  kernels::hardware_weights_with_statistics(
      CpuExec{}, kernels::WeightsWithStatisticsArgs<T, std::int16_t>{
                     {weight.data(), out_features, in_features, transform, counts_of_both.data(),
                      measures_of_both.data(), hash_of_both.data()},
                     both.data()});
  expect_same_bits(both, integers, "integers of one pass");
  expect_same_bits(counts_of_both, counts, "counts of one pass");
  expect_same_bits(measures_of_both, measures, "measures of one pass");
  expect_same_bits(hash_of_both, hash, "hash of one pass");
  for_each_run([&](const KernelRun& run) {
    DeviceArray<T> input(weight);
    DeviceArray<std::int16_t> out(count, run.fill);
    DeviceArray<std::int64_t> counts_out(kernels::kNumWeightCounts, run.fill);
    DeviceArray<double> measures_out(kernels::kNumWeightMeasures, run.fill);
    DeviceArray<std::int64_t> hash_out(1, run.fill);
    kernels::hardware_weights_with_statistics(run.exec, kernels::WeightsWithStatisticsArgs<T, std::int16_t>{
                                                            {input.get(), out_features, in_features, transform,
                                                             counts_out.get(), measures_out.get(), hash_out.get()},
                                                            out.get()});
    expect_same_bits(out.read(), integers, "integers");
    expect_same_bits(counts_out.read(), counts, "counts");
    expect_same_bits(measures_out.read(), measures, "measures");
    expect_same_bits(hash_out.read(), hash, "hash");
  });
}

TYPED_TEST(Weights, Statistics) {
  for (const WeightTransform& transform : kTransforms) {
    check_statistics<TypeParam>(3, 7, transform, true);
    check_statistics<TypeParam>(17, 61, transform, false);
  }
  check_statistics<TypeParam>(0, 5, kTransforms[0], false);
  check_statistics<TypeParam>(1, 1, kTransforms[0], true);
  if (!kSmallShapes) {
    check_statistics<TypeParam>(131, 1013, kTransforms[1], true);  // more elements than threads
  }
}

template <class T>
void check_connections(std::int64_t out_features, std::int64_t in_features, bool count_nan) {
  const WeightTransform& transform = kTransforms[1];
  const std::int64_t entries = 3 * out_features * in_features;
  const std::vector<T> weight = make_weights<T>(out_features * in_features, transform.scale, true, 6);
  std::vector<std::int32_t> expected(static_cast<std::size_t>(entries));
  std::vector<std::int64_t> nan_count(1, -1);
  kernels::connections(CpuExec{}, kernels::ConnectionsArgs<T>{weight.data(), out_features, in_features, transform,
                                                              expected.data(), data_or_null(nan_count, count_nan)});
  for_each_run([&](const KernelRun& run) {
    DeviceArray<T> input(weight);
    DeviceArray<std::int32_t> out(entries, run.fill);
    DeviceArray<std::int64_t> nan_out(std::vector<std::int64_t>{-1});
    kernels::connections(run.exec, kernels::ConnectionsArgs<T>{input.get(), out_features, in_features, transform,
                                                               out.get(), count_nan ? nan_out.get() : nullptr});
    expect_same_bits(out.read(), expected, "connections");
    expect_same_bits(nan_out.read(), nan_count, "nan_count");
  });
}

TYPED_TEST(Weights, Connections) {
  check_connections<TypeParam>(1, 1, true);
  check_connections<TypeParam>(7, 5, false);
  check_connections<TypeParam>(33, 47, true);
  check_connections<TypeParam>(0, 4, true);
}

}  // namespace
}  // namespace gradspike::testing
