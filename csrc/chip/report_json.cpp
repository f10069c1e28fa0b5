// The report as JSON.
#include <cmath>
#include <cstdlib>

#include "csrc/chip/json_reader.h"
#include "csrc/chip/report.h"

namespace gradspike::chip {
namespace {

constexpr std::int64_t kVersion = 3;

/// Six digits: what a float32 coefficient holds of the number it was made from. JSON has no infinite numbers: null.
Json rounded(double value) {
  return std::isfinite(value) ? Json(std::strtod(number_str(value).c_str(), nullptr)) : Json();
}

Json write(const Span& span) { return Json::array({rounded(span.lowest), rounded(span.highest)}); }

Json write(const Misfit& misfit) {
  return {{"layer", misfit.layer}, {"quantity", misfit.quantity}, {"need", misfit.need},
          {"limit", misfit.limit}, {"remedy", misfit.remedy},     {"blocks_mapping", misfit.blocks_mapping}};
}

Json write(const Resource& resource) {
  return {
      {"layer", resource.layer}, {"quantity", resource.quantity}, {"used", resource.used}, {"limit", resource.limit}};
}

Json write(const WeightLosses& layer) {
  return {{"count", layer.count},
          {"clipped", layer.clipped},
          {"rounded_to_zero", layer.rounded_to_zero},
          {"rms_rounding_error", layer.rms_rounding_error}};
}

Json write(const ProjectionReport& projection) {
  Json histogram;
  if (projection.histogram.has_value()) {
    histogram = {{"first", projection.histogram->first}, {"counts", projection.histogram->counts}};
  }
  return {{"sources", projection.sources},
          {"target", projection.target},
          {"in_features", projection.in_features},
          {"out_features", projection.out_features},
          {"scale", projection.scale},
          {"min_weight", projection.min_weight},
          {"max_weight", projection.max_weight},
          {"receptor", name_of(projection.receptor)},
          {"rounding", name_of(projection.rounding)},
          {"units", name_of(projection.units)},
          {"delay_steps", projection.delay_steps},
          {"histogram", std::move(histogram)},
          {"hash", projection.hash.has_value() ? Json(hash_str(*projection.hash)) : Json()}};
}

Json write(const PopulationParameters& population) {
  Json json = {{"kind", name_of(population.kind)}, {"size", population.size}};
  for (const char* always : {"tau_mem", "tau_syn", "membrane_capacitance", "leak"}) {
    json[always] = Json();  // of a population without neurons
  }
  for (const PopulationParameters::Entry& entry : population.entries) {
    json[entry.name] = write(entry.span);
  }
  return json;
}

Json write(const CalibrationEntry& entry) {
  return {{"population", entry.population}, {"parameter", entry.parameter}, {"unit", entry.unit},
          {"minimum", entry.minimum},       {"maximum", entry.maximum},     {"wanted", write(entry.wanted)},
          {"neurons", entry.neurons},       {"outside", entry.outside},     {"state", name_of(entry.state)},
          {"remark", entry.remark}};
}

template <class Items>
Json list_of(const Items& items) {
  Json list = Json::array();
  for (const auto& item : items) {
    list.push_back(write(item));
  }
  return list;
}

template <class Items>
Json by_name(const Items& items) {
  Json object = Json::object();
  for (const auto& item : items) {
    object[item.name] = write(item);
  }
  return object;
}

Json time_of(const Report& report) {
  return {{"unit", "s"},
          {"dt", report.dt},
          {"steps", report.steps > 0 ? Json(report.steps) : Json()},
          {"duration", report.steps > 0 ? rounded(static_cast<double>(report.steps) * report.dt) : Json()},
          {"populations", by_name(report.populations)}};
}

}  // namespace

std::string Report::to_json() const {
  Json losses = Json::object();
  for (const auto& [name, layer] : weights) {
    losses[name] = write(layer);
  }
  return dump_json({{"format", "gradspike.report"},
                    {"version", kVersion},
                    {"network", network},
                    {"target", target},
                    {"verdict", name_of(verdict)},
                    {"exit_code", exit_code()},
                    {"chips", chips},
                    {"runs_per_sample", runs_per_sample},
                    {"misfits", list_of(misfits)},
                    {"resources", list_of(resources)},
                    {"weights", std::move(losses)},
                    {"projections", by_name(projections)},
                    {"time", time_of(*this)},
                    {"calibration",
                     {{"source", calibration.source},
                      {"zero_lsb", calibration.zero_lsb},
                      {"lsb_per_unit", calibration.lsb_per_unit},
                      {"parameters", list_of(calibration.entries)}}},
                    {"conventions", conventions()},
                    {"approximations", approximations},
                    {"check_run", nullptr},
                    {"since", nullptr},
                    {"provenance", provenance}},
                   "report of network \"" + network + "\"");
}

std::string layers_json(const Network& network) {
  const Report report = describe(network);
  return dump_json({{"network", network.name}, {"projections", by_name(report.projections)}, {"time", time_of(report)}},
                   "layers of network \"" + network.name + "\"");
}

}  // namespace gradspike::chip
