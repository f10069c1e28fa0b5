// Facts of the chip, typed in by hand.
#include <gtest/gtest.h>

#include <set>

#include "csrc/chip/geometry.h"
#include "csrc/core/error.h"

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

TEST(Geometry, NeuronCoordinates) {
  const AtomicNeuronOnDLS neuron(259);
  EXPECT_EQ(neuron.column(), 3);
  EXPECT_EQ(neuron.row(), 1);
  EXPECT_EQ(neuron.str(), "AtomicNeuronOnDLS(3, 1; 259)");
  EXPECT_EQ(AtomicNeuronOnDLS(3, 1), neuron);
  EXPECT_EQ(AtomicNeuronOnDLS(127).quadrant(), 0);
  EXPECT_EQ(AtomicNeuronOnDLS(128).quadrant(), 1);
  EXPECT_EQ(AtomicNeuronOnDLS(256).quadrant(), 2);
  EXPECT_EQ(AtomicNeuronOnDLS(511).quadrant(), 3);
  EXPECT_EQ(AtomicNeuronOnDLS(130, 1).backend_block(), 1);
  EXPECT_EQ(AtomicNeuronOnDLS(130, 1).on_backend_block(), 130);
  EXPECT_EQ(AtomicNeuronOnDLS(255).event_output(), 7);
  EXPECT_EQ(AtomicNeuronOnDLS(511).hemisphere(), 1);
}

TEST(Geometry, BusClassesOfNeuronColumns) {
  const std::int32_t first_columns[8] = {0, 32, 64, 96, 128, 160, 192, 224};
  const std::int32_t buses[8] = {0, 1, 2, 3, 0, 1, 2, 3};
  for (std::int32_t e = 0; e < 8; ++e) {
    EXPECT_EQ(AtomicNeuronOnDLS(first_columns[e]).bus(), buses[e]);
    EXPECT_EQ(AtomicNeuronOnDLS(first_columns[e] + 31, 1).bus(), buses[e]);
  }
}

TEST(Geometry, DriversAndRows) {
  EXPECT_EQ(top_row_of_driver(0), 1);
  EXPECT_EQ(bottom_row_of_driver(0), 0);
  EXPECT_EQ(top_row_of_driver(127), 255);
  EXPECT_EQ(driver_of_row(255), 127);
  EXPECT_EQ(driver_of_row(254), 127);
  EXPECT_EQ(row_on_driver(255), 0);  // odd rows are top
  EXPECT_EQ(row_on_driver(254), 1);
  EXPECT_EQ(bus_of_driver(126), 2);
  EXPECT_EQ(position_of_driver(126), 31);
  EXPECT_EQ(driver_on_bus(2, 31), 126);
  EXPECT_EQ(padi_bus_enum(1, 1), 5);
  EXPECT_EQ(padi_bus_str(1, 1), "PADIBusOnDLS(1, 1; 5)");
  EXPECT_EQ(capmem_block_of_driver(1, 3), 3);
  EXPECT_EQ(capmem_block_of_driver(0, 3), 1);
  EXPECT_EQ(synapse_row_str(17), "SynapseRowOnSynram(17)");
  EXPECT_EQ(synapse_column_str(255), "SynapseOnSynapseRow(255)");
  EXPECT_EQ(driver_str(127), "SynapseDriverOnSynapseDriverBlock(127)");
  EXPECT_EQ(hemisphere_str(1), "HemisphereOnDLS(1)");
}

TEST(Geometry, EveryDriverOnceOnABus) {
  std::set<std::int32_t> drivers;
  for (std::int32_t bus = 0; bus < 4; ++bus) {
    for (std::int32_t position = 0; position < 32; ++position) {
      const std::int32_t driver = driver_on_bus(bus, position);
      drivers.insert(driver);
      EXPECT_EQ(bus_of_driver(driver), bus);
      EXPECT_EQ(position_of_driver(driver), position);
    }
  }
  EXPECT_EQ(drivers.size(), 128U);
}

TEST(Geometry, RawMemoryColumns) {
  EXPECT_EQ(column_of_quad_entry(0, 0), 0);
  EXPECT_EQ(column_of_quad_entry(0, 1), 2);
  EXPECT_EQ(column_of_quad_entry(32, 0), 1);
  EXPECT_EQ(column_of_quad_entry(63, 3), 255);
  std::set<std::int32_t> columns;
  for (std::int32_t q = 0; q < 64; ++q) {
    for (std::int32_t e = 0; e < 4; ++e) {
      columns.insert(column_of_quad_entry(q, e));
    }
  }
  EXPECT_EQ(columns.size(), 256U);
}

