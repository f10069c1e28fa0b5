// The continuous-time neuron against a fine Runge-Kutta integration of its equation.
#include "csrc/math/continuous_lif.h"

#include <gtest/gtest.h>

#include <random>

namespace gradspike::math {
namespace {

struct Derivative {
  double v, e, i;
};

Derivative slope(const ContinuousLif& n, double v, double e, double i) {
  return {n.mem_rate * (n.leak - v) + n.gain * (e + i), -n.exc_rate * e, -n.inh_rate * i};
}

/// Classical fourth-order step.
ContinuousState runge_kutta(const ContinuousLif& n, const ContinuousState& s, double h) {
  const Derivative a = slope(n, s.membrane, s.exc, s.inh);
  const Derivative b = slope(n, s.membrane + h / 2 * a.v, s.exc + h / 2 * a.e, s.inh + h / 2 * a.i);
  const Derivative c = slope(n, s.membrane + h / 2 * b.v, s.exc + h / 2 * b.e, s.inh + h / 2 * b.i);
  const Derivative d = slope(n, s.membrane + h * c.v, s.exc + h * c.e, s.inh + h * c.i);
  return {s.membrane + h / 6 * (a.v + 2 * b.v + 2 * c.v + d.v), s.exc + h / 6 * (a.e + 2 * b.e + 2 * c.e + d.e),
          s.inh + h / 6 * (a.i + 2 * b.i + 2 * c.i + d.i)};
}

class Neurons {
 public:
  ContinuousLif neuron() {
    ContinuousLif n;
    n.mem_rate = 1e6 / uniform(1, 30);
    n.exc_rate = separated_rate(chance() ? n.mem_rate : 1e6 / uniform(0.5, 30), n.mem_rate);
    n.inh_rate = chance() ? n.exc_rate : separated_rate(1e6 / uniform(0.5, 30), n.mem_rate);
    n.gain = n.mem_rate * uniform(0.3, 2);
    n.leak = chance() ? 0 : uniform(-0.5, 1.2);
    n.reset = 0;
    n.threshold = 1;
    return n;
  }
  ContinuousState state() { return {uniform(-1, 1), uniform(0, 6), -uniform(0, 6)}; }

