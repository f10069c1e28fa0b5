// Every instruction set gives the bits of the generic one.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <random>

#include "csrc/core/error.h"
#include "csrc/cpu/isa.h"
#include "csrc/kernels/aelif.h"
#include "csrc/kernels/eventprop.h"
#include "csrc/kernels/graded_spikes.h"
#include "csrc/kernels/lif.h"
#include "csrc/kernels/recurrent_lif.h"
#include "csrc/kernels/synapse_lif.h"
#include "csrc/kernels/weights.h"

namespace gradspike {
namespace {

class IsaTest : public testing::TestWithParam<cpu::Isa> {
 protected:
  void SetUp() override {
    before_ = cpu::active_isa();
    if (!cpu::is_supported(GetParam())) {
      GTEST_SKIP() << "this machine has no " << cpu::to_string(GetParam());
    }
  }
  void TearDown() override { cpu::set_active_isa(before_); }

  /// Runs `kernel` into a fresh result under the generic and the tested instruction set and compares the bytes.
  template <class T, class F>
  void expect_same_bits(std::size_t count, F&& kernel) {
    std::vector<T> expected(count, T{-1});
    std::vector<T> actual(count, T{-2});
    cpu::set_active_isa(cpu::Isa::kGeneric);
    kernel(expected.data());
    cpu::set_active_isa(GetParam());
    kernel(actual.data());
    for (std::size_t k = 0; k < count; ++k) {
      ASSERT_EQ(0, std::memcmp(&expected[k], &actual[k], sizeof(T)))
          << "element " << k << ": " << +expected[k] << " and " << +actual[k];
    }
  }

