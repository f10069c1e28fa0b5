// Wishes, storage and runs of networks over several execution instances.
#include <gtest/gtest.h>

#include <cstdlib>
#include <functional>
#include <nlohmann/json.hpp>

#include "csrc/chip/deployment.h"
#include "csrc/core/error.h"
#include "tests/cpp/chip/partitions.h"

namespace gradspike::chip {
namespace {

using Json = nlohmann::json;
using test::expect_plain_loop;
using test::expect_right;
using test::Random;
using test::record_all;
using test::run_partition;
using test::same_bits;
using test::slices_text;

std::string refusal(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

std::string refusal(const Network& network, const PartitionOptions& options = {}) {
  return refusal([&] { partition_network(network, options); });
}

TEST(PartitionWishes, DifferentInstancesAreHonoured) {
  Network network = test::layered({20, 30, 40, 5});
  network.projections[0].execution_instance = "first";
  network.projections[1].execution_instance = "second";
  const PartitionedMapping partition = partition_network(network);
  EXPECT_EQ(slices_text(partition), "layer1 | layer2 layer3");
  EXPECT_EQ(partition.instances[0].wish, "first");
  EXPECT_EQ(partition.instances[1].wish, "second");
  expect_right(network, partition);
  Random random(3);
  EXPECT_GT(expect_plain_loop(network, partition, random, 10, 3, "wishes"), 0);
}

TEST(PartitionWishes, OneInstanceHoldsAllThatWishIt) {
  Network network = test::layered({20, 30, 40, 5});
  network.projections[0].execution_instance = "one";
  EXPECT_EQ(slices_text(partition_network(network)), "layer1 layer2 layer3");
  network.projections[2].execution_instance = "one";
  const PartitionedMapping partition = partition_network(network);
  EXPECT_EQ(slices_text(partition), "layer1 layer2 layer3");
  EXPECT_EQ(partition.instances[0].wish, "one");
}

TEST(PartitionWishes, RefusedByName) {
  Network network = test::layered({20, 30, 40, 5});
  network.projections[0].execution_instance = "a";
  network.projections[1].execution_instance = "b";
  network.projections[2].execution_instance = "a";  // needs layer2, which needs layer1
  EXPECT_NE(refusal(network).find("layer \"layer2\": execution instances of one part: needs 2, limit 1; it wishes "
                                  "\"b\", and what must run in the same instance wishes \"a\""),
            std::string::npos)
      << refusal(network);
  network = test::layered({20, 30, 5});
  network.projections.push_back(test::dense("more", test::input_node(0), 20, 0, 30, Receptor::kSigned, 1));
  network.projections[0].execution_instance = "a";
  network.projections[2].execution_instance = "b";
  EXPECT_NE(refusal(network).find("layer \"more\": contradicting execution instances: needs 2, limit 1; it wishes "
                                  "\"b\", another projection into the same population wishes \"a\""),
            std::string::npos)
      << refusal(network);
  network = test::layered({784, 256, 10});
  network.projections[0].execution_instance = "a";
  EXPECT_EQ(refusal(network),
            "network \"layered\" does not fit, also when it is cut into execution instances:\n  layer \"layer1\": "
            "neuron circuits: needs 2048, limit 512; remove neurons that take 1536 circuits; one execution instance "
            "holds all of it: execution instance \"a\"");
}

TEST(PartitionWishes, ChipCoordinatesKeepAPopulationWhole) {
  Network network = test::layered({128, 600, 10});
  network.projections[1].chip_coordinate = "AtomicNeuronOnDLS(7, 1)";
  const std::string text = refusal(network);
  EXPECT_NE(text.find("layer \"to2\": chip coordinates that cannot be honoured"), std::string::npos) << text;
  network = test::layered({128, 600, 1});
  network.projections[0].receptor = Receptor::kSigned;
  const PartitionedMapping free = partition_network(network);
  EXPECT_EQ(free.instances.size(), 2U);
}

TEST(Partition, LimitOfInstances) {
  const Network network = test::layered({784, 256, 10});
  EXPECT_EQ(refusal(network, {4}),
            "network \"layered\" does not fit, also when it is cut into execution instances:\n  network: execution "
            "instances: needs 5, limit 4; allow 5 instances, or make the layers smaller");
  EXPECT_EQ(refusal(network, {5}), "no error");
  EXPECT_NE(refusal(network, {1}).find("does not fit the chip:\n  network: neuron circuits: needs 2068, limit 512"),
            std::string::npos);
  EXPECT_NE(refusal(network, {-1}).find("max_instances must be >= 0, got -1"), std::string::npos);
}

TEST(Partition, Deterministic) {
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    Random random(seed);
    test::Shape shape;
    shape.max_size = 400;
    shape.max_fan_in = 100;
    const Network network = test::random_network(random, shape);
    const PartitionResult a = try_partition(network);
    const PartitionResult b = try_partition(network);
    ASSERT_TRUE(a.partition.has_value());
    EXPECT_EQ(differences(*a.partition, *b.partition), std::vector<std::string>());
    EXPECT_EQ(to_json(*a.partition), to_json(*b.partition));
  }
}

TEST(PartitionJson, RoundTripIsByteIdentical) {
  Network with_wish = test::layered({20, 30, 5});
  with_wish.projections[1].execution_instance = "late";
  with_wish.projections[0].execution_instance = "early";
  for (const Network& network : {test::layered({128, 600, 10}), test::yin_yang(), with_wish}) {
    const PartitionedMapping partition = partition_network(network);
    const std::string text = to_json(partition);
    const PartitionedMapping read = partition_from_json(text, network);
    EXPECT_EQ(to_json(read), text);
    EXPECT_EQ(Json::parse(text).dump(), text);
    EXPECT_EQ(differences(read, partition), std::vector<std::string>());
    for (std::size_t k = 0; k < read.instances.size(); ++k) {
      EXPECT_EQ(to_json(read.instances[k].network), to_json(partition.instances[k].network));
    }
  }
}

TEST(PartitionJson, DifferencesAreNamed) {
  const Network network = test::layered({128, 600, 10});
  const PartitionedMapping partition = partition_network(network);
  PartitionedMapping other = partition;
  other.instances[0].wish = "x";
  other.instances[1].mapping.synapses[0].label ^= 1;
  other.instances.back().populations[0].first += 1;
  const std::vector<std::string> sentences = differences(partition, other);
  ASSERT_EQ(sentences.size(), 3U);
  EXPECT_EQ(sentences[0], "instance 0: wish \"\" against \"x\"");
  EXPECT_EQ(differences(partition, other, 1).size(), 1U);
}

TEST(PartitionJson, DamagedFilesAreRefusedByField) {
  const Network network = test::layered({16, 600, 10});
  const Json good = Json::parse(to_json(partition_network(network)));
  struct Damage {
    std::function<void(Json&)> change;
    std::string message;
  };
  const std::vector<Damage> damages = {
      {[](Json& j) { j["format"] = "gradspike.mapping"; }, "is no file of format \"gradspike.partition\""},
      {[](Json& j) { j["version"] = 2; }, "version"},
      {[](Json& j) { j["network"] = "other"; }, "belongs to network \"other\""},
      {[](Json& j) { j["populations"][0] = "other"; }, "population 0 is \"other\""},
      {[](Json& j) { j["populations"].erase(0); }, "has 1 populations"},
      {[](Json& j) { j["more"] = 1; }, "more"},
      {[](Json& j) { j["instances"][0]["slices"][0][0] = 2; }, "instances[0].slices[0][0]"},
      {[](Json& j) { j["instances"][0]["slices"][0][2] = 601; }, "instances[0].slices[0][2]"},
      {[](Json& j) { j["instances"][0]["slices"][0][2] = 511; }, "512"},
      {[](Json& j) { j["instances"][0]["slices"][0].erase(2); }, "must be [population, first, count]"},
      {[](Json& j) { j["instances"][1]["slices"][0][1] = 511; }, ""},
      {[](Json& j) { j["instances"][1]["slices"] = j["instances"][0]["slices"]; }, ""},
      {[](Json& j) { j["instances"][0]["slices"] = Json::array(); }, "instances[0].slices must not be empty"},
      {[](Json& j) { j["instances"].erase(1); }, "must be all populations"},
      {[](Json& j) { std::swap(j["instances"][0], j["instances"][1]); }, ""},
      {[](Json& j) { j["instances"][0]["mapping"]["synapses"][0][1] = 256; }, "synapses[0][1]"},
      {[](Json& j) { j["instances"][0]["mapping"] = 3; }, "mapping"},
      {[](Json& j) { j["instances"] = Json::array(); }, "no instance holds neuron 0 of population \"layer1\""},
  };
  for (std::size_t k = 0; k < damages.size(); ++k) {
    Json damaged = good;
    damages[k].change(damaged);
    const std::string message = refusal([&] { partition_from_json(damaged.dump(), network); });
    EXPECT_NE(message, "no error") << k;
    EXPECT_NE(message.find(damages[k].message), std::string::npos) << k << ": " << message;
  }
  EXPECT_NE(refusal([&] { partition_from_json("{", network); }), "no error");
  EXPECT_NE(refusal([&] { partition_from_json(good.dump(), test::layered({17, 600, 10})); }), "no error");
}

TEST(PartitionJson, FlippedBytesAreReadOrRefused) {
  Network network = test::layered({4, 6, 2});
  network.projections[0].execution_instance = "early";
  network.projections[1].execution_instance = "late";
  const PartitionedMapping partition = partition_network(network);
  const std::string good = to_json(partition);
  Random random(8);
  std::int64_t refused = 0;
  for (std::int64_t k = 0; k < 3000; ++k) {
    std::string damaged = good;
    for (std::int64_t flips = test::pick(random, 1, 3); flips > 0; --flips) {
      char& byte = damaged[random() % damaged.size()];
      byte = byte >= '0' && byte <= '9' ? static_cast<char>('0' + random() % 10) : static_cast<char>(random());
    }
    try {
      validate(partition_from_json(damaged, network), network);
    } catch (const Error&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, 1000);
}

/// A network over three instances with recurrence, and its inputs.
struct Example {
  Network network = test::layered({128, 700, 10});
  PartitionedMapping partition;
  Weights weights;
  test::Inputs inputs;

  Example() {
    network.populations.insert(network.populations.begin() + 1, test::population("memory", NeuronKind::kLif, 60, 2.0F));
    network.projections[1].target = 2;
    network.projections.push_back(test::dense("to_memory", test::population_node(0), 40, 1, 60));
    network.projections.push_back(test::dense("within", test::population_node(1), 60, 1, 60, Receptor::kSigned, 1));
    network.projections.back().delay_steps = 1;
    partition = partition_network(network);
    Random random(21);
    weights = test::random_weights(network, random);
    inputs = test::random_inputs(network, 12, 2, random, 0.3);
  }
  std::vector<SpikeTensor> tensors(std::int64_t first, std::int64_t steps) const {
    return {{SpikeTensor::Type::kUint8, inputs[0].data() + first * 2 * 128, steps, 2, 128}};
  }
};

TEST(PartitionRun, StateContinuesARun) {
  const Example e;
  ASSERT_GE(e.partition.instances.size(), 2U);
  const Observables whole = run_partition(e.network, e.partition, e.weights, e.tensors(0, 12), record_all());
  RunOptions options = record_all();
  std::vector<std::vector<float>> membrane(3);
  for (std::int64_t first = 0; first < 12; first += 4) {
    const Observables part = run_partition(e.network, e.partition, e.weights, e.tensors(first, 4), options);
    for (std::size_t p = 0; p < 3; ++p) {
      membrane[p].insert(membrane[p].end(), part.populations[p].membrane.begin(), part.populations[p].membrane.end());
      options.initial_states[part.populations[p].name] = part.populations[p].final_state;
    }
  }
  for (std::size_t p = 0; p < 3; ++p) {
    EXPECT_TRUE(same_bits(membrane[p], whole.populations[p].membrane)) << p;
    EXPECT_TRUE(same_bits(options.initial_states[whole.populations[p].name], whole.populations[p].final_state)) << p;
  }
  EXPECT_EQ(whole.populations[1].final_state.size(), 4U * 2U * 60U);
  EXPECT_EQ(whole.populations[0].final_state.size(), 3U * 2U * 700U);
  options.initial_states["memory"].pop_back();
  const auto run = [&] { run_partition(e.network, e.partition, e.weights, e.tensors(0, 4), options); };
  EXPECT_NE(refusal(run).find("initial state of population \"memory\""), std::string::npos) << refusal(run);
}

TEST(PartitionRun, RecordsWhatWasAskedFor) {
  const Example e;
  RunOptions options;
  options.record_membrane = {"layer1"};
  const Observables got = run_partition(e.network, e.partition, e.weights, e.tensors(0, 12), options);
  EXPECT_EQ(got.target, "emulator ideal");
  EXPECT_EQ(got.population("layer1").membrane.size(), 12U * 2U * 700U);
  EXPECT_TRUE(got.population("memory").membrane.empty());
  EXPECT_TRUE(got.population("layer2").spikes.empty());
  EXPECT_FALSE(got.events("memory").empty());
  options.record_membrane = {"layer7"};
  const auto run = [&] { run_partition(e.network, e.partition, e.weights, e.tensors(0, 12), options); };
  EXPECT_NE(refusal(run).find("no population \"layer7\""), std::string::npos);
  const Observables empty = run_partition(e.network, e.partition, e.weights, {{{}, nullptr, 3, 0, 128}}, record_all());
  EXPECT_EQ(empty.steps, 3);
  EXPECT_TRUE(empty.population("layer1").membrane.empty());
}

TEST(PartitionRun, TheAnalogEmulatorMergesSamplesAndTimes) {
  const Example e;
  CompileOptions compile;
  compile.preset = "calibrated";
  compile.seed = 4;
  const auto shared = std::make_shared<const PartitionedMapping>(e.partition);
  const auto program = PartitionedProgram::compile(find_backend("emulator"), e.network, shared, e.weights, compile);
  RunOptions options = record_all();
  options.madc = {"layer1", 650};
  options.record_current.clear();
  const Observables got = program->run(e.tensors(0, 12), options);
  EXPECT_EQ(got.target, "emulator analog preset=calibrated seed=4");
  EXPECT_EQ(got.madc.population, "layer1");
  EXPECT_EQ(got.madc.neuron, 650);
  EXPECT_FALSE(got.madc.samples.empty());
  EXPECT_GT(got.timing.at("chip"), 0.0);
  EXPECT_EQ(got.population("layer1").cadc.size(), got.cadc_times.size() * 2U * 700U);
  EXPECT_FALSE(got.constants.empty());
  options.seed = 1;
  EXPECT_FALSE(program->run(e.tensors(0, 12), options).population("layer1").cadc == got.population("layer1").cadc);
}

TEST(PartitionRun, DeploymentUploadsAndReports) {
  Example e;
  Deployment deployment(e.network);
  const auto deployed = deployment.compile("emulator", {}, e.weights);
  const Observables first = deployed->run(e.tensors(0, 12), record_all());
  Random random(77);
  const Weights others = test::random_weights(e.network, random);
  EXPECT_TRUE(deployed->changed(others));
  const Observables again = deployment.compile("emulator", {}, others)->run(e.tensors(0, 12), record_all());
  const Observables expected = run_partition(e.network, e.partition, others, e.tensors(0, 12), record_all());
  EXPECT_TRUE(same_bits(again.population("layer2").membrane, expected.population("layer2").membrane));
  EXPECT_FALSE(same_bits(again.population("layer2").membrane, first.population("layer2").membrane));

  const auto count = static_cast<std::int64_t>(e.partition.instances.size());
  const Report report = deployment.check("emulator ideal", {}, 0);
  EXPECT_EQ(report.chips, count);
  EXPECT_EQ(report.runs_per_sample, count);
  EXPECT_EQ(report.verdict, Verdict::kFits);
  EXPECT_NE(report.text().find(" chips, or one chip and "), std::string::npos) << report.text();
  EXPECT_NE(report.text().find("instance 1"), std::string::npos);
  EXPECT_EQ(deployment.check("emulator ideal", {}).verdict, Verdict::kDoesNotFit);
  EXPECT_EQ(deployment.check("emulator ideal", {}, count - 1).verdict, Verdict::kDoesNotFit);
  EXPECT_EQ(deployment.check("emulator ideal", {}, count).verdict, Verdict::kFits);
  EXPECT_NE(refusal([&] { deployment.mapping(); }).find("execution instances, and one mapping was asked for"),
            std::string::npos);
  Deployment stored(e.network);
  stored.set_partition(partition_from_json(to_json(*deployment.partition()), e.network));
  EXPECT_EQ(differences(*stored.partition(), e.partition), std::vector<std::string>());
  PartitionedMapping wrong = e.partition;
  wrong.instances[0].mapping.synapses[0].label ^= 1;
  EXPECT_NE(refusal([&] { stored.set_partition(wrong); }).find("is wrong"), std::string::npos);
}

}  // namespace
}  // namespace gradspike::chip
