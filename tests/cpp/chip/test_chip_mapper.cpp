// The mapper against the checker, and its refusals against a computation from the connections alone.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
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

/// Circuits per neuron that the fan-in of a population demands: 1, or pairs of both rows. Each circuit has 256 rows,
/// and each of its four buses room for floor(64 / r) sources on the chip that take r rows.
std::int64_t circuits_of_population(const NeedTable& needs, std::int32_t population) {
  const auto enough = [&](std::int64_t circuits) {
    for (const auto& [target, need] : needs) {
      if (target.first != population) {
        continue;
      }
      if (need.excitatory + need.inhibitory > 256 * circuits) {
        return false;
      }
      for (std::int64_t r = 1; r <= 64; ++r) {
        const auto count = std::count_if(need.on_chip.begin(), need.on_chip.end(), [r](const auto& source) {
          return source.second.first + source.second.second >= r;
        });
        if (count > circuits * 4 * (64 / r)) {
          return false;
        }
      }
    }
    return true;
  };
  std::int64_t circuits = 1;
  while (!enough(circuits)) {
    circuits = circuits == 1 ? 2 : circuits + 2;
  }
  return circuits;
}

std::int64_t circuits_of_network(const Network& network, const NeedTable& needs) {
  std::int64_t total = 0;
  for (std::size_t p = 0; p < network.populations.size(); ++p) {
    total += network.populations[p].size * circuits_of_population(needs, static_cast<std::int32_t>(p));
  }
  return total;
}

/// Circuits by rows alone suffice for the refusal, so the need is between that number and the one with buses.
bool circuits_are_short(const Network& network, const NeedTable& needs, const Misfit& misfit) {
  std::int64_t by_rows = 0;
  for (std::size_t p = 0; p < network.populations.size(); ++p) {
    std::int64_t worst = 0;
    for (const auto& [target, need] : needs) {
      worst = std::max(worst, target.first == static_cast<std::int32_t>(p) ? need.excitatory + need.inhibitory : 0);
    }
    by_rows += network.populations[p].size * (worst <= 256 ? 1 : 2 * ((worst + 511) / 512));
  }
  const std::int64_t all = circuits_of_network(network, needs);
  return misfit.limit == 512 && misfit.need > 512 && (misfit.need == all || misfit.need == by_rows);
}

/// A single source on the chip takes more rows than a bus has.
bool source_is_too_wide(const Network& network, const NeedTable& needs, const Misfit& misfit) {
  return std::any_of(needs.begin(), needs.end(), [&](const auto& entry) {
    const auto& [target, need] = entry;
    return network.populations[static_cast<std::size_t>(target.first)].name == misfit.layer &&
           std::any_of(need.on_chip.begin(), need.on_chip.end(), [&](const auto& source) {
             return source.second.first + source.second.second == misfit.need && misfit.need > 64;
           });
  });
}

/// No division of the neurons into two sets keeps both within 256 rows: tried for every division of one set's rows.
bool signs_are_short(const NeedTable& all_needs) {
  NeedTable needs;  // neurons of one circuit: the others divide their inputs over both hemispheres
  for (const auto& [target, need] : all_needs) {
    if (circuits_of_population(all_needs, target.first) == 1) {
      needs[target] = need;
    }
  }
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
  const bool wide = std::any_of(result.attempt.begin(), result.attempt.end(), [](const PopulationPlacement& placed) {
    return !placed.neurons.empty() && placed.neurons.front().circuits.size() > 1;
  });
  if (wide) {  // which circuit took which input is not part of the attempt
    return misfit.need > misfit.limit;
  }
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
    return circuits_are_short(network, needs, misfit);
  }
  if (misfit.quantity == "synapse rows of one on-chip source") {
    return source_is_too_wide(network, needs, misfit);
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
    shape.recurrent = seed % 5 == 0;
    check_one(test::random_network(random, shape), tally, "seed " + std::to_string(seed));
  }
  std::cout << "mapped " << tally.mapped << ", refused by limits " << tally.refused_by_limits << ", by routing "
            << tally.refused_by_routing << "\n";
  EXPECT_GE(tally.mapped, 800);
  EXPECT_GE(tally.refused_by_limits, 5);
  EXPECT_LE(tally.refused_by_routing, 9);  // one in a hundred
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

/// Every circuit of the chip in pairs: the hand routing of the vendor's tests, found by the mapper.
TEST(MapperProperty, TheWholeChipInPairsOfCircuits) {
  const Network network = layered({256, 246, 10});
  const auto begin = std::chrono::steady_clock::now();
  const MapResult result = try_map(network);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  ASSERT_TRUE(result.mapping.has_value()) << result.misfits.front().text();
  const auto violations = check_mapping(network, *result.mapping);
  EXPECT_TRUE(violations.empty()) << violations.front();
  std::set<std::int32_t> circuits;
  for (const PopulationPlacement& population : result.mapping->populations) {
    for (const PlacedNeuron& neuron : population.neurons) {
      EXPECT_EQ(neuron.circuits.size(), 2U);
      for (const AtomicNeuronOnDLS& circuit : neuron.circuits) {
        circuits.insert(circuit.to_enum());
      }
    }
  }
  EXPECT_EQ(circuits.size(), 512U);
  std::cout << "mapped in " << seconds << " s\n";
}

