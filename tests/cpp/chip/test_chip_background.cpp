// Inputs whose spikes the chip's own generators make.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <thread>

#include "csrc/chip/background.h"
#include "csrc/chip/deployment.h"
#include "csrc/chip/mapper.h"
#include "csrc/core/error.h"
#include "tests/cpp/chip/partitions.h"

namespace gradspike::chip {
namespace {

using test::pick;
using test::Random;

Background poisson(double rate, std::uint32_t seed = 7) { return {true, rate, seed}; }

/// A host input of 5 and a background input, both onto `out` neurons.
Network with_background(std::int64_t sources, std::int64_t out, double rate = 20000.0,
                        Receptor receptor = Receptor::kSigned) {
  Network network = test::layered({5, out, 2});
  network.inputs.push_back({"noise", sources, poisson(rate)});
  network.projections.push_back(test::dense("noisy", test::input_node(1), sources, 0, out, receptor, /*position=*/1));
  return network;
}

std::vector<std::string> texts(const std::vector<Misfit>& misfits) {
  std::vector<std::string> result;
  for (const Misfit& misfit : misfits) {
    result.push_back(misfit.text());
  }
  return result;
}

// ---- registers and trains ------------------------------------------------------------------------------------------

TEST(BackgroundTiming, RegistersMeetTheRate) {
  for (double wanted = 20.0; wanted < 2.4e8; wanted *= 1.013) {
    const math::BackgroundTiming random = math::background_timing(wanted, true);
    ASSERT_GE(random.period, 1) << wanted;
    ASSERT_LE(random.period, 65535);
    ASSERT_GE(random.rate, 1);
    ASSERT_LE(random.rate, 255);
    const double mean_interval = random.period / (random.rate / 255.0) / 250e6;
    EXPECT_NEAR(mean_interval * wanted, 1.0, 0.004) << wanted;
    const math::BackgroundTiming regular = math::background_timing(wanted, false);
    if (wanted < 250e6 / 65535.0) {
      EXPECT_EQ(regular.period, 0) << wanted;
    } else {
      EXPECT_LE(std::fabs(regular.period - 250e6 / wanted), 0.5001) << wanted;
    }
  }
  // The rarest ticks that meet the rate: closest to a Poisson process.
  EXPECT_EQ(math::background_timing(100e3, true).rate, 5);
  EXPECT_EQ(math::background_timing(100e3, true).period, 49);
  EXPECT_EQ(math::background_timing(14.0, true).period, 0);
  EXPECT_EQ(math::background_timing(2.6e8, true).period, 0);
  EXPECT_EQ(math::background_timing(std::nan(""), true).period, 0);
}

TEST(BackgroundSpikes, ArePoissonAndUniform) {
  const std::int64_t steps = 2000;
  const std::int64_t batch = 30;
  const std::int64_t size = 16;
  const double dt = 1e-6;
  const double rate = 50000.0;  // 0.05 per step and source
  const std::vector<std::uint8_t> counts = background_spikes(poisson(rate), size, steps, batch, dt, 0);
  const double expected = rate * dt * static_cast<double>((steps - 1) * batch);
  std::vector<double> by_source(static_cast<std::size_t>(size), 0.0);
  double sum = 0.0;
  double squares = 0.0;
  for (std::size_t k = 0; k < counts.size(); ++k) {
    by_source[k % static_cast<std::size_t>(size)] += counts[k];
    sum += counts[k];
    squares += static_cast<double>(counts[k]) * counts[k];
  }
  for (const double spikes : by_source) {
    EXPECT_NEAR(spikes, expected, 5.0 * std::sqrt(expected));
  }
  const double mean = sum / static_cast<double>(counts.size());
  EXPECT_NEAR((squares / static_cast<double>(counts.size()) - mean * mean) / mean, 1.0, 0.02);  // Fano factor
}

TEST(BackgroundSpikes, DependOnSeedTrialAndEntryAlone) {
  const auto spikes = [](std::uint32_t seed, std::uint64_t trial, std::int64_t batch) {
    return background_spikes(poisson(30000.0, seed), 8, 50, batch, 1e-6, trial);
  };
  EXPECT_EQ(spikes(1, 0, 3), spikes(1, 0, 3));
  EXPECT_NE(spikes(1, 0, 3), spikes(2, 0, 3));
  EXPECT_NE(spikes(1, 0, 3), spikes(1, 1, 3));
  const std::vector<std::uint8_t> three = spikes(1, 0, 3);
  const std::vector<std::uint8_t> one = spikes(1, 0, 1);
  for (std::size_t t = 0; t < 50; ++t) {
    EXPECT_TRUE(std::equal(one.begin() + static_cast<std::ptrdiff_t>(t * 8),
                           one.begin() + static_cast<std::ptrdiff_t>(t * 8 + 8),
                           three.begin() + static_cast<std::ptrdiff_t>(t * 24)));
  }
  // 512 sources are two generators, whose trains differ.
  const std::vector<std::uint8_t> many = background_spikes(poisson(30000.0), 512, 40, 1, 1e-6, 0);
  bool differ = false;
  for (std::size_t t = 0; t < 40; ++t) {
    differ = differ || !std::equal(many.begin() + static_cast<std::ptrdiff_t>(t * 512),
                                   many.begin() + static_cast<std::ptrdiff_t>(t * 512 + 256),
                                   many.begin() + static_cast<std::ptrdiff_t>(t * 512 + 256));
  }
  EXPECT_TRUE(differ);
}

TEST(BackgroundSpikes, RegularOnes) {
  const std::vector<std::uint8_t> counts = background_spikes({false, 1e5, 0}, 1, 35, 2, 1e-6, 0);
  for (std::int64_t t = 0; t < 35; ++t) {
    for (std::int64_t b = 0; b < 2; ++b) {
      EXPECT_EQ(counts[static_cast<std::size_t>(t * 2 + b)], t > 0 && t % 10 == 0 ? 1 : 0) << t;
    }
  }
}

TEST(BackgroundSpikes, BadWishesAreRefused) {
  const auto refusal = [](const Background& background, std::int64_t size, double dt = 1e-6) -> std::string {
    try {
      background_spikes(background, size, 10, 1, dt, 0);
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  };
  EXPECT_EQ(refusal(poisson(1e5), 12),
            "background_spikes: background sources in powers of two: got 12, limit 8; a generator draws label bits at "
            "random: use 8 or 16 sources");
  EXPECT_EQ(refusal(poisson(1e9), 4),
            "background_spikes: highest rate of background spikes [Hz]: got 1000000000, limit 62500000; the generators "
            "of 4 sources give 3.73996 to 6.25e+07 Hz per source");
  EXPECT_NE(refusal(poisson(-1.0), 4).find("rate must be finite and above 0 Hz, got -1"), std::string::npos);
  EXPECT_NE(refusal(poisson(1e5), 4, 0.0).find("dt must be finite and above 0 s"), std::string::npos);
  EXPECT_NE(refusal(poisson(1e8), 1, 1.0).find("would tick"), std::string::npos);
  EXPECT_NE(refusal({false, 1e5, 0}, 2).find("regular background generator: got 2, limit 1"), std::string::npos);
}

// ---- limits --------------------------------------------------------------------------------------------------------

TEST(BackgroundCapacity, EachMisfitByName) {
  EXPECT_TRUE(check_capacity(with_background(16, 20)).fits());
  const auto one = [](const Network& network) {
    const std::vector<std::string> found = texts(check_capacity(network).misfits);
    return found.size() == 1 ? found.front() : "number of misfits: " + std::to_string(found.size());
  };
  EXPECT_EQ(one(with_background(12, 20)),
            "layer \"noise\": background sources in powers of two: needs 12, limit 8; a generator draws label bits at "
            "random: use 8 or 16 sources");
  EXPECT_EQ(one(with_background(4, 20, 1e8)),
            "layer \"noise\": highest rate of background spikes [Hz]: needs 100000000, limit 62500000; the generators "
            "of 4 sources give 3.73996 to 6.25e+07 Hz per source");
  EXPECT_EQ(one(with_background(4, 20, 2.0)),
            "layer \"noise\": lowest rate of background spikes [Hz]: needs 2, limit 4; the generators of 4 sources "
            "give 3.73996 to 6.25e+07 Hz per source");
  Network regular = with_background(2, 20);
  regular.inputs[1].background->random = false;
  EXPECT_EQ(one(regular),
            "layer \"noise\": sources of a regular background generator: needs 2, limit 1; use one input for each "
            "source, or kind \"poisson\"");
  Network nine = test::layered({5, 20, 2});
  for (std::int32_t k = 0; k < 9; ++k) {
    nine.inputs.push_back({"noise" + std::to_string(k), 4, poisson(1000.0)});
    nine.projections.push_back(
        test::dense("noisy" + std::to_string(k), test::input_node(k + 1), 4, 0, 20, Receptor::kExcitatory, k + 1));
  }
  EXPECT_EQ(one(nine).substr(0, 52), "network: background generators: needs 9, limit 8; a ");
  EXPECT_FALSE(try_map(nine).mapping.has_value());
  EXPECT_FALSE(try_partition(with_background(12, 20)).partition.has_value());
}

TEST(BackgroundCapacity, MoreGeneratorsThanAHemisphereHas) {
  Network network = test::layered({5, 20, 2});
  for (std::int32_t k = 0; k < 5; ++k) {
    network.inputs.push_back({"noise" + std::to_string(k), 4, poisson(1000.0)});
    network.projections.push_back(
        test::dense("noisy" + std::to_string(k), test::input_node(k + 1), 4, 0, 20, Receptor::kExcitatory, k + 1));
  }
  const MapResult result = try_map(network);  // all neurons lie in one hemisphere, or it takes ten
  ASSERT_FALSE(result.mapping.has_value());
  EXPECT_EQ(result.misfits.front().quantity, "background generators of HemisphereOnDLS(0)");
  EXPECT_EQ(result.misfits.front().need, 5);
  EXPECT_EQ(result.misfits.front().limit, 4);
}

// ---- mapping -------------------------------------------------------------------------------------------------------

TEST(BackgroundMapping, RandomNetworksAreMappedRightOrRefusedTruly) {
  std::int64_t mapped = 0;
  std::int64_t generators = 0;
  std::int64_t by_limits = 0;
  std::int64_t by_routing = 0;
  constexpr std::uint64_t kNetworks = 400;
  for (std::uint64_t seed = 0; seed < kNetworks; ++seed) {
    Random random(seed);
    test::Shape shape;
    shape.background = true;
    shape.max_size = seed % 3 == 0 ? 20 : 90;
    shape.max_fan_in = seed % 4 == 0 ? 200 : 60;
    shape.recurrent = seed % 5 == 0;
    const Network network = test::random_network(random, shape);
    const MapResult result = try_map(network);
    if (!result.mapping) {
      ASSERT_FALSE(result.misfits.empty());
      const Misfit& misfit = result.misfits.back();
      const bool generators_short = misfit.quantity.find("background generators of Hemisphere") == 0;
      const bool rows_short = misfit.quantity.find("synapse rows of") == 0 || misfit.quantity == "neuron circuits";
      EXPECT_TRUE(generators_short || rows_short) << seed << misfit.text();
      ++(check_capacity(network).mappable() ? by_routing : by_limits);
      EXPECT_GT(result.misfits.back().need, result.misfits.back().limit) << seed << result.misfits.back().text();
      continue;
    }
    ++mapped;
    generators += static_cast<std::int64_t>(result.mapping->generators.size());
    EXPECT_EQ(check_mapping(network, *result.mapping, 3), std::vector<std::string>()) << seed;
    EXPECT_EQ(to_json(map_network(network)), to_json(*result.mapping)) << seed;
    EXPECT_TRUE(mapping_from_json(to_json(*result.mapping)) == *result.mapping) << seed;
    EXPECT_EQ(to_json(network_from_json(to_json(network))), to_json(network)) << seed;
  }
  std::cout << "mapped " << mapped << " with " << generators << " generators, refused by limits " << by_limits
            << ", by routing " << by_routing << "\n";
  EXPECT_GE(mapped, 380);
  EXPECT_GE(generators, 800);
  EXPECT_LE(by_routing, 20);
}

std::size_t generators_of(const Network& network, const std::string& where) {
  const MapResult result = try_map(network);
  EXPECT_TRUE(result.mapping.has_value()) << where << ": " << (result.misfits.empty() ? "" : result.misfits[0].text());
  if (!result.mapping) {
    return 0;
  }
  EXPECT_EQ(check_mapping(network, *result.mapping, 3), std::vector<std::string>()) << where;
  return result.mapping->generators.size();
}

TEST(BackgroundMapping, AsManyGeneratorsAsTheRowsNeed) {
  EXPECT_EQ(generators_of(with_background(16, 20), "16 signed"), 1U);
  EXPECT_EQ(generators_of(with_background(32, 100), "32 signed fill a bus"), 1U);
  EXPECT_EQ(generators_of(with_background(64, 100), "64 signed take two buses"), 2U);
  EXPECT_EQ(generators_of(with_background(64, 100, 20000.0, Receptor::kExcitatory), "64 unsigned"), 1U);
  Network both = with_background(64, 400);
  both.populations.pop_back();
  both.projections.erase(both.projections.begin() + 1);
  EXPECT_EQ(generators_of(both, "64 signed, both hemispheres"), 4U);
  EXPECT_EQ(generators_of(with_background(128, 60), "128 signed, two circuits per neuron"), 4U);
  Network sparse = with_background(256, 100);
  Projection& p = sparse.projections.back();
  Random random(3);
  for (std::int64_t k = 0; k < p.in_features * p.out_features; ++k) {
    p.mask.push_back(test::chance(random, 0.015));
  }
  EXPECT_GE(generators_of(sparse, "256 sparse: four row selects"), 1U);
  Network more = with_background(512, 100);
  more.projections.back().mask.clear();
  for (std::int64_t k = 0; k < 512 * 100; ++k) {
    more.projections.back().mask.push_back(test::chance(random, 0.01));
  }
  EXPECT_GE(generators_of(more, "512 sparse: two seeds"), 2U);
}

TEST(BackgroundMapping, FilesWithoutBackgroundStayTheSame) {
  const Network network = test::yin_yang();
  EXPECT_EQ(to_json(network).find("background"), std::string::npos);
  EXPECT_EQ(to_json(map_network(network)).find("generators"), std::string::npos);
  const Network noisy = with_background(4, 3);
  EXPECT_NE(to_json(noisy).find(R"("background":{"kind":"poisson","rate":)"), std::string::npos);
  EXPECT_NE(map_network(noisy).text().find("background generator"), std::string::npos);
  const std::string json = to_json(map_network(noisy));
  for (const auto& [from, to] :
       std::vector<std::pair<std::string, std::string>>{{"\"mask\":3", "\"mask\":256"},
                                                        {"\"kind\":\"poisson\"", "\"kind\":\"loud\""},
                                                        {"\"seed\":7", "\"seed\":-1"},
                                                        {"\"period\":", "\"period\":0,\"x\":"},
                                                        {"\"bus\":", "\"bus\":9"}}) {
    const std::size_t position = json.find(from);
    ASSERT_NE(position, std::string::npos) << from;
    EXPECT_THROW(mapping_from_json(std::string(json).replace(position, from.size(), to)), Error) << from;
  }
}

TEST(BackgroundMapping, NetworkFilesAreValidated) {
  Network network = with_background(4, 3);
  network.inputs[1].background->rate = 0.0;
  EXPECT_THROW(validate(network), Error);
  network.inputs[1].background->rate = std::numeric_limits<double>::infinity();
  EXPECT_THROW(validate(network), Error);
}

/// One wrong register: the checker must see it.
TEST(BackgroundMutation, EveryRegister) {
  const std::vector<std::pair<std::string, std::function<void(Mapping&, Random&)>>> mutations = {
      {"bus", [](Mapping& m, Random&) { m.generators[0].bus ^= 4; }},
      {"input",
       [](Mapping& m, Random&) {
         m.generators[0].input = 0;
         m.generators[0].mask = 0;
       }},
      {"kind", [](Mapping& m, Random&) { m.generators[0].random = false; }},
      {"period", [](Mapping& m, Random&) { m.generators[0].period = m.generators[0].period * 102 / 100 + 1; }},
      {"rate", [](Mapping& m, Random&) { m.generators[0].rate += 1; }},
      {"no rate", [](Mapping& m, Random&) { m.generators[0].rate = 0; }},
      {"seed of one of two", [](Mapping& m, Random&) { m.generators[0].seed ^= 1; }},
      {"label", [](Mapping& m, Random& random) { m.generators[0].label ^= 1 << pick(random, 0, 5); }},
      {"mask", [](Mapping& m, Random&) { m.generators[0].mask >>= 1; }},
      {"first",
       [](Mapping& m, Random&) {
         m.generators[0].first = 1;
         m.generators[0].mask = 31;
       }},
      {"missing", [](Mapping& m, Random&) { m.generators.erase(m.generators.begin()); }},
      {"twice", [](Mapping& m, Random&) { m.generators.push_back(m.generators[0]); }},
      {"events of the host", [](Mapping& m, Random&) { m.inputs[1].labels[0].push_back(external_label(0, 0, 0, 63)); }},
      {"node shut",
       [](Mapping& m, Random&) {
         for (CrossbarRule& rule : m.crossbar) {
           if (rule.node.input == 12 + m.generators[0].bus && rule.node.output < 8) {
             rule = CrossbarRule::drop(rule.node);
           }
         }
       }},
      {"node to the host",
       [](Mapping& m, Random&) {
         for (CrossbarRule& rule : m.crossbar) {
           if (rule.node.input == 12 + m.generators[0].bus && rule.node.output >= 8) {
             rule = {rule.node, 0, 0};
           }
         }
       }},
      {"another generator let in",
       [](Mapping& m, Random&) {
         for (CrossbarRule& rule : m.crossbar) {
           const bool used = std::any_of(m.generators.begin(), m.generators.end(),
                                         [&](const BackgroundGenerator& g) { return rule.node.input == 12 + g.bus; });
           if (rule.node.input >= 12 && rule.node.output < 8 && !used) {
             rule = {rule.node, 0, 0};
             return;
           }
         }
       }},
      {"synapse label", [](Mapping& m, Random& random) {
         for (PlacedSynapse& synapse : m.synapses) {
           if (synapse.projection == 2) {
             synapse.label ^= 1 << pick(random, 0, 5);
             return;
           }
         }
       }}};
  const Network network = with_background(64, 30);  // two generators
  const Mapping mapping = map_network(network);
  ASSERT_EQ(mapping.generators.size(), 2U);
  ASSERT_EQ(check_mapping(network, mapping), std::vector<std::string>());
  for (const auto& [name, mutate] : mutations) {
    for (std::uint64_t seed = 0; seed < 5; ++seed) {
      Random random(seed);
      Mapping mutant = mapping;
      mutate(mutant, random);
      ASSERT_FALSE(mutant == mapping) << name;
      EXPECT_FALSE(check_mapping(network, mutant).empty()) << name;
    }
  }
  const std::vector<std::function<void(Mapping&)>> out_of_range = {
      [](Mapping& m) { m.generators[0].bus = 8; },    [](Mapping& m) { m.generators[0].input = 2; },
      [](Mapping& m) { m.generators[0].mask = 5; },   [](Mapping& m) { m.generators[0].mask = 256; },
      [](Mapping& m) { m.generators[0].first = -1; }, [](Mapping& m) { m.generators[0].first = 60; },
      [](Mapping& m) { m.generators[0].period = 0; }, [](Mapping& m) { m.generators[0].period = 65536; },
      [](Mapping& m) { m.generators[0].rate = 256; }, [](Mapping& m) { m.generators[0].label = 1 << 14; }};
  for (std::size_t k = 0; k < out_of_range.size(); ++k) {
    Mapping mutant = mapping;
    out_of_range[k](mutant);
    EXPECT_EQ(check_mapping(network, mutant).size(), 1U) << k;
  }
}

// ---- emulators -----------------------------------------------------------------------------------------------------

TEST(BackgroundEmulator, IdealRunsTheSpikesThatItIsGiven) {
  std::int64_t compared = 0;
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    Random random(seed);
    test::Shape shape;
    shape.background = true;
    shape.max_size = 30;
    shape.recurrent = seed % 3 == 0;
    const Network network = test::random_network(random, shape);
    const PartitionResult result = try_partition(network, {1});
    if (result.partition) {
      test::expect_plain_loop(network, *result.partition, random, 12, 2, "seed " + std::to_string(seed));
      ++compared;
    }
  }
  EXPECT_GE(compared, 50);
}

Observables run(const Network& network, const Weights& weights, const std::vector<SpikeTensor>& inputs,
                const std::string& preset, std::uint64_t trial = 0) {
  const auto backend = find_backend("emulator");
  CompileOptions compile;
  compile.preset = preset;
  RunOptions options;
  options.record_membrane = {"*"};
  options.seed = trial;
  return backend->run(*backend->compile(network, map_network(network), weights, compile), inputs, options);
}

TEST(BackgroundEmulator, TheHostSendsNothingForThem) {
  const Network network = with_background(8, 10);
  Random random(1);
  const Weights weights = test::random_weights(network, random);
  test::Inputs inputs = test::random_inputs(network, 20, 2, random, 0.3);
  std::fill(inputs[0].begin(), inputs[0].end(), 0);
  const Observables got = run(network, weights, test::tensors(network, inputs, 20, 2), "ideal");
  EXPECT_EQ(got.counters.events_sent, 0);
  EXPECT_GT(got.counters.synapse_events, 0);
}

/// A regular generator of period 10 us fires as a host that sends an event every ten steps.
TEST(BackgroundEmulator, AnalogRegularEqualsTheHost) {
  Network noisy = with_background(1, 20);
  noisy.inputs[1].background = Background{false, 1e5, 0};
  Network hosted = noisy;
  hosted.inputs[1].background.reset();
  Random random(2);
  const Weights weights = test::random_weights(noisy, random, 0.0);
  test::Inputs inputs = test::random_inputs(noisy, 60, 3, random, 0.0);
  inputs[1] = background_spikes({false, 1e5, 0}, 1, 60, 3, noisy.dt, 0);
  const Observables want = run(hosted, weights, test::tensors(hosted, inputs, 60, 3), "noiseless");
  std::fill(inputs[1].begin(), inputs[1].end(), 1);  // what is given does not count
  const Observables got = run(noisy, weights, test::tensors(noisy, inputs, 60, 3), "noiseless");
  EXPECT_EQ(got.counters.events_sent, 0);
  EXPECT_EQ(got.counters.background_spikes, 15);
  EXPECT_GT(want.counters.synapse_events, 0);
  EXPECT_EQ(got.counters.synapse_events, want.counters.synapse_events);
  for (std::size_t p = 0; p < 2; ++p) {
    EXPECT_EQ(got.populations[p].spikes, want.populations[p].spikes);
    EXPECT_EQ(got.populations[p].cadc, want.populations[p].cadc);
  }
  EXPECT_NE(std::find(got.not_modelled.begin(), got.not_modelled.end(),
                      "the 180 spikes given for background inputs, in whose place the chip's generators made 15"),
            got.not_modelled.end());
}

/// One to one synapses that make each source's events visible: a neuron for each source fires at each event.
TEST(BackgroundEmulator, AnalogSpikesAreThoseForTraining) {
  Network network;
  network.name = "echo";
  network.inputs = {{"noise", 128, poisson(3000.0)}};
  network.populations = {test::population("echo", NeuronKind::kLif, 128)};
  network.projections = {test::dense("to", test::input_node(0), 128, 0, 128, Receptor::kExcitatory)};
  for (std::int64_t k = 0; k < 128 * 128; ++k) {
    network.projections[0].mask.push_back(k % 129 == 0);
  }
  network.populations[0].coefficients = {1.0F, 0.1F, 0.1F, 0.0F, 0.0F, 0.01F, 0.0F};  // fast
  IntegerMatrix matrix{128, 128, std::vector<std::int16_t>(128 * 128, 0), 0};
  for (std::size_t k = 0; k < 128; ++k) {
    matrix.values[k * 129] = 63;
  }
  matrix.hash = content_hash(network.projections[0], matrix.values);
  const Weights weights = {{"to", matrix}};
  const std::vector<std::uint8_t> zeros(static_cast<std::size_t>(200 * 40 * 128), 0);
  const std::vector<SpikeTensor> inputs = {{SpikeTensor::Type::kUint8, zeros.data(), 200, 40, 128}};
  for (const std::uint64_t trial : {0U, 5U}) {
    const Observables got = run(network, weights, inputs, "noiseless", trial);
    const std::vector<std::uint8_t> want = background_spikes(poisson(3000.0), 128, 200, 40, 1e-6, trial);
    EXPECT_EQ(got.counters.background_spikes, std::accumulate(want.begin(), want.end(), std::int64_t{0}));
    // The neuron fires within two steps after each event of its source, and only then.
    std::int64_t explained = 0;
    std::int64_t fired = 0;
    const std::vector<std::uint8_t>& z = got.populations[0].spikes;
    const std::int64_t row = 40 * 128;
    for (std::size_t k = 0; k < z.size(); ++k) {
      fired += z[k];
      bool source = static_cast<std::int64_t>(k) < 6 * row;  // currents that the entry before left
      for (std::int64_t back = 0; back < 12 && static_cast<std::int64_t>(k) >= back * row; ++back) {
        source = source || want[k - static_cast<std::size_t>(back * row)] != 0;
      }
      explained += z[k] != 0 && source ? 1 : 0;
    }
    EXPECT_GT(fired, 2000);
    EXPECT_EQ(explained, fired);
  }
}

TEST(BackgroundEmulator, TooLongARunIsRefused) {
  Network network = with_background(16, 10);
  network.dt = 10.0;
  Random random(4);
  const Weights weights = test::random_weights(network, random);
  const test::Inputs inputs = test::random_inputs(network, 30, 1, random, 0.1);
  try {
    run(network, weights, test::tensors(network, inputs, 30, 1), "noiseless");
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("is too long for a background generator"), std::string::npos)
        << error.what();
  }
}

TEST(BackgroundEmulator, ThreadsDoNotCount) {
  const Network network = with_background(16, 40);
  Random random(4);
  const Weights weights = test::random_weights(network, random);
  const test::Inputs inputs = test::random_inputs(network, 30, 70, random, 0.1);
  const Observables once = run(network, weights, test::tensors(network, inputs, 30, 70), "calibrated");
  CompileOptions compile;
  compile.preset = "calibrated";
  CpuExec exec;
  exec.num_threads = 3;
  exec.parallel_for = [](std::int64_t count, std::int64_t, void* context, CpuExec::Body body) {
    std::vector<std::thread> pool;
    for (std::int64_t k = 0; k < count; ++k) {
      pool.emplace_back([=] { body(context, k, k + 1); });
    }
    std::for_each(pool.begin(), pool.end(), [](std::thread& thread) { thread.join(); });
  };
  RunOptions options;
  options.exec = &exec;
  options.record_membrane = {"*"};
  const auto backend = find_backend("emulator");
  const auto program = backend->compile(network, map_network(network), weights, compile);
  const Observables again = backend->run(*program, test::tensors(network, inputs, 30, 70), options);
  EXPECT_EQ(once.populations[0].spikes, again.populations[0].spikes);
  EXPECT_EQ(once.populations[0].cadc, again.populations[0].cadc);
  EXPECT_EQ(once.counters.background_spikes, again.counters.background_spikes);
  EXPECT_GT(once.counters.background_spikes, 0);
}

// ---- several instances, report -------------------------------------------------------------------------------------

TEST(BackgroundPartition, EachInstanceHasItsGenerators) {
  Network network = test::layered({300, 256, 10});
  network.inputs.push_back({"noise", 32, poisson(20000.0)});
  network.projections.push_back(test::dense("noisy", test::input_node(1), 32, 0, 256, Receptor::kSigned, 1));
  const PartitionedMapping partition = partition_network(network);
  ASSERT_GT(partition.instances.size(), 1U);
  test::expect_right(network, partition);
  std::int64_t generators = 0;
  for (const Instance& instance : partition.instances) {
    generators += holdings_of(instance).generators;
  }
  EXPECT_GE(generators, 2);
  Random random(8);
  EXPECT_GT(test::expect_plain_loop(network, partition, random, 8, 2, "partition"), 0);
  const std::string json = to_json(partition);
  EXPECT_TRUE(differences(partition, partition_from_json(json, network)).empty());
}

TEST(BackgroundReport, UsedGeneratorsAndRoundedRate) {
  Network network = with_background(64, 30, 12345.0);
  network.name = "background report";
  const Deployment deployment(network);
  const Report report = deployment.check("emulator ideal", {});
  const auto found = std::find_if(report.resources.begin(), report.resources.end(),
                                  [](const Resource& r) { return r.quantity == "background generators"; });
  ASSERT_NE(found, report.resources.end());
  EXPECT_EQ(found->used, 2);
  EXPECT_EQ(found->limit, 8);
  ASSERT_EQ(report.approximations.size(), 1U);
  EXPECT_EQ(report.approximations[0].substr(0, 103),
            "input 'noise': the chip's generators make its random spikes, not those that a run is given; 12353.7 Hz ");
  EXPECT_EQ(report.verdict, Verdict::kFitsWithLosses);
  network.inputs.push_back({"other", 64, poisson(12345.0)});
  EXPECT_NE(background_approximations(network).back().find("inputs 'noise' and 'other' fire together"),
            std::string::npos);
}

}  // namespace
}  // namespace gradspike::chip
