// The analog emulator against an integration in small steps that knows no events, no mapping and no closed form.
#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <thread>

#include "csrc/chip/analog/constants.h"
#include "csrc/chip/backend.h"
#include "csrc/chip/mapper.h"
#include "csrc/core/error.h"
#include "csrc/math/random.h"
#include "tests/cpp/chip/networks.h"

namespace gradspike::chip {
namespace {

using test::Random;

constexpr std::int64_t kSteps = 60;

struct Case {
  Network network;
  Weights weights;
  std::int64_t batch = 1;
  std::vector<std::uint8_t> spikes;  // [time, batch, input]
};

Case yin_yang_case(std::uint64_t seed, std::int64_t batch, double rate = 0.06) {
  Random random(seed);
  Case c;
  c.network = test::yin_yang();
  c.weights = test::random_weights(c.network, random);
  c.batch = batch;
  for (std::int64_t k = 0; k < kSteps * batch * 5; ++k) {
    c.spikes.push_back(test::chance(random, rate) ? 1 : 0);
  }
  return c;
}

struct Changes {
  std::string preset = "noiseless";
  std::uint64_t seed = 0;
  std::map<std::string, double> constants = {};
};

Observables run(const Case& c, const Changes& changes = {}, const RunOptions& given = {}) {
  CompileOptions compile;
  compile.preset = changes.preset;
  compile.seed = changes.seed;
  compile.constants = changes.constants;
  const auto backend = find_backend("emulator");
  const auto program = backend->compile(c.network, map_network(c.network), c.weights, compile);
  const std::int64_t size = c.network.inputs[0].size;
  RunOptions options = given;
  options.record_membrane = {"*"};
  return backend->run(*program, {{SpikeTensor::Type::kUint8, c.spikes.data(), kSteps, c.batch, size}}, options);
}

/// Small steps: exponential decay of the currents, Euler for the membrane; tau 10 us, gain 1/C = 1e5 per s, refractory
/// for the 2 ns that kPlain allows.
class SmallSteps {
 public:
  explicit SmallSteps(const Case& c) {
    const std::int64_t hidden = c.network.populations[0].size;
    const std::int64_t out = c.network.populations[1].size;
    const auto& to_hidden = c.weights.at("to1").values;
    const auto& to_out = c.weights.at("to2").values;
    std::vector<double> v(static_cast<std::size_t>(hidden)), i(v), held(v), w(static_cast<std::size_t>(out)), j(w);
    const std::int64_t fine = 2000;
    const double h = 1e-6 / static_cast<double>(fine);
    const double decay = std::exp(-h / 10e-6);
    for (std::int64_t t = 0; t + 1 < kSteps; ++t) {
      for (std::int64_t n = 0; n < hidden; ++n) {
        for (std::int64_t k = 0; k < 5; ++k) {
          i[static_cast<std::size_t>(n)] +=
              c.spikes[static_cast<std::size_t>(t * 5 + k)] * to_hidden[static_cast<std::size_t>(n * 5 + k)] / 32.0;
        }
      }
      for (std::int64_t f = 0; f < fine; ++f) {
        for (std::int64_t n = 0; n < hidden; ++n) {
          const auto at = static_cast<std::size_t>(n);
          v[at] = held[at] > 0 ? 0.0 : v[at] + h * 1e5 * (i[at] - v[at]);
          held[at] -= h;
          i[at] *= decay;
          if (v[at] > 1.0) {
            v[at] = 0.0;
            held[at] = 1.9e-9;
            spikes.push_back({n, (static_cast<double>(t) + static_cast<double>(f) / fine) * 1e-6});
            for (std::int64_t o = 0; o < out; ++o) {
              j[static_cast<std::size_t>(o)] += to_out[static_cast<std::size_t>(o * hidden + n)] / 32.0;
            }
          }
        }
        for (std::int64_t o = 0; o < out; ++o) {
          const auto at = static_cast<std::size_t>(o);
          w[at] += h * 1e5 * (j[at] - w[at]);
          j[at] *= decay;
        }
      }
      readout.push_back(w);
    }
  }

