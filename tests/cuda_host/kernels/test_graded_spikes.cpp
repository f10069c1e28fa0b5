// graded_spikes: the integer product and its float path give the bits of the CPU kernel; the gradient to the weights
// keeps an error bound against double and is the same in every run.
#include <vector>

#include "csrc/kernels/graded_spikes.h"
#include "cuda/graded_spikes_plan.h"
#include "tests/cuda_host/kernels/support.h"

namespace gradspike::testing {
namespace {

enum class Spikes { kBinary, kCounts, kLargest, kSomeRowsFloat, kNotFinite };

template <class S>
std::vector<S> make_spikes(std::int64_t rows, std::int64_t in_features, Spikes kind, Numbers& numbers) {
  std::vector<S> spikes(static_cast<std::size_t>(rows * in_features));
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t pre = 0; pre < in_features; ++pre) {
      S& spike = spikes[static_cast<std::size_t>(row * in_features + pre)];
      switch (kind) {
        case Spikes::kBinary:
          spike = numbers.chance(0.1) ? S{1} : S{0};
          break;
        case Spikes::kCounts:
          spike = numbers.chance(0.4) ? static_cast<S>(numbers.integer(0, kernels::kMaxSpikeCount)) : S{0};
          break;
        case Spikes::kLargest:
          spike = static_cast<S>(kernels::kMaxSpikeCount);
          break;
        case Spikes::kSomeRowsFloat:
        case Spikes::kNotFinite:
          spike = numbers.chance(0.3) ? static_cast<S>(numbers.integer(0, 3)) : S{0};
          break;
      }
    }
    if (in_features == 0 || row % 3 != 1) {
      continue;
    }
    // Every third row has one value that no count is.
    S& spike = spikes[static_cast<std::size_t>(row * in_features + numbers.integer(0, in_features - 1))];
    if constexpr (std::is_floating_point_v<S>) {
      const S odd[] = {static_cast<S>(0.5), static_cast<S>(-1), static_cast<S>(128), static_cast<S>(1e-30),
                       static_cast<S>(3e9)};
      const S not_finite[] = {std::numeric_limits<S>::quiet_NaN(), std::numeric_limits<S>::infinity(), -S{0}};
      if (kind == Spikes::kSomeRowsFloat) {
        spike = odd[numbers.integer(0, 4)];
      } else if (kind == Spikes::kNotFinite) {
        spike = not_finite[numbers.integer(0, 2)];
      }
    } else if (kind == Spikes::kSomeRowsFloat || kind == Spikes::kNotFinite) {
      spike = static_cast<S>(numbers.integer(128, 255));
    }
  }
  return spikes;
}

template <class Q>
std::vector<Q> make_integers(std::int64_t out_features, std::int64_t in_features, std::int64_t bound, bool with_nan,
                             Numbers& numbers) {
  std::vector<Q> weights(static_cast<std::size_t>(out_features * in_features));
  for (Q& weight : weights) {
    weight = static_cast<Q>(numbers.integer(-bound, bound));
  }
  if (with_nan && !weights.empty()) {
    weights[weights.size() / 2] = math::nan_weight<Q>();
  }
  return weights;
}

struct Case {
  std::int64_t rows;
  std::int64_t in_features;
  std::int64_t out_features;
  std::int64_t bound;
  Spikes spikes;
  bool with_nan;
  bool wide;
};

template <class S, class Q, class T>
void check_forward(const Case& c, float factor) {
  SCOPED_TRACE(std::to_string(c.rows) + " x " + std::to_string(c.in_features) + " -> " +
               std::to_string(c.out_features) + ", spikes " + std::to_string(static_cast<int>(c.spikes)));
  Numbers numbers(7);
  const std::vector<S> spikes = make_spikes<S>(c.rows, c.in_features, c.spikes, numbers);
  const std::vector<Q> weights =
      make_integers<Q>(c.out_features, c.in_features, std::min<std::int64_t>(c.bound, sizeof(Q) == 1 ? 127 : 32767),
                       c.with_nan, numbers);
  std::vector<T> expected(static_cast<std::size_t>(c.rows * c.out_features));
  kernels::graded_spikes(CpuExec{},
                         kernels::GradedSpikesArgs<S, Q, T>{spikes.data(), weights.data(), expected.data(), c.rows,
                                                            c.in_features, c.out_features, factor, c.wide});
  for_each_run([&](const KernelRun& run) {
    DeviceArray<S> spikes_in(spikes);
    DeviceArray<Q> weights_in(weights);
    DeviceArray<T> out(c.rows * c.out_features, run.fill);
    kernels::graded_spikes(run.exec,
                           kernels::GradedSpikesArgs<S, Q, T>{spikes_in.get(), weights_in.get(), out.get(), c.rows,
                                                              c.in_features, c.out_features, factor, c.wide});
    expect_same_bits(out.read(), expected, "out");
  });
}

