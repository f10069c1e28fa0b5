// The mapper against the checker, and its refusals against a computation from the connections alone.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "csrc/chip/capacity.h"
#include "csrc/chip/checker.h"
#include "csrc/chip/mapper.h"
#include "csrc/core/error.h"
#include "tests/cpp/chip/networks.h"

namespace gradspike::chip {
namespace {

using test::chance;
using test::layered;
using test::pick;
using test::Random;

/// Rows by target neuron (population, index), and by source on the chip.
struct Needs {
  std::int64_t excitatory = 0;
  std::int64_t inhibitory = 0;
  std::map<std::pair<std::int32_t, std::int64_t>, std::pair<std::int64_t, std::int64_t>> on_chip;
};
using NeedTable = std::map<std::pair<std::int32_t, std::int64_t>, Needs>;

NeedTable needs_of(const Network& network) {
  NeedTable table;
  for (const test::PlainConnection& c : test::plain_connections(network)) {
    const Projection& p = network.projections[c.projection];
    Needs& needs = table[{p.target, c.post}];
    const std::int64_t e = test::plain_parts(p, false);
    const std::int64_t i = test::plain_parts(p, true);
    needs.excitatory += e;
    needs.inhibitory += i;
    if (c.source.kind == NodeRef::Kind::kPopulation) {
      auto& entry = needs.on_chip[{c.source.index, c.neuron}];
      entry.first += e;
      entry.second += i;
    }
  }
  return table;
}

bool circuits_are_short(const Network& network, const Misfit& misfit) {
  std::int64_t total = 0;
  for (const Population& p : network.populations) {
    total += p.size;
  }
  return total == misfit.need && misfit.limit == 512 && total > 512;
}

bool rows_of_a_neuron_are_short(const Network& network, const NeedTable& needs, const Misfit& misfit) {
  std::int64_t worst = 0;
  for (const auto& [target, need] : needs) {
    if (network.populations[static_cast<std::size_t>(target.first)].name == misfit.layer) {
      worst = std::max(worst, need.excitatory + need.inhibitory);
    }
  }
  return worst == misfit.need && misfit.limit == 256 && worst > 256;
}

/// Some neuron has more sources of r rows and above than four buses of 64 rows can hold.
bool classes_are_short(const Network& network, const NeedTable& needs, const Misfit& misfit) {
  for (const auto& [target, need] : needs) {
    if (network.populations[static_cast<std::size_t>(target.first)].name != misfit.layer) {
      continue;
    }
    for (std::int64_t r = 1; r <= 256; ++r) {
      const auto count = std::count_if(need.on_chip.begin(), need.on_chip.end(), [r](const auto& source) {
        return source.second.first + source.second.second >= r;
      });
      if (count == misfit.need && 4 * (64 / r) == misfit.limit && count > 4 * (64 / r)) {
        return true;
      }
    }
  }
  return false;
}

/// No division of the neurons into two sets keeps both within 256 rows: tried for every division of one set's rows.
bool signs_are_short(const NeedTable& needs) {
  for (std::int64_t excitatory = 0; excitatory <= 256; ++excitatory) {
    std::int64_t e = 0;
    std::int64_t i = 0;
    for (const auto& [target, need] : needs) {
      if (need.excitatory > excitatory || need.inhibitory > 256 - excitatory) {
        e = std::max(e, need.excitatory);
        i = std::max(i, need.inhibitory);
      }
    }
    if (e + i <= 256) {
      return false;
    }
  }
  return true;
}

/// Rows per bus that the spikes of the chip need in the placement of the failed attempt: [hemisphere][bus] -> (e, i).
struct AttemptRows {
  std::map<std::pair<int, int>, std::pair<std::int64_t, std::int64_t>> bus;
  std::map<int, std::pair<std::int64_t, std::int64_t>> hemisphere;
};

AttemptRows rows_of_attempt(const NeedTable& needs, const std::vector<PopulationPlacement>& attempt) {
  const auto circuit = [&attempt](std::int32_t p, std::int64_t n) {
    return attempt[static_cast<std::size_t>(p)].neurons[static_cast<std::size_t>(n)].circuits[0].to_enum();
  };
  AttemptRows rows;
  const auto raise = [](std::pair<std::int64_t, std::int64_t>& to, std::int64_t e, std::int64_t i) {
    to = {std::max(to.first, e), std::max(to.second, i)};
  };
  for (const auto& [target, need] : needs) {
    const int hemisphere = circuit(target.first, target.second) / 256;
    raise(rows.hemisphere[hemisphere], need.excitatory, need.inhibitory);
    std::map<int, std::pair<std::int64_t, std::int64_t>> by_bus;
    for (const auto& [source, count] : need.on_chip) {
      auto& sum = by_bus[circuit(source.first, source.second) % 256 / 32 % 4];
      sum.first += count.first;
      sum.second += count.second;
    }
    for (const auto& [bus, count] : by_bus) {
      raise(rows.bus[{hemisphere, bus}], count.first, count.second);
    }
  }
  return rows;
}

bool attempt_is_short(const NeedTable& needs, const MapResult& result, const Misfit& misfit) {
  const AttemptRows rows = rows_of_attempt(needs, result.attempt);
  for (const auto& [where, count] : rows.bus) {
    const std::string name = "synapse rows of " + padi_bus_str(where.first, where.second);
    if (misfit.quantity == name) {
      return count.first + count.second == misfit.need && misfit.limit == 64 && misfit.need > 64;
    }
  }
  for (int h = 0; h < 2; ++h) {
    if (misfit.quantity == "synapse rows of " + hemisphere_str(h)) {
      std::int64_t e = 0;
      std::int64_t i = 0;
      for (int bus = 0; bus < 4; ++bus) {
        const auto found = rows.bus.find({h, bus});
        e += found == rows.bus.end() ? 0 : found->second.first;
        i += found == rows.bus.end() ? 0 : found->second.second;
      }
      const auto all = rows.hemisphere.at(h);
      return std::max(e, all.first) + std::max(i, all.second) == misfit.need && misfit.need > 256;
    }
  }
  return false;
}

bool scales_differ(const Network& network, const Misfit& misfit) {
  std::set<float> factors;
  for (const Projection& p : network.projections) {
    if (network.populations[static_cast<std::size_t>(p.target)].name == misfit.layer) {
      factors.insert(p.factor);
    }
  }
  return static_cast<std::int64_t>(factors.size()) == misfit.need && misfit.need > 1;
}

bool is_true(const Network& network, const NeedTable& needs, const MapResult& result, const Misfit& misfit) {
  if (misfit.quantity == "neuron circuits") {
    return circuits_are_short(network, misfit);
  }
  if (misfit.quantity == "synapse rows of one neuron") {
    return rows_of_a_neuron_are_short(network, needs, misfit);
  }
  if (misfit.quantity == "on-chip sources of one neuron") {
    return classes_are_short(network, needs, misfit);
  }
  if (misfit.quantity == "synapse rows of one hemisphere") {
    return signs_are_short(needs);
  }
  if (misfit.quantity == "weight scales of its projections") {
    return scales_differ(network, misfit);
  }
  return attempt_is_short(needs, result, misfit);
}

struct Tally {
  std::int64_t mapped = 0;
  std::int64_t refused_by_limits = 0;
  std::int64_t refused_by_routing = 0;
};

void check_one(const Network& network, Tally& tally, const std::string& label) {
  const MapResult result = try_map(network);
  const NeedTable needs = needs_of(network);
  for (const Misfit& misfit : result.misfits) {
    EXPECT_TRUE(is_true(network, needs, result, misfit)) << label << ": " << misfit.text();
  }
  const Capacity capacity = check_capacity(network);
  if (result.mapping) {
    ++tally.mapped;
    const std::vector<std::string> violations = check_mapping(network, *result.mapping, 5);
    EXPECT_TRUE(violations.empty()) << label << ": " << violations.front();
    EXPECT_TRUE(capacity.mappable());
  } else {
    ASSERT_FALSE(result.misfits.empty());
    ++(capacity.mappable() ? tally.refused_by_routing : tally.refused_by_limits);
    EXPECT_THROW(map_network(network), Error);
  }
}

TEST(MapperProperty, RandomNetworksAreMappedRightOrRefusedTruly) {
  Tally tally;
  for (std::uint64_t seed = 0; seed < 900; ++seed) {
    Random random(seed);
    test::Shape shape;
    shape.max_populations = 2 + static_cast<std::int64_t>(seed % 5);
    shape.max_size = seed % 3 == 0 ? 20 : (seed % 3 == 1 ? 90 : 160);
    shape.max_fan_in = seed % 4 == 0 ? 240 : (seed % 4 == 1 ? 130 : 60);
    shape.several_scales = seed % 2 == 0;
    check_one(test::random_network(random, shape), tally, "seed " + std::to_string(seed));
  }
  std::cout << "mapped " << tally.mapped << ", refused by limits " << tally.refused_by_limits << ", by routing "
            << tally.refused_by_routing << "\n";
  EXPECT_GE(tally.mapped, 400);
  EXPECT_GE(tally.refused_by_limits, 50);
}

TEST(MapperProperty, NetworksAtTheLimitsAreMapped) {
  const std::vector<std::pair<Network, std::string>> networks = {
      {test::yin_yang(), "yin-yang"},
      {test::yin_yang(5), "yin-yang with inputs repeated five times"},
      {layered({25, 120, 3}), "25-120-3"},
      {layered({128, 128, 10}), "128-128-10 signed"},
      {layered({128, 128, 128, 10}), "128-128-128-10 signed"},
      {layered({128, 128, 128, 128}), "128-128-128-128 signed"},
      {layered({128, 256, 128}, Receptor::kExcitatory), "128-256-128 unsigned"},
      {layered({256, 256, 256}, Receptor::kExcitatory), "256-256-256 unsigned"},
      {layered({100, 60, 60, 60, 60, 60, 60, 60, 60}), "eight layers"},
      {layered({1, 1}), "one to one"},
  };
  for (const auto& [network, name] : networks) {
    const MapResult result = try_map(network);
    ASSERT_TRUE(result.mapping.has_value()) << name << ": " << result.misfits.front().text();
    const auto violations = check_mapping(network, *result.mapping);
    EXPECT_TRUE(violations.empty()) << name << ": " << violations.front();
  }
}

TEST(MapperProperty, UnsignedInputsAtTheLimitWhereSourcesMustBeSplit) {
  // 25 sources, five copies, both signs: 250 of 256 rows, but 10 rows of a source do not divide the 64 of a bus.
  Network network = layered({25, 120, 3});
  Projection& p = network.projections[0];
  p.in_features = 125;
  p.columns.assign(5, {test::input_node(0), 0, 1, 25});
  const MapResult result = try_map(network);
  ASSERT_TRUE(result.mapping.has_value()) << result.misfits.front().text();
  EXPECT_TRUE(check_mapping(network, *result.mapping).empty());
  std::size_t split = 0;
  for (const auto& labels : result.mapping->inputs[0].labels) {
    split += labels.size() > 1 ? 1U : 0U;
  }
  EXPECT_EQ(split, 1U);
}

/// 784 inputs with local fields: more sources than the 64 labels of each bus, so drivers must be grouped.
TEST(MapperProperty, ManyInputsWithLocalFields) {
  Network network = layered({784, 100, 10});
  Projection& p = network.projections[0];
  p.mask.assign(784 * 100, false);
  for (std::size_t out = 0; out < 100; ++out) {
    const std::size_t y0 = out / 10 * 2 + out / 10 / 2;
    const std::size_t x0 = out % 10 * 2 + out % 10 / 2;
    for (std::size_t y = y0; y < y0 + 6; ++y) {
      for (std::size_t x = x0; x < x0 + 6; ++x) {
        p.mask[out * 784 + y * 28 + x] = true;
      }
    }
  }
  const MapResult result = try_map(network);
  ASSERT_TRUE(result.mapping.has_value()) << result.misfits.front().text();
  const auto violations = check_mapping(network, *result.mapping);
  EXPECT_TRUE(violations.empty()) << violations.front();
  EXPECT_NE(result.mapping->compare_masks[0][0] | result.mapping->compare_masks[1][0], 0);
}

TEST(Mapper, SameAnswerEachTimeWhateverTheWeights) {
  Random random(5);
  const Network network = test::random_network(random);
  EXPECT_EQ(to_json(map_network(network)), to_json(map_network(network)));
}

TEST(Mapper, HonoursWishes) {
  Network network = layered({4, 6, 2});
  network.projections[0].chip_coordinate = "[300, 301, 0, 511, 17, 64]";
  network.projections[1].chip_coordinate = "AtomicNeuronOnDLS(126)";
  const Mapping mapping = map_network(network);
  const std::int32_t wanted[6] = {300, 301, 0, 511, 17, 64};
  for (std::size_t n = 0; n < 6; ++n) {
    EXPECT_EQ(mapping.populations[0].neurons[n].circuits[0].to_enum(), wanted[n]);
  }
  EXPECT_EQ(mapping.populations[1].neurons[1].circuits[0].to_enum(), 127);
  EXPECT_TRUE(check_mapping(network, mapping).empty());
}

TEST(Mapper, ErrorListsEveryMisfit) {
  Network network = layered({300, 600, 10});
  network.projections[0].plasticity_rule = "stdp";
  try {
    map_network(network);
    FAIL() << "mapped";
  } catch (const Error& error) {
    const std::string text = error.what();
    EXPECT_NE(text.find("neuron circuits: needs 610, limit 512"), std::string::npos) << text;
    EXPECT_NE(text.find("layer \"layer1\": synapse rows of one neuron: needs 600, limit 256"), std::string::npos);
    EXPECT_NE(text.find("layer \"layer2\": synapse rows of one neuron: needs 1200, limit 256"), std::string::npos);
    EXPECT_NE(text.find("plasticity rules are not mapped"), std::string::npos);
  }
}

TEST(Mapping, RoundTripTextAndDifferences) {
  const Network network = test::yin_yang();
  const Mapping mapping = map_network(network);
  const std::string json = to_json(mapping);
  const Mapping again = mapping_from_json(json);
  EXPECT_EQ(to_json(again), json);
  EXPECT_TRUE(again == mapping);
  EXPECT_NE(mapping.text().find("123 of 512 neuron circuits, 1920 of 131072 synapses"), std::string::npos)
      << mapping.text();
  Mapping changed = mapping;
  changed.synapses[3].label ^= 1;
  changed.compare_masks[0][7] = 3;
  EXPECT_EQ(differences(mapping, changed).size(), 2U);
  EXPECT_FALSE(changed == mapping);
}

TEST(Mapping, DamagedFilesAreRefused) {
  const std::string json = to_json(map_network(layered({2, 3, 1})));
  const auto replaced = [&json](const std::string& from, const std::string& to) {
    const auto position = json.find(from);
    EXPECT_NE(position, std::string::npos) << from;
    return std::string(json).replace(position, from.size(), to);
  };
  const std::vector<std::string> damaged = {
      "",
      "[]",
      json.substr(0, json.size() / 2),
      replaced("gradspike.mapping", "gradspike.network"),
      replaced("\"version\":1", "\"version\":2"),
      replaced("\"address\":0", "\"address\":256"),
      replaced("\"address\":0", "\"address\":-1"),
      replaced("\"compare_masks\":[[0,", "\"compare_masks\":[[32,"),
      replaced("\"compare_masks\":[[0,", "\"compare_masks\":[["),
      replaced("\"row_modes\":[\"", "\"row_modes\":[\"x"),
      replaced("\"synapses\":[[0,", "\"synapses\":[[2,"),
      replaced("\"synapses\":[[0,", "\"synapses\":[["),
      replaced("\"crossbar\":[[0,0,", "\"crossbar\":[[0,1,"),
      replaced("\"synapses\":", "\"synapse\":"),
  };
  for (const std::string& text : damaged) {
    EXPECT_THROW(mapping_from_json(text), Error) << text.substr(0, 80);
  }
  Mapping mapping = map_network(layered({2, 3, 1}));
  mapping.synapses[0].post = 3;
  EXPECT_THROW(validate(mapping, layered({2, 3, 1})), Error);
  EXPECT_THROW(validate(map_network(layered({2, 3, 1})), layered({2, 4, 1})), Error);
}

}  // namespace
}  // namespace gradspike::chip
