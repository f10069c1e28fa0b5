// Options from Python, as JSON, and back.
#include <limits>
#include <nlohmann/json.hpp>
#include <type_traits>

#include "csrc/core/error.h"
#include "ops/classes/network.h"

namespace gradspike::ops {
namespace {

template <class T>
T field(const nlohmann::json& object, const char* name, T missing) {
  if (!object.contains(name) || object.at(name).is_null()) {
    return missing;
  }
  // nlohmann::json would cut a fraction off and take true for 1
  const bool whole = !std::is_same_v<T, std::int64_t> || object.at(name).is_number_integer();
  GRADSPIKE_REQUIRE(whole, "option '", name, "' must be a whole number, got ", object.at(name).dump());
  try {
    return object.at(name).get<T>();
  } catch (const nlohmann::json::exception&) {
    GRADSPIKE_FAIL("option '", name, "' has the wrong type, got ", object.at(name).dump());
  }
}

/// An object of options, empty where it is missing; refuses unknown ones by name.
nlohmann::json options_in(const nlohmann::json& object, const char* name, const std::string& what,
                          std::initializer_list<const char*> known) {
  const nlohmann::json options = object.value(name, nlohmann::json(nullptr));
  if (options.is_null()) {
    return nlohmann::json::object();
  }
  GRADSPIKE_REQUIRE(options.is_object(), what, " must be a dictionary, got ", options.dump());
  for (const auto& [key, value] : options.items()) {
    bool found = known.size() == 0;
    std::string list;
    for (const char* choice : known) {
      found = found || key == choice;
      list += (list.empty() ? "" : ", ") + std::string(choice);
    }
    GRADSPIKE_REQUIRE(found, what, " has no option '", key, "', only ", list);
  }
  return options;
}

/// {"background": {"kind", "rate", "seed"}} by input.
std::map<std::string, chip::Background> backgrounds_in(const nlohmann::json& object) {
  std::map<std::string, chip::Background> result;
  const nlohmann::json inputs = options_in(object, "inputs", "inputs", {});
  for (const auto& [name, given] : inputs.items()) {
    const std::string what = "input '" + name + "'";
    const nlohmann::json wish = options_in(inputs, name.c_str(), what, {"background"});
    if (!wish.contains("background") || wish.at("background").is_null()) {
      continue;
    }
    const nlohmann::json background = options_in(wish, "background", what + ": background", {"kind", "rate", "seed"});
    const auto kind = field<std::string>(background, "kind", "poisson");
    GRADSPIKE_REQUIRE(kind == "poisson" || kind == "regular", what,
                      ": the kind of a background must be 'poisson' or 'regular', got '", kind, "'");
    const auto seed = field<std::int64_t>(background, "seed", 0);
    GRADSPIKE_REQUIRE(seed >= 0 && seed <= std::numeric_limits<std::uint32_t>::max(), what,
                      ": the seed of a background must lie in 0..2^32 - 1, got ", seed);
    result[name] = {kind == "poisson", field<double>(background, "rate", 0.0), static_cast<std::uint32_t>(seed)};
  }
  return result;
}

}  // namespace

ReadOptions parse_read_options(const std::string& json) {
  const nlohmann::json object = nlohmann::json::parse(json, nullptr, /*allow_exceptions=*/false);
  GRADSPIKE_REQUIRE(object.is_object(), "options must be a JSON object, got '", json.substr(0, 80), "'");
  ReadOptions options;
  options.name = field<std::string>(object, "name", "network");
  GRADSPIKE_REQUIRE(!options.name.empty() && options.name.find('/') == std::string::npos,
                    "the name of a network must not be empty or contain '/', got '", options.name, "'");
  const nlohmann::json projections = options_in(object, "projections", "projections", {});
  for (const auto& [name, given] : projections.items()) {
    const nlohmann::json wish =
        options_in(projections, name.c_str(), "projection '" + name + "'",
                   {"receptor", "chip_coordinate", "execution_instance", "plasticity_rule", "plasticity_start",
                    "plasticity_period", "plasticity_executions", "plasticity_recording", "circuits_per_neuron"});
    options.projections[name] = {field<std::string>(wish, "receptor", ""),
                                 field<std::string>(wish, "chip_coordinate", ""),
                                 field<std::string>(wish, "execution_instance", ""),
                                 field<std::string>(wish, "plasticity_rule", ""),
                                 field<double>(wish, "plasticity_start", 0.0),
                                 field<double>(wish, "plasticity_period", 0.0),
                                 field<std::int64_t>(wish, "plasticity_executions", 0),
                                 field<std::vector<std::string>>(wish, "plasticity_recording", {}),
                                 field<std::int64_t>(wish, "circuits_per_neuron", 0)};
  }
  options.backgrounds = backgrounds_in(object);
  const nlohmann::json card = options_in(object, "card", "card", {"steps", "encoder", "decoder", "class_names"});
  options.card.steps = field<std::int64_t>(card, "steps", 0);
  options.card.encoder = field<std::string>(card, "encoder", "");
  options.card.decoder = field<std::string>(card, "decoder", "");
  options.card.class_names = field<std::vector<std::string>>(card, "class_names", {});
  options.neuron_permutation = field<std::vector<std::int64_t>>(object, "neuron_permutation", {});
  options.input_sizes = field<std::vector<std::int64_t>>(object, "input_sizes", {});
  return options;
}

std::string to_json(const ReadOptions& options) {
  nlohmann::json projections = nlohmann::json::object();
  for (const auto& [name, wish] : options.projections) {
    projections[name] = {{"receptor", wish.receptor},
                         {"chip_coordinate", wish.chip_coordinate},
                         {"execution_instance", wish.execution_instance},
                         {"plasticity_rule", wish.plasticity_rule},
                         {"plasticity_start", wish.plasticity_start},
                         {"plasticity_period", wish.plasticity_period},
                         {"plasticity_executions", wish.plasticity_executions},
                         {"plasticity_recording", wish.plasticity_recording},
                         {"circuits_per_neuron", wish.circuits_per_neuron}};
  }
  nlohmann::json inputs = nlohmann::json::object();
  for (const auto& [name, background] : options.backgrounds) {
    inputs[name] = {
        {"background",
         {{"kind", background.random ? "poisson" : "regular"}, {"rate", background.rate}, {"seed", background.seed}}}};
  }
  return nlohmann::json{{"name", options.name},
                        {"inputs", inputs},
                        {"neuron_permutation", options.neuron_permutation},
                        {"projections", projections},
                        {"card",
                         {{"steps", options.card.steps},
                          {"encoder", options.card.encoder},
                          {"decoder", options.card.decoder},
                          {"class_names", options.card.class_names}}},
                        {"input_sizes", options.input_sizes}}
      .dump();
}

chip::RunOptions parse_run_options(const std::string& json) {
  const nlohmann::json object = nlohmann::json::parse(json, nullptr, /*allow_exceptions=*/false);
  GRADSPIKE_REQUIRE(object.is_object(), "options of a run must be a JSON object, got '", json.substr(0, 80), "'");
  chip::RunOptions options;
  options.record_membrane = field<std::vector<std::string>>(object, "membrane", {});
  options.madc.population = field<std::string>(object, "madc_population", "");
  options.madc.neuron = field<std::int64_t>(object, "madc_neuron", 0);
  options.seed = static_cast<std::uint64_t>(field<std::int64_t>(object, "seed", 0));
  options.inter_batch_wait = field<double>(object, "inter_batch_wait", 0.0);
  return options;
}

}  // namespace gradspike::ops