TEST(Geometry, CrossbarNodes) {
  const auto nodes = all_crossbar_nodes();
  EXPECT_EQ(nodes.size(), 76U);
  std::int32_t of_neurons = 0;
  std::int32_t of_l2 = 0;
  std::int32_t of_background = 0;
  for (const CrossbarNodeOnDLS& node : nodes) {
    of_neurons += node.input < 8 ? 1 : 0;
    of_l2 += node.input >= 8 && node.input < 12 ? 1 : 0;
    of_background += node.input >= 12 ? 1 : 0;
  }
  EXPECT_EQ(of_neurons, 24);
  EXPECT_EQ(of_l2, 36);
  EXPECT_EQ(of_background, 16);
  EXPECT_TRUE(crossbar_node_exists(5, 1));
  EXPECT_TRUE(crossbar_node_exists(5, 5));
  EXPECT_TRUE(crossbar_node_exists(5, 9));
  EXPECT_FALSE(crossbar_node_exists(5, 2));
  EXPECT_TRUE(crossbar_node_exists(9, 7));   // L2 inputs reach all PADI buses
  EXPECT_FALSE(crossbar_node_exists(9, 8));  // and loop back only to their own output
  EXPECT_TRUE(crossbar_node_exists(9, 9));
  EXPECT_TRUE(crossbar_node_exists(18, 6));
  EXPECT_TRUE(crossbar_node_exists(18, 10));
  EXPECT_FALSE(crossbar_node_exists(18, 2));
  EXPECT_EQ(crossbar_input_of_l2(3), 11);
  EXPECT_EQ(crossbar_input_of_background(7), 19);
  EXPECT_EQ(message_of([] { crossbar_node(0, 1); }),
            "the crossbar has no node between CrossbarInputOnDLS(0) and CrossbarOutputOnDLS(1)");
}

TEST(Geometry, EventLabels) {
  const EventLabel external = external_label(1, 2, 5, 9);
  EXPECT_EQ(external.value, (2 << 14) | (1 << 13) | (5 << 6) | 9);
  EXPECT_EQ(external.spl1(), 2);
  EXPECT_EQ(external.neuron_label(), (1 << 13) | (5 << 6) | 9);
  EXPECT_EQ(external.row_select(), 5);
  EXPECT_EQ(external.synapse_label(), 9);
  const EventLabel spike = neuron_label(6, 0xC5);
  EXPECT_EQ(spike.value, 0x6C5);
  EXPECT_EQ(spike.event_output(), 6);
  EXPECT_EQ(spike.backend_address(), 0xC5);
  EXPECT_EQ(spike.row_select(), (6 << 2) | 3);  // bits 6-10: output and the two upper address bits
  EXPECT_EQ(spike.synapse_label(), 5);
}

TEST(Geometry, RangeErrors) {
  EXPECT_EQ(message_of([] { AtomicNeuronOnDLS(512); }), "AtomicNeuronOnDLS must be in 0..511, got 512");
  EXPECT_EQ(message_of([] { AtomicNeuronOnDLS(-1); }), "AtomicNeuronOnDLS must be in 0..511, got -1");
  EXPECT_EQ(message_of([] { AtomicNeuronOnDLS(256, 0); }), "NeuronColumnOnDLS must be in 0..255, got 256");
  EXPECT_EQ(message_of([] { driver_of_row(256); }), "SynapseRowOnSynram must be in 0..255, got 256");
  EXPECT_EQ(message_of([] { driver_on_bus(0, 32); }), "SynapseDriverOnPADIBus must be in 0..31, got 32");
  EXPECT_EQ(message_of([] { external_label(0, 4, 0, 0); }), "SPL1Address must be in 0..3, got 4");
  EXPECT_EQ(message_of([] { neuron_label(0, 256); }), "NeuronBackendAddressOut must be in 0..255, got 256");
}

TEST(Geometry, Wishes) {
  const auto start = parse_neuron_wish("AtomicNeuronOnDLS(509)", 3);
  EXPECT_EQ(start.back().to_enum(), 511);
  EXPECT_EQ(parse_neuron_wish("AtomicNeuronOnDLS(3, 1; 259)", 1).front().to_enum(), 259);
  const auto list = parse_neuron_wish(" [0, 1,256] ", 3);
  EXPECT_EQ(list.back().to_enum(), 256);
  EXPECT_EQ(parse_neuron_wish("7", 1).front().to_enum(), 7);
  EXPECT_EQ(message_of([] { parse_neuron_wish("AtomicNeuronOnDLS(510)", 3); }),
            "chip coordinate \"AtomicNeuronOnDLS(510)\" leaves 2 circuits for 3 neurons");
  EXPECT_EQ(message_of([] { parse_neuron_wish("0, 1", 3); }),
            "chip coordinate \"0, 1\" lists 2 circuits for 3 neurons");
  for (const char* const bad :
       {"", "[]", "top", "AtomicNeuronOnDLS()", "AtomicNeuronOnDLS(1, 1; 256)", "1,,2", "1 2", "[1, 2",
        "AtomicNeuronOnDLS(", "99999999999999999999", "-1", "512", "AtomicNeuronOnDLS(1;2,3)x"}) {
    EXPECT_NE(message_of([bad] { parse_neuron_wish(bad, 2); }), "no error") << bad;
  }
}

}  // namespace
}  // namespace gradspike::chip