  struct Spike {
    std::int64_t neuron;
    double time;
  };
  std::vector<Spike> spikes;
  std::vector<std::vector<double>> readout;  // at the end of steps 0, 1, ...
};

/// Without serialisation and shortest refractory times, so that the plain integration has nothing else to know.
const std::map<std::string, double> kPlain = {
    {"link_interval", 0},   {"bus_interval", 0},    {"refractory_minimum", 1e-9}, {"refractory_clock", 1e9},
    {"membrane_low", -1e5}, {"membrane_high", 1e5}, {"cadc_lsb_per_unit", 1e-3},  {"matched_steps", 0}};

TEST(AnalogEmulator, WithoutNoiseItFiresWhenAFineIntegrationDoes) {
  std::int64_t total = 0;
  std::int64_t unequal = 0;
  for (std::uint64_t seed = 0; seed < 4; ++seed) {
    const Case c = yin_yang_case(seed, 1);
    const SmallSteps plain(c);
    const Observables observed = run(c, {"noiseless", 0, kPlain});
    std::vector<int> expected(static_cast<std::size_t>(kSteps * 120), 0);
    for (const SmallSteps::Spike& spike : plain.spikes) {
      const auto step = static_cast<std::int64_t>(std::ceil(spike.time * 1e6));
      expected[static_cast<std::size_t>(step * 120 + spike.neuron)] = 1;
    }
    for (std::size_t k = 0; k < expected.size(); ++k) {
      total += expected[k];
      unequal += expected[k] != observed.populations[0].spikes[k] ? 1 : 0;
    }
  }
  EXPECT_GT(total, 200);
  EXPECT_LE(unequal, total / 50);  // times near the border of two steps
}

TEST(AnalogEmulator, TheMadcSeesTheMembraneOfAFineIntegration) {
  const Case c = yin_yang_case(5, 1);
  const SmallSteps plain(c);
  RunOptions options;
  options.madc = {"layer2", 1};
  std::map<std::string, double> constants = kPlain;
  constants["cadc_lsb_per_unit"] = 20;
  constants["cadc_zero"] = 128;
  constants["madc_interval"] = 1e-6;
  const Observables observed = run(c, {"noiseless", 0, constants}, options);
  ASSERT_EQ(observed.madc.population, "layer2");
  ASSERT_EQ(observed.madc.samples.size(), static_cast<std::size_t>(kSteps));
  double swing = 0;
  for (std::size_t t = 1; t < observed.madc.samples.size(); ++t) {
    const double expected = 4 * (128 + 20 * plain.readout[t - 1][1]);
    swing = std::max(swing, std::fabs(expected - 512));
    EXPECT_NEAR(observed.madc.samples[t], std::min(std::max(expected, 0.0), 1023.0), 8) << t;
  }
  EXPECT_GT(swing, 40);
}

TEST(AnalogEmulator, SameSeedsGiveTheSameBitsWhateverTheThreads) {
  const Case c = yin_yang_case(1, 100);
  CpuExec threads;
  threads.num_threads = 3;
  threads.parallel_for = [](std::int64_t count, std::int64_t, void* context, CpuExec::Body body) {
    std::vector<std::thread> pool;
    for (std::int64_t k = 0; k < count; ++k) {
      pool.emplace_back([=] { body(context, k, k + 1); });
    }
    for (std::thread& thread : pool) {
      thread.join();
    }
  };
  RunOptions parallel;
  parallel.exec = &threads;
  const Observables a = run(c, {"calibrated", 3});
  const Observables b = run(c, {"calibrated", 3}, parallel);
  EXPECT_EQ(a.populations[0].spikes, b.populations[0].spikes);
  EXPECT_EQ(a.populations[1].membrane, b.populations[1].membrane);
  EXPECT_EQ(a.populations[1].cadc, b.populations[1].cadc);
  EXPECT_EQ(a.losses, b.losses);
  EXPECT_EQ(a.counters.spikes_on_chip, b.counters.spikes_on_chip);
  EXPECT_EQ(a.counters.synapse_events, b.counters.synapse_events);
  EXPECT_EQ(a.target, "emulator analog preset=calibrated seed=3");
}

TEST(AnalogEmulator, ChipAndTrialHaveSeedsOfTheirOwn) {
  const Case c = yin_yang_case(2, 4);
  RunOptions second;
  second.seed = 1;
  const auto spikes = [&c](const Changes& changes, const RunOptions& options = {}) {
    return run(c, changes, options).populations[0].spikes;
  };
  EXPECT_NE(spikes({"calibrated", 0}), spikes({"calibrated", 1}));
  EXPECT_NE(spikes({"calibrated", 0}), spikes({"calibrated", 0}, second));
  EXPECT_EQ(spikes({"noiseless", 0}), spikes({"noiseless", 1}, second));
}

TEST(AnalogEmulator, CurrentsAreLeftOverForTheNextBatchEntry) {
  Case c = yin_yang_case(3, 40);
  std::vector<std::uint8_t> same;  // every entry the same: one spike at its end, too weak to make a neuron fire
  for (std::int64_t k = 0; k < kSteps * c.batch * 5; ++k) {
    same.push_back(k / (c.batch * 5) == kSteps - 2 && k % 5 == 0 ? 1 : 0);
  }
  c.spikes = same;
  const auto entry = [&c](const Observables& observed, std::int64_t b) {
    std::vector<float> membrane;
    for (std::int64_t t = 0; t < kSteps; ++t) {
      for (std::int64_t n = 0; n < 120; ++n) {
        membrane.push_back(observed.populations[0].membrane[static_cast<std::size_t>((t * c.batch + b) * 120 + n)]);
      }
    }
    return membrane;
  };
  const Observables close = run(c);
  EXPECT_EQ(close.counters.spikes_on_chip, 0);
  const auto distance = [](const std::vector<float>& a, const std::vector<float>& b) {
    float largest = 0;
    for (std::size_t k = 0; k < a.size(); ++k) {
      largest = std::max(largest, std::fabs(a[k] - b[k]));
    }
    return largest;
  };
  EXPECT_GT(distance(entry(close, 0), entry(close, 1)), 0.2F);
  EXPECT_LE(distance(entry(close, 31), entry(close, 32)), 1.1F / 45.0F);  // across a block, to the LSB
  RunOptions patient;
  patient.inter_batch_wait = 2e-3;
  const Observables apart = run(c, {}, patient);
  EXPECT_EQ(entry(apart, 0), entry(apart, 1));
  EXPECT_NEAR(apart.timing.at("chip"), 40 * (2e-3 + 5e-6), 1e-9);
  EXPECT_NEAR(close.timing.at("chip"), 40 * (60e-6 + 5e-6), 1e-9);
}

TEST(AnalogEmulator, RefractoryTimesAreThoseOfTheCounter) {
  Case c = yin_yang_case(4, 1, 0.5);
  c.network.populations[0] = test::population("layer1", NeuronKind::kLif, 120, 7.0F);
  std::fill(c.weights.at("to1").values.begin(), c.weights.at("to1").values.end(), std::int16_t{63});
  c.weights.at("to1").hash = content_hash(c.network.projections[0], c.weights.at("to1").values);
  const Observables observed = run(c);
  std::int64_t last = -100;
  std::int64_t closest = 100;
  for (std::int64_t t = 0; t < kSteps; ++t) {
    if (observed.populations[0].spikes[static_cast<std::size_t>(t * 120)] != 0) {
      closest = std::min(closest, t - last);
      last = t;
    }
  }
  EXPECT_GE(closest, 7);
  EXPECT_LE(closest, 9);
}

TEST(AnalogEmulator, FullLinksAndBusesDropEventsAndSayHowMany) {
  const Case c = yin_yang_case(6, 2, 1.0);
  const Observables slow = run(c, {"noiseless", 0, {{"link_interval", 1e-6}, {"link_max_lateness", 3e-6}}});
  EXPECT_GT(slow.losses.at("events_late"), 0);
  EXPECT_EQ(slow.counters.events_dropped, slow.losses.at("events_late") + slow.losses.at("bus_overflows"));
  const Observables narrow = run(c, {"noiseless", 0, {{"bus_interval", 1e-6}, {"bus_queue", 1}}});
  EXPECT_GT(narrow.losses.at("bus_overflows"), 0);
  EXPECT_EQ(narrow.losses.at("events_late"), 0);
  const Observables free = run(c);
  EXPECT_EQ(free.counters.events_dropped, 0);
}

TEST(AnalogEmulator, RangesSaturateAndSaySo) {
  const Case c = yin_yang_case(7, 2, 0.5);
  const Observables rails = run(c, {"noiseless", 0, {{"membrane_low", 70}, {"membrane_high", 90}}});
  EXPECT_GT(rails.losses.at("membrane_clipped"), 0);
  const Observables currents = run(c, {"noiseless", 0, {{"current_limit", 0.5}}});
  EXPECT_GT(currents.losses.at("current_clipped"), 0);
  const Observables samples = run(c, {"noiseless", 0, {{"cadc_lsb_per_unit", 1000}, {"membrane_high", 1e5}}});
  EXPECT_GT(samples.losses.at("cadc_samples_clipped"), 0);
  for (const std::int16_t sample : samples.populations[1].cadc) {
    EXPECT_TRUE(sample >= 0 && sample <= 255);
  }
}

TEST(AnalogEmulator, SamplesBeyondTheMemoryAreDroppedAndTheTraceStaysConstant) {
  const Case c = yin_yang_case(8, 1, 0.3);
  const Observables few = run(c, {"noiseless", 0, {{"cadc_max_samples", 5}}});
  EXPECT_EQ(few.cadc_times.size(), 5U);
  EXPECT_EQ(few.losses.at("cadc_samples_dropped"), (30 - 5) * 123);
  const std::vector<float>& membrane = few.populations[1].membrane;
  for (std::int64_t t = 9; t < kSteps; ++t) {
    EXPECT_EQ(membrane[static_cast<std::size_t>(t * 3)], membrane[8 * 3]);
  }
}

TEST(AnalogEmulator, DeadSynapsesAndSpreadsChangeTheCharge) {
  const Case c = yin_yang_case(9, 2, 0.2);
  EXPECT_EQ(run(c, {"noiseless", 0, {{"dead_synapse_rate", 1}}}).counters.spikes_on_chip, 0);
  const std::vector<std::uint8_t> plain = run(c).populations[0].spikes;
  for (const char* name : {"circuit_gain_spread", "row_gain_spread", "synapse_gain_spread", "tau_mem_spread",
                           "tau_syn_spread", "threshold_spread", "threshold_offset", "threshold_trial_spread"}) {
    EXPECT_NE(run(c, {"noiseless", 0, {{name, 0.3}}}).populations[0].spikes, plain) << name;
  }
  EXPECT_NE(run(c, {"noiseless", 0, {{"spike_jitter", 0.5}}}).populations[0].spikes, plain);
  EXPECT_NE(run(c, {"noiseless", 0, {{"leak_spread", 20}}}).populations[0].spikes, plain);
  EXPECT_NE(run(c, {"noiseless", 0, {{"reset_spread", 20}}}).populations[0].spikes, plain);
  EXPECT_NE(run(c, {"noiseless", 0, {{"cadc_noise", 2}}}).populations[1].cadc, run(c).populations[1].cadc);
  EXPECT_NE(run(c, {"noiseless", 0, {{"cadc_offset_spread", 2}}}).populations[1].cadc, run(c).populations[1].cadc);
}

TEST(AnalogEmulator, NewWeightsAreTheProgramThatIsCompiledWithThem) {
  const Case c = yin_yang_case(10, 3, 0.2);
  Random random(99);
  Case changed = c;
  changed.weights = test::random_weights(c.network, random);
  changed.weights["to2"] = c.weights.at("to2");
  const auto backend = find_backend("emulator");
  for (const char* preset : {"ideal", "calibrated"}) {
    CompileOptions options;
    options.preset = preset;
    const Mapping mapping = map_network(c.network);
    const auto first = backend->compile(c.network, mapping, c.weights, options);
    const auto second = backend->update(*first, changed.weights);
    const auto whole = backend->compile(c.network, mapping, changed.weights, options);
    const std::vector<SpikeTensor> inputs = {{SpikeTensor::Type::kUint8, c.spikes.data(), kSteps, c.batch, 5}};
    const Observables a = backend->run(*second, inputs, {});
    const Observables b = backend->run(*whole, inputs, {});
    EXPECT_EQ(a.populations[0].spikes, b.populations[0].spikes) << preset;
    EXPECT_EQ(a.counters.synapse_events, b.counters.synapse_events);
    EXPECT_NE(a.populations[0].spikes, backend->run(*first, inputs, {}).populations[0].spikes);
    Weights wrong = changed.weights;
    wrong.at("to1").values[0] = 100;
    wrong.at("to1").hash ^= 1;
    EXPECT_THROW(backend->update(*second, wrong), Error);
  }
}

TEST(AnalogEmulator, EveryConstantHasAUnitASourceAndARange) {
  std::set<std::string> names;
  for (const analog::ConstantInfo& info : analog::constant_infos()) {
    EXPECT_TRUE(names.insert(info.name).second) << info.name;
    EXPECT_NE(std::string(info.meaning), "") << info.name;
    EXPECT_GT(std::string(info.source).size(), 5U) << info.name;
    for (const double value : info.values) {
      EXPECT_TRUE(value >= info.minimum && value <= info.maximum) << info.name;
    }
  }
  EXPECT_EQ(names.size() * sizeof(double), sizeof(analog::Constants));
}

void expect_error(const Case& c, const Changes& changes, const RunOptions& options, const std::string& part) {
  try {
    run(c, changes, options);
    ADD_FAILURE() << "no error with " << part;
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
  }
}

TEST(AnalogEmulator, WrongOptionsAreRefusedByName) {
  const Case c = yin_yang_case(11, 1);
  expect_error(c, {"delgrad", 0}, {}, "there is no preset \"delgrad\"; there are: ideal, noiseless, calibrated");
  expect_error(c, {"calibrated", 0, {{"cadc_nose", 1}}}, {}, "no constant \"cadc_nose\"; nearest: \"cadc_noise\"");
  expect_error(c, {"calibrated", 0, {{"cadc_noise", -1}}}, {}, "must lie in 0..100 [LSB], got -1");
  expect_error(c, {"calibrated", 0, {{"cadc_noise", NAN}}}, {}, "cadc_noise");
  expect_error(c, {"calibrated", 0, {{"membrane_low", 300}}}, {}, "below \"membrane_high\"");
  RunOptions current;
  current.record_current = {"layer1"};
  expect_error(c, {}, current, "no readout of synaptic currents");
  RunOptions state;
  state.initial_states["layer1"] = StateTensor(360);
  expect_error(c, {}, state, "start every batch entry from a reset");
  RunOptions madc;
  madc.madc = {"layer1", 120};
  expect_error(c, {}, madc, "must lie in 0..119 of population \"layer1\", got 120");
  madc.madc = {"layer9", 0};
  expect_error(c, {}, madc, "no population \"layer9\"");
  RunOptions wait;
  wait.inter_batch_wait = -1;
  expect_error(c, {}, wait, "inter_batch_wait");
}

TEST(AnalogEmulator, EmptyRunsGiveEmptyRecords) {
  Case c = yin_yang_case(12, 1);
  const auto backend = find_backend("emulator");
  CompileOptions options;
  options.preset = "calibrated";
  const auto program = backend->compile(c.network, map_network(c.network), c.weights, options);
  const Observables none = backend->run(*program, {{SpikeTensor::Type::kUint8, nullptr, 0, 3, 5}}, {});
  EXPECT_EQ(none.populations[0].spikes.size(), 0U);
  const Observables no_batch = backend->run(*program, {{SpikeTensor::Type::kUint8, nullptr, 4, 0, 5}}, {});
  EXPECT_EQ(no_batch.populations[0].spikes.size(), 0U);
}

TEST(AnalogEmulator, NormalNumbersHaveMeanZeroAndVarianceOne) {
  double sum = 0;
  double squares = 0;
  const int count = 200000;
  for (int k = 0; k < count; ++k) {
    const double x = math::normal(math::random_key(5, static_cast<std::uint64_t>(k)));
    sum += x;
    squares += x * x;
  }
  EXPECT_NEAR(sum / count, 0, 0.01);
  EXPECT_NEAR(squares / count, 1, 0.02);
}

}  // namespace
}  // namespace gradspike::chip
