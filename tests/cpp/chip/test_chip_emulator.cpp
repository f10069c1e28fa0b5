// The emulator against a plain loop that knows no mapping.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "csrc/chip/backend.h"
#include "csrc/chip/mapper.h"
#include "csrc/core/error.h"
#include "tests/cpp/chip/networks.h"
#include "tests/cpp/chip/plain_loop.h"

namespace gradspike::chip {
namespace {

using test::Inputs;
using test::PlainLoop;
using test::Random;
using test::random_inputs;
using test::same_bits;
using test::tensors;

Observables run_emulator(const Network& network, const Weights& weights, const std::vector<SpikeTensor>& inputs,
                         const RunOptions& options = {}) {
  const auto backend = find_backend("emulator");
  const auto program = backend->compile(network, map_network(network), weights, {});
  return backend->run(*program, inputs, options);
}

RunOptions record_all() {
  RunOptions options;
  options.record_membrane = {"*"};
  options.record_current = {"*"};
  return options;
}

TEST(Emulator, EqualsThePlainLoopOnRandomNetworks) {
  std::int64_t compared = 0;
  std::int64_t spikes = 0;
  std::int64_t wide = 0;
  std::int64_t recurrent = 0;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    Random random(seed);
    test::Shape shape;
    shape.max_size = seed % 4 == 3 ? 90 : 30;
    shape.max_fan_in = seed % 4 == 3 ? 300 : 50;
    shape.recurrent = seed % 3 == 0;
    const Network network = test::random_network(random, shape);
    const MapResult mapped = try_map(network);
    if (!mapped.mapping) {
      continue;
    }
    for (const PopulationPlacement& placed : mapped.mapping->populations) {
      wide += placed.neurons.front().circuits.size() > 1 ? 1 : 0;
    }
    recurrent += network.projections.empty() || network.projections.back().delay_steps == 0 ? 0 : 1;
    const Weights weights = test::random_weights(network, random);
    const std::int64_t steps = seed % 7 == 0 ? 1 : test::pick(random, 2, 25);
    const std::int64_t batch = test::pick(random, 1, 3);
    const Inputs inputs = random_inputs(network, steps, batch, random, 0.2, seed % 5 == 0 ? 127 : 1);
    const Observables got = run_emulator(network, weights, tensors(network, inputs, steps, batch), record_all());
    const PlainLoop expected(network, weights, inputs, steps, batch);
    for (std::size_t p = 0; p < network.populations.size(); ++p) {
      if (network.populations[p].kind == NeuronKind::kLif) {
        const std::vector<float> z = got.spikes_as_float(network.populations[p].name);
        EXPECT_TRUE(same_bits(z, expected.result.spikes[p])) << "seed " << seed;
        spikes += std::count(z.begin(), z.end(), 1.0F);
      }
      EXPECT_TRUE(same_bits(got.populations[p].membrane, expected.result.membrane[p])) << "seed " << seed;
      EXPECT_TRUE(same_bits(got.populations[p].current, expected.result.current[p])) << "seed " << seed;
      ++compared;
    }
  }
  EXPECT_GT(compared, 200);
  EXPECT_GT(spikes, 2000);
  EXPECT_GT(wide, 20);
  EXPECT_GT(recurrent, 20);
}

TEST(Emulator, StateContinuesARecurrentRun) {
  Random random(12);
  const Network network = test::recurrent(7, 20, 3);
  const Weights weights = test::random_weights(network, random);
  const Inputs inputs = random_inputs(network, 10, 2, random, 0.4, 1);
  const Observables whole = run_emulator(network, weights, tensors(network, inputs, 10, 2), record_all());
  RunOptions options = record_all();
  std::vector<float> membrane;
  for (std::int64_t first = 0; first < 10; first += 5) {
    const Inputs part = {{inputs[0].begin() + first * 2 * 7, inputs[0].begin() + (first + 5) * 2 * 7}};
    const Observables got = run_emulator(network, weights, tensors(network, part, 5, 2), options);
    const std::vector<float>& v = got.population("layer1").membrane;
    membrane.insert(membrane.end(), v.begin(), v.end());
    for (const PopulationRecord& record : got.populations) {
      options.initial_states[record.name] = record.final_state;
    }
    EXPECT_EQ(got.population("layer1").final_state.size(), 4U * 2U * 20U);
  }
  EXPECT_TRUE(same_bits(membrane, whole.population("layer1").membrane));
  EXPECT_GT(std::count(whole.population("layer1").spikes.begin(), whole.population("layer1").spikes.end(), 1), 10);
}

TEST(Emulator, RefractoryPeriods) {
  for (const float refractory : {0.0F, 1.0F, 3.0F}) {
    Network network = test::layered({1, 1, 1});
    network.populations[0] = test::population("layer1", NeuronKind::kLif, 1, refractory);
    network.populations[0].coefficients[0] = 1.0F;
    Weights weights;
    for (const Projection& p : network.projections) {
      weights[p.name] = {1, 1, {63}, content_hash(p, {63})};
    }
    const std::vector<std::uint8_t> counts(12, 20);
    const Observables got = run_emulator(network, weights, {{SpikeTensor::Type::kUint8, counts.data(), 12, 1, 1}});
    // Driven far above threshold from step 1 on: one spike every 1 + refractory steps.
    std::vector<std::uint8_t> expected(12, 0);
    for (std::size_t t = 1; t < 12; t += 1 + static_cast<std::size_t>(refractory)) {
      expected[t] = 1;
    }
    EXPECT_EQ(got.population("layer1").spikes, expected) << refractory;
  }
}

TEST(Emulator, StateContinuesARun) {
  Random random(11);
  const Network network = test::yin_yang();
  const Weights weights = test::random_weights(network, random);
  const std::int64_t batch = 3;
  const Inputs inputs = random_inputs(network, 20, batch, random, 0.5, 3);
  const auto backend = find_backend("emulator");
  const auto program = backend->compile(network, map_network(network), weights, {});
  const Observables whole = backend->run(*program, tensors(network, inputs, 20, batch), record_all());
  RunOptions options = record_all();
  std::vector<float> membrane;
  for (std::int64_t t = 0; t < 20; ++t) {
    const SpikeTensor one{SpikeTensor::Type::kUint8, inputs[0].data() + t * batch * 5, 1, batch, 5};
    const Observables step = backend->run(*program, {one}, options);
    membrane.insert(membrane.end(), step.populations[0].membrane.begin(), step.populations[0].membrane.end());
    for (const PopulationRecord& record : step.populations) {
      options.initial_states[record.name] = record.final_state;
    }
  }
  EXPECT_TRUE(same_bits(membrane, whole.populations[0].membrane));
  EXPECT_TRUE(same_bits(options.initial_states["layer1"], whole.populations[0].final_state));
  options.initial_states["layer1"].pop_back();
  EXPECT_THROW(backend->run(*program, tensors(network, inputs, 20, batch), options), Error);
}

TEST(Emulator, EmptyBatchAndNoSteps) {
  Random random(1);
  const Network network = test::yin_yang();
  const Weights weights = test::random_weights(network, random);
  const Observables no_batch = run_emulator(network, weights, {{SpikeTensor::Type::kUint8, nullptr, 4, 0, 5}});
  EXPECT_EQ(no_batch.steps, 4);
  EXPECT_TRUE(no_batch.population("layer1").spikes.empty());
  const Observables no_steps = run_emulator(network, weights, {{SpikeTensor::Type::kUint8, nullptr, 0, 2, 5}});
  EXPECT_EQ(no_steps.population("layer1").final_state.size(), 3U * 2U * 120U);
}

TEST(Emulator, InputsThatAreNoCountsAreNamed) {
  Random random(1);
  const Network network = test::layered({3, 2, 1});
  const Weights weights = test::random_weights(network, random);
  const auto message = [&](float value) {
    std::vector<float> counts(2 * 2 * 3, 1.0F);
    counts[1 * 6 + 1 * 3 + 2] = value;
    try {
      run_emulator(network, weights, {{SpikeTensor::Type::kFloat32, counts.data(), 2, 2, 3}});
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string("no error");
  };
  EXPECT_EQ(message(0.5F),
            "emulator: input \"input0\" must hold whole numbers in 0..127, got 0.5 at step 1, batch 1, neuron 2");
  for (const float bad :
       {-1.0F, 128.0F, 1e30F, std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    EXPECT_NE(message(bad), "no error") << bad;
  }
  EXPECT_EQ(message(127.0F), "no error");
  EXPECT_THROW(run_emulator(network, weights, {}), Error);
  const std::vector<float> counts(64, 0.0F);
  EXPECT_THROW(run_emulator(network, weights, {{SpikeTensor::Type::kFloat32, counts.data(), 1, 1, 4}}), Error);
}

/// Threads for the test of the executor.
void parallel_for(std::int64_t count, std::int64_t grain, void* context, CpuExec::Body body) {
  std::vector<std::thread> threads;
  for (std::int64_t begin = 0; begin < count; begin += std::max<std::int64_t>(grain, 2)) {
    threads.emplace_back(body, context, begin, std::min(count, begin + std::max<std::int64_t>(grain, 2)));
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
}

TEST(Emulator, SameBitsWithThreads) {
  Random random(2);
  const Network network = test::yin_yang();
  const Weights weights = test::random_weights(network, random);
  const Inputs inputs = random_inputs(network, 10, 7, random, 0.4);
  const Observables serial = run_emulator(network, weights, tensors(network, inputs, 10, 7), record_all());
  const CpuExec exec{&parallel_for, 4};
  RunOptions options = record_all();
  options.exec = &exec;
  const Observables parallel = run_emulator(network, weights, tensors(network, inputs, 10, 7), options);
  for (std::size_t p = 0; p < 2; ++p) {
    EXPECT_TRUE(same_bits(serial.populations[p].membrane, parallel.populations[p].membrane));
    EXPECT_EQ(serial.populations[p].spikes, parallel.populations[p].spikes);
  }
  EXPECT_EQ(serial.counters.events_sent, parallel.counters.events_sent);
  EXPECT_EQ(serial.counters.spikes_on_chip, parallel.counters.spikes_on_chip);
}

TEST(Emulator, CountersEventsAndTarget) {
  Network network = test::layered({2, 1, 1});
  network.populations[0].coefficients[0] = 1.0F;
  Weights weights;
  weights["to1"] = {1, 2, {63, 0}, content_hash(network.projections[0], {63, 0})};
  weights["to2"] = {1, 1, {-5}, content_hash(network.projections[1], {-5})};
  const std::vector<std::uint8_t> counts = {3, 1, 0, 0, 0, 0};  // [3, 1, 2]
  const Observables got = run_emulator(network, weights, {{SpikeTensor::Type::kUint8, counts.data(), 3, 1, 2}});
  EXPECT_EQ(got.target, "emulator ideal");
  EXPECT_EQ(got.counters.events_sent, 4);
  EXPECT_EQ(got.counters.spikes_on_chip, 2);  // 3 * 63 / 32 and then 0.9 of it, above threshold 1
  EXPECT_EQ(got.counters.synapse_events, 3 + 2);
  EXPECT_EQ(got.counters.events_dropped + got.counters.spikes_lost, 0);
  const auto events = got.events("layer1");
  ASSERT_EQ(events.size(), 2U);
  EXPECT_EQ(events[0].step, 1);
  EXPECT_THROW(got.population("layer3"), Error);
  EXPECT_TRUE(got.population("layer2").membrane.empty());
  RunOptions options;
  options.record_membrane = {"layer9"};
  EXPECT_THROW(run_emulator(network, weights, {{SpikeTensor::Type::kUint8, counts.data(), 3, 1, 2}}, options), Error);
}

TEST(Emulator, YinYangTestSetInTime) {
  Random random(4);
  const Network network = test::yin_yang();
  const Weights weights = test::random_weights(network, random);
  const Inputs inputs = random_inputs(network, 38, 1000, random, 1.0 / 38.0);
  const auto begin = std::chrono::steady_clock::now();
  const Observables got = run_emulator(network, weights, tensors(network, inputs, 38, 1000), record_all());
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  std::cout << "map, compile and run 1000 samples of 38 steps: " << seconds << " s\n";
  RecordProperty("seconds", std::to_string(seconds));
  EXPECT_LT(seconds, 10.0);
  EXPECT_GT(got.counters.spikes_on_chip, 0);
}

TEST(Backend, Registry) {
  EXPECT_EQ(find_backend()->name(), "emulator");
  const auto message = [](const std::string& name) {
    try {
      find_backend(name);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string("no error");
  };
  EXPECT_EQ(message("chip"), "there is no backend \"chip\"; there are: emulator");
  setenv("GRADSPIKE_BACKEND", "lab", 1);
  EXPECT_EQ(message(""), "there is no backend \"lab\" (from GRADSPIKE_BACKEND); there are: emulator");
  EXPECT_EQ(find_backend("emulator")->name(), "emulator");
  unsetenv("GRADSPIKE_BACKEND");
  const Network network = test::layered({1, 1});
  Random random(1);
  CompileOptions options;
  options.preset = "analog";
  EXPECT_THROW(find_backend()->compile(network, map_network(network), test::random_weights(network, random), options),
               Error);
}

}  // namespace
}  // namespace gradspike::chip
