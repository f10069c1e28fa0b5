// Networks over several execution instances.
#include <gtest/gtest.h>

#include <chrono>
#include <iostream>
#include <map>
#include <set>

#include "csrc/chip/checker.h"
#include "csrc/chip/mapper.h"
#include "csrc/chip/partition.h"
#include "csrc/chip/partitioned_program.h"
#include "csrc/core/error.h"
#include "tests/cpp/chip/networks.h"
#include "tests/cpp/chip/plain_loop.h"

namespace gradspike::chip {
namespace {

using test::Random;

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

void expect_right(const Network& network, const PartitionedMapping& partition) {
  validate(partition, network);
  for (const Instance& instance : partition.instances) {
    EXPECT_EQ(check_mapping(instance.network, instance.mapping), std::vector<std::string>());
  }
}

Observables run_partition(const Network& network, const PartitionedMapping& partition, const Weights& weights,
                          const std::vector<SpikeTensor>& inputs, const RunOptions& options) {
  return PartitionedProgram::compile(find_backend("emulator"), network,
                                     std::make_shared<const PartitionedMapping>(partition), weights, {})
      ->run(inputs, options);
}

RunOptions record_all() {
  RunOptions options;
  options.record_membrane = {"*"};
  options.record_current = {"*"};
  return options;
}

/// Returns the number of spikes.
std::int64_t expect_plain_loop(const Network& network, const PartitionedMapping& partition, Random& random,
                               std::int64_t steps, std::int64_t batch, const std::string& where) {
  const Weights weights = test::random_weights(network, random);
  const test::Inputs inputs = test::random_inputs(network, steps, batch, random, 0.2);
  const Observables got =
      run_partition(network, partition, weights, test::tensors(network, inputs, steps, batch), record_all());
  const test::PlainLoop expected(network, weights, inputs, steps, batch);
  std::int64_t spikes = 0;
  for (std::size_t p = 0; p < network.populations.size(); ++p) {
    if (network.populations[p].kind == NeuronKind::kLif) {
      const std::vector<float> z = got.spikes_as_float(network.populations[p].name);
      EXPECT_TRUE(test::same_bits(z, expected.result.spikes[p])) << where;
      spikes += std::count(z.begin(), z.end(), 1.0F);
    }
    EXPECT_TRUE(test::same_bits(got.populations[p].membrane, expected.result.membrane[p])) << where;
    EXPECT_TRUE(test::same_bits(got.populations[p].current, expected.result.current[p])) << where;
  }
  EXPECT_EQ(got.counters.spikes_on_chip, spikes) << where;
  return spikes;
}

std::string slices_text(const PartitionedMapping& partition) {
  std::string text;
  for (const Instance& instance : partition.instances) {
    text += text.empty() ? "" : " | ";
    for (const Population& population : instance.network.populations) {
      text += (&population == instance.network.populations.data() ? "" : " ") + population.name;
    }
  }
  return text;
}

TEST(Partition, AnImageNetworkTakesTheFiveInstancesOfTheHandPartition) {
  const Network network = test::layered({784, 256, 10});
  const auto begin = std::chrono::steady_clock::now();
  const PartitionedMapping partition = partition_network(network);
  const double seconds = seconds_since(begin);
  std::cout << "partition of 784-256-10: " << seconds << " s\n" << partition.text();
  RecordProperty("seconds", std::to_string(seconds));
  EXPECT_LE(partition.instances.size(), 5U);
  EXPECT_LT(seconds, 60.0);
  expect_right(network, partition);
  Random random(5);
  EXPECT_GT(expect_plain_loop(network, partition, random, 12, 2, "784-256-10"), 0);
}

TEST(Partition, ANetworkThatFitsKeepsItsMapping) {
  for (const Network& network : {test::yin_yang(), test::layered({256, 246, 10}), test::recurrent(10, 60, 3)}) {
    const PartitionedMapping partition = partition_network(network);
    ASSERT_EQ(partition.instances.size(), 1U);
    EXPECT_EQ(differences(partition.instances[0].mapping, map_network(network)), std::vector<std::string>());
    EXPECT_EQ(to_json(partition.instances[0].network), to_json(network));
    expect_right(network, partition);
  }
}

/// Whether what a refusal says can be seen in the network itself: a part with delays, or a neuron, that is too large.
void expect_true_reason(const Network& network, const PartitionResult& result, const std::string& where) {
  ASSERT_FALSE(result.misfits.empty()) << where;
  bool blocks = false;
  for (const Misfit& misfit : result.misfits) {
    if (!misfit.blocks_mapping) {
      continue;
    }
    blocks = true;
    EXPECT_GT(misfit.need, misfit.limit) << where << misfit.text();
    EXPECT_NE(misfit.remedy, "") << where;
    EXPECT_NE(misfit.layer, "") << where << misfit.text();
    const bool delayed = std::any_of(network.projections.begin(), network.projections.end(),
                                     [](const Projection& p) { return p.delay_steps > 0; });
    EXPECT_TRUE(delayed && misfit.remedy.find("delayed (recurrent) projection") != std::string::npos)
        << where << misfit.text();
    if (misfit.quantity == "neuron circuits") {
      // The network cannot do with fewer circuits than its neurons and its synapse rows need.
      std::set<std::string> names;
      for (const Population& p : network.populations) {
        names.insert(misfit.layer.find("\"") == std::string::npos ? misfit.layer : p.name);
      }
      std::int64_t neurons = 0;
      std::map<std::pair<std::int32_t, std::int64_t>, std::int64_t> rows;
      for (const Population& p : network.populations) {
        neurons += names.count(p.name) != 0 ? p.size : 0;
      }
      for (const test::PlainConnection& c : test::plain_connections(network)) {
        const Projection& p = network.projections[c.projection];
        rows[{p.target, c.post}] += test::plain_parts(p, false) + test::plain_parts(p, true);
      }
      std::int64_t circuits = neurons;
      for (const auto& [neuron, need] : rows) {
        circuits += (need + 255) / 256 - 1;
      }
      EXPECT_GT(2 * circuits + 8, kNeuronCircuits) << where << misfit.text();
    }
  }
  EXPECT_TRUE(blocks) << where;
}

TEST(Partition, RandomNetworksBeyondOneChipEqualThePlainLoop) {
  std::int64_t partitioned = 0;
  std::int64_t instances = 0;
  std::int64_t recurrent = 0;
  std::int64_t refused = 0;
  std::int64_t spikes = 0;
  const auto begin = std::chrono::steady_clock::now();
  for (std::uint64_t seed = 0; seed < 240; ++seed) {
    Random random(seed);
    test::Shape shape;
    shape.max_populations = 5;
    shape.max_size = std::vector<std::int64_t>{120, 300, 500}[seed % 3];
    shape.max_fan_in = std::vector<std::int64_t>{400, 200, 100, 60}[seed % 4];
    shape.recurrent = seed % 5 == 0;
    const Network network = test::random_network(random, shape);
    const std::string where = "seed " + std::to_string(seed) + " ";
    const PartitionResult result = try_partition(network);
    if (!result.partition) {
      expect_true_reason(network, result, where);
      ++refused;
      continue;
    }
    const std::size_t count = result.partition->instances.size();
    if (count == 1) {
      continue;
    }
    expect_right(network, *result.partition);
    spikes += expect_plain_loop(network, *result.partition, random, 5, 2, where);
    ++partitioned;
    instances += static_cast<std::int64_t>(count);
    recurrent += network.projections.back().delay_steps > 0 ? 1 : 0;
  }
  std::cout << partitioned << " networks over " << instances << " instances, " << recurrent << " of them recurrent, "
            << refused << " refused: " << seconds_since(begin) << " s\n";
  EXPECT_GT(partitioned, 60);
  EXPECT_GT(spikes, 1000);
}

TEST(Partition, LayersAreCutInOrderAndDependOnEarlierInstances) {
  const PartitionedMapping partition = partition_network(test::layered({128, 700, 10}));
  EXPECT_EQ(slices_text(partition), "layer1[0:512] | layer1[512:700] layer2");
  const PartitionedMapping deep = partition_network(test::layered({64, 300, 300, 10}));
  expect_right(test::layered({64, 300, 300, 10}), deep);
  EXPECT_LE(deep.instances.size(), 4U) << slices_text(deep);
}

TEST(Partition, RecurrentPartsStayTogether) {
  Network network = test::layered({784, 256, 10});
  network.populations.push_back(test::population("memory", NeuronKind::kLif, 120));
  network.projections.push_back(test::dense("to_memory", test::population_node(0), 100, 2, 120));
  network.projections.push_back(test::dense("within", test::population_node(2), 120, 2, 120, Receptor::kSigned, 1));
  network.projections.back().delay_steps = 1;
  const PartitionedMapping partition = partition_network(network);
  expect_right(network, partition);
  std::int64_t holders = 0;
  for (const Instance& instance : partition.instances) {
    for (const PopulationSlice& slice : instance.populations) {
      if (slice.population == 2) {
        ++holders;
        EXPECT_EQ(slice.count, 120);
      }
    }
  }
  EXPECT_EQ(holders, 1);
  Random random(9);
  EXPECT_GT(expect_plain_loop(network, partition, random, 8, 2, "memory"), 0);
}

TEST(Partition, ARecurrentPartThatIsTooLargeIsNamed) {
  const PartitionResult result = try_partition(test::recurrent(100, 600, 3));
  ASSERT_FALSE(result.partition.has_value());
  ASSERT_EQ(result.misfits.size(), 1U);
  EXPECT_EQ(result.misfits[0].text(),
            "layer \"layer1\": neuron circuits: needs 3600, limit 512; remove neurons that take 3088 circuits; one "
            "execution instance holds all of it: delayed (recurrent) projection \"recurrent\"");
}

TEST(Partition, AFanInBeyondAChipIsNamed) {
  const Network network = test::layered({40000, 2, 1});
  const PartitionResult result = try_partition(network);
  ASSERT_FALSE(result.partition.has_value());
  EXPECT_EQ(result.misfits[0].layer, "layer1");
  EXPECT_EQ(result.misfits[0].quantity, "synapse rows of one neuron");
  EXPECT_EQ(result.misfits[0].need, 80000);
  EXPECT_EQ(result.misfits[0].limit, 65536);
}

}  // namespace
}  // namespace gradspike::chip
