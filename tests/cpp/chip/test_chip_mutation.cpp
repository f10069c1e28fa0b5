// One wrong bit in a mapping: the checker must see it, and the emulator must do what the chip would do with it.
#include <gtest/gtest.h>

#include <algorithm>

#include "csrc/chip/backend.h"
#include "csrc/chip/checker.h"
#include "csrc/chip/mapper.h"
#include "csrc/core/error.h"
#include "tests/cpp/chip/networks.h"

namespace gradspike::chip {
namespace {

using test::pick;
using test::Random;

/// A mapped network with all weights away from zero, and a way to see whether a mapping gives other membranes.
struct Case {
  explicit Case(std::uint64_t seed) : random(seed) {
    const std::int64_t in = pick(random, 2, 40);
    const std::int64_t hidden = pick(random, 2, 60);
    network = test::layered({in, hidden, pick(random, 1, 8)});
    network.populations[0].coefficients[5] = 0.02F;  // fires at almost any input
    mapping = map_network(network);
    for (const Projection& p : network.projections) {
      IntegerMatrix m{p.out_features, p.in_features, {}, 0};
      for (std::int64_t i = 0; i < p.out_features * p.in_features; ++i) {
        m.values.push_back(static_cast<std::int16_t>(pick(random, 1, 63) * (test::chance(random, 0.7) ? 1 : -1)));
      }
      m.hash = content_hash(p, m.values);
      weights[p.name] = std::move(m);
    }
    // Each input neuron alone in one batch entry, so that no two faults can cancel.
    inputs.assign(static_cast<std::size_t>(kSteps * in * in), 0);
    for (std::int64_t b = 0; b < in; ++b) {
      inputs[static_cast<std::size_t>((0 * in + b) * in + b)] = 3;
    }
  }

  std::vector<float> run(const Mapping& m, const Weights& w) const {
    const auto backend = find_backend("emulator");
    const std::int64_t in = network.inputs[0].size;
    RunOptions options;
    options.record_membrane = {"*"};
    options.record_current = {"*"};
    const Observables got = backend->run(*backend->compile(network, m, w, {}),
                                         {{SpikeTensor::Type::kUint8, inputs.data(), kSteps, in, in}}, options);
    std::vector<float> all;
    for (const PopulationRecord& record : got.populations) {
      all.insert(all.end(), record.membrane.begin(), record.membrane.end());
      all.insert(all.end(), record.current.begin(), record.current.end());
    }
    return all;
  }

  bool is_right(const Mapping& m) const { return check_mapping(network, m).empty(); }

  /// A synapse that holds a weight other than 0.
  std::size_t loaded_synapse() {
    for (;;) {
      const auto s = static_cast<std::size_t>(pick(random, 0, static_cast<std::int64_t>(mapping.synapses.size()) - 1));
      const PlacedSynapse& synapse = mapping.synapses[s];
      const Projection& p = network.projections[static_cast<std::size_t>(synapse.projection)];
      const std::int16_t w =
          weights.at(p.name).values[static_cast<std::size_t>(synapse.post * p.in_features + synapse.pre)];
      if ((w < 0) == synapse.inhibitory) {
        return s;
      }
    }
  }

