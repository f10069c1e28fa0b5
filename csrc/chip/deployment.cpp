#include "csrc/chip/deployment.h"

#include "csrc/chip/background.h"
#include "csrc/chip/checker.h"
#include "csrc/chip/partitioned_program.h"
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
  std::vector<std::string> result = background_approximations(network);
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

bool within(const PartitionedMapping& partition, std::int64_t max_instances) {
  return max_instances == 0 || static_cast<std::int64_t>(partition.instances.size()) <= max_instances;
}

}  // namespace

void require_right(const PartitionedMapping& partition, const Network& network) {
  validate(partition, network);
  for (const Instance& instance : partition.instances) {
    const std::vector<std::string> violations = check_mapping(instance.network, instance.mapping);
    GRADSPIKE_REQUIRE(violations.empty(), "the stored mapping of network '", network.name,
                      "' is wrong: ", violations.empty() ? "" : violations.front());
  }
}

Deployment::Deployment(Network network) : network_(std::move(network)), generation_(registry().set_network(network_)) {}

bool Deployment::is_stale() const { return !is_newest(network_.name, generation_); }

Report Deployment::check(const std::string& target, const std::map<std::string, WeightLosses>& losses,
                         std::int64_t max_instances, const Weights* integers) const {
  ReportInputs inputs;
  inputs.target = target;
  inputs.weights = losses;
  inputs.integers = integers;
  inputs.approximations = approximations_of(network_);
  std::vector<Misfit> misfits;
  if (partition_ != nullptr && within(*partition_, max_instances)) {
    misfits = open_misfits(network_);
    inputs.misfits = &misfits;
    inputs.partition = partition_.get();
  } else {
    const PartitionResult& result = found(max_instances);
    inputs.misfits = &result.misfits;
    inputs.partition = result.partition.has_value() ? &*result.partition : nullptr;
  }
  return make_report(network_, inputs);
}

const PartitionResult& Deployment::found(std::int64_t max_instances) const {
  for (const auto& [limit, result] : found_) {
    if (limit == max_instances || (result->partition.has_value() && within(*result->partition, max_instances))) {
      return *result;
    }
  }
  const PartitionOptions options{max_instances};
  return *(found_[max_instances] = std::make_shared<const PartitionResult>(try_partition(network_, options)));
}

std::shared_ptr<const PartitionedMapping> Deployment::partition() {
  if (partition_ == nullptr) {
    require_newest(network_.name, generation_);
    const PartitionResult& result = found(0);
    keep(result.partition.has_value() ? *result.partition : partition_network(network_));
  }
  return partition_;
}

std::shared_ptr<const Mapping> Deployment::mapping() {
  const std::size_t count = partition()->instances.size();
  GRADSPIKE_REQUIRE(count == 1, "network '", network_.name, "' takes ", count,
                    " execution instances, and one mapping was asked for");
  return {partition_, &partition_->instances.front().mapping};
}

void Deployment::keep(PartitionedMapping partition) {
  partition_ = std::make_shared<const PartitionedMapping>(std::move(partition));
  registry().set_partition(network_.name, generation_, partition_);
}

void Deployment::set_mapping(Mapping mapping) { set_partition(single_instance(network_, std::move(mapping))); }

void Deployment::set_partition(PartitionedMapping partition) {
  require_newest(network_.name, generation_);
  require_right(partition, network_);
  keep(std::move(partition));
}

std::shared_ptr<const Program> Deployment::program_for(const std::shared_ptr<const Backend>& backend,
                                                       const CompileOptions& options, const Weights& weights) {
  const std::shared_ptr<const PartitionedMapping> placed = partition();
  std::shared_ptr<const Program> program;
  if (compiled_.backend == backend && compiled_.partition == placed && compiled_.options == options) {
    const auto* parts = dynamic_cast<const PartitionedProgram*>(compiled_.program.get());
    program = parts != nullptr ? parts->update(weights) : backend->update(*compiled_.program, weights);
  }
  if (program == nullptr && placed->instances.size() == 1) {
    program = backend->compile(network_, placed->instances.front().mapping, weights, options);
  } else if (program == nullptr) {
    program = PartitionedProgram::compile(backend, network_, placed, weights, options);
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
  if (const auto* parts = dynamic_cast<const PartitionedProgram*>(program_.get())) {
    return parts->run(inputs, options);
  }
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
