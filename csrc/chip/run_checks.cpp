#include "csrc/chip/run_checks.h"

#include <algorithm>

#include "csrc/chip/names.h"
#include "csrc/core/error.h"

namespace gradspike::chip {
namespace {

void check_count(const SpikeTensor& tensor, const std::string& backend, const std::string& name, std::int64_t k) {
  const float value = tensor.type == SpikeTensor::Type::kUint8 ? static_cast<const std::uint8_t*>(tensor.data)[k]
                                                               : static_cast<const float*>(tensor.data)[k];
  const bool counts = value >= 0.0F && value <= static_cast<float>(kMaxSpikeCount) &&
                      static_cast<float>(static_cast<std::int32_t>(value)) == value;
  GRADSPIKE_REQUIRE(counts, backend, ": input \"", name, "\" must hold whole numbers in 0..", kMaxSpikeCount, ", got ",
                    value, " at step ", k / (tensor.batch * tensor.size), ", batch ", k / tensor.size % tensor.batch,
                    ", neuron ", k % tensor.size);
}

}  // namespace

void check_inputs(const std::vector<std::string>& names, const std::vector<std::int64_t>& sizes,
                  const std::vector<SpikeTensor>& inputs, const std::string& backend) {
  GRADSPIKE_REQUIRE(inputs.size() == sizes.size(), backend, ": the network has ", sizes.size(), " inputs, got ",
                    inputs.size());
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const SpikeTensor& tensor = inputs[i];
    const std::string& name = names[i];
    GRADSPIKE_REQUIRE(tensor.steps >= 0 && tensor.batch >= 0 && tensor.size == sizes[i], backend, ": input \"", name,
                      "\" must be [time, batch, ", sizes[i], "], got [", tensor.steps, ", ", tensor.batch, ", ",
                      tensor.size, "]");
    GRADSPIKE_REQUIRE(tensor.steps == inputs[0].steps && tensor.batch == inputs[0].batch, backend, ": input \"", name,
                      "\" has ", tensor.steps, " steps and batch ", tensor.batch, ", input \"", names[0], "\" has ",
                      inputs[0].steps, " and ", inputs[0].batch);
    const std::int64_t count = tensor.steps * tensor.batch * tensor.size;
    GRADSPIKE_REQUIRE(count == 0 || tensor.data != nullptr, backend, ": input \"", name, "\" has no data");
    for (std::int64_t k = 0; k < count; ++k) {
      check_count(tensor, backend, name, k);
    }
  }
}

void require_population(const std::vector<std::string>& populations, const std::string& name,
                        const std::string& backend) {
  GRADSPIKE_REQUIRE(std::find(populations.begin(), populations.end(), name) != populations.end(), backend,
                    ": the network has no population \"", name, "\"", nearest_text(name, populations));
}

std::vector<std::string> plasticity_not_modelled(const Network& network) {
  std::vector<std::string> phrases;
  for (const Projection& projection : network.projections) {
    if (!projection.plasticity_rule.empty()) {
      phrases.push_back("the plasticity rule of projection '" + projection.name + "'");
    }
  }
  return phrases;
}

bool is_recorded(const std::vector<std::string>& wanted, const std::string& name) {
  return std::any_of(wanted.begin(), wanted.end(),
                     [&name](const std::string& entry) { return entry == "*" || entry == name; });
}

}  // namespace gradspike::chip
