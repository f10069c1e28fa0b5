// Networks over several execution instances.
#include <gtest/gtest.h>

#include <chrono>
#include <iostream>
#include <map>

#include "csrc/chip/mapper.h"
#include "csrc/core/error.h"
#include "tests/cpp/chip/partitions.h"

namespace gradspike::chip {
namespace {

using test::expect_plain_loop;
using test::expect_right;
using test::Random;
using test::slices_text;

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
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

/// One circuit, or the fewest pairs that hold `need`.
std::int64_t plain_circuits(std::int64_t need, std::int64_t per_circuit) {
  std::int64_t circuits = 1;
  while (circuits * per_circuit < need) {
    circuits += circuits == 1 ? 1 : 2;
  }
  return circuits;
}

/// Circuits that the neurons of these populations need at least, from their connections: 256 rows per circuit, and of
/// sources among themselves 64 rows for each of 4 classes.
std::int64_t plain_circuits(const Network& network, const std::vector<bool>& chosen) {
  std::vector<std::map<std::int64_t, std::int64_t>> rows(network.populations.size());  // by neuron
  std::map<std::pair<std::int32_t, std::int64_t>, std::map<std::pair<std::int32_t, std::int64_t>, std::int64_t>> inner;
  for (const test::PlainConnection& c : test::plain_connections(network)) {
    const Projection& p = network.projections[c.projection];
    const std::int64_t parts = test::plain_parts(p, false) + test::plain_parts(p, true);
    rows[static_cast<std::size_t>(p.target)][c.post] += parts;
    if (c.source.kind == NodeRef::Kind::kPopulation && chosen[static_cast<std::size_t>(c.source.index)]) {
      inner[{p.target, c.post}][{c.source.index, c.neuron}] += parts;
    }
  }
  std::vector<std::int64_t> most(network.populations.size(), 1);
  for (std::size_t p = 0; p < rows.size(); ++p) {
    for (const auto& [neuron, need] : rows[p]) {
      most[p] = std::max(most[p], plain_circuits(need, 256));
    }
  }
  for (const auto& [target, sources] : inner) {
    for (const auto& [source, least] : sources) {
      const std::int64_t r = least;
      const auto count = std::count_if(sources.begin(), sources.end(), [r](const auto& s) { return s.second >= r; });
      const std::int64_t per_circuit = std::max<std::int64_t>(1, 4 * (64 / r));
      std::int64_t& circuits = most[static_cast<std::size_t>(target.first)];
      circuits = std::max(circuits, plain_circuits(count, per_circuit));
    }
  }
  std::int64_t sum = 0;
  for (std::size_t p = 0; p < most.size(); ++p) {
    sum += chosen[p] ? most[p] * network.populations[p].size : 0;
  }
  return sum;
}

/// What a refusal says must be seen in the network itself: parts joined by delays that are too large.
void expect_true_reason(const Network& network, const PartitionResult& result, const std::string& where) {
  std::int64_t blocking = 0;
  for (const Misfit& misfit : result.misfits) {
    if (!misfit.blocks_mapping) {
      continue;
    }
    ++blocking;
    EXPECT_GT(misfit.need, misfit.limit) << where << misfit.text();
    std::vector<bool> named;
    for (const Population& p : network.populations) {
      named.push_back(("\"" + misfit.layer + "\"").find("\"" + p.name + "\"") != std::string::npos);
    }
    const bool delayed = std::any_of(network.projections.begin(), network.projections.end(), [&](const Projection& p) {
      return p.delay_steps > 0 && misfit.remedy.find("\"" + p.name + "\"") != std::string::npos;
    });
    EXPECT_TRUE(delayed) << where << misfit.text();
    if (misfit.quantity == "neuron circuits") {
      EXPECT_EQ(plain_circuits(network, named), misfit.need) << where << misfit.text();
    }
  }
  EXPECT_GT(blocking, 0) << where;
}

TEST(Partition, RandomNetworksBeyondOneChipEqualThePlainLoop) {
  std::int64_t partitioned = 0;
  std::int64_t instances = 0;
  std::int64_t recurrent = 0;
  std::int64_t refused = 0;
  std::int64_t spikes = 0;
  double planning = 0.0;
  const auto begin = std::chrono::steady_clock::now();
  for (std::uint64_t seed = 0; seed < 320; ++seed) {
    Random random(seed);
    test::Shape shape;
    shape.max_populations = 5;
    shape.recurrent = seed % 4 == 0;
    shape.max_size = std::vector<std::int64_t>{300, 400, 600}[seed % 3];
    if (shape.recurrent) {  // few large layers would be too large to stay together
      shape.max_populations = 8;
      shape.max_size = 170;
    }
    shape.max_fan_in = std::vector<std::int64_t>{60, 100, 400, 120, 60}[seed % 5];
    const Network network = test::random_network(random, shape);
    const std::string where = "seed " + std::to_string(seed) + " ";
    const auto started = std::chrono::steady_clock::now();
    const PartitionResult result = try_partition(network);
    planning += seconds_since(started);
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
    spikes += expect_plain_loop(network, *result.partition, random, 4, 1 + static_cast<std::int64_t>(seed % 2), where);
    ++partitioned;
    instances += static_cast<std::int64_t>(count);
    recurrent += network.projections.back().delay_steps > 0 ? 1 : 0;
  }
  std::cout << partitioned << " networks over " << instances << " instances, " << recurrent << " of them recurrent, "
            << refused << " refused: " << seconds_since(begin) << " s, of which partitioning " << planning << " s\n";
  EXPECT_GT(partitioned, 150);
  EXPECT_GE(recurrent, 10);
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
  Network one = test::layered({40000, 900, 1});  // one neuron of many
  one.projections[0].mask.assign(40000U * 900U, false);
  std::fill(one.projections[0].mask.begin() + 40000 * 700, one.projections[0].mask.begin() + 40000 * 701, true);
  const PartitionResult refused = try_partition(one);
  ASSERT_EQ(refused.misfits.size(), 1U);
  EXPECT_NE(refused.misfits[0].text().find("layer \"layer1\": synapse rows of one neuron: needs 80000, limit 65536; "
                                           "neuron 700 has 40000 connections"),
            std::string::npos)
      << refused.misfits[0].text();
}

TEST(Partition, ManyInstancesInTime) {
  const Network network = test::layered({784, 1024, 512, 10});
  const auto begin = std::chrono::steady_clock::now();
  const PartitionedMapping partition = partition_network(network);
  const double seconds = seconds_since(begin);
  std::cout << "partition of 784-1024-512-10: " << partition.instances.size() << " instances, " << seconds << " s\n";
  RecordProperty("seconds", std::to_string(seconds));
  EXPECT_LE(partition.instances.size(), 25U);
  EXPECT_LT(seconds, 60.0);
  expect_right(network, partition);
}

}  // namespace
}  // namespace gradspike::chip
