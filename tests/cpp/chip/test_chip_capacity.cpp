// Closed-form limits: texts, numbers, and that every misfit is reported at once.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>

#include "csrc/chip/capacity.h"
#include "csrc/chip/mapper.h"
#include "csrc/core/error.h"
#include "tests/cpp/chip/networks.h"

namespace gradspike::chip {
namespace {

using test::layered;

std::vector<std::string> texts(const Network& network) {
  std::vector<std::string> result;
  for (const Misfit& misfit : check_capacity(network).misfits) {
    result.push_back(misfit.text());
  }
  return result;
}

TEST(Capacity, CountsOfAFittingNetwork) {
  const Capacity capacity = check_capacity(test::yin_yang(5));
  EXPECT_TRUE(capacity.fits());
  EXPECT_EQ(capacity.circuits, 123);
  EXPECT_EQ(capacity.external_sources, 5);
  EXPECT_EQ(capacity.synapses, 2 * (25 * 120 + 120 * 3));
  EXPECT_EQ(capacity.populations[0].excitatory_rows, 25);
  EXPECT_EQ(capacity.populations[1].inhibitory_rows, 120);
}

TEST(Capacity, TextsNameLayerNeedLimitAndRemedy) {
  EXPECT_EQ(texts(layered({2, 500, 13}, Receptor::kExcitatory)),
            (std::vector<std::string>{
                "network: neuron circuits: needs 526, limit 512; remove neurons that take 14 circuits (2 per neuron of "
                "\"layer2\"); all of them take at least 2 chips or runs"}));
  EXPECT_EQ(texts(layered({2, 513})),
            (std::vector<std::string>{"network: neuron circuits: needs 513, limit 512; remove neurons that take 1 "
                                      "circuits; all of them take at least 2 chips or runs"}));
  EXPECT_EQ(texts(layered({40000, 1})).front(),
            "layer \"layer1\": synapse rows of one neuron: needs 80000, limit 65536; neuron 0 has 40000 connections "
            "that take 40000 excitatory and 40000 inhibitory rows, and the 256 circuits of a chip half hold 65536; "
            "remove connections of 14464 rows");
}

TEST(Capacity, CircuitsPerNeuronFollowTheFanIn) {
  const auto circuits = [](std::int64_t inputs, Receptor receptor = Receptor::kSigned) {
    return check_capacity(layered({inputs, 1}, receptor)).populations[0].circuits_per_neuron;
  };
  EXPECT_EQ(circuits(128), 1);
  EXPECT_EQ(circuits(129), 2);
  EXPECT_EQ(circuits(256), 2);
  EXPECT_EQ(circuits(257), 4);  // pairs of both rows
  EXPECT_EQ(circuits(784), 8);  // 6.1 circuits
  EXPECT_EQ(circuits(256, Receptor::kExcitatory), 1);
  EXPECT_EQ(circuits(512, Receptor::kExcitatory), 2);
  EXPECT_EQ(check_capacity(layered({256, 246, 10})).circuits, 512);
  EXPECT_TRUE(check_capacity(layered({256, 246, 10})).fits());
  EXPECT_FALSE(check_capacity(layered({256, 247, 10})).fits());
}

TEST(Capacity, LimitsAreInclusive) {
  EXPECT_TRUE(check_capacity(layered({128, 512})).fits());
  EXPECT_FALSE(check_capacity(layered({128, 513})).fits());
  EXPECT_FALSE(check_capacity(layered({129, 512})).fits());
  EXPECT_TRUE(check_capacity(layered({129, 256})).fits());
  EXPECT_TRUE(check_capacity(layered({256, 512}, Receptor::kExcitatory)).fits());
  EXPECT_FALSE(check_capacity(layered({257, 512}, Receptor::kExcitatory)).fits());
}

TEST(Capacity, StackedSynapsesTakeRowsPerPart) {
  Network network = layered({42, 1});
  network.projections[0].max_weight = 64;    // two excitatory parts
  network.projections[0].min_weight = -189;  // three inhibitory parts
  const Capacity capacity = check_capacity(network);
  EXPECT_EQ(capacity.populations[0].excitatory_rows, 84);
  EXPECT_EQ(capacity.populations[0].inhibitory_rows, 126);
  EXPECT_TRUE(capacity.fits());
  network.projections[0].min_weight = -190;
  EXPECT_EQ(check_capacity(network).populations[0].inhibitory_rows, 168);
  EXPECT_TRUE(check_capacity(network).fits());  // 84 + 168 = 252
  EXPECT_EQ(check_capacity(network).populations[0].circuits_per_neuron, 1);
  network.projections[0].max_weight = 127;
  EXPECT_EQ(check_capacity(network).populations[0].circuits_per_neuron, 2);
}

TEST(Capacity, UnequalScalesBlockTheChipOnly) {
  Network network = layered({4, 3});
  network.projections.push_back(network.projections[0]);
  network.projections[1].name = "skip";
  network.projections[1].position = 1;
  EXPECT_TRUE(check_capacity(network).fits());
  network.projections[1].scale = 64.0F;
  network.projections[1].factor = 1.0F / 64.0F;
  const Capacity capacity = check_capacity(network);
  EXPECT_FALSE(capacity.fits());
  EXPECT_TRUE(capacity.mappable());
  EXPECT_EQ(capacity.misfits[0].text(),
            "layer \"layer1\": weight scales of its projections: needs 2, limit 1; give these projections the same "
            "scale: \"to1\" (32), \"skip\" (64); the ideal emulator runs it");
  EXPECT_TRUE(try_map(network).mapping.has_value());
}

TEST(Capacity, WhatIsNotMappedIsNamed) {
  Network network = layered({4, 3, 2});
  network.projections[0].delay_steps = 1;
  network.projections[1].delay_steps = 2;
  network.projections[0].execution_instance = "1";
  network.projections[1].chip_coordinate = "AtomicNeuronOnDLS(511)";
  const std::vector<std::string> expected = {
      "layer \"to1\": delayed steps: needs 1, limit 0; spikes from outside arrive in their step: shift the input "
      "instead",
      "layer \"to1\": chosen execution instances: needs 1, limit 0; one mapping is one execution instance: partition "
      "the network, which honours the wish for \"1\", or leave execution_instance empty",
      "layer \"to2\": delayed steps: needs 2, limit 1; the chip has no delay lines: a spike of one of its neurons "
      "arrives in the same step, or in the next one where it is recurrent",
      "layer \"to2\": chip coordinates that cannot be honoured: needs 1, limit 0; chip coordinate "
      "\"AtomicNeuronOnDLS(511)\" leaves 1 circuits for 2 neurons"};
  EXPECT_EQ(texts(network), expected);
  EXPECT_FALSE(try_map(network).mapping.has_value());
}

TEST(Capacity, WishesThatCollide) {
  Network network = layered({4, 3, 2});
  network.projections[0].chip_coordinate = "AtomicNeuronOnDLS(0)";
  network.projections[1].chip_coordinate = "[2, 5]";
  EXPECT_EQ(texts(network), (std::vector<std::string>{
                                "layer \"layer2\": neurons on AtomicNeuronOnDLS(2, 0; 2): needs 2, limit 1; it is also "
                                "wished by population \"layer1\""}));
  network.projections[1].chip_coordinate = "[5, 5]";
  EXPECT_EQ(check_capacity(network).misfits.size(), 1U);
  network.projections[1].chip_coordinate = "[5, 6]";
  EXPECT_TRUE(check_capacity(network).fits());
}

TEST(Capacity, SourcesThatDoNotDivideTheRowsOfABus) {
  // 6 rows each: a bus holds 10 such sources, four buses 40; 42 of them take only 252 of 256 rows.
  Network network = layered({4, 42, 3});
  network.projections[1].min_weight = -189;
  network.projections[1].max_weight = 189;
  EXPECT_EQ(check_capacity(network).populations[1].circuits_per_neuron, 2);
  EXPECT_TRUE(try_map(network).mapping.has_value());
  network.populations[0].size = 40;
  network.projections[0].out_features = 40;
  network.projections[0].rows[0].count = 40;
  network.projections[1].in_features = 40;
  network.projections[1].columns[0].count = 40;
  EXPECT_EQ(check_capacity(network).populations[1].circuits_per_neuron, 1);
  EXPECT_TRUE(try_map(network).mapping.has_value());
}

TEST(Capacity, SignsThatCannotShareRows) {
  Network network = layered({200, 2}, Receptor::kExcitatory);
  network.populations.push_back(test::population("inhibited", NeuronKind::kLi, 2));
  network.projections.push_back(test::dense("i", test::input_node(0), 200, 1, 2, Receptor::kInhibitory));
  EXPECT_TRUE(check_capacity(network).fits());  // one per hemisphere
  EXPECT_TRUE(try_map(network).mapping.has_value());
  network.populations.push_back(test::population("both", NeuronKind::kLi, 2));
  network.projections.push_back(test::dense("b", test::input_node(0), 100, 2, 2));
  const Capacity capacity = check_capacity(network);
  ASSERT_EQ(capacity.misfits.size(), 1U);
  EXPECT_EQ(capacity.misfits[0].quantity, "synapse rows of one hemisphere");
  EXPECT_EQ(capacity.misfits[0].need, 300);
}

TEST(Capacity, HugeNetworksAreRefusedAtOnce) {
  Network network = layered({4000000, 4000000, 4000000});
  const auto begin = std::chrono::steady_clock::now();
  const Capacity capacity = check_capacity(network);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  EXPECT_EQ(capacity.neurons, 8000000);
  EXPECT_EQ(capacity.misfits.size(), 4U);  // rows of two layers, circuits, addresses
  EXPECT_LT(seconds, 20.0);
}

}  // namespace
}  // namespace gradspike::chip