template <class Types>
class GradedSpikes : public ::testing::Test {};

template <class S_, class Q_, class T_>
struct Combination {
  using S = S_;
  using Q = Q_;
  using T = T_;
};
using Combinations =
    ::testing::Types<Combination<float, std::int8_t, float>, Combination<float, std::int8_t, double>,
                     Combination<float, std::int16_t, float>, Combination<float, std::int16_t, double>,
                     Combination<double, std::int8_t, float>, Combination<double, std::int8_t, double>,
                     Combination<double, std::int16_t, float>, Combination<double, std::int16_t, double>,
                     Combination<std::uint8_t, std::int8_t, float>, Combination<std::uint8_t, std::int8_t, double>,
                     Combination<std::uint8_t, std::int16_t, float>, Combination<std::uint8_t, std::int16_t, double>>;
TYPED_TEST_SUITE(GradedSpikes, Combinations);

TYPED_TEST(GradedSpikes, ForwardBits) {
  using S = typename TypeParam::S;
  using Q = typename TypeParam::Q;
  using T = typename TypeParam::T;
  const float factor = 1.0F / 41.3F;
  check_forward<S, Q, T>({1, 1, 1, 63, Spikes::kBinary, false, false}, factor);
  check_forward<S, Q, T>({7, 5, 3, 63, Spikes::kCounts, true, false}, factor);
  check_forward<S, Q, T>({3, 0, 5, 63, Spikes::kBinary, false, false}, factor);
  check_forward<S, Q, T>({0, 4, 5, 63, Spikes::kBinary, false, false}, factor);
  check_forward<S, Q, T>({4, 6, 0, 63, Spikes::kBinary, false, false}, factor);
  check_forward<S, Q, T>({5, 67, 9, 127, Spikes::kSomeRowsFloat, true, true}, factor);
  if (kSmallShapes) {
    return;
  }
  check_forward<S, Q, T>({65, 130, 70, 63, Spikes::kBinary, false, false}, 1.0F);
  check_forward<S, Q, T>({64, 64, 64, 127, Spikes::kCounts, true, false}, factor);
  check_forward<S, Q, T>({70, 67, 65, 300, Spikes::kSomeRowsFloat, true, false}, factor);
  check_forward<S, Q, T>({66, 35, 5, 63, Spikes::kNotFinite, true, false}, factor);
  check_forward<S, Q, T>({2, 1500, 66, 32767, Spikes::kLargest, true, true}, factor);
}

/// All weights and spikes at their largest: sums of 1.7e10, which 32 bits cannot hold.
TEST(GradedSpikesWide, SumsBeyond32Bits) {
  const std::int64_t in_features = 4001;
  const std::vector<float> spikes(static_cast<std::size_t>(in_features), 127.0F);
  const std::vector<std::int16_t> weights(static_cast<std::size_t>(in_features), 32767);
  for_each_run([&](const KernelRun& run) {
    DeviceArray<float> spikes_in(spikes);
    DeviceArray<std::int16_t> weights_in(weights);
    DeviceArray<double> out(1, run.fill);
    kernels::graded_spikes(run.exec, kernels::GradedSpikesArgs<float, std::int16_t, double>{
                                         spikes_in.get(), weights_in.get(), out.get(), 1, in_features, 1, 1.0F, true});
    EXPECT_EQ(out.read()[0], 4001.0 * 127.0 * 32767.0);
  });
}

