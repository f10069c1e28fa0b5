// Checks of partitioned networks that several tests share.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "csrc/chip/checker.h"
#include "csrc/chip/partition.h"
#include "csrc/chip/partitioned_program.h"
#include "tests/cpp/chip/networks.h"
#include "tests/cpp/chip/plain_loop.h"

namespace gradspike::chip::test {

/// Each instance passes the checker, and together they hold the network.
inline void expect_right(const Network& network, const PartitionedMapping& partition) {
  validate(partition, network);
  for (const Instance& instance : partition.instances) {
    EXPECT_EQ(check_mapping(instance.network, instance.mapping), std::vector<std::string>());
  }
}

inline Observables run_partition(const Network& network, const PartitionedMapping& partition, const Weights& weights,
                                 const std::vector<SpikeTensor>& inputs, const RunOptions& options) {
  return PartitionedProgram::compile(find_backend("emulator"), network,
                                     std::make_shared<const PartitionedMapping>(partition), weights, {})
      ->run(inputs, options);
}

inline RunOptions record_all() {
  RunOptions options;
  options.record_membrane = {"*"};
  options.record_current = {"*"};
  return options;
}

/// Compares a run on the ideal emulator, bit for bit. Returns the number of spikes.
inline std::int64_t expect_plain_loop(const Network& network, const PartitionedMapping& partition, Random& random,
                                      std::int64_t steps, std::int64_t batch, const std::string& where) {
  const Weights weights = random_weights(network, random);
  const Inputs inputs = random_inputs(network, steps, batch, random, 0.2);
  const Observables got =
      run_partition(network, partition, weights, tensors(network, inputs, steps, batch), record_all());
  const PlainLoop expected(network, weights, inputs, steps, batch);
  std::int64_t spikes = 0;
  for (std::size_t p = 0; p < network.populations.size(); ++p) {
    if (network.populations[p].kind == NeuronKind::kLif) {
      const std::vector<float> z = got.spikes_as_float(network.populations[p].name);
      EXPECT_TRUE(same_bits(z, expected.result.spikes[p])) << where;
      spikes += std::count(z.begin(), z.end(), 1.0F);
    }
    EXPECT_TRUE(same_bits(got.populations[p].membrane, expected.result.membrane[p])) << where;
    EXPECT_TRUE(same_bits(got.populations[p].current, expected.result.current[p])) << where;
  }
  EXPECT_EQ(got.counters.spikes_on_chip, spikes) << where;
  return spikes;
}

/// "a b[0:10] | b[10:20]"
inline std::string slices_text(const PartitionedMapping& partition) {
  std::string text;
  for (const Instance& instance : partition.instances) {
    text += text.empty() ? "" : " | ";
    for (const Population& population : instance.network.populations) {
      text += (&population == instance.network.populations.data() ? "" : " ") + population.name;
    }
  }
  return text;
}

}  // namespace gradspike::chip::test
