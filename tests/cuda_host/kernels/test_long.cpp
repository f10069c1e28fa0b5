// Many element-steps: the CUDA kernel of lif, run on the CPU, gives the bits of the CPU kernel, membranes included.
#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <vector>

#include "csrc/kernels/lif.h"

namespace gradspike::testing {
namespace {

constexpr std::int64_t kTime = 200;
constexpr std::int64_t kBatch = 250;
constexpr std::int64_t kNeurons = 128;
constexpr std::int64_t kRuns = 16;
constexpr std::size_t kElements = kTime * kBatch * kNeurons;

struct Traces {
  std::vector<float> spikes = std::vector<float>(kElements, -1.0F);
  std::vector<float> membrane = std::vector<float>(kElements, -1.0F);
  std::vector<float> current = std::vector<float>(kElements, -1.0F);
  std::vector<float> state = std::vector<float>(3 * kBatch * kNeurons, -1.0F);
};

template <class Exec>
void run(const Exec& exec, const std::vector<float>& input, const std::vector<float>& coefficients, Traces& traces) {
  kernels::LifForwardArgs<float> args{};
  args.input = input.data();
  args.coefficients = {coefficients.data(), kNeurons};
  args.spikes = traces.spikes.data();
  args.membrane = traces.membrane.data();
  args.current = traces.current.data();
  args.final_state = traces.state.data();
  args.time = kTime;
  args.batch = kBatch;
  args.neuron = kNeurons;
  kernels::lif_forward(exec, args);
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

TEST(Long, AHundredMillionElementSteps) {
  static_assert(kElements * kRuns >= 100'000'000);
  std::mt19937 random(11);
  std::normal_distribution<float> normal(0.1F, 0.5F);
  std::uniform_real_distribution<float> spread(0.8F, 1.2F);
  double spikes = 0.0;
  for (std::int64_t k = 0; k < kRuns; ++k) {
    std::vector<float> input(kElements);
    for (float& x : input) {
      x = normal(random);
    }
    std::vector<float> coefficients;
    for (const float middle : {0.12F, 1.0F, 0.83F, 0.05F, 0.0F, 1.0F}) {
      for (std::int64_t n = 0; n < kNeurons; ++n) {
        coefficients.push_back(middle * spread(random));
      }
    }
    for (std::int64_t n = 0; n < kNeurons; ++n) {
      coefficients.push_back(static_cast<float>((k + n) % 4));  // refractory steps
    }
    Traces expected;
    Traces actual;
    run(CpuExec{}, input, coefficients, expected);
    run(CudaExec{}, input, coefficients, actual);
    ASSERT_TRUE(same_bits(expected.membrane, actual.membrane)) << "run " << k;
    ASSERT_TRUE(same_bits(expected.spikes, actual.spikes)) << "run " << k;
    ASSERT_TRUE(same_bits(expected.current, actual.current)) << "run " << k;
    ASSERT_TRUE(same_bits(expected.state, actual.state)) << "run " << k;
    for (const float z : expected.spikes) {
      spikes += z;
    }
  }
  const double rate = spikes / static_cast<double>(kElements * kRuns);
  EXPECT_GT(rate, 0.005);
  EXPECT_LT(rate, 0.5);
}

}  // namespace
}  // namespace gradspike::testing
