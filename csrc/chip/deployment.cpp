#include "csrc/chip/deployment.h"

#include "csrc/chip/checker.h"
#include "csrc/chip/mapper.h"
#include "csrc/chip/registry.h"
#include "csrc/core/error.h"

namespace gradspike::chip {

namespace {

bool is_newest(const std::string& name, std::uint64_t generation) {
  const std::vector<std::string> keys = registry().population_keys(name);
  return !keys.empty() && registry().population(keys.front())->generation == generation;
}

void require_newest(const std::string& name, std::uint64_t generation) {
  GRADSPIKE_REQUIRE(is_newest(name, generation), "network '", name,
                    "' was read again or cleared since this handle was made: use the newer handle");
}

/// What runs on a chip is not quite what was trained, whatever the weights are.
std::vector<std::string> approximations_of(const Network& network) {
  std::vector<std::string> result;
  for (const Projection& p : network.projections) {
    if (p.rounding == math::Rounding::kNone) {
      result.push_back(
          "projection '" + p.name +
          "': trained with float weights (rounding=\"none\"), deployed with integers rounded half to even");
    }
    if (!p.plasticity_rule.empty()) {
      result.push_back("projection '" + p.name +
                       "': its plasticity rule is carried to the backend; the emulator executes none, and a chip that "
                       "executes it takes no CADC samples meanwhile");
    }
  }
  return result;
}

}  // namespace

Deployment::Deployment(Network network) : network_(std::move(network)), generation_(registry().set_network(network_)) {}

bool Deployment::is_stale() const { return !is_newest(network_.name, generation_); }

Report Deployment::check(const std::string& target, const std::map<std::string, WeightLosses>& weights) const {
  ReportInputs inputs;
  inputs.target = target;
  inputs.weights = weights;
  inputs.approximations = approximations_of(network_);
  const MapResult& result = mapped();
  inputs.misfits = &result.misfits;
  inputs.mapping = mapping_ != nullptr ? mapping_.get() : (result.mapping.has_value() ? &*result.mapping : nullptr);
  return make_report(network_, inputs);
}

const MapResult& Deployment::mapped() const {
  if (mapped_ == nullptr) {
    mapped_ = std::make_shared<const MapResult>(try_map(network_));
  }
  return *mapped_;
}

std::shared_ptr<const Mapping> Deployment::mapping() {
  if (mapping_ == nullptr) {
    require_newest(network_.name, generation_);
    const MapResult& result = mapped();
    mapping_ = std::make_shared<const Mapping>(result.mapping.has_value() ? *result.mapping : map_network(network_));
    registry().set_mapping(network_.name, generation_, mapping_);
  }
  return mapping_;
}

void Deployment::set_mapping(Mapping mapping) {
  require_newest(network_.name, generation_);
  validate(mapping, network_);
  const std::vector<std::string> violations = check_mapping(network_, mapping);
  GRADSPIKE_REQUIRE(violations.empty(), "the stored mapping of network '", network_.name,
                    "' is wrong: ", violations.empty() ? "" : violations.front());
  mapping_ = std::make_shared<const Mapping>(std::move(mapping));
  registry().set_mapping(network_.name, generation_, mapping_);
}

std::shared_ptr<const Program> Deployment::program_for(const std::shared_ptr<const Backend>& backend,
                                                       const CompileOptions& options, const Weights& weights) {
  const std::shared_ptr<const Mapping> placed = mapping();
  std::shared_ptr<const Program> program;
  if (compiled_.backend == backend && compiled_.mapping == placed && compiled_.options == options) {
    program = backend->update(*compiled_.program, weights);
  }
  if (program == nullptr) {
    program = backend->compile(network_, *placed, weights, options);
  }
  compiled_ = {backend, options, placed, program};
  return program;
}

std::shared_ptr<const DeployedNetwork> Deployment::compile(const std::string& backend, const CompileOptions& options,
                                                           const Weights& weights) {
  require_newest(network_.name, generation_);
  const std::shared_ptr<DeployedNetwork> deployed(new DeployedNetwork());
  deployed->name_ = network_.name;
  deployed->generation_ = generation_;
  deployed->backend_ = find_backend(backend);
  deployed->program_ = program_for(deployed->backend_, options, weights);
  for (const Projection& p : network_.projections) {
    const std::uint64_t hash = weights.at(p.name).hash;
    registry().set_written(network_.name + "/" + p.name, generation_, deployed->backend_->name(), hash);
    deployed->written_[p.name] = hash;
  }
  return deployed;
}

Observables DeployedNetwork::run(const std::vector<SpikeTensor>& inputs, const RunOptions& options) const {
  require_newest(name_, generation_);
  return backend_->run(*program_, inputs, options);
}

bool DeployedNetwork::changed(const Weights& weights) const {
  for (const auto& [name, hash] : written_) {
    if (weights.at(name).hash != hash) {
      return true;
    }
  }
  return false;
}

}  // namespace gradspike::chip
