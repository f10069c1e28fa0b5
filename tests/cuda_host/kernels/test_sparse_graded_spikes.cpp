// sparse_graded_spikes: sums and the gradient to the spikes are the bits of the CPU kernels; the gradient to the
// weights keeps an error bound against double and is the same in every run; bad lists touch no memory outside.
#include <algorithm>
#include <vector>

#include "csrc/kernels/sparse_graded_spikes.h"
#include "tests/cuda_host/kernels/support.h"

namespace gradspike::testing {
namespace {

struct List {
  std::vector<std::int64_t> pairs;  // all post, then all pre
  std::int64_t count = 0;
};

List make_list(std::int64_t in_features, std::int64_t out_features, double density, Numbers& numbers) {
  List list;
  std::vector<std::int64_t> pre_of;
  for (std::int64_t post = 0; post < out_features; ++post) {
    for (std::int64_t pre = 0; pre < in_features; ++pre) {
      if (post != 1 && numbers.chance(density)) {  // neuron 1 has no connection
        list.pairs.push_back(post);
        pre_of.push_back(pre);
      }
    }
  }
  list.count = static_cast<std::int64_t>(pre_of.size());
  list.pairs.insert(list.pairs.end(), pre_of.begin(), pre_of.end());
  return list;
}

kernels::ConnectionIndex index_of(const std::int64_t* pairs, std::int64_t count, std::int64_t in_features,
                                  std::int64_t out_features) {
  return {pairs, pairs + count, count, in_features, out_features};
}

template <class S>
std::vector<S> make_spikes(std::int64_t rows, std::int64_t in_features, bool odd, Numbers& numbers) {
  std::vector<S> spikes(static_cast<std::size_t>(rows * in_features));
  for (S& spike : spikes) {
    spike = numbers.chance(0.3) ? static_cast<S>(numbers.integer(1, 127)) : S{0};
  }
  if constexpr (std::is_floating_point_v<S>) {
    const S values[] = {S{0.5}, S{-1}, std::numeric_limits<S>::quiet_NaN(), std::numeric_limits<S>::infinity(), -S{0}};
    for (std::int64_t row = 0; odd && in_features > 0 && row < rows; row += 3) {
      spikes[static_cast<std::size_t>(row * in_features + numbers.integer(0, in_features - 1))] = values[row / 3 % 5];
    }
  }
  return spikes;
}

template <class Q>
std::vector<Q> make_weights(std::int64_t count, bool with_nan, Numbers& numbers) {
  std::vector<Q> weights(static_cast<std::size_t>(count));
  for (Q& weight : weights) {
    weight = std::is_floating_point_v<Q> ? static_cast<Q>(numbers.uniform(-3, 3))
                                         : static_cast<Q>(numbers.integer(-315, 315));
  }
  if (with_nan && count > 2) {
    if constexpr (std::is_floating_point_v<Q>) {
      weights[2] = std::numeric_limits<Q>::quiet_NaN();
    } else {
      weights[2] = math::nan_weight<Q>();
    }
  }
  return weights;
}

struct Case {
  std::int64_t rows;
  std::int64_t in_features;
  std::int64_t out_features;
  double density;
  bool odd;
  bool wide;
};

template <class S, class Q, class T>
void check_forward(const Case& c) {
  Numbers numbers(5);
  const List list = make_list(c.in_features, c.out_features, c.density, numbers);
  const std::vector<S> spikes = make_spikes<S>(c.rows, c.in_features, c.odd, numbers);
  const std::vector<Q> weights = make_weights<Q>(list.count, c.odd, numbers);
  const float factor = 1.0F / 41.3F;
  std::vector<T> expected(static_cast<std::size_t>(c.rows * c.out_features));
  kernels::sparse_graded_spikes(CpuExec{}, kernels::SparseGradedSpikesArgs<S, Q, T>{
                                               spikes.data(), weights.data(),
                                               index_of(list.pairs.data(), list.count, c.in_features, c.out_features),
                                               expected.data(), c.rows, factor, c.wide});
  for_each_run([&](const KernelRun& run) {
    DeviceArray<S> spikes_in(spikes);
    DeviceArray<Q> weights_in(weights);
    DeviceArray<std::int64_t> pairs_in(list.pairs);
    DeviceArray<T> out(c.rows * c.out_features, run.fill);
    kernels::sparse_graded_spikes(run.exec, kernels::SparseGradedSpikesArgs<S, Q, T>{
                                                spikes_in.get(), weights_in.get(),
                                                index_of(pairs_in.get(), list.count, c.in_features, c.out_features),
                                                out.get(), c.rows, factor, c.wide});
    expect_same_bits(out.read(), expected, "out");
  });
}

template <class S, class Q, class T>
void check_forward_shapes() {
  check_forward<S, Q, T>({1, 1, 1, 1.0, false, false});
  check_forward<S, Q, T>({7, 5, 3, 0.5, true, false});
  check_forward<S, Q, T>({3, 0, 5, 0.5, false, false});
  check_forward<S, Q, T>({0, 4, 5, 0.5, false, false});
  check_forward<S, Q, T>({4, 6, 0, 0.5, false, false});
  check_forward<S, Q, T>({4, 6, 5, 0.0, true, false});
  if (kSmallShapes) {
    return;
  }
  check_forward<S, Q, T>({70, 67, 65, 0.1, true, true});
  check_forward<S, Q, T>({33, 300, 40, 0.3, false, false});
}

TEST(SparseGradedSpikes, ForwardBits) {
  check_forward_shapes<float, std::int16_t, float>();
  check_forward_shapes<float, std::int16_t, double>();
  check_forward_shapes<double, std::int16_t, double>();
  check_forward_shapes<std::uint8_t, std::int16_t, float>();
  check_forward_shapes<float, float, float>();
  check_forward_shapes<double, double, double>();
  check_forward_shapes<std::uint8_t, double, double>();
}

template <class Q, class T>
void check_spike_grad(std::int64_t rows, std::int64_t in_features, std::int64_t out_features) {
  Numbers numbers(6);
  const List list = make_list(in_features, out_features, 0.3, numbers);
  const std::vector<T> grad = numbers.vector<T>(rows * out_features, -1.0, 1.0);
  const std::vector<Q> weights = make_weights<Q>(list.count, true, numbers);
  std::vector<T> expected(static_cast<std::size_t>(rows * in_features));
  kernels::sparse_spike_grad(
      CpuExec{}, kernels::SparseSpikeGradArgs<Q, T>{grad.data(), weights.data(),
                                                    index_of(list.pairs.data(), list.count, in_features, out_features),
                                                    expected.data(), rows, 0.3F});
  for_each_run([&](const KernelRun& run) {
    DeviceArray<T> grad_in(grad);
    DeviceArray<Q> weights_in(weights);
    DeviceArray<std::int64_t> pairs_in(list.pairs);
    DeviceArray<T> out(rows * in_features, run.fill);
    kernels::sparse_spike_grad(
        run.exec, kernels::SparseSpikeGradArgs<Q, T>{grad_in.get(), weights_in.get(),
                                                     index_of(pairs_in.get(), list.count, in_features, out_features),
                                                     out.get(), rows, 0.3F});
    expect_same_bits(out.read(), expected, "grad_spikes");
  });
}

TEST(SparseGradedSpikes, SpikeGradientBits) {
  check_spike_grad<std::int16_t, float>(5, 7, 4);
  check_spike_grad<float, float>(5, 7, 4);
  check_spike_grad<std::int16_t, double>(1, 1, 1);
  check_spike_grad<double, double>(0, 3, 2);
  if (!kSmallShapes) {
    check_spike_grad<std::int16_t, float>(70, 45, 67);
    check_spike_grad<double, double>(33, 65, 31);
  }
}

template <class S, class T>
void check_weight_grad(std::int64_t rows, std::int64_t in_features, std::int64_t out_features, double tolerance) {
  Numbers numbers(9);
  const List list = make_list(in_features, out_features, 0.3, numbers);
  const std::vector<T> grad = numbers.vector<T>(rows * out_features, -1.0, 1.0);
  const std::vector<S> spikes = make_spikes<S>(rows, in_features, false, numbers);
  std::vector<T> first;
  for_each_run([&](const KernelRun& run) {
    DeviceArray<T> grad_in(grad);
    DeviceArray<S> spikes_in(spikes);
    DeviceArray<std::int64_t> pairs_in(list.pairs);
    DeviceArray<T> out(list.count, run.fill);
    kernels::sparse_weight_grad(
        run.exec, kernels::SparseWeightGradArgs<S, T>{grad_in.get(), spikes_in.get(),
                                                      index_of(pairs_in.get(), list.count, in_features, out_features),
                                                      out.get(), rows, 0.5F});
    const std::vector<T> result = out.read();
    first = first.empty() ? result : first;
    expect_same_bits(result, first, "grad_weights");
    for (std::int64_t k = 0; k < list.count; ++k) {
      const std::int64_t post = list.pairs[static_cast<std::size_t>(k)];
      const std::int64_t pre = list.pairs[static_cast<std::size_t>(list.count + k)];
      double sum = 0;
      double magnitude = 0;
      for (std::int64_t row = 0; row < rows; ++row) {
        const double term = static_cast<double>(spikes[static_cast<std::size_t>(row * in_features + pre)]) *
                            static_cast<double>(grad[static_cast<std::size_t>(row * out_features + post)]);
        sum += term;
        magnitude += std::abs(term);
      }
      ASSERT_NEAR(static_cast<double>(result[static_cast<std::size_t>(k)]), 0.5 * sum, tolerance * (magnitude + 1e-30));
    }
  });
}

TEST(SparseGradedSpikes, WeightGradient) {
  check_weight_grad<float, float>(9, 5, 4, 1e-6);
  check_weight_grad<std::uint8_t, double>(9, 5, 4, 1e-14);
  check_weight_grad<double, double>(0, 5, 4, 1e-14);
  if (!kSmallShapes) {
    check_weight_grad<float, float>(150, 33, 40, 1e-6);
  }
}

/// The device cannot refuse a bad list without waiting: indices outside count as no connection.
TEST(SparseGradedSpikes, BadListsTouchNothingOutside) {
  const std::vector<std::int64_t> pairs = {-5, 1, 0, 1, 9, 0, 2, -1, 7, 1};  // post of five, then pre of five
  const std::vector<std::int16_t> weights = {1, 2, 3, 4, 5};
  const std::vector<float> spikes = {1, 1, 1, 1, 1, 1};  // [2, 3]
  const std::vector<float> grad = {1, 1, 1, 1};          // [2, 2]
  for_each_run([&](const KernelRun& run) {
    DeviceArray<std::int64_t> pairs_in(pairs);
    DeviceArray<std::int16_t> weights_in(weights);
    DeviceArray<float> spikes_in(spikes);
    DeviceArray<float> grad_in(grad);
    DeviceArray<float> out(4, run.fill);
    DeviceArray<float> grad_spikes(6, run.fill);
    DeviceArray<float> grad_weights(5, run.fill);
    const kernels::ConnectionIndex index = index_of(pairs_in.get(), 5, 3, 2);
    kernels::sparse_graded_spikes(run.exec, kernels::SparseGradedSpikesArgs<float, std::int16_t, float>{
                                                spikes_in.get(), weights_in.get(), index, out.get(), 2, 1.0F, false});
    kernels::sparse_spike_grad(run.exec, kernels::SparseSpikeGradArgs<std::int16_t, float>{
                                             grad_in.get(), weights_in.get(), index, grad_spikes.get(), 2, 1.0F});
    kernels::sparse_weight_grad(run.exec, kernels::SparseWeightGradArgs<float, float>{
                                              grad_in.get(), spikes_in.get(), index, grad_weights.get(), 2, 1.0F});
    EXPECT_EQ(grad_weights.read()[0], 0.0F);
    EXPECT_EQ(grad_spikes.read().size(), 6U);
    EXPECT_EQ(out.read().size(), 4U);
  });
}

TEST(SparseGradedSpikes, FirstBadConnection) {
  const auto first_bad = [](std::vector<std::int64_t> pairs) {
    const auto count = static_cast<std::int64_t>(pairs.size() / 2);
    return kernels::first_bad_connection(index_of(pairs.data(), count, 4, 3));
  };
  EXPECT_EQ(first_bad({}), -1);
  EXPECT_EQ(first_bad({0, 0, 2, 1, 3, 0}), -1);
  EXPECT_EQ(first_bad({0, 0, 2, 1, 1, 0}), 1);
  EXPECT_EQ(first_bad({0, 3, 2, 1}), 1);
  EXPECT_EQ(first_bad({0, 1, 4, 0}), 0);
  EXPECT_EQ(first_bad({1, 0, 0, 0}), 1);
}

}  // namespace
}  // namespace gradspike::testing
