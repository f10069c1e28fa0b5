// The exponential of csrc/math/exp.h: accuracy and limits.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <string>

#include "csrc/math/exp.h"

namespace gradspike {
namespace {

/// Seeded numbers, the same on every machine.
class Numbers {
 public:
  explicit Numbers(std::uint32_t seed) : engine_(seed) {}
  double uniform(double lo, double hi) { return lo + (hi - lo) * (engine_() / 4294967296.0); }
  int integer(int lo, int hi) { return lo + static_cast<int>(engine_() % static_cast<unsigned>(hi - lo + 1)); }

 private:
  std::mt19937 engine_;
};

/// Distance to the true value in units in the last place of T, from a wider arithmetic.
template <class T, class Wide>
double error_in_ulp(T x) {
  const Wide exact = std::exp(static_cast<Wide>(x));
  const T nearest = static_cast<T>(exact);
  const T above = std::nextafter(nearest, std::numeric_limits<T>::infinity());
  const Wide unit = static_cast<Wide>(above) - static_cast<Wide>(nearest);
  return static_cast<double>(std::fabs(static_cast<Wide>(math::exponential(x)) - exact) / unit);
}

template <class T>
struct Limits;
template <>
struct Limits<float> {
  using Wide = double;
  static constexpr double kSmallestNormal = -87.33;
};
template <>
struct Limits<double> {
  using Wide = long double;
  static constexpr double kSmallestNormal = -708.39;
};

template <class T>
class Exponential : public testing::Test {};
using Types = testing::Types<float, double>;
TYPED_TEST_SUITE(Exponential, Types);

TYPED_TEST(Exponential, IsWithinOneUnitInTheLastPlace) {
  using T = TypeParam;
  using L = Limits<T>;
  const double top = static_cast<double>(math::ExpConstants<T>::kOverflow);
  Numbers numbers(5);
  double worst = 0.0;
  T at = T{0};
  const auto check = [&](double value) {
    const T x = static_cast<T>(value);
    const double error = error_in_ulp<T, typename L::Wide>(x);
    if (!(error <= worst)) {
      worst = error;
      at = x;
    }
  };
  for (std::int64_t k = 0; k < 400000; ++k) {
    check(numbers.uniform(L::kSmallestNormal, top));
    check(numbers.uniform(-1.0, 1.0));
    check(numbers.uniform(-1.0, 1.0) * std::ldexp(1.0, numbers.integer(-60, 0)));
    // Halfway between multiples of ln 2, where the remainder is largest.
    check((numbers.integer(-120, 120) + 0.5 + numbers.uniform(-1e-6, 1e-6)) * 0.6931471805599453);
  }
  this->RecordProperty("worst_ulp", std::to_string(worst));
  EXPECT_LE(worst, 1.0) << "at " << at;
}

TYPED_TEST(Exponential, OfDenormalResultsIsWithinOneUnit) {
  using T = TypeParam;
  const double bottom = static_cast<double>(math::ExpConstants<T>::kUnderflow);
  Numbers numbers(6);
  for (std::int64_t k = 0; k < 20000; ++k) {
    const T x = static_cast<T>(numbers.uniform(bottom, Limits<T>::kSmallestNormal));
    EXPECT_LE((error_in_ulp<T, typename Limits<T>::Wide>(x)), 1.0) << x;
  }
}

TYPED_TEST(Exponential, HasTheRightLimits) {
  using T = TypeParam;
  using C = math::ExpConstants<T>;
  const T infinity = std::numeric_limits<T>::infinity();
  EXPECT_EQ(math::exponential(T{0}), T{1});
  EXPECT_EQ(math::exponential(-T{0}), T{1});
  EXPECT_EQ(math::exponential(infinity), infinity);
  EXPECT_EQ(math::exponential(-infinity), T{0});
  EXPECT_EQ(math::exponential(std::numeric_limits<T>::max()), infinity);
  EXPECT_EQ(math::exponential(std::numeric_limits<T>::lowest()), T{0});
  EXPECT_EQ(math::exponential(std::numeric_limits<T>::denorm_min()), T{1});
  EXPECT_TRUE(std::isnan(math::exponential(std::numeric_limits<T>::quiet_NaN())));
  EXPECT_TRUE(std::isfinite(math::exponential(C::kOverflow)));
  EXPECT_EQ(math::exponential(std::nextafter(C::kOverflow, infinity)), infinity);
  EXPECT_EQ(math::exponential(std::nextafter(C::kUnderflow, -infinity)), T{0});
}

TYPED_TEST(Exponential, NeverFallsFromOneStepToTheNextByMoreThanItsError) {
  using T = TypeParam;
  T x = T{-2};
  T before = math::exponential(x);
  for (std::int64_t k = 0; k < 200000; ++k) {
    x = std::nextafter(x, T{4});
    const T now = math::exponential(x);
    EXPECT_GE(now, std::nextafter(before, T{0})) << x;
    before = now;
  }
}

}  // namespace
}  // namespace gradspike