 private:
  double uniform(double low, double high) { return std::uniform_real_distribution<double>(low, high)(random_); }
  bool chance() { return random_() % 3 == 0; }
  std::mt19937_64 random_{7};
};

TEST(ContinuousLif, EvolvesAsItsEquationSays) {
  Neurons neurons;
  for (int k = 0; k < 200; ++k) {
    const ContinuousLif n = neurons.neuron();
    const ContinuousState start = neurons.state();
    ContinuousState plain = start;
    const double h = 2e-9;
    for (int step = 0; step < 5000; ++step) {
      plain = runge_kutta(n, plain, h);
    }
    const ContinuousState exact = evolve(n, start, 5000 * h);
    EXPECT_NEAR(exact.membrane, plain.membrane, 1e-8) << k;
    EXPECT_NEAR(exact.exc, plain.exc, 1e-9);
    EXPECT_NEAR(exact.inh, plain.inh, 1e-9);
  }
}

TEST(ContinuousLif, CrossesWhereAFineIntegrationDoes) {
  Neurons neurons;
  const double horizon = 60e-6;
  const double h = 10e-9;
  int crossed = 0;
  for (int k = 0; k < 2000; ++k) {
    const ContinuousLif n = neurons.neuron();
    const ContinuousState start = neurons.state();
    double expected = std::numeric_limits<double>::infinity();
    double highest = start.membrane;
    ContinuousState plain = start;
    for (int step = 0; step < static_cast<int>(horizon / h); ++step) {
      const ContinuousState next = runge_kutta(n, plain, h);
      highest = std::max(highest, next.membrane);
      if (next.membrane > n.threshold) {
        expected = h * (step + (n.threshold - plain.membrane) / (next.membrane - plain.membrane));
        break;
      }
      plain = next;
    }
    if (std::fabs(highest - n.threshold) < 1e-6) {
      continue;  // touches it: a matter of rounding
    }
    const double found = next_crossing(n, start, horizon);
    if (std::isinf(expected)) {
      EXPECT_TRUE(std::isinf(found)) << k << " " << found;
    } else {
      EXPECT_NEAR(found, expected, 50e-12) << k;  // interpolated between steps of 10 ns
      EXPECT_NEAR(evolve(n, start, found).membrane, n.threshold, 1e-6);
      ++crossed;
    }
  }
  EXPECT_GT(crossed, 400);
  EXPECT_LT(crossed, 1600);
}

TEST(ContinuousLif, AMembraneAboveItsThresholdHasCrossed) {
  ContinuousLif n = Neurons().neuron();
  EXPECT_EQ(next_crossing(n, {n.threshold + 1e-9, 0, 0}, 1.0), 0.0);
}

TEST(ContinuousLif, FarHorizonsAndTimeConstantsDoNotOverflow) {
  for (const double mem : {0.5e-6, 60e-6}) {
    for (const double exc : {0.3e-6, 30e-6}) {
      for (const double inh : {0.3e-6, 30e-6}) {
        ContinuousLif n;
        n.mem_rate = 1 / mem;
        n.exc_rate = separated_rate(1 / exc, n.mem_rate);
        n.inh_rate = separated_rate(1 / inh, n.mem_rate);
        n.gain = n.mem_rate;
        n.threshold = 1;
        EXPECT_TRUE(std::isinf(next_crossing(n, {0, 1.2, -1.1}, 10.0)) || mem < 1e-6 || exc != inh);
        EXPECT_GT(next_crossing(n, {0, 500, 0}, 10.0), 0.0);
        EXPECT_LT(next_crossing(n, {0, 500, 0}, 10.0), 1e-6);
      }
    }
  }
}

TEST(ContinuousLif, TheEulerStepIsTheOneOfTheTrainingOperators) {
  const double dt = 1e-9;
  const LifCoefficients<float> c{
      static_cast<float>(dt / 10e-6), 1.0F, static_cast<float>(1 - dt / 5e-6), 0.1F, 0.0F, 1.0F, 2000.0F};
  const ContinuousLif n = continuous(c, dt);
  EXPECT_NEAR(n.mem_rate, 1e5, 1);
  EXPECT_NEAR(n.exc_rate, 2e5, 2e5 * 1e-3);  // 1 - d is exact to one unit in the last place of 1
  EXPECT_NEAR(n.refractory_time, 2e-6, 1e-12);
  LifState<float> step{1.5F, 0.2F, 0.0F};
  for (int k = 0; k < 4000; ++k) {
    lif_step<true>(step, 0.0F, c);
  }
  const ContinuousState exact = evolve(n, {static_cast<double>(0.2F), 1.5, 0}, 4000 * dt);
  EXPECT_NEAR(exact.membrane, step.membrane, 2e-4);
}

TEST(ContinuousLif, AMatchedNeuronHasTheMembraneOfTheStepsAtEveryStep) {
  for (const float decay : {0.75F, 0.8F, 0.9F, 0.99F}) {
    const double dt = 1e-6;
    const LifCoefficients<float> c{0.125F, 2.0F, decay, 0.25F, 0.0F, 1e9F, 3.0F};
    const ContinuousLif n = matched(c, dt);
    EXPECT_NEAR(n.refractory_time, 3.5e-6, 1e-15);
    LifState<double> step{1.5, 0.5, 0.0};
    const LifCoefficients<double> exact{0.125, 2.0, static_cast<double>(decay), 0.25, 0.0, 1e9, 3.0};
    const ContinuousState start{0.5, 2.0, -0.5};
    for (int k = 1; k < 100; ++k) {
      lif_step<true>(step, 0.0, exact);
      EXPECT_NEAR(evolve(n, start, k * dt).membrane, step.membrane, 1e-5) << decay << " " << k;
    }
  }
}

TEST(ContinuousLif, WhereNoNeuronMatchesTheStepsTheTimeConstantsStay) {
  const LifCoefficients<float> c{1.5F, 1.0F, 0.5F, 0.0F, 0.0F, 1.0F, 0.0F};
  EXPECT_EQ(matched(c, 1e-6).mem_rate, continuous(c, 1e-6).mem_rate);
}

}  // namespace
}  // namespace gradspike::math
