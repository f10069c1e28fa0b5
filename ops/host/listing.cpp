#include "ops/host/listing.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <sstream>

#include "csrc/chip/text_table.h"

namespace gradspike::host {
namespace {

/// Names of the sources of a projection, in order of first use.
std::string source_names(const chip::Network& network, const chip::Projection& projection) {
  std::vector<std::string> names;
  for (const chip::ColumnRun& run : projection.columns) {
    const auto index = static_cast<std::size_t>(run.source.index);
    const std::string& name =
        run.source.kind == chip::NodeRef::Kind::kInput ? network.inputs[index].name : network.populations[index].name;
    if (std::find(names.begin(), names.end(), name) == names.end()) {
      names.push_back(name);
    }
  }
  std::string text;
  for (const std::string& name : names) {
    text += (text.empty() ? "" : "+") + name;
  }
  return text;
}

std::string join(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) {
    text += (text.empty() ? "" : ", ") + word;
  }
  return text;
}

std::string table(const std::vector<chip::TextRow>& rows) {
  std::string text;
  for (const std::string& line : chip::aligned(rows)) {
    text += (line.empty() ? line : line.substr(2)) + "\n";  // not indented
  }
  return text;
}

}  // namespace

std::string listing_text(const deploy::Model& model) {
  const chip::Network& network = model.network();
  std::vector<std::vector<std::string>> rows = {
      {"projection", "source", "target", "in", "out", "receptor", "scale", "bounds", "hash"}};
  for (const chip::Projection& p : network.projections) {
    std::ostringstream scale;
    scale << p.scale;
    rows.push_back({network.name + "/" + p.name, source_names(network, p),
                    network.populations[static_cast<std::size_t>(p.target)].name, std::to_string(p.in_features),
                    std::to_string(p.out_features), chip::name_of(p.receptor), scale.str(),
                    std::to_string(p.min_weight) + ".." + std::to_string(p.max_weight),
                    chip::hash_str(model.weights().at(p.name).hash)});
  }
  std::ostringstream text;
  text << table(rows) << '\n';
  std::vector<std::vector<std::string>> card;
  for (const chip::Input& input : network.inputs) {
    card.push_back({"input", input.name + " [steps, batch, " + std::to_string(input.size) + "]"});
  }
  for (const chip::Population& p : network.populations) {
    card.push_back({"population",
                    p.name + ": " + std::to_string(p.size) + " " + (p.kind == chip::NeuronKind::kLif ? "LIF" : "LI")});
  }
  std::ostringstream dt;
  dt << network.dt * 1e6 << " us";
  card.push_back({"dt", dt.str()});
  card.push_back({"steps", std::to_string(network.model_card.steps)});
  card.push_back({"encoder", network.model_card.encoder});
  card.push_back({"decoder", network.model_card.decoder});
  card.push_back({"classes", join(network.model_card.class_names)});
  text << table(card);
  return text.str();
}

std::string listing_json(const deploy::Model& model) {
  const chip::Network& network = model.network();
  nlohmann::json object = nlohmann::json::parse(chip::to_json(network));
  nlohmann::json hashes = nlohmann::json::object();
  for (const auto& [name, matrix] : model.weights()) {
    hashes[name] = chip::hash_str(matrix.hash);
  }
  return nlohmann::json{{"network", object}, {"hashes", hashes}}.dump(2) + "\n";
}

}  // namespace gradspike::host
