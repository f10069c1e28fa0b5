#include "csrc/chip/deployment.h"

#include "csrc/chip/checker.h"
#include "csrc/chip/mapper.h"
#include "csrc/chip/registry.h"
#include "csrc/core/error.h"

namespace gradspike::chip {

Deployment::Deployment(Network network) : network_(std::move(network)), generation_(registry().set_network(network_)) {}

bool Deployment::is_stale() const {
  const std::vector<std::string> keys = registry().population_keys(network_.name);
  return keys.empty() || registry().population(keys.front())->generation != generation_;
}

void Deployment::require_fresh() const {
  GRADSPIKE_REQUIRE(!is_stale(), "network '", network_.name,
                    "' was read again or cleared since this handle was made: use the newer handle");
}

Report Deployment::check(const std::string& target, const std::map<std::string, WeightLosses>& weights) const {
  ReportInputs inputs;
  inputs.target = target;
  inputs.weights = weights;
  const MapResult mapped = try_map(network_);
  inputs.misfits = &mapped.misfits;
  inputs.mapping = mapping_ != nullptr ? mapping_.get() : (mapped.mapping.has_value() ? &*mapped.mapping : nullptr);
  return make_report(network_, inputs);
}

std::shared_ptr<const Mapping> Deployment::mapping() {
  if (mapping_ == nullptr) {
    require_fresh();
    mapping_ = std::make_shared<const Mapping>(map_network(network_));
    registry().set_mapping(network_.name, generation_, mapping_);
  }
  return mapping_;
}

void Deployment::set_mapping(Mapping mapping) {
  require_fresh();
  validate(mapping, network_);
  const std::vector<std::string> violations = check_mapping(network_, mapping);
  GRADSPIKE_REQUIRE(violations.empty(), "the stored mapping of network '", network_.name,
                    "' is wrong: ", violations.empty() ? "" : violations.front());
  mapping_ = std::make_shared<const Mapping>(std::move(mapping));
  registry().set_mapping(network_.name, generation_, mapping_);
}

void Deployment::compile(const std::string& backend, const CompileOptions& options, const Weights& weights) {
  require_fresh();
  const std::shared_ptr<const Backend> chosen = find_backend(backend);
  program_ = chosen->compile(network_, *mapping(), weights, options);  // where it throws, the old program stays
  backend_ = chosen;
  written_.clear();
  for (const Projection& p : network_.projections) {
    const std::uint64_t hash = weights.at(p.name).hash;
    registry().set_written(network_.name + "/" + p.name, generation_, backend_->name(), hash);
    written_[p.name] = hash;
  }
}

Observables Deployment::run(const std::vector<SpikeTensor>& inputs, const RunOptions& options) const {
  GRADSPIKE_REQUIRE(program_ != nullptr, "network '", network_.name,
                    "' is not deployed: compile it for a backend first");
  require_fresh();
  return backend_->run(*program_, inputs, options);
}

std::string Deployment::target() const { return program_ == nullptr ? "" : program_->target(); }

bool Deployment::changed(const Weights& weights) const {
  for (const Projection& p : network_.projections) {
    const auto written = written_.find(p.name);
    if (written == written_.end() || written->second != weights.at(p.name).hash) {
      return true;
    }
  }
  return false;
}

}  // namespace gradspike::chip