  static constexpr std::int64_t kSteps = 6;
  Random random;
  Network network;
  Mapping mapping;
  Weights weights;
  std::vector<std::uint8_t> inputs;
};

/// Applies `mutate` to many mappings; each must be caught by the checker and change what the emulator records.
void expect_caught(const std::function<void(Case&, Mapping&)>& mutate, bool must_change_run = true) {
  std::int64_t changed = 0;
  constexpr std::int64_t kTrials = 40;
  for (std::uint64_t seed = 0; seed < kTrials; ++seed) {
    Case c(seed);
    ASSERT_TRUE(c.is_right(c.mapping)) << seed;
    Mapping mutant = c.mapping;
    mutate(c, mutant);
    ASSERT_FALSE(mutant == c.mapping) << seed;
    EXPECT_FALSE(c.is_right(mutant)) << "seed " << seed << ": " << differences(c.mapping, mutant).front();
    try {
      changed += c.run(mutant, c.weights) != c.run(c.mapping, c.weights) ? 1 : 0;
    } catch (const Error&) {
      ++changed;  // the emulator refused it
    }
  }
  if (must_change_run) {
    EXPECT_GE(changed, kTrials * 8 / 10);  // a hidden neuron that never fires hides a fault of its synapses
  }
}

TEST(Mutation, SynapseLabel) {
  expect_caught([](Case& c, Mapping& m) { m.synapses[c.loaded_synapse()].label ^= 1 << pick(c.random, 0, 5); });
}

TEST(Mutation, RowModeSwapped) {
  expect_caught([](Case& c, Mapping& m) {
    const PlacedSynapse& s = m.synapses[c.loaded_synapse()];
    RowMode& mode = m.row_modes[static_cast<std::size_t>(s.hemisphere)][static_cast<std::size_t>(s.row)];
    mode = mode == RowMode::kExcitatory ? RowMode::kInhibitory : RowMode::kExcitatory;
  });
}

TEST(Mutation, RowDisabled) {
  expect_caught([](Case& c, Mapping& m) {
    const PlacedSynapse& s = m.synapses[c.loaded_synapse()];
    m.row_modes[static_cast<std::size_t>(s.hemisphere)][static_cast<std::size_t>(s.row)] = RowMode::kDisabled;
  });
}

TEST(Mutation, CompareMask) {
  // A driver that compares all bits answers to one row select only: taken is a driver whose events carry another.
  expect_caught([](Case& c, Mapping& m) {
    for (;;) {
      const PlacedSynapse& s = m.synapses[c.loaded_synapse()];
      std::int32_t row_select = m.inputs[0].labels[0][0].row_select();
      if (s.projection == 1) {
        const PlacedNeuron& source = m.populations[0].neurons[static_cast<std::size_t>(s.pre)];
        row_select = neuron_label(source.circuits[0].event_output(), source.address).row_select();
      }
      const std::int32_t driver = s.row / 2;
      if (driver / 4 != row_select) {
        m.compare_masks[static_cast<std::size_t>(s.hemisphere)][static_cast<std::size_t>(driver)] = 31;
        return;
      }
    }
  });
}

TEST(Mutation, CrossbarNodeShut) {
  expect_caught([](Case& c, Mapping& m) {
    for (;;) {
      CrossbarRule& rule = m.crossbar[static_cast<std::size_t>(pick(c.random, 0, 75))];
      if (rule.node.input >= 8 && rule.node.input < 12 && rule.node.output < 8 && !rule.drops_all()) {
        const std::int32_t h = rule.node.output / 4;
        bool used = false;
        for (const auto& labels : m.inputs[0].labels) {
          for (const EventLabel label : labels) {
            used = used || (label.spl1() == rule.node.input - 8 && ((label.value >> 13) & 1) == h);
          }
        }
        if (used) {
          rule.target ^= kHemisphereBit;
          return;
        }
      }
    }
  });
}

TEST(Mutation, CrossbarNodeOpened) {
  // Events from outside reach a second bus, where their labels belong to others. With few sources that bus may hold no
  // such label, so the mutation opens the other hemisphere or bus of a label that exists there.
  std::int64_t caught = 0;
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    Case c(seed);
    Mapping mutant = c.mapping;
    for (CrossbarRule& rule : mutant.crossbar) {
      if (rule.node.input == 8 && rule.node.output == 1) {
        rule = {rule.node, 0, 0};
      }
    }
    const bool differs = c.run(mutant, c.weights) != c.run(c.mapping, c.weights);
    EXPECT_TRUE(!differs || !c.is_right(mutant)) << seed;
    caught += c.is_right(mutant) ? 0 : 1;
  }
  EXPECT_GE(caught, 40);
}

TEST(Mutation, InputLabel) {
  expect_caught([](Case& c, Mapping& m) {
    auto& labels = m.inputs[0].labels[static_cast<std::size_t>(pick(c.random, 0, c.network.inputs[0].size - 1))];
    labels[0].value = static_cast<std::uint16_t>(labels[0].value ^ (1U << pick(c.random, 0, 5)));
  });
}

TEST(Mutation, InputEventLostOrSentTwice) {
  expect_caught([](Case& c, Mapping& m) {
    auto& labels = m.inputs[0].labels[static_cast<std::size_t>(pick(c.random, 0, c.network.inputs[0].size - 1))];
    if (test::chance(c.random, 0.5)) {
      labels.pop_back();
    } else {
      labels.push_back(labels[0]);
    }
  });
}

TEST(Mutation, NeuronAddress) {
  expect_caught(
      [](Case& c, Mapping& m) {
        m.populations[0]
            .neurons[static_cast<std::size_t>(pick(c.random, 0, c.network.populations[0].size - 1))]
            .address ^= 1 << pick(c.random, 0, 5);
      },
      false);
}

TEST(Mutation, SynapseMissingOrMoved) {
  expect_caught([](Case& c, Mapping& m) {
    const std::size_t s = c.loaded_synapse();
    if (test::chance(c.random, 0.5)) {
      m.synapses.erase(m.synapses.begin() + static_cast<std::ptrdiff_t>(s));
    } else {
      m.synapses[s].column ^= 1;
    }
  });
}

TEST(Mutation, NeuronsOnOneCircuit) {
  expect_caught([](Case&, Mapping& m) { m.populations[0].neurons[1].circuits = m.populations[0].neurons[0].circuits; });
}

TEST(Mutation, CircuitsOfANeuronApart) {
  const Network network = test::layered({200, 9, 2});
  const Mapping mapping = map_network(network);
  ASSERT_EQ(mapping.populations[0].neurons[0].circuits.size(), 2U);
  ASSERT_TRUE(check_mapping(network, mapping).empty());
  for (const std::int32_t elsewhere : {511, 40, 300}) {
    Mapping mutant = mapping;
    mutant.populations[1].neurons[0].circuits.emplace_back(elsewhere);
    const std::vector<std::string> violations = check_mapping(network, mutant);
    ASSERT_FALSE(violations.empty());
    EXPECT_NE(violations.front().find("do not hang together"), std::string::npos) << violations.front();
  }
}

TEST(Mutation, BackgroundGeneratorLetIn) {
  expect_caught(
      [](Case& c, Mapping& m) {
        for (;;) {
          CrossbarRule& rule = m.crossbar[static_cast<std::size_t>(pick(c.random, 0, 75))];
          if (rule.node.input >= 12) {
            rule = {rule.node, 0, 0};
            return;
          }
        }
      },
      false);
}

TEST(Mutation, SpikesKeptFromTheHost) {
  expect_caught(
      [](Case& c, Mapping& m) {
        const std::int32_t output = m.populations[0].neurons[0].circuits[0].event_output();
        for (CrossbarRule& rule : m.crossbar) {
          if (rule.node.input == output && rule.node.output >= 8) {
            rule = CrossbarRule::drop(rule.node);
          }
        }
        (void)c;
      },
      false);
}

TEST(Mutation, Weight) {
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    Case c(seed);
    Weights mutant = c.weights;
    const Projection& p = c.network.projections[0];
    std::vector<std::int16_t>& values = mutant.at(p.name).values;
    const auto i = static_cast<std::size_t>(pick(c.random, 0, static_cast<std::int64_t>(values.size()) - 1));
    values[i] = static_cast<std::int16_t>(-values[i]);
    EXPECT_THROW(c.run(c.mapping, mutant), Error);  // the hash tells
    mutant.at(p.name).hash = content_hash(p, values);
    EXPECT_NE(c.run(c.mapping, mutant), c.run(c.mapping, c.weights)) << seed;
  }
}

