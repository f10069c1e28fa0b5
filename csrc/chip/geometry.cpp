#include "csrc/chip/geometry.h"

#include <cctype>

#include "csrc/core/error.h"

namespace gradspike::chip {
namespace {

std::int32_t checked(std::int64_t value, std::int64_t limit, const char* name) {
  GRADSPIKE_REQUIRE(value >= 0 && value < limit, name, " must be in 0..", limit - 1, ", got ", value);
  return static_cast<std::int32_t>(value);
}

std::string one_dimensional(const char* name, std::int64_t value, std::int64_t limit) {
  return detail::concatenate(name, "(", checked(value, limit, name), ")");
}

}  // namespace

AtomicNeuronOnDLS::AtomicNeuronOnDLS(std::int64_t enum_value)
    : value_(checked(enum_value, kNeuronCircuits, "AtomicNeuronOnDLS")) {}

AtomicNeuronOnDLS::AtomicNeuronOnDLS(std::int64_t column, std::int64_t row)
    : value_(checked(row, 2, "NeuronRowOnDLS") * kColumns + checked(column, kColumns, "NeuronColumnOnDLS")) {}

std::string AtomicNeuronOnDLS::str() const {
  return detail::concatenate("AtomicNeuronOnDLS(", column(), ", ", row(), "; ", value_, ")");
}

std::int32_t driver_of_row(std::int64_t row) { return checked(row, kSynapseRows, "SynapseRowOnSynram") / 2; }

std::int32_t row_on_driver(std::int64_t row) {
  return checked(row, kSynapseRows, "SynapseRowOnSynram") % 2 == 1 ? 0 : 1;
}

std::int32_t top_row_of_driver(std::int64_t driver) {
  return 2 * checked(driver, kDriversPerHemisphere, "SynapseDriverOnSynapseDriverBlock") + 1;
}

std::int32_t bottom_row_of_driver(std::int64_t driver) {
  return 2 * checked(driver, kDriversPerHemisphere, "SynapseDriverOnSynapseDriverBlock");
}

std::int32_t bus_of_driver(std::int64_t driver) {
  return checked(driver, kDriversPerHemisphere, "SynapseDriverOnSynapseDriverBlock") % kBusesPerHemisphere;
}

std::int32_t position_of_driver(std::int64_t driver) {
  return checked(driver, kDriversPerHemisphere, "SynapseDriverOnSynapseDriverBlock") / kBusesPerHemisphere;
}

std::int32_t driver_on_bus(std::int64_t bus, std::int64_t position) {
  return checked(position, kDriversPerBus, "SynapseDriverOnPADIBus") * kBusesPerHemisphere +
         checked(bus, kBusesPerHemisphere, "PADIBusOnPADIBusBlock");
}

std::int32_t capmem_block_of_driver(std::int64_t hemisphere, std::int64_t driver) {
  return 2 * checked(hemisphere, kHemispheres, "HemisphereOnDLS") +
         checked(driver, kDriversPerHemisphere, "SynapseDriverOnSynapseDriverBlock") % 2;
}

std::int32_t padi_bus_enum(std::int64_t hemisphere, std::int64_t bus) {
  return checked(hemisphere, kHemispheres, "HemisphereOnDLS") * kBusesPerHemisphere +
         checked(bus, kBusesPerHemisphere, "PADIBusOnPADIBusBlock");
}

std::int32_t column_of_quad_entry(std::int64_t quad, std::int64_t entry) {
  const std::int32_t q = checked(quad, 64, "SynapseQuadColumnOnDLS");
  return ((q % 32) * 4 + checked(entry, 4, "EntryOnQuad")) * 2 + q / 32;
}

std::string hemisphere_str(std::int64_t hemisphere) {
  return one_dimensional("HemisphereOnDLS", hemisphere, kHemispheres);
}
std::string synapse_row_str(std::int64_t row) { return one_dimensional("SynapseRowOnSynram", row, kSynapseRows); }
std::string synapse_column_str(std::int64_t column) { return one_dimensional("SynapseOnSynapseRow", column, kColumns); }
std::string driver_str(std::int64_t driver) {
  return one_dimensional("SynapseDriverOnSynapseDriverBlock", driver, kDriversPerHemisphere);
}
std::string padi_bus_str(std::int64_t hemisphere, std::int64_t bus) {
  const std::int32_t value = padi_bus_enum(hemisphere, bus);
  return detail::concatenate("PADIBusOnDLS(", bus, ", ", hemisphere, "; ", value, ")");
}

std::string CrossbarNodeOnDLS::str() const {
  return detail::concatenate("CrossbarNodeOnDLS(", input, ", ", output, ")");
}

bool crossbar_node_exists(std::int64_t input, std::int64_t output) {
  if (input < 0 || input >= kCrossbarInputs || output < 0 || output >= kCrossbarOutputs) {
    return false;
  }
  if (input < 8) {
    return input % 4 == output % 4;
  }
  if (input < 12) {
    return output < 8 || output - 8 == input - 8;
  }
  return output == input - 12 || output - 8 == (input - 12) % 4;
}

CrossbarNodeOnDLS crossbar_node(std::int64_t input, std::int64_t output) {
  const std::int32_t i = checked(input, kCrossbarInputs, "CrossbarInputOnDLS");
  const std::int32_t o = checked(output, kCrossbarOutputs, "CrossbarOutputOnDLS");
  GRADSPIKE_REQUIRE(crossbar_node_exists(i, o), "the crossbar has no node between CrossbarInputOnDLS(", i,
                    ") and CrossbarOutputOnDLS(", o, ")");
  return {i, o};
}

std::vector<CrossbarNodeOnDLS> all_crossbar_nodes() {
  std::vector<CrossbarNodeOnDLS> nodes;
  for (std::int32_t output = 0; output < kCrossbarOutputs; ++output) {
    for (std::int32_t input = 0; input < kCrossbarInputs; ++input) {
      if (crossbar_node_exists(input, output)) {
        nodes.push_back({input, output});
      }
    }
  }
  return nodes;
}

std::int32_t crossbar_input_of_event_output(std::int64_t event_output) {
  return checked(event_output, kEventOutputs, "NeuronEventOutputOnDLS");
}
std::int32_t crossbar_input_of_l2(std::int64_t l2_input) { return 8 + checked(l2_input, kL2Inputs, "SPL1Address"); }
std::int32_t crossbar_input_of_background(std::int64_t background_source) {
  return 12 + checked(background_source, kBackgroundSources, "BackgroundSpikeSourceOnDLS");
}

EventLabel external_label(std::int64_t hemisphere, std::int64_t bus, std::int64_t row_select,
                          std::int64_t synapse_label) {
  const std::int32_t half = checked(hemisphere, kHemispheres, "HemisphereOnDLS");
  const std::int32_t value = (checked(bus, kL2Inputs, "SPL1Address") << 14) | (half == 1 ? kHemisphereBit : 0) |
                             (checked(row_select, kRowSelects, "row select") << 6) |
                             checked(synapse_label, kSynapseLabels, "SynapseLabel");
  return {static_cast<std::uint16_t>(value)};
}

EventLabel neuron_label(std::int64_t event_output, std::int64_t address) {
  return {static_cast<std::uint16_t>((checked(event_output, kEventOutputs, "NeuronEventOutputOnDLS") << 8) |
                                     checked(address, kNeuronAddresses, "NeuronBackendAddressOut"))};
}

std::string label_str(EventLabel label) { return detail::concatenate("SpikeLabel(", label.value, ")"); }

// ---- wishes --------------------------------------------------------------------------------------------------------

namespace {

/// Numbers of a comma-separated list; false where anything else stands there.
bool parse_numbers(const std::string& text, const char* separators, std::vector<std::int64_t>& numbers) {
  std::int64_t value = -1;
  bool closed = false;  // a space ends a number
  for (const char c : text) {
    if (std::isdigit(static_cast<unsigned char>(c)) != 0) {
      if (closed || value > kNeuronCircuits * 10) {
        return false;
      }
      value = (value < 0 ? 0 : value * 10) + (c - '0');
    } else if (std::string(separators).find(c) != std::string::npos) {
      if (value < 0) {
        return false;
      }
      numbers.push_back(value);
      value = -1;
      closed = false;
    } else if (c == ' ') {
      closed = value >= 0;
    } else {
      return false;
    }
  }
  if (value >= 0) {
    numbers.push_back(value);
  }
  return value >= 0;
}

std::string trimmed(const std::string& text) {
  const auto first = text.find_first_not_of(" \t\n");
  return first == std::string::npos ? "" : text.substr(first, text.find_last_not_of(" \t\n") - first + 1);
}

/// The enum value of "n" or "x, y; n".
AtomicNeuronOnDLS parse_anchor(const std::string& wish, const std::string& inside) {
  std::vector<std::int64_t> numbers;
  GRADSPIKE_REQUIRE(parse_numbers(inside, ",;", numbers) && (numbers.size() == 1 || numbers.size() == 3),
                    "chip coordinate \"", wish, "\" must read AtomicNeuronOnDLS(n) or AtomicNeuronOnDLS(x, y; n)");
  const AtomicNeuronOnDLS anchor(numbers.back());
  GRADSPIKE_REQUIRE(numbers.size() == 1 || AtomicNeuronOnDLS(numbers[0], numbers[1]) == anchor, "chip coordinate \"",
                    wish, "\" contradicts itself: column ", numbers.front(), " and row ", numbers[1 % numbers.size()],
                    " are not circuit ", numbers.back());
  return anchor;
}

}  // namespace

std::vector<AtomicNeuronOnDLS> parse_neuron_wish(const std::string& wish, std::int64_t count) {
  const std::string text = trimmed(wish);
  const std::string prefix = "AtomicNeuronOnDLS(";
  std::vector<AtomicNeuronOnDLS> circuits;
  if (text.compare(0, prefix.size(), prefix) == 0 && text.back() == ')') {
    const AtomicNeuronOnDLS anchor = parse_anchor(wish, text.substr(prefix.size(), text.size() - prefix.size() - 1));
    GRADSPIKE_REQUIRE(count <= kNeuronCircuits - anchor.to_enum(), "chip coordinate \"", wish, "\" leaves ",
                      kNeuronCircuits - anchor.to_enum(), " circuits for ", count, " neurons");
    for (std::int64_t n = 0; n < count; ++n) {
      circuits.emplace_back(anchor.to_enum() + n);
    }
    return circuits;
  }
  const bool bracketed = text.size() >= 2 && text.front() == '[' && text.back() == ']';
  std::vector<std::int64_t> numbers;
  GRADSPIKE_REQUIRE(parse_numbers(bracketed ? text.substr(1, text.size() - 2) : text, ",", numbers),
                    "chip coordinate \"", wish,
                    "\" must be AtomicNeuronOnDLS(n), the first circuit, or a list of circuits such as [0, 1, 256]");
  GRADSPIKE_REQUIRE(static_cast<std::int64_t>(numbers.size()) == count, "chip coordinate \"", wish, "\" lists ",
                    numbers.size(), " circuits for ", count, " neurons");
  for (const std::int64_t number : numbers) {
    circuits.emplace_back(number);
  }
  return circuits;
}

std::vector<AtomicNeuronOnDLS> neuron_block(std::int64_t column, std::int64_t circuits_per_neuron) {
  std::vector<AtomicNeuronOnDLS> circuits;
  for (std::int64_t c = column; c < column + circuits_per_neuron / 2; ++c) {
    circuits.emplace_back(c, 0);
    circuits.emplace_back(c, 1);
  }
  return circuits;
}

std::vector<std::vector<AtomicNeuronOnDLS>> parse_neuron_wishes(const std::string& wish, std::int64_t neurons,
                                                                std::int64_t circuits_per_neuron) {
  std::vector<std::vector<AtomicNeuronOnDLS>> result;
  const std::int64_t columns = circuits_per_neuron / 2;
  const bool anchored = circuits_per_neuron > 1 && wish.find("AtomicNeuronOnDLS") != std::string::npos;
  if (anchored) {
    const AtomicNeuronOnDLS anchor = parse_neuron_wish(wish, 1).front();
    GRADSPIKE_REQUIRE(anchor.row() == 0, "chip coordinate \"", wish, "\" must be in the top row: neurons of ",
                      circuits_per_neuron, " circuits take both rows");
    GRADSPIKE_REQUIRE(anchor.column() + neurons * columns <= kColumns, "chip coordinate \"", wish, "\" leaves ",
                      kColumns - anchor.column(), " columns for ", neurons, " neurons of ", columns, " columns");
    for (std::int64_t n = 0; n < neurons; ++n) {
      result.push_back(neuron_block(anchor.column() + n * columns, circuits_per_neuron));
    }
  } else {
    const std::vector<AtomicNeuronOnDLS> all = parse_neuron_wish(wish, neurons * circuits_per_neuron);
    for (std::int64_t n = 0; n < neurons; ++n) {
      const auto first = all.begin() + n * circuits_per_neuron;
      result.emplace_back(first, first + circuits_per_neuron);
    }
  }
  for (std::size_t n = 0; n < result.size(); ++n) {
    for (const AtomicNeuronOnDLS& circuit : result[n]) {
      GRADSPIKE_REQUIRE(circuit.backend_block() == result[n].front().backend_block(), "chip coordinate \"", wish,
                        "\" puts neuron ", n, " into both chip halves, ", result[n].front().str(), " and ",
                        circuit.str());
    }
  }
  return result;
}

}  // namespace gradspike::chip