/// Sums of bytes beyond 2^31, which tensor cores cannot hold: the product takes parts of the inputs.
TEST(GradedSpikesWide, MoreInputsThanOneSumHolds) {
  if (kSmallShapes) {
    return;
  }
  const std::int64_t in_features = 3 * kernels::kInputsPerSum / 2 + 5;
  ASSERT_EQ(kernels::plan_product(1, in_features, 2, 1).tile, kernels::ProductTile::kLong);
  const std::vector<std::uint8_t> spikes(static_cast<std::size_t>(in_features), 127);
  const auto check = [&](auto largest) {
    using Q = decltype(largest);
    std::vector<Q> weights(static_cast<std::size_t>(2 * in_features), largest);
    std::fill(weights.begin() + in_features, weights.end(), static_cast<Q>(-largest));
    TestWorkspace workspace(0xFF);
    DeviceArray<std::uint8_t> spikes_in(spikes);
    DeviceArray<Q> weights_in(weights);
    DeviceArray<double> out(2, 0xFF);
    kernels::graded_spikes(CudaExec{nullptr, &workspace},
                           kernels::GradedSpikesArgs<std::uint8_t, Q, double>{
                               spikes_in.get(), weights_in.get(), out.get(), 1, in_features, 2, 1.0F, true});
    const double expected = static_cast<double>(in_features) * 127.0 * largest;
    EXPECT_EQ(out.read(), (std::vector<double>{expected, -expected}));
  };
  check(std::int8_t{127});
  check(std::int16_t{32767});
}

/// Tiles of 128, with rows, post neurons and inputs that fill none of the last ones.
TEST(GradedSpikesLarge, TilesOf128) {
  if (kSmallShapes) {
    return;
  }
  ASSERT_EQ(kernels::plan_product(33787, 5, 3, 1).tile, kernels::ProductTile::kLarge);
  check_forward<float, std::int8_t, float>({33787, 5, 3, 63, Spikes::kSomeRowsFloat, true, false}, 0.5F);
  ASSERT_EQ(kernels::plan_product(900, 70, 4230, 1).tile, kernels::ProductTile::kLarge);
  check_forward<float, std::int8_t, float>({900, 70, 4230, 127, Spikes::kCounts, true, false}, 0.5F);
}

TEST(GradedSpikesPlan, CoversTheOutputsByTheSizesAlone) {
  using kernels::plan_product;
  using kernels::ProductTile;
  EXPECT_EQ(plan_product(1, 1, 1, 1).blocks, 1);
  EXPECT_EQ(plan_product(65, 64, 64, 1).blocks, 2);
  // The chip at batch 256 and 100 steps, the benchmark layer of 512 x 512 at batch 16 and 500 steps, a readout of 3.
  EXPECT_EQ(plan_product(25600, 256, 512, 1).tile, ProductTile::kLarge);
  EXPECT_EQ(plan_product(25600, 256, 512, 1).blocks, 200 * 4);
  EXPECT_EQ(plan_product(8000, 512, 512, 1).tile, ProductTile::kSmall);
  EXPECT_EQ(plan_product(8000, 512, 512, 1).blocks, 125 * 8);
  EXPECT_EQ(plan_product(5000, 120, 3, 1).tile, ProductTile::kSmall);
  EXPECT_EQ(plan_product(5000, 120, 3, 1).blocks, 79);
  EXPECT_EQ(plan_product(25600, 256, 512, 2).tile, ProductTile::kSmall);
  EXPECT_EQ(plan_product(8000, kernels::kInputsPerSum, 8, 1).tile, ProductTile::kSmall);
  EXPECT_EQ(plan_product(8000, kernels::kInputsPerSum + 1, 8, 1).tile, ProductTile::kLong);
  // No 32-bit sum of kInputsPerSum products overflows.
  EXPECT_LT(kernels::kInputsPerSum * 127 * 128, std::int64_t{1} << 31);
  EXPECT_LT(kernels::kInputsPerSum * 127 * 255, std::int64_t{1} << 32);
}

// ---- gradient to the weights -------------------------------------------------------------------------------------

template <class S, class W, class T>
struct WeightGradCase {
  std::vector<T> grad;
  std::vector<S> spikes;
  std::vector<W> weight;
  kernels::GradedSpikesWeightGradArgs<S, W, T> args{};

  WeightGradCase(std::int64_t rows, std::int64_t in_features, std::int64_t out_features, math::StraightThrough rule,
                 Spikes kind = Spikes::kSomeRowsFloat) {
    Numbers numbers(11);
    grad = numbers.vector<T>(rows * out_features, -1.0, 1.0);
    spikes = make_spikes<S>(rows, in_features, kind, numbers);
    weight = numbers.vector<W>(out_features * in_features, -2.0, 2.0);
    args.rows = rows;
    args.in_features = in_features;
    args.out_features = out_features;
    args.factor = 1.0F / 41.3F;
    args.transform = {41.3F, -63.0, 63.0, math::Rounding::kHalfEven};
    args.rule = rule;
  }