  std::mt19937 random_{7};
  cpu::Isa before_ = cpu::Isa::kGeneric;
  CpuExec exec_;
};

TEST_P(IsaTest, ProductsOfEveryDensityAndWidth) {
  for (const std::int64_t in : {1, 5, 64, 257}) {
    for (const std::int64_t out : {1, 3, 63, 64, 130}) {
      for (const double density : {0.0, 0.03, 0.3, 1.0}) {
        const std::int64_t rows = 9;
        std::vector<float> spikes(static_cast<std::size_t>(rows * in));
        std::vector<std::int8_t> weights(static_cast<std::size_t>(in * out));
        for (float& s : spikes) {
          s = std::bernoulli_distribution(density)(random_) ? static_cast<float>(1 + random_() % 127) : 0.0F;
        }
        spikes[0] = in > 1 ? 0.5F : spikes[0];  // the first row takes the path for values that are no counts
        for (std::int8_t& w : weights) {
          w = static_cast<std::int8_t>(static_cast<int>(random_() % 255) - 127);
        }
        expect_same_bits<float>(static_cast<std::size_t>(rows * out), [&](float* result) {
          kernels::graded_spikes(exec_, kernels::GradedSpikesArgs<float, std::int8_t, float>{
                                            spikes.data(), weights.data(), result, rows, in, out, 0.1F, false});
        });
      }
    }
  }
}

TEST_P(IsaTest, WeightGradients) {
  const std::int64_t rows = 700;
  const std::int64_t in = 37;
  const std::int64_t out = 85;
  std::vector<float> spikes(static_cast<std::size_t>(rows * in));
  std::vector<float> grad(static_cast<std::size_t>(rows * out));
  std::vector<float> weight(static_cast<std::size_t>(in * out));
  std::normal_distribution<float> normal;
  for (float& s : spikes) {
    s = random_() % 8 == 0 ? static_cast<float>(1 + random_() % 3) : 0.0F;
  }
  for (float& g : grad) {
    g = normal(random_);
  }
  for (float& w : weight) {
    w = normal(random_);
  }
  expect_same_bits<float>(weight.size(), [&](float* result) {
    kernels::graded_spikes_weight_grad(
        exec_, kernels::GradedSpikesWeightGradArgs<float, float, float>{grad.data(),
                                                                        spikes.data(),
                                                                        weight.data(),
                                                                        result,
                                                                        rows,
                                                                        in,
                                                                        out,
                                                                        1.0F / 24.0F,
                                                                        {24.0F, -63.0, 63.0},
                                                                        math::StraightThrough::kClipped});
  });
}

TEST_P(IsaTest, NeuronTracesWithAndWithoutRefractoryTime) {
  const std::int64_t time = 60;
  const std::int64_t batch = 3;
  const std::int64_t neurons = 41;
  const auto elements = static_cast<std::size_t>(batch * neurons);
  std::vector<float> input(static_cast<std::size_t>(time) * elements);
  std::normal_distribution<float> normal(0.3F, 1.0F);
  for (float& x : input) {
    x = normal(random_);
  }
  for (const float refractory : {0.0F, 3.0F}) {
    const std::vector<float> coefficients = {0.1F, 1.1F, 0.83F, 0.05F, -0.1F, 1.0F, refractory};
    expect_same_bits<float>(input.size() * 2, [&](float* result) {
      std::vector<float> spikes(input.size());
      std::vector<float> state(3 * elements);
      kernels::lif_forward(exec_, kernels::LifForwardArgs<float>{input.data(),
                                                                 {coefficients.data(), 1},
                                                                 nullptr,
                                                                 {},
                                                                 {},
                                                                 spikes.data(),
                                                                 result,
                                                                 result + input.size(),
                                                                 nullptr,
                                                                 state.data(),
                                                                 time,
                                                                 batch,
                                                                 neurons});
    });
  }
}

/// Forward and backward of every choice of terms.
TEST_P(IsaTest, AdaptiveExponentialNeurons) {
  const std::int64_t time = 40;
  const std::int64_t batch = 3;
  const std::int64_t neurons = 41;
  const auto elements = static_cast<std::size_t>(batch * neurons);
  const std::size_t count = static_cast<std::size_t>(time) * elements;
  std::vector<float> input(count);
  std::vector<float> grad(count);
  std::normal_distribution<float> normal(0.3F, 1.0F);
  for (std::size_t k = 0; k < count; ++k) {
    input[k] = normal(random_);
    grad[k] = normal(random_);
  }
  for (unsigned bits = 0; bits < 64; ++bits) {
    const auto bit = [&](unsigned k) { return ((bits >> k) & 1U) != 0; };
    const math::AdexTerms terms{bit(0), bit(1), bit(2), bit(3), bit(4)};
    const std::vector<float> coefficients = {0.1F,  1.1F, 0.83F, 0.05F, -0.1F, 1.0F, bit(5) ? 3.0F : 0.0F,
                                             0.22F, 0.2F, 0.7F,  0.98F, 0.02F, 0.3F};
    expect_same_bits<float>(count * 5, [&](float* result) {
      std::vector<float> spikes(count);
      std::vector<float> saved(count);
      std::vector<std::uint8_t> blocked(count);
      std::vector<float> state(4 * elements);
      kernels::aelif_forward(exec_, kernels::AdexForwardArgs<float>{input.data(),
                                                                    {coefficients.data(), 1},
                                                                    terms,
                                                                    nullptr,
                                                                    {},
                                                                    {},
                                                                    {},
                                                                    spikes.data(),
                                                                    result,
                                                                    result + count,
                                                                    result + 2 * count,
                                                                    saved.data(),
                                                                    blocked.data(),
                                                                    state.data(),
                                                                    time,
                                                                    batch,
                                                                    neurons});
      std::copy(spikes.begin(), spikes.end(), result + 3 * count);
      kernels::aelif_backward(exec_, kernels::AdexBackwardArgs<float>{grad.data(),
                                                                      grad.data(),
                                                                      nullptr,
                                                                      grad.data(),
                                                                      nullptr,
                                                                      saved.data(),
                                                                      blocked.data(),
                                                                      nullptr,
                                                                      nullptr,
                                                                      {coefficients.data(), 1},
                                                                      terms,
                                                                      nullptr,
                                                                      {},
                                                                      {},
                                                                      static_cast<math::Surrogate>(bits % 7),
                                                                      2.0,
                                                                      result + 4 * count,
                                                                      nullptr,
                                                                      nullptr,
                                                                      time,
                                                                      batch,
                                                                      neurons});
    });
  }
}

TEST_P(IsaTest, EventPropForwardAndBackward) {
  const std::int64_t time = 60;
  const std::int64_t batch = 3;
  const std::int64_t neurons = 41;
  const auto elements = static_cast<std::size_t>(time * batch * neurons);
  std::vector<float> input(elements);
  std::vector<float> grad(elements);
  std::normal_distribution<float> normal(0.3F, 1.0F);
  for (std::size_t k = 0; k < elements; ++k) {
    input[k] = normal(random_);
    grad[k] = normal(random_);
  }
  const std::vector<float> scheme = {0.1F, 0.9F, 0.12F, 0.88F, 1.2F, 0.05F, -0.1F, 1.0F};
  expect_same_bits<float>(elements * 4, [&](float* result) {
    float* const saved = result + elements;
    kernels::eventprop_forward(
        exec_, kernels::EventPropForwardArgs<float>{
                   input.data(), {scheme.data(), 1}, {}, {}, nullptr, result, nullptr, saved, time, batch, neurons});
    kernels::eventprop_backward(
        exec_, kernels::EventPropBackwardArgs<float, kernels::EventPropTable<float>>{grad.data(),
                                                                                     saved,
                                                                                     {scheme.data(), 1},
                                                                                     result + 2 * elements,
                                                                                     result + 3 * elements,
                                                                                     time,
                                                                                     batch,
                                                                                     neurons});
  });
  for (const float refractory : {0.0F, 3.0F}) {
    const std::vector<float> coefficients = {0.1F, 1.1F, 0.83F, 0.05F, -0.1F, 1.0F, refractory};
    expect_same_bits<float>(elements * 4, [&](float* result) {
      std::vector<float> state(static_cast<std::size_t>(3 * batch * neurons));
      float* const saved = result + elements;
      kernels::exact_eventprop_forward(exec_, kernels::LifForwardArgs<float>{input.data(),
                                                                             {coefficients.data(), 1},
                                                                             nullptr,
                                                                             {},
                                                                             {},
                                                                             nullptr,
                                                                             result,
                                                                             nullptr,
                                                                             saved,
                                                                             state.data(),
                                                                             time,
                                                                             batch,
                                                                             neurons});
      kernels::exact_eventprop_backward(
          exec_, kernels::EventPropBackwardArgs<float, kernels::CoefficientTable<float>>{grad.data(),
                                                                                         saved,
                                                                                         {coefficients.data(), 1},
                                                                                         result + 2 * elements,
                                                                                         result + 3 * elements,
                                                                                         time,
                                                                                         batch,
                                                                                         neurons});
    });
  }
}

TEST_P(IsaTest, SynapsesAndNeuronsInOne) {
  const std::int64_t time = 9;
  const std::int64_t batch = 70;
  const std::int64_t in = 37;
  for (const std::int64_t neurons : {5, 64, 150}) {
    for (const std::int64_t segment : {0, 4}) {
      const auto elements = static_cast<std::size_t>(batch * neurons);
      std::vector<float> spikes(static_cast<std::size_t>(time * batch * in));
      for (float& s : spikes) {
        s = random_() % 6 == 0 ? static_cast<float>(1 + random_() % 2) : 0.0F;
      }
      std::vector<std::int8_t> weights(static_cast<std::size_t>(neurons * in));
      for (std::int8_t& w : weights) {
        w = static_cast<std::int8_t>(static_cast<int>(random_() % 127) - 63);
      }
      std::vector<float> grad(elements * static_cast<std::size_t>(time));
      std::normal_distribution<float> normal;
      for (float& g : grad) {
        g = normal(random_);
      }
      const std::vector<float> coefficients = {0.1F, 1.1F, 0.83F, 0.05F, -0.1F, 1.0F, 1.0F};
      const kernels::SynapseDrive<float, std::int8_t, float> drive{spikes.data(), weights.data(), nullptr, in,
                                                                   1.0F / 32.0F,  false,          false};
      expect_same_bits<float>(grad.size() * 3 + weights.size(), [&](float* result) {
        std::vector<float> kept(grad.size() + 9 * elements);
        std::vector<float> state(3 * elements);
        float* saved = segment == 0 ? kept.data() : nullptr;
        float* checkpoints = segment == 0 ? nullptr : kept.data();
        kernels::synapse_lif_forward(
            exec_, kernels::SynapseLifForwardArgs<float, std::int8_t, float>{drive,
                                                                             {coefficients.data(), 1},
                                                                             nullptr,
                                                                             {},
                                                                             {},
                                                                             result,
                                                                             kernels::SpikeFormat::kFloat,
                                                                             result + grad.size(),
                                                                             nullptr,
                                                                             saved,
                                                                             checkpoints,
                                                                             state.data(),
                                                                             segment,
                                                                             time,
                                                                             batch,
                                                                             neurons});
        kernels::synapse_lif_backward(
            exec_, kernels::SynapseLifBackwardArgs<float, std::int8_t, float>{drive,
                                                                              {grad.data(),
                                                                               nullptr,
                                                                               nullptr,
                                                                               nullptr,
                                                                               saved,
                                                                               nullptr,
                                                                               {coefficients.data(), 1},
                                                                               nullptr,
                                                                               {},
                                                                               {},
                                                                               math::Surrogate::kSuperspike,
                                                                               50.0,
                                                                               result + 2 * grad.size(),
                                                                               nullptr,
                                                                               nullptr,
                                                                               time,
                                                                               batch,
                                                                               neurons},
                                                                              checkpoints,
                                                                              segment,
                                                                              1.0F / 32.0F,
                                                                              result + 3 * grad.size()});
      });
    }
  }
}

TEST_P(IsaTest, RecurrentRunsForwardAndBackward) {
  const std::int64_t time = 40;
  const std::int64_t batch = 7;
  const std::int64_t in = 30;
  const std::int64_t neurons = 83;
  const auto elements = static_cast<std::size_t>(batch * neurons);
  const std::size_t count = static_cast<std::size_t>(time) * elements;
  std::vector<float> spikes(static_cast<std::size_t>(time * batch * in));
  std::vector<std::int8_t> input(static_cast<std::size_t>(in * neurons));
  std::vector<std::int8_t> recurrent(static_cast<std::size_t>(neurons * neurons));
  for (float& s : spikes) {
    s = random_() % 8 == 0 ? 1.0F : 0.0F;
  }
  for (std::vector<std::int8_t>* weights : {&input, &recurrent}) {
    for (std::int8_t& q : *weights) {
      q = static_cast<std::int8_t>(static_cast<int>(random_() % 127) - 63);
    }
  }
  const kernels::ProjectionWeights feedback{recurrent.data(), kernels::WeightForm::kInt8, 0.02F, false};
  const std::vector<float> coefficients = {0.1F, 1.1F, 0.83F, 0.05F, -0.1F, 1.0F, 1.0F};
  std::vector<float> grad(count);
  std::normal_distribution<float> normal;
  for (float& g : grad) {
    g = normal(random_);
  }
  expect_same_bits<float>(count * 2, [&](float* result) {
    std::vector<float> state(4 * elements);
    kernels::recurrent_lif_forward(
        exec_, kernels::RecurrentLifForwardArgs<float, float>{spikes.data(),
                                                              {input.data(), kernels::WeightForm::kInt8, 0.05F, false},
                                                              feedback,
                                                              {coefficients.data(), 1},
                                                              nullptr,
                                                              {},
                                                              {},
                                                              nullptr,
                                                              nullptr,
                                                              nullptr,
                                                              result,
                                                              nullptr,
                                                              0,
                                                              state.data(),
                                                              time,
                                                              batch,
                                                              neurons,
                                                              in});
    kernels::recurrent_lif_backward(exec_, kernels::RecurrentLifBackwardArgs<float>{{nullptr,
                                                                                     grad.data(),
                                                                                     nullptr,
                                                                                     nullptr,
                                                                                     result,
                                                                                     nullptr,
                                                                                     {coefficients.data(), 1},
                                                                                     nullptr,
                                                                                     {},
                                                                                     {},
                                                                                     math::Surrogate::kSuperspike,
                                                                                     5.0,
                                                                                     result + count,
                                                                                     nullptr,
                                                                                     nullptr,
                                                                                     time,
                                                                                     batch,
                                                                                     neurons},
                                                                                    feedback,
                                                                                    nullptr,
                                                                                    false});
  });
}

TEST_P(IsaTest, WeightsAndTheirGradients) {
  std::vector<float> weight(1003);
  std::vector<float> grad(weight.size());
  std::normal_distribution<float> normal(0.0F, 3.0F);
  for (std::size_t k = 0; k < weight.size(); ++k) {
    weight[k] = k % 7 == 0 ? static_cast<float>(static_cast<int>(k % 11)) / 2.0F : normal(random_);
    grad[k] = normal(random_);
  }
  weight[5] = std::numeric_limits<float>::quiet_NaN();
  weight[6] = std::numeric_limits<float>::infinity();
  const math::WeightTransform transform{20.0F, -63.0, 63.0, math::Rounding::kHalfAway};
  const auto count = static_cast<std::int64_t>(weight.size());
  expect_same_bits<std::int16_t>(weight.size(), [&](std::int16_t* result) {
    kernels::hardware_weights(
        exec_, kernels::HardwareWeightsArgs<float, std::int16_t>{weight.data(), result, count, transform});
  });
  for (const auto rule : {math::StraightThrough::kClipped, math::StraightThrough::kReturning}) {
    expect_same_bits<float>(weight.size(), [&](float* result) {
      kernels::straight_through(
          exec_, kernels::StraightThroughArgs<float>{grad.data(), weight.data(), result, count, transform, rule});
    });
  }
}

INSTANTIATE_TEST_SUITE_P(All, IsaTest, testing::Values(cpu::Isa::kAvx2, cpu::Isa::kAvx512),
                         [](const auto& info) { return cpu::to_string(info.param); });

}  // namespace
}  // namespace gradspike
