// The registry: lookups, staleness, threads, fork.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "csrc/chip/mapper.h"
#include "csrc/chip/registry.h"
#include "csrc/core/error.h"
#include "tests/cpp/chip/networks.h"

namespace gradspike::chip {
namespace {

std::string message_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

Network named(const std::string& name, std::int64_t hidden = 3) {
  Network network = test::layered({2, hidden, 1});
  network.name = name;
  return network;
}

std::shared_ptr<const PartitionedMapping> partition_of(const Network& network) {
  return std::make_shared<const PartitionedMapping>(partition_network(network));
}

TEST(Registry, EntriesAndLookUp) {
  Registry registry;
  const std::uint64_t generation = registry.set_network(named("a"));
  registry.set_network(named("b"));
  const auto entry = registry.projection("a/to2");
  EXPECT_EQ(entry->projection.in_features, 3);
  EXPECT_EQ(entry->sources, std::vector<std::string>{"layer1"});
  EXPECT_EQ(entry->target, "layer2");
  EXPECT_EQ(entry->generation, generation);
  EXPECT_EQ(registry.projection("a/to1")->sources, std::vector<std::string>{"input0"});
  EXPECT_EQ(registry.population("b/layer1")->population.size, 3);
  EXPECT_EQ(registry.projection_keys(), (std::vector<std::string>{"a/to1", "a/to2", "b/to1", "b/to2"}));
  EXPECT_EQ(registry.population_keys("b"), (std::vector<std::string>{"b/layer1", "b/layer2"}));
  EXPECT_EQ(registry.networks(), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(registry.network("a")->populations.size(), 2U);
  EXPECT_EQ(message_of([&] { registry.projection("a/ot1"); }),
            "no projection \"a/ot1\" is registered; nearest: \"a/to1\", \"a/to2\", \"b/to1\"");
  EXPECT_EQ(message_of([&] { Registry().projection("x/y"); }), "no projection \"x/y\" is registered; there are none");
  EXPECT_NE(message_of([&] { registry.population("a"); }), "no error");
  EXPECT_NE(registry.to_json().find("\"key\":\"b/layer2\""), std::string::npos);
  registry.clear("a");
  EXPECT_EQ(registry.networks(), std::vector<std::string>{"b"});
  EXPECT_TRUE(registry.is_stale(*entry));
  registry.clear();
  EXPECT_TRUE(registry.networks().empty());
}

TEST(Registry, ReadingAgainMakesHandlesStale) {
  Registry registry;
  const std::uint64_t first = registry.set_network(named("a"));
  const auto old_projection = registry.projection("a/to1");
  const auto old_population = registry.population("a/layer1");
  EXPECT_FALSE(registry.is_stale(*old_projection));
  const std::uint64_t second = registry.set_network(named("a", 5));
  EXPECT_GT(second, first);
  EXPECT_TRUE(registry.is_stale(*old_projection));
  EXPECT_TRUE(registry.is_stale(*old_population));
  EXPECT_EQ(old_projection->projection.out_features, 3);  // still what it was
  EXPECT_EQ(registry.projection("a/to1")->projection.out_features, 5);
  EXPECT_NE(message_of([&] { registry.set_written("a/to1", first, "emulator", 1); }).find("is stale"),
            std::string::npos);
  Network invalid = named("a");
  invalid.dt = -1.0;
  EXPECT_THROW(registry.set_network(invalid), Error);
  EXPECT_EQ(registry.projection("a/to1")->generation, second);
}

TEST(Registry, MappingAndHashesReplaceEntriesOnly) {
  Registry registry;
  const Network network = named("a");
  const std::uint64_t generation = registry.set_network(network);
  const auto before = registry.projection("a/to1");
  EXPECT_TRUE(before->placement().empty());
  registry.set_partition("a", generation, partition_of(network));
  EXPECT_TRUE(before->placement().empty());  // immutable
  EXPECT_FALSE(registry.is_stale(*before));
  EXPECT_EQ(registry.projection("a/to1")->placement().size(), 12U);  // 2 inputs, 3 neurons, 2 signs
  EXPECT_EQ(registry.population("a/layer1")->placement().size(), 3U);
  registry.set_written("a/to1", generation, "emulator", 77);
  EXPECT_EQ(registry.projection("a/to1")->written.at("emulator"), 77U);
  EXPECT_EQ(registry.projection("a/to1")->placement().size(), 12U);
  EXPECT_TRUE(registry.projection("a/to2")->written.empty());
  EXPECT_THROW(registry.set_partition("a", generation, partition_of(named("b", 9))), Error);
  EXPECT_THROW(registry.set_partition("z", 1, std::make_shared<const PartitionedMapping>()), Error);
}

TEST(Registry, PlacementOverSeveralInstances) {
  Registry registry;
  Network network = test::layered({200, 300, 4});
  network.name = "large";
  const std::uint64_t generation = registry.set_network(network);
  EXPECT_FALSE(registry.projection("large/to1")->is_mapped());
  EXPECT_TRUE(registry.projection("large/to1")->instances().empty());
  EXPECT_TRUE(registry.population("large/layer1")->instance_of_neurons().empty());
  const auto partition = partition_of(network);
  ASSERT_GT(partition->instances.size(), 1U);
  registry.set_partition("large", generation, partition);
  const auto projection = registry.projection("large/to1");
  const auto population = registry.population("large/layer1");
  EXPECT_TRUE(projection->is_mapped());
  EXPECT_EQ(projection->instances(), population->instances());
  EXPECT_GT(projection->instances().size(), 1U);
  std::vector<std::int64_t> synapses_of(300, 0);
  for (const PlacedSynapse& synapse : projection->placement()) {
    EXPECT_EQ(synapse.projection, 0);
    ++synapses_of.at(static_cast<std::size_t>(synapse.post));
  }
  EXPECT_EQ(synapses_of, std::vector<std::int64_t>(300, 400));  // 200 inputs, 2 signs
  const std::vector<PlacedNeuron> neurons = population->placement();
  const std::vector<std::int32_t> instances = population->instance_of_neurons();
  ASSERT_EQ(neurons.size(), 300U);
  for (std::size_t n = 0; n < neurons.size(); ++n) {
    EXPECT_EQ(neurons[n].circuits.size(), 2U);
    for (const PopulationSlice& slice : partition->instances.at(static_cast<std::size_t>(instances[n])).populations) {
      const auto neuron = static_cast<std::int64_t>(n);
      const bool inside = neuron >= slice.first && neuron < slice.first + slice.count;
      EXPECT_TRUE(slice.population != 0 || inside) << n;
    }
  }
  EXPECT_NE(registry.to_json().find("\"instances\":[0,1"), std::string::npos);
}

/// Readers must see sizes, populations and keys of one reading only, while networks are replaced under them.
TEST(Registry, ManyReadersAndReplacers) {
  Registry registry;
  registry.set_network(named("a", 3));
  registry.set_network(named("b", 3));
  std::atomic<bool> stop{false};
  std::atomic<std::int64_t> lookups{0};
  std::atomic<std::int64_t> torn{0};
  std::vector<std::thread> threads;
  for (int reader = 0; reader < 4; ++reader) {
    threads.emplace_back([&, reader] {
      const std::string network = reader % 2 == 0 ? "a" : "b";
      while (!stop) {
        const auto projection = registry.projection(network + "/to2");
        const auto description = registry.network(network);
        torn += projection->projection.in_features != projection->projection.columns[0].count ? 1 : 0;
        torn += description->populations[0].size != description->projections[1].in_features ? 1 : 0;
        torn += registry.projection_keys(network).size() != 2 ? 1 : 0;
        registry.is_stale(*projection);
        ++lookups;
      }
    });
  }
  for (int writer = 0; writer < 2; ++writer) {
    threads.emplace_back([&, writer] {
      const std::string network = writer == 0 ? "a" : "b";
      for (std::int64_t k = 0; k < 300; ++k) {
        const std::uint64_t generation = registry.set_network(named(network, 1 + k % 7));
        registry.set_written(network + "/to1", generation, "emulator", static_cast<std::uint64_t>(k));
        std::this_thread::yield();
      }
    });
  }
  threads[4].join();
  threads[5].join();
  while (lookups == 0) {  // on a busy machine the readers may not have run yet
    std::this_thread::yield();
  }
  stop = true;
  for (std::size_t reader = 0; reader < 4; ++reader) {
    threads[reader].join();
  }
  EXPECT_EQ(torn, 0);
  EXPECT_GT(lookups, 0);
  EXPECT_EQ(registry.projection("a/to1")->written.at("emulator"), 299U);
}

/// True where a child that is forked now can use the registry.
bool child_can_use_it() {
  const pid_t child = fork();
  if (child == 0) {
    alarm(20);  // a lock left behind would hang: die instead
    registry().set_network(named("child", 2));
    const bool good = registry().projection("child/to1")->projection.out_features == 2 &&
                      registry().population("forked/layer1")->population.size >= 1;
    _exit(good ? 0 : 1);
  }
  int status = -1;
  return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/// The lock is held by another thread when the fork begins; without fork handlers the child would wait for it for ever.
TEST(Registry, ForkWaitsForTheLock) {
#if defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "the thread sanitizer does not support a fork with threads";
#endif
  registry().set_network(named("forked"));
  std::atomic<bool> locked{false};
  std::thread holder([&locked] {
    registry().lock_for_fork();
    locked = true;
    std::this_thread::sleep_for(std::chrono::milliseconds(100));  // the fork falls into this time
    registry().unlock_after_fork();
  });
  while (!locked) {
    std::this_thread::yield();
  }
  EXPECT_TRUE(child_can_use_it());
  holder.join();
  registry().clear();
}

TEST(Registry, SurvivesAForkWhileOthersUseIt) {
#if defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "the thread sanitizer does not support a fork with threads";
#endif
  registry().set_network(named("forked"));
  std::atomic<bool> stop{false};
  std::thread writer([&stop] {
    for (std::int64_t k = 0; !stop; ++k) {
      registry().set_network(named("forked", 1 + k % 5));
    }
  });
  for (int k = 0; k < 20; ++k) {
    EXPECT_TRUE(child_can_use_it()) << k;
  }
  stop = true;
  writer.join();
  EXPECT_THROW(registry().projection("child/to1"), Error);
  registry().clear();
}

}  // namespace
}  // namespace gradspike::chip
