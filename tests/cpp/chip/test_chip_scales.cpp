// Measured gains against the constants that the analog emulator was given.
#include <gtest/gtest.h>

#include "csrc/chip/scales.h"
#include "csrc/core/error.h"
#include "tests/cpp/chip/networks.h"

namespace gradspike::chip {
namespace {

std::vector<ScaleMeasurement> measure(const Network& network, const std::string& preset,
                                      const std::map<std::string, double>& constants = {}) {
  CompileOptions options;
  options.preset = preset;
  options.constants = constants;
  return measure_scales(network, *find_backend("emulator"), options);
}

TEST(Scales, OnTheIdealEmulatorTheGainIsOne) {
  for (const ScaleMeasurement& m : measure(test::yin_yang(), "ideal")) {
    EXPECT_DOUBLE_EQ(m.gain, 1.0) << m.projection;
    EXPECT_NEAR(m.gain_spread, 0.0, 1e-12);
    EXPECT_EQ(m.offset, 0.0);
    EXPECT_EQ(m.noise, 0.0);
    EXPECT_EQ(m.suggested_scale, m.scale);
  }
}

TEST(Scales, StepsThatAreNotMatchedShowTheGainOfEuler) {
  // tau = 10 steps both: Euler's potential peaks at 9 (1 - 1/10)^8 / 10 = 0.387, the exact one at exp(-1) = 0.368.
  const std::vector<ScaleMeasurement> m = measure(test::yin_yang(), "noiseless", {{"matched_steps", 0}});
  ASSERT_EQ(m.size(), 2U);
  EXPECT_NEAR(m[0].gain, 0.368 / 0.387, 0.02);
  EXPECT_NEAR(measure(test::yin_yang(), "noiseless")[0].gain, 1.0, 0.01);
}

TEST(Scales, SpreadsOffsetsAndNoiseAreThoseOfTheChip) {
  const ScaleMeasurement m = measure(test::yin_yang(), "noiseless",
                                     {{"circuit_gain_spread", 0.1}, {"cadc_offset_spread", 4}, {"cadc_noise", 2}})[0];
  EXPECT_NEAR(m.gain, 1.0, 0.03);
  EXPECT_GT(m.gain_spread, 0.07);
  EXPECT_NEAR(m.offset_spread, 4.0 / 45, 0.02);
  EXPECT_NEAR(m.noise, 2.0 / 45, 0.015);  // interpolation between samples averages some of it
  EXPECT_LT(m.neurons, 512);              // those whose weight is 0 have no response
  EXPECT_GT(m.neurons, 500);
}

TEST(Scales, UnsignedAndStackedProjectionsAreMeasured) {
  Network network = test::layered({5, 20, 3}, Receptor::kExcitatory);
  network.projections[1].max_weight = 189;
  for (const ScaleMeasurement& m : measure(network, "noiseless")) {
    EXPECT_NEAR(m.gain, 1.0, 0.01) << m.projection;
  }
}

TEST(Scales, ReadingsAtTheEndOfTheRangeAreCounted) {
  const std::vector<ScaleMeasurement> m = measure(test::yin_yang(), "noiseless", {{"cadc_lsb_per_unit", 300}});
  EXPECT_GT(m[0].clipped, 0);
  EXPECT_LT(m[0].gain, 0.95);
}

TEST(Scales, AChipThatDoesNotRespondIsAnError) {
  try {
    measure(test::yin_yang(), "noiseless", {{"dead_synapse_rate", 1}});
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("projection \"to1\" on emulator analog preset=noiseless"),
              std::string::npos)
        << error.what();
  }
}

}  // namespace
}  // namespace gradspike::chip