  std::vector<W> on_device(const KernelRun& run) const {
    DeviceArray<T> grad_in(grad);
    DeviceArray<S> spikes_in(spikes);
    DeviceArray<W> weight_in(weight);
    DeviceArray<W> out(args.out_features * args.in_features, run.fill);
    kernels::GradedSpikesWeightGradArgs<S, W, T> device = args;
    device.grad = grad_in.get();
    device.spikes = spikes_in.get();
    device.weight = weight_in.get();
    device.grad_weight = out.get();
    kernels::graded_spikes_weight_grad(run.exec, device);
    return out.read();
  }

  /// Sum over the rows in double, and the sum of the magnitudes, which bounds its rounding error.
  void sums(std::int64_t post, std::int64_t pre, double* sum, double* magnitude) const {
    *sum = 0;
    *magnitude = 0;
    for (std::int64_t row = 0; row < args.rows; ++row) {
      const double s = static_cast<double>(spikes[static_cast<std::size_t>(row * args.in_features + pre)]);
      const double g = static_cast<double>(grad[static_cast<std::size_t>(row * args.out_features + post)]);
      *sum += s != 0 ? s * g : 0.0;
      *magnitude += s != 0 ? std::abs(s * g) : 0.0;
    }
  }
};

/// The same bits in every run, and the error bound of the sums.
template <class S, class W, class T>
void check_weight_grad(const WeightGradCase<S, W, T>& c) {
  const std::int64_t in_features = c.args.in_features;
  const std::int64_t out_features = c.args.out_features;
  SCOPED_TRACE(std::to_string(c.args.rows) + " x " + std::to_string(in_features) + " -> " +
               std::to_string(out_features));
  std::vector<W> first;
  for_each_run([&](const KernelRun& run) {
    const std::vector<W> result = c.on_device(run);
    if (first.empty()) {
      first = result;
    }
    expect_same_bits(result, first, "grad_weight against the first run");
  });
  // A block of 256 rows is summed in T: at most 256 roundings of sums and products; 8 more for all that follows. Sums
  // on tensor cores take fewer and stay within that.
  const double epsilon = std::max<double>(std::numeric_limits<T>::epsilon(), std::numeric_limits<W>::epsilon());
  for (std::int64_t post = 0; post < out_features; ++post) {
    for (std::int64_t pre = 0; pre < in_features; ++pre) {
      double sum = 0;
      double magnitude = 0;
      c.sums(post, pre, &sum, &magnitude);
      const std::size_t at = static_cast<std::size_t>(post * in_features + pre);
      const double tolerance = (257.0 + 8.0) * epsilon * magnitude * c.args.factor;
      const W grad_q = static_cast<W>(c.args.factor * sum);
      if (std::abs(static_cast<double>(grad_q)) <= tolerance) {
        continue;  // its sign, on which the returning rule depends, is within the error
      }
      const W expected = math::straight_through(grad_q, c.weight[at], c.args.transform, c.args.rule);
      ASSERT_NEAR(first[at], expected, tolerance * c.args.transform.scale) << "post " << post << ", pre " << pre;
    }
  }
}

template <class S, class W, class T>
void check_weight_grad(std::int64_t rows, std::int64_t in_features, std::int64_t out_features,
                       math::StraightThrough rule, Spikes kind = Spikes::kSomeRowsFloat) {
  check_weight_grad(WeightGradCase<S, W, T>(rows, in_features, out_features, rule, kind));
}

TYPED_TEST(GradedSpikes, WeightGradErrorBound) {
  using S = typename TypeParam::S;
  using W = std::conditional_t<sizeof(typename TypeParam::Q) == 1, float, double>;  // the combinations of the forward
  using T = typename TypeParam::T;
  using math::StraightThrough;
  check_weight_grad<S, W, T>(1, 1, 1, StraightThrough::kIdentity);
  check_weight_grad<S, W, T>(33, 9, 7, StraightThrough::kClipped);
  check_weight_grad<S, W, T>(35, 9, 7, StraightThrough::kClipped, Spikes::kCounts);
  if (kSmallShapes) {
    return;
  }
  check_weight_grad<S, W, T>(255, 65, 3, StraightThrough::kReturning);
  check_weight_grad<S, W, T>(257, 5, 70, StraightThrough::kClipped);
  check_weight_grad<S, W, T>(1300, 67, 66, StraightThrough::kReturning);
  check_weight_grad<S, W, T>(257, 131, 65, StraightThrough::kClipped, Spikes::kBinary);
  check_weight_grad<S, W, T>(600, 130, 3, StraightThrough::kReturning, Spikes::kLargest);
}

