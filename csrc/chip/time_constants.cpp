#include "csrc/chip/time_constants.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "csrc/chip/emulator_program.h"
#include "csrc/chip/json_reader.h"
#include "csrc/math/continuous_lif.h"

namespace gradspike::chip {
namespace {

class Span {
 public:
  void add(double value) {
    lowest_ = std::min(lowest_, value);
    highest_ = std::max(highest_, value);
  }
  Json json() const { return {number(lowest_), number(highest_)}; }

 private:
  static Json number(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

  double lowest_ = std::numeric_limits<double>::infinity();
  double highest_ = -std::numeric_limits<double>::infinity();
};

Json write(const Population& population, double dt) {
  std::map<std::string, Span> spans;
  const bool fires = population.kind == NeuronKind::kLif;
  for (std::int64_t n = 0; n < population.columns; ++n) {
    const math::LifCoefficients<float> c = coefficients_of(population, n);
    const math::TimeConstants constants = math::time_constants(c, dt);
    spans["tau_mem"].add(constants.tau_mem);
    spans["tau_syn"].add(constants.tau_syn);
    spans["membrane_capacitance"].add(constants.capacitance);
    spans["leak"].add(c.leak);
    if (fires) {
      spans["reset"].add(c.reset);
      spans["threshold"].add(c.threshold);
      spans["refractory_time"].add(static_cast<double>(c.refractory_steps) * dt);
    }
  }
  Json json = {{"kind", fires ? "lif" : "li"}, {"size", population.size}};
  for (const auto& [name, span] : spans) {
    json[name] = span.json();
  }
  return json;
}

}  // namespace

std::string time_constants_json(const Network& network) {
  Json json = Json::object();
  for (const Population& population : network.populations) {
    json[population.name] = write(population, network.dt);
  }
  return dump_json(json, "time constants of network \"" + network.name + "\"");
}

}  // namespace gradspike::chip
