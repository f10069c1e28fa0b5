// Network description <-> canonical JSON; network file = description and integer records.
#include "csrc/chip/codec.h"
#include "csrc/chip/json_reader.h"
#include "csrc/chip/network.h"
#include "csrc/math/lif.h"

namespace gradspike::chip {
namespace {

constexpr char kFormat[] = "gradspike.network";
constexpr std::int64_t kVersion = 1;
constexpr std::int64_t kAnyInteger = std::numeric_limits<std::int64_t>::max() / 4;

Json write(const NodeRef& source) {
  return {{"kind", source.kind == NodeRef::Kind::kInput ? "input" : "population"}, {"index", source.index}};
}

Json write(const Population& population) {
  Json coefficients = Json::array();
  for (const float value : population.coefficients) {
    coefficients.push_back(bits_of(value));
  }
  return {{"name", population.name},
          {"kind", name_of(population.kind)},
          {"size", population.size},
          {"columns", population.columns},
          {"coefficients", std::move(coefficients)}};
}

Json write(const Projection& projection) {
  Json columns = Json::array();
  for (const ColumnRun& run : projection.columns) {
    columns.push_back({{"source", write(run.source)}, {"first", run.first}, {"step", run.step}, {"count", run.count}});
  }
  Json rows = Json::array();
  for (const RowRun& run : projection.rows) {
    rows.push_back({{"target_first", run.target_first},
                    {"row_first", run.row_first},
                    {"row_step", run.row_step},
                    {"count", run.count}});
  }
  Json json = {{"name", projection.name},
               {"in_features", projection.in_features},
               {"out_features", projection.out_features},
               {"columns", std::move(columns)},
               {"target", projection.target},
               {"rows", std::move(rows)},
               {"position", projection.position},
               {"delay_steps", projection.delay_steps},
               {"receptor", name_of(projection.receptor)},
               {"scale", bits_of(projection.scale)},
               {"factor", bits_of(projection.factor)},
               {"units", name_of(projection.units)},
               {"rounding", name_of(projection.rounding)},
               {"min_weight", projection.min_weight},
               {"max_weight", projection.max_weight},
               {"mask", base64_encode(pack_bits(projection.mask))},
               {"chip_coordinate", projection.chip_coordinate},
               {"execution_instance", projection.execution_instance},
               {"plasticity_rule", projection.plasticity_rule},
               {"plasticity_period", bits_of(projection.plasticity_period)}};
  // Later than version 1 of the format, so absent where they say nothing: older files stay the same bytes.
  if (projection.circuits_per_neuron != 0) {
    json["circuits_per_neuron"] = projection.circuits_per_neuron;
  }
  if (projection.plasticity_start != 0.0) {
    json["plasticity_start"] = bits_of(projection.plasticity_start);
  }
  if (projection.plasticity_executions != 0) {
    json["plasticity_executions"] = projection.plasticity_executions;
  }
  if (!projection.plasticity_recording.empty()) {
    json["plasticity_recording"] = projection.plasticity_recording;
  }
  return json;
}

Json write(const Input& input) {
  Json json = {{"name", input.name}, {"size", input.size}};
  if (input.background) {  // later than version 1, as above
    json["background"] = {{"kind", input.background->random ? "poisson" : "regular"},
                          {"rate", bits_of(input.background->rate)},
                          {"seed", input.background->seed}};
  }
  return json;
}

Json write(const Network& network) {
  Json inputs = Json::array();
  for (const Input& input : network.inputs) {
    inputs.push_back(write(input));
  }
  Json populations = Json::array();
  for (const Population& population : network.populations) {
    populations.push_back(write(population));
  }
  Json projections = Json::array();
  for (const Projection& projection : network.projections) {
    projections.push_back(write(projection));
  }
  Json json = {{"format", kFormat},
               {"version", kVersion},
               {"name", network.name},
               {"dt", bits_of(network.dt)},
               {"inputs", std::move(inputs)},
               {"populations", std::move(populations)},
               {"projections", std::move(projections)},
               {"model_card",
                {{"steps", network.model_card.steps},
                 {"encoder", network.model_card.encoder},
                 {"decoder", network.model_card.decoder},
                 {"class_names", network.model_card.class_names}}}};
  if (!network.neuron_permutation.empty()) {  // later than version 1, as above
    json["neuron_permutation"] = network.neuron_permutation;
  }
  return json;
}

NodeRef read_source(const JsonReader& reader) {
  reader.require_keys({"kind", "index"});
  return {reader.at("kind").choice<NodeRef::Kind>(
              {{"input", NodeRef::Kind::kInput}, {"population", NodeRef::Kind::kPopulation}}),
          reader.at("index").integer_as<std::int32_t>()};
}

Population read_population(const JsonReader& reader) {
  reader.require_keys({"name", "kind", "size", "columns", "coefficients"});
  Population population;
  population.name = reader.at("name").text();
  population.kind = reader.at("kind").choice<NeuronKind>({{"lif", NeuronKind::kLif}, {"li", NeuronKind::kLi}});
  population.size = reader.at("size").integer(-kAnyInteger, kAnyInteger);
  population.columns = reader.at("columns").integer(-kAnyInteger, kAnyInteger);
  const JsonReader coefficients = reader.at("coefficients");
  const std::size_t count = coefficients.array_size();
  population.coefficients.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    population.coefficients.push_back(coefficients.element(i).float_bits());
  }
  return population;
}

std::vector<ColumnRun> read_column_runs(const JsonReader& reader) {
  std::vector<ColumnRun> runs;
  for (std::size_t i = 0; i < reader.array_size(); ++i) {
    const JsonReader run = reader.element(i);
    run.require_keys({"source", "first", "step", "count"});
    runs.push_back({read_source(run.at("source")), run.at("first").integer(-kAnyInteger, kAnyInteger),
                    run.at("step").integer(-kAnyInteger, kAnyInteger),
                    run.at("count").integer(-kAnyInteger, kAnyInteger)});
  }
  return runs;
}

std::vector<RowRun> read_row_runs(const JsonReader& reader) {
  std::vector<RowRun> runs;
  for (std::size_t i = 0; i < reader.array_size(); ++i) {
    const JsonReader run = reader.element(i);
    run.require_keys({"target_first", "row_first", "row_step", "count"});
    runs.push_back({run.at("target_first").integer(-kAnyInteger, kAnyInteger),
                    run.at("row_first").integer(-kAnyInteger, kAnyInteger),
                    run.at("row_step").integer(-kAnyInteger, kAnyInteger),
                    run.at("count").integer(-kAnyInteger, kAnyInteger)});
  }
  return runs;
}

std::vector<bool> read_mask(const JsonReader& reader, const Projection& projection) {
  const std::string bytes = base64_decode(reader.text(), reader.path());
  if (bytes.empty()) {
    return {};
  }
  const std::int64_t out = projection.out_features;
  const std::int64_t in = projection.in_features;
  GRADSPIKE_REQUIRE(out > 0 && in > 0 && out <= kAnyInteger / in, reader.path(), ": belongs to a projection of [", out,
                    ", ", in, "]");
  return unpack_bits(bytes, out * in, reader.path());
}

Projection read_projection(const JsonReader& reader) {
  reader.require_keys({"name",   "in_features",     "out_features",       "columns",         "target",
                       "rows",   "position",        "delay_steps",        "receptor",        "scale",
                       "factor", "units",           "rounding",           "min_weight",      "max_weight",
                       "mask",   "chip_coordinate", "execution_instance", "plasticity_rule", "plasticity_period"},
                      {"circuits_per_neuron", "plasticity_start", "plasticity_executions", "plasticity_recording"});
  Projection projection;
  projection.name = reader.at("name").text();
  projection.in_features = reader.at("in_features").integer(-kAnyInteger, kAnyInteger);
  projection.out_features = reader.at("out_features").integer(-kAnyInteger, kAnyInteger);
  projection.columns = read_column_runs(reader.at("columns"));
  projection.target = reader.at("target").integer_as<std::int32_t>();
  projection.rows = read_row_runs(reader.at("rows"));
  projection.position = reader.at("position").integer_as<std::int32_t>();
  projection.delay_steps = reader.at("delay_steps").integer_as<std::int32_t>();
  projection.receptor = reader.at("receptor")
                            .choice<Receptor>({{"signed", Receptor::kSigned},
                                               {"excitatory", Receptor::kExcitatory},
                                               {"inhibitory", Receptor::kInhibitory}});
  projection.scale = reader.at("scale").float_bits();
  projection.factor = reader.at("factor").float_bits();
  projection.units = reader.at("units").choice<Units>({{"model", Units::kModel}, {"lsb", Units::kLsb}});
  projection.rounding = reader.at("rounding")
                            .choice<math::Rounding>({{"none", math::Rounding::kNone},
                                                     {"half_even", math::Rounding::kHalfEven},
                                                     {"half_away", math::Rounding::kHalfAway}});
  projection.min_weight = reader.at("min_weight").integer_as<std::int32_t>();
  projection.max_weight = reader.at("max_weight").integer_as<std::int32_t>();
  projection.mask = read_mask(reader.at("mask"), projection);
  projection.chip_coordinate = reader.at("chip_coordinate").text();
  projection.execution_instance = reader.at("execution_instance").text();
  projection.plasticity_rule = reader.at("plasticity_rule").text();
  projection.plasticity_period = reader.at("plasticity_period").double_bits();
  if (reader.has("circuits_per_neuron")) {
    projection.circuits_per_neuron = reader.at("circuits_per_neuron").integer_as<std::int32_t>();
  }
  if (reader.has("plasticity_start")) {
    projection.plasticity_start = reader.at("plasticity_start").double_bits();
  }
  if (reader.has("plasticity_executions")) {
    projection.plasticity_executions = reader.at("plasticity_executions").integer(0, kAnyInteger);
  }
  if (reader.has("plasticity_recording")) {
    const JsonReader recording = reader.at("plasticity_recording");
    for (std::size_t k = 0; k < recording.array_size(); ++k) {
      projection.plasticity_recording.push_back(recording.element(k).text());
    }
  }
  return projection;
}

ModelCard read_model_card(const JsonReader& reader) {
  reader.require_keys({"steps", "encoder", "decoder", "class_names"});
  ModelCard card;
  card.steps = reader.at("steps").integer(-kAnyInteger, kAnyInteger);
  card.encoder = reader.at("encoder").text();
  card.decoder = reader.at("decoder").text();
  const JsonReader names = reader.at("class_names");
  for (std::size_t i = 0; i < names.array_size(); ++i) {
    card.class_names.push_back(names.element(i).text());
  }
  return card;
}

Input read_input(const JsonReader& reader) {
  reader.require_keys({"name", "size"}, {"background"});
  Input input;
  input.name = reader.at("name").text();
  input.size = reader.at("size").integer(-kAnyInteger, kAnyInteger);
  if (reader.has("background")) {
    const JsonReader wish = reader.at("background");
    wish.require_keys({"kind", "rate", "seed"});
    Background background;
    background.random = wish.at("kind").choice<bool>({{"poisson", true}, {"regular", false}});
    background.rate = wish.at("rate").double_bits();
    background.seed = static_cast<std::uint32_t>(wish.at("seed").integer(0, std::numeric_limits<std::uint32_t>::max()));
    input.background = background;
  }
  return input;
}

Network read_network(const JsonReader& reader) {
  reader.require_format(kFormat, kVersion);
  GRADSPIKE_REQUIRE(!reader.has("integers"), reader.path(),
                    " is a network file with integers, here a description alone is read");
  reader.require_keys({"format", "version", "name", "dt", "inputs", "populations", "projections", "model_card"},
                      {"neuron_permutation"});
  Network network;
  network.name = reader.at("name").text();
  network.dt = reader.at("dt").double_bits();
  const JsonReader inputs = reader.at("inputs");
  for (std::size_t i = 0; i < inputs.array_size(); ++i) {
    network.inputs.push_back(read_input(inputs.element(i)));
  }
  const JsonReader populations = reader.at("populations");
  for (std::size_t i = 0; i < populations.array_size(); ++i) {
    network.populations.push_back(read_population(populations.element(i)));
  }
  const JsonReader projections = reader.at("projections");
  for (std::size_t i = 0; i < projections.array_size(); ++i) {
    network.projections.push_back(read_projection(projections.element(i)));
  }
  network.model_card = read_model_card(reader.at("model_card"));
  for (std::size_t k = 0; reader.has("neuron_permutation") && k < reader.at("neuron_permutation").array_size(); ++k) {
    network.neuron_permutation.push_back(reader.at("neuron_permutation").element(k).integer_as<std::int32_t>());
  }
  validate(network);
  return network;
}

}  // namespace