/// Tiles and ranges of rows of spikes that halves do not hold are summed in float, the others on tensor cores.
TEST(GradedSpikesWeightGrad, OneSpikeThatIsNoHalf) {
  for (const float odd : {0.1F, 2049.0F, 65536.0F, -1e-12F, 0.5F}) {
    WeightGradCase<float, float, float> c(520, 131, 66, math::StraightThrough::kIdentity, Spikes::kBinary);
    c.spikes[519 * 131 + 130] = odd;
    check_weight_grad(c);
    if (kSmallShapes) {
      return;
    }
  }
}

/// Gradients at both ends of float, in one column each: every post neuron has its own scale.
TEST(GradedSpikesWeightGrad, SmallestAndLargestGradients) {
  WeightGradCase<float, float, float> c(70, 9, 6, math::StraightThrough::kIdentity, Spikes::kBinary);
  const float magnitudes[] = {1e-44F, 1e-38F, 1e-30F, 1e30F, 1e36F, 0.0F};
  for (std::size_t i = 0; i < c.grad.size(); ++i) {
    c.grad[i] *= magnitudes[i % 6];
  }
  c.args.factor = 1.0F;
  c.args.transform = {1.0F, -63.0, 63.0, math::Rounding::kHalfEven};
  for_each_run([&](const KernelRun& run) {
    const std::vector<float> result = c.on_device(run);
    for (std::int64_t i = 0; i < 54; ++i) {
      double sum = 0;
      double magnitude = 0;
      c.sums(i / 9, i % 9, &sum, &magnitude);
      const double tolerance =
          265.0 * std::numeric_limits<float>::epsilon() * magnitude + 70.0 * std::numeric_limits<float>::denorm_min();
      EXPECT_NEAR(result[static_cast<std::size_t>(i)], sum, tolerance) << i;
    }
  });
}

/// Relative error in the Frobenius norm of the gradient and of sums in float in the order of the rows.
struct Errors {
  double kernel;
  double plain;
};

Errors weight_grad_errors(std::int64_t rows, double rate, bool heavy_tails) {
  const std::int64_t n = 128;
  WeightGradCase<float, float, float> c(rows, n, n, math::StraightThrough::kIdentity, Spikes::kBinary);
  c.args.factor = 1.0F;
  c.args.transform = {1.0F, -63.0, 63.0, math::Rounding::kHalfEven};
  Numbers numbers(23);
  const auto normal = [&] {
    return std::sqrt(-2.0 * std::log(numbers.uniform(1e-12, 1.0))) *
           std::cos(6.283185307179586 * numbers.uniform(0, 1));
  };
  for (float& g : c.grad) {
    g = static_cast<float>(1e-3 * normal() * (heavy_tails ? std::exp(2.0 * normal()) : 1.0));
  }
  for (float& s : c.spikes) {
    s = numbers.chance(rate) ? 1.0F : 0.0F;
  }
  std::vector<double> exact(static_cast<std::size_t>(n * n));
  std::vector<float> plain(static_cast<std::size_t>(n * n));
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t pre = 0; pre < n; ++pre) {
      if (c.spikes[static_cast<std::size_t>(row * n + pre)] != 0.0F) {
        for (std::int64_t post = 0; post < n; ++post) {
          const float g = c.grad[static_cast<std::size_t>(row * n + post)];
          exact[static_cast<std::size_t>(post * n + pre)] += g;
          plain[static_cast<std::size_t>(post * n + pre)] += g;
        }
      }
    }
  }
  TestWorkspace workspace(0xFF);
  const std::vector<float> result = c.on_device({CudaExec{nullptr, &workspace}, 0xFF});
  double norm = 0;
  Errors squared{0, 0};
  for (std::size_t i = 0; i < exact.size(); ++i) {
    norm += exact[i] * exact[i];
    squared.kernel += (result[i] - exact[i]) * (result[i] - exact[i]);
    squared.plain += (plain[i] - exact[i]) * (plain[i] - exact[i]);
  }
  return {std::sqrt(squared.kernel / norm), std::sqrt(squared.plain / norm)};
}

