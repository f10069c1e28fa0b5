#include "csrc/chip/mapping_json.h"

#include "csrc/math/background.h"

namespace gradspike::chip {
namespace {

constexpr char kFormat[] = "gradspike.mapping";
constexpr std::int64_t kVersion = 1;

Json write_inputs(const Mapping& mapping) {
  Json inputs = Json::array();
  for (const InputRoute& input : mapping.inputs) {
    Json labels = Json::array();
    for (const auto& events : input.labels) {
      Json list = Json::array();
      for (const EventLabel label : events) {
        list.push_back(label.value);
      }
      labels.push_back(std::move(list));
    }
    inputs.push_back({{"name", input.name}, {"labels", std::move(labels)}});
  }
  return inputs;
}

Json write_populations(const Mapping& mapping) {
  Json populations = Json::array();
  for (const PopulationPlacement& population : mapping.populations) {
    Json neurons = Json::array();
    for (const PlacedNeuron& neuron : population.neurons) {
      Json circuits = Json::array();
      for (const AtomicNeuronOnDLS& circuit : neuron.circuits) {
        circuits.push_back(circuit.to_enum());
      }
      neurons.push_back({{"circuits", std::move(circuits)}, {"address", neuron.address}});
    }
    populations.push_back({{"name", population.name}, {"neurons", std::move(neurons)}});
  }
  return populations;
}

Json write_rows(const Mapping& mapping) {
  Json rows = Json::array();
  for (const auto& hemisphere : mapping.row_modes) {
    std::string text;  // one letter per row: '-', 'e', 'i'
    for (const RowMode mode : hemisphere) {
      text += mode == RowMode::kDisabled ? '-' : (mode == RowMode::kExcitatory ? 'e' : 'i');
    }
    rows.push_back(text);
  }
  return rows;
}

Json write_synapses(const Mapping& mapping) {
  Json synapses = Json::array();
  for (const PlacedSynapse& s : mapping.synapses) {
    synapses.push_back(
        {s.hemisphere, s.row, s.column, s.label, s.projection, s.pre, s.post, s.part, s.inhibitory ? 1 : 0});
  }
  return synapses;
}

Json write_generators(const Mapping& mapping) {
  Json generators = Json::array();
  for (const BackgroundGenerator& g : mapping.generators) {
    generators.push_back({{"bus", g.bus},
                          {"input", g.input},
                          {"first", g.first},
                          {"kind", g.random ? "poisson" : "regular"},
                          {"period", g.period},
                          {"rate", g.rate},
                          {"seed", g.seed},
                          {"label", g.label},
                          {"mask", g.mask}});
  }
  return generators;
}

BackgroundGenerator read_generator(const JsonReader& reader) {
  reader.require_keys({"bus", "input", "first", "kind", "period", "rate", "seed", "label", "mask"});
  constexpr std::int64_t kAny = std::numeric_limits<std::int32_t>::max();
  const auto number = [&reader](const char* name, std::int64_t limit) {
    return static_cast<std::int32_t>(reader.at(name).integer(0, limit));
  };
  BackgroundGenerator g;
  g.bus = number("bus", kBackgroundSources - 1);
  g.input = number("input", kAny);
  g.first = number("first", kAny);
  g.random = reader.at("kind").choice<bool>({{"poisson", true}, {"regular", false}});
  g.period = static_cast<std::int32_t>(reader.at("period").integer(1, math::kMaxBackgroundPeriod));
  g.rate = number("rate", math::kMaxBackgroundRate);
  g.seed = static_cast<std::uint32_t>(reader.at("seed").integer(0, std::numeric_limits<std::uint32_t>::max()));
  g.label = number("label", kNeuronLabelMask);
  g.mask = number("mask", kMaxGeneratorSources - 1);
  return g;
}

InputRoute read_input(const JsonReader& reader) {
  reader.require_keys({"name", "labels"});
  InputRoute input;
  input.name = reader.at("name").text();
  const JsonReader neurons = reader.at("labels");
  for (std::size_t n = 0; n < neurons.array_size(); ++n) {
    const JsonReader events = neurons.element(n);
    std::vector<EventLabel> labels;
    for (std::size_t e = 0; e < events.array_size(); ++e) {
      labels.push_back({static_cast<std::uint16_t>(events.element(e).integer(0, 0xFFFF))});
    }
    input.labels.push_back(std::move(labels));
  }
  return input;
}

PopulationPlacement read_population(const JsonReader& reader) {
  reader.require_keys({"name", "neurons"});
  PopulationPlacement population;
  population.name = reader.at("name").text();
  const JsonReader neurons = reader.at("neurons");
  for (std::size_t n = 0; n < neurons.array_size(); ++n) {
    const JsonReader entry = neurons.element(n);
    entry.require_keys({"circuits", "address"});
    PlacedNeuron neuron;
    neuron.address = static_cast<std::int32_t>(entry.at("address").integer(0, kNeuronAddresses - 1));
    const JsonReader circuits = entry.at("circuits");
    for (std::size_t c = 0; c < circuits.array_size(); ++c) {
      neuron.circuits.emplace_back(circuits.element(c).integer(0, kNeuronCircuits - 1));
    }
    population.neurons.push_back(std::move(neuron));
  }
  return population;
}

void read_rows(const JsonReader& reader, Mapping& mapping) {
  GRADSPIKE_REQUIRE(reader.array_size() == kHemispheres, reader.path(), " must have 2 hemispheres");
  for (std::size_t h = 0; h < kHemispheres; ++h) {
    const std::string text = reader.element(h).text();
    GRADSPIKE_REQUIRE(text.size() == kSynapseRows && text.find_first_not_of("-ei") == std::string::npos, reader.path(),
                      "[", h, "] must be 256 letters of -, e and i");
    for (std::size_t r = 0; r < kSynapseRows; ++r) {
      mapping.row_modes[h][r] =
          text[r] == '-' ? RowMode::kDisabled : (text[r] == 'e' ? RowMode::kExcitatory : RowMode::kInhibitory);
    }
  }
}

void read_compare_masks(const JsonReader& reader, Mapping& mapping) {
  GRADSPIKE_REQUIRE(reader.array_size() == kHemispheres, reader.path(), " must have 2 hemispheres");
  for (std::size_t h = 0; h < kHemispheres; ++h) {
    const JsonReader masks = reader.element(h);
    GRADSPIKE_REQUIRE(masks.array_size() == kDriversPerHemisphere, masks.path(), " must have 128 drivers");
    for (std::size_t d = 0; d < kDriversPerHemisphere; ++d) {
      mapping.compare_masks[h][d] = static_cast<std::uint8_t>(masks.element(d).integer(0, kRowSelects - 1));
    }
  }
}

void read_crossbar(const JsonReader& reader, Mapping& mapping) {
  const std::vector<CrossbarNodeOnDLS> nodes = all_crossbar_nodes();
  GRADSPIKE_REQUIRE(reader.array_size() == nodes.size(), reader.path(), " must have ", nodes.size(), " nodes");
  for (std::size_t n = 0; n < nodes.size(); ++n) {
    const JsonReader entry = reader.element(n);
    GRADSPIKE_REQUIRE(entry.array_size() == 4, entry.path(), " must be [input, output, mask, target]");
    const std::int64_t input = entry.element(0).integer(0, kCrossbarInputs - 1);
    const std::int64_t output = entry.element(1).integer(0, kCrossbarOutputs - 1);
    GRADSPIKE_REQUIRE(input == nodes[n].input && output == nodes[n].output, entry.path(), " must be ", nodes[n].str());
    mapping.crossbar.push_back({nodes[n], static_cast<std::int32_t>(entry.element(2).integer(0, kNeuronLabelMask)),
                                static_cast<std::int32_t>(entry.element(3).integer(0, kNeuronLabelMask))});
  }
}

PlacedSynapse read_synapse(const JsonReader& reader) {
  GRADSPIKE_REQUIRE(reader.array_size() == 9, reader.path(),
                    " must be [hemisphere, row, column, label, projection, pre, post, part, inhibitory]");
  const auto number = [&reader](std::size_t i, std::int64_t limit) {
    return static_cast<std::int32_t>(reader.element(i).integer(0, limit - 1));
  };
  constexpr std::int64_t kAny = std::numeric_limits<std::int32_t>::max();
  return {number(0, kHemispheres),   number(1, kSynapseRows), number(2, kColumns),
          number(3, kSynapseLabels), number(4, kAny),         number(5, kAny),
          number(6, kAny),           number(7, kAny),         number(8, 2) == 1};
}

}  // namespace

std::string to_json(const Mapping& mapping) {
  Json crossbar = Json::array();
  for (const CrossbarRule& rule : mapping.crossbar) {
    crossbar.push_back({rule.node.input, rule.node.output, rule.mask, rule.target});
  }
  Json json = {{"format", kFormat},
               {"version", kVersion},
               {"network", mapping.network},
               {"inputs", write_inputs(mapping)},
               {"populations", write_populations(mapping)},
               {"projections", mapping.projections},
               {"compare_masks", mapping.compare_masks},
               {"row_modes", write_rows(mapping)},
               {"crossbar", std::move(crossbar)},
               {"synapses", write_synapses(mapping)}};
  if (!mapping.generators.empty()) {  // later than version 1 of the format: older files stay the same bytes
    json["generators"] = write_generators(mapping);
  }
  return dump_json(json, "mapping of network \"" + mapping.network + "\"");
}

Mapping mapping_from_json(const std::string& text) {
  const Json json = parse_json(text, "mapping");
  return read_mapping(JsonReader(json, "mapping"));
}

Mapping read_mapping(const JsonReader& reader) {
  reader.require_format(kFormat, kVersion);
  reader.require_keys({"format", "version", "network", "inputs", "populations", "projections", "compare_masks",
                       "row_modes", "crossbar", "synapses"},
                      {"generators"});
  Mapping mapping;
  mapping.network = reader.at("network").text();
  const JsonReader inputs = reader.at("inputs");
  for (std::size_t i = 0; i < inputs.array_size(); ++i) {
    mapping.inputs.push_back(read_input(inputs.element(i)));
  }
  const JsonReader populations = reader.at("populations");
  for (std::size_t p = 0; p < populations.array_size(); ++p) {
    mapping.populations.push_back(read_population(populations.element(p)));
  }
  const JsonReader projections = reader.at("projections");
  for (std::size_t p = 0; p < projections.array_size(); ++p) {
    mapping.projections.push_back(projections.element(p).text());
  }
  read_compare_masks(reader.at("compare_masks"), mapping);
  read_rows(reader.at("row_modes"), mapping);
  read_crossbar(reader.at("crossbar"), mapping);
  const JsonReader synapses = reader.at("synapses");
  GRADSPIKE_REQUIRE(synapses.array_size() <= kSynapses, synapses.path(), " has ", synapses.array_size(),
                    " entries, the chip has ", kSynapses);
  mapping.synapses.reserve(synapses.array_size());
  for (std::size_t s = 0; s < synapses.array_size(); ++s) {
    mapping.synapses.push_back(read_synapse(synapses.element(s)));
  }
  for (std::size_t g = 0; reader.has("generators") && g < reader.at("generators").array_size(); ++g) {
    mapping.generators.push_back(read_generator(reader.at("generators").element(g)));
  }
  return mapping;
}

}  // namespace gradspike::chip