std::string to_json(const Network& network) { return dump_json(write(network), "network \"" + network.name + "\""); }

Network network_from_json(const std::string& text) {
  const Json json = parse_json(text, "network description");
  return read_network({json, "network description"});
}

std::string to_network_file(const Network& network, const Weights& weights) {
  validate(network, weights);
  Json integers = Json::object();
  for (const Projection& projection : network.projections) {
    integers[projection.name] = base64_encode(to_record(projection, weights.at(projection.name)));
  }
  const Json file = {
      {"format", kFormat}, {"version", kVersion}, {"network", write(network)}, {"integers", std::move(integers)}};
  return dump_json(file, "network \"" + network.name + "\"");
}

void parse_network_file(const std::string& text, Network& network, Weights& weights) {
  const Json json = parse_json(text, "network file");
  const JsonReader reader(json, "network file");
  reader.require_format(kFormat, kVersion);
  GRADSPIKE_REQUIRE(reader.has("network"), "network file lacks the field \"network\", it may be a description alone");
  reader.require_keys({"format", "version", "network", "integers"});
  Network read = read_network(reader.at("network"));
  const JsonReader integers = reader.at("integers");
  GRADSPIKE_REQUIRE(integers.json().is_object(), integers.path(), " must be an object");
  Weights matrices;
  for (const auto& item : integers.json().items()) {
    const JsonReader record(item.value(), integers.path() + "." + item.key());
    matrices[item.key()] = matrix_from_record(base64_decode(record.text(), record.path()), item.key());
  }
  validate(read, matrices);
  network = std::move(read);
  weights = std::move(matrices);
}

}  // namespace gradspike::chip