TEST(Mutation, OutOfRangeIsAViolationNotACrash) {
  Case c(1);
  const std::vector<std::function<void(Mapping&)>> changes = {
      [](Mapping& m) { m.synapses[0].row = 256; },
      [](Mapping& m) { m.synapses[0].hemisphere = -1; },
      [](Mapping& m) { m.synapses[0].column = 9999; },
      [](Mapping& m) { m.synapses[0].label = 64; },
      [](Mapping& m) { m.synapses[0].projection = 2; },
      [](Mapping& m) { m.synapses[0].pre = -1; },
      [](Mapping& m) { m.synapses[0].post = 1 << 20; },
      [](Mapping& m) { m.synapses[0].part = -1; },
      [](Mapping& m) { m.compare_masks[1][5] = 32; },
      [](Mapping& m) { m.crossbar.pop_back(); },
      [](Mapping& m) { m.populations.pop_back(); },
      [](Mapping& m) { m.inputs[0].labels.pop_back(); },
      [](Mapping& m) { m.populations[0].neurons[0].circuits.clear(); },
      [](Mapping& m) { m.populations[0].neurons[0].address = 256; },
      [](Mapping& m) { m.row_modes[0][0] = static_cast<RowMode>(7); }};
  for (std::size_t k = 0; k < changes.size(); ++k) {
    Mapping mutant = c.mapping;
    changes[k](mutant);
    EXPECT_EQ(check_mapping(c.network, mutant).size(), 1U) << k;
    EXPECT_THROW(c.run(mutant, c.weights), Error) << k;
  }
}

}  // namespace
}  // namespace gradspike::chip