TEST(MapperProperty, NeuronsOfSeveralCircuits) {
  const std::vector<std::pair<Network, std::string>> networks = {
      {layered({256, 256}), "256-256 signed"},
      {layered({512, 128}), "512-128 signed, four circuits"},
      {layered({784, 64}), "784-64 signed, eight circuits"},
      {layered({784, 50, 10}), "784-50-10 signed"},
      {layered({5, 200, 3}), "5-200-3: a readout with more than 128 sources"},
      {layered({5, 400, 3}), "5-400-3"},
      {layered({256, 200, 10}), "256-200-10"},
      {layered({129, 200, 50, 10}), "129-200-50-10"},
      {layered({300, 60, 60, 10}, Receptor::kExcitatory), "300-60-60-10 unsigned"},
      {layered({700, 30, 20}), "700-30-20: six circuits"},
      {test::recurrent(5, 120, 3), "5-120-3 recurrent: 125 signed inputs"},
      {test::recurrent(100, 100, 10), "100-100-10 recurrent, two circuits"},
      {test::recurrent(128, 128, 10), "128-128-10 recurrent"},
      {test::recurrent(10, 246, 10), "10-246-10 recurrent"},
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

TEST(Mapper, HonoursAPermutation) {
  Network network = layered({4, 6, 2});
  network.neuron_permutation = {511, 3, 4, 256, 5, 90, 17, 400, 0};
  const Mapping mapping = map_network(network);
  const std::int32_t wanted[] = {511, 3, 4, 256, 5, 90, 17, 400};
  for (std::size_t n = 0; n < 8; ++n) {
    const PopulationPlacement& placed = mapping.populations[n < 6 ? 0 : 1];
    EXPECT_EQ(placed.neurons[n < 6 ? n : n - 6].circuits[0].to_enum(), wanted[n]);
  }
  EXPECT_TRUE(check_mapping(network, mapping).empty());
  EXPECT_EQ(to_json(network_from_json(to_json(network))), to_json(network));
  network.projections[0].chip_coordinate = "AtomicNeuronOnDLS(0)";  // a coordinate goes first
  EXPECT_EQ(map_network(network).populations[1].neurons[0].circuits[0].to_enum(), 511);
}

TEST(Mapper, APermutationOfWideNeurons) {
  Network network = layered({200, 9, 2});  // two circuits for the hidden neurons
  for (std::int32_t column = 99; column >= 60; --column) {
    network.neuron_permutation.push_back(column);
    network.neuron_permutation.push_back(256 + column);
  }
  const Mapping mapping = map_network(network);
  EXPECT_EQ(mapping.populations[0].neurons[0].circuits[0].to_enum(), 99);
  EXPECT_EQ(mapping.populations[0].neurons[0].circuits[1].to_enum(), 256 + 99);
  EXPECT_EQ(mapping.populations[0].neurons[8].circuits[0].to_enum(), 91);
  EXPECT_EQ(mapping.populations[1].neurons[0].circuits[0].to_enum(), 90);
  EXPECT_TRUE(check_mapping(network, mapping).empty());
}

TEST(Mapper, RefusesAPermutationByName) {
  Network network = layered({4, 6, 2});
  network.neuron_permutation = {0, 1, 2, 3, 4, 5, 6};
  const MapResult result = try_map(network);
  ASSERT_FALSE(result.mapping.has_value());
  EXPECT_EQ(result.misfits.front().text(),
            "layer \"layer2\": free circuits of the neuron permutation: needs 1, limit 0; none of its 7 circuits is "
            "free for neuron 1: list more circuits, or none to let the mapper choose");
  network = layered({10, 100, 10});
  ASSERT_TRUE(try_map(network).mapping.has_value());
  for (std::int32_t k = 0; k < 128; ++k) {  // columns whose spikes all reach the same bus
    network.neuron_permutation.push_back(k % 32 + k / 32 % 2 * 128 + k / 64 * 256);
  }
  const MapResult routed = try_map(network);
  ASSERT_FALSE(routed.mapping.has_value());
  EXPECT_NE(routed.misfits.front().text().find("the circuits are those of neuron_permutation"), std::string::npos)
      << routed.misfits.front().text();
  network.neuron_permutation = {1, 2, 1};
  EXPECT_THROW(validate(network), Error);
  network.neuron_permutation = {512};
  EXPECT_THROW(validate(network), Error);
}

TEST(Mapper, ErrorListsEveryMisfit) {
  Network network = layered({300, 600, 10});
  network.projections[0].execution_instance = "second";
  try {
    map_network(network);
    FAIL() << "mapped";
  } catch (const Error& error) {
    const std::string text = error.what();
    EXPECT_NE(text.find("neuron circuits: needs 2460, limit 512; remove neurons that take 1948 circuits (4 per neuron "
                        "of \"layer1\", 6 per neuron of \"layer2\"); all of them take at least 5 chips"),
              std::string::npos)
        << text;
    EXPECT_NE(text.find("leave execution_instance empty"), std::string::npos);
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