TEST(GradedSpikesWeightGrad, BetterThanPlainSumsInFloat) {
  if (kSmallShapes) {
    return;
  }
  for (const bool heavy_tails : {false, true}) {
    for (const double rate : {0.05, 1.0}) {
      const Errors errors = weight_grad_errors(rate < 1.0 ? 8000 : 3000, rate, heavy_tails);
      RecordProperty(std::string(heavy_tails ? "heavy" : "normal") + (rate < 1.0 ? "_sparse" : "_dense"),
                     std::to_string(errors.kernel * 1e9) + "e-9, plain " + std::to_string(errors.plain * 1e9) + "e-9");
      EXPECT_LT(errors.kernel, 2e-7) << "heavy tails " << heavy_tails << ", rate " << rate;
      EXPECT_LT(errors.kernel, errors.plain) << "heavy tails " << heavy_tails << ", rate " << rate;
    }
  }
}

TEST(GradedSpikesWeightGrad, NoRowsGiveZeros) {
  const WeightGradCase<float, float, float> c(0, 5, 3, math::StraightThrough::kIdentity);
  for_each_run(
      [&](const KernelRun& run) { expect_same_bits(c.on_device(run), std::vector<float>(15, 0.0F), "grad_weight"); });
}

TEST(GradedSpikesWeightGrad, EmptyShapesWriteNothing) {
  const WeightGradCase<float, float, float> c(4, 0, 3, math::StraightThrough::kIdentity);
  for_each_run([&](const KernelRun& run) { EXPECT_TRUE(c.on_device(run).empty()); });
}

/// A gradient that is not finite reaches a weight only through a spike.
TEST(GradedSpikesWeightGrad, SpikesOfZeroDoNoWork) {
  WeightGradCase<float, float, float> c(40, 6, 4, math::StraightThrough::kIdentity);
  std::fill(c.spikes.begin(), c.spikes.end(), 1.0F);
  for (std::int64_t pre = 0; pre < 6; ++pre) {
    c.spikes[static_cast<std::size_t>(20 * 6 + pre)] = pre == 2 ? 1.0F : 0.0F;
  }
  c.grad[20 * 4 + 1] = std::numeric_limits<float>::quiet_NaN();
  for_each_run([&](const KernelRun& run) {
    const std::vector<float> result = c.on_device(run);
    for (std::size_t i = 0; i < result.size(); ++i) {
      EXPECT_EQ(std::isnan(result[i]), i == 1 * 6 + 2) << i;
    }
  });
}

/// The ranges of rows depend on the sizes only, and there are several of them here: 20 blocks of rows, one tile.
TEST(GradedSpikesWeightGrad, ManyRowsStayWithinTheBound) {
  if (!kSmallShapes) {
    check_weight_grad<float, float, float>(5000, 3, 4, math::StraightThrough::kIdentity);
  }
}

/// The CPU kernel sums the same blocks of rows; both lie within the bound, so they differ by at most twice that.
TEST(GradedSpikesWeightGrad, NearTheCpuKernel) {
  const WeightGradCase<float, float, float> c(300, 20, 10, math::StraightThrough::kClipped);
  std::vector<float> expected(200);
  kernels::GradedSpikesWeightGradArgs<float, float, float> args = c.args;
  args.grad = c.grad.data();
  args.spikes = c.spikes.data();
  args.weight = c.weight.data();
  args.grad_weight = expected.data();
  kernels::graded_spikes_weight_grad(CpuExec{}, args);
  for_each_run([&](const KernelRun& run) {
    const std::vector<float> result = c.on_device(run);
    for (std::int64_t i = 0; i < 200; ++i) {
      double sum = 0;
      double magnitude = 0;
      c.sums(i / 20, i % 20, &sum, &magnitude);
      const double bound = 2 * 265.0 * std::numeric_limits<float>::epsilon() * magnitude;
      EXPECT_NEAR(result[static_cast<std::size_t>(i)], expected[static_cast<std::size_t>(i)], bound) << i;
    }
  });
}

}  // namespace
}  // namespace gradspike::testing
