// A partitioned network on a backend: the instances one after the other, spikes replayed, results put together.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "csrc/chip/backend.h"
#include "csrc/chip/partition.h"

namespace gradspike::chip {

/// Spikes of an instance at step t are events of later instances at step t, as populations of one instance see each
/// other's. So on the ideal emulator all results are the bits of the undivided arithmetic.
///
/// The observables are those of the whole network: traces, states and samples by population, counters, losses and
/// timing summed over the instances. All instances run on one chip, CompileOptions::seed; trials differ by instance.
class PartitionedProgram final : public Program {
 public:
  static std::shared_ptr<const PartitionedProgram> compile(std::shared_ptr<const Backend> backend,
                                                           const Network& network,
                                                           std::shared_ptr<const PartitionedMapping> partition,
                                                           const Weights& weights, const CompileOptions& options);
  /// The same with other weights; null where an instance needs compile().
  std::shared_ptr<const PartitionedProgram> update(const Weights& weights) const;
  /// As Backend::run, inputs, populations and states being those of the whole network.
  Observables run(const std::vector<SpikeTensor>& inputs, const RunOptions& options) const;

  std::string target() const override { return programs_.front()->target(); }

 private:
  PartitionedProgram() = default;

  std::shared_ptr<const Backend> backend_;
  std::shared_ptr<const Network> network_;
  std::shared_ptr<const PartitionedMapping> partition_;
  std::vector<std::shared_ptr<const Program>> programs_;  // by instance
};

}  // namespace gradspike::chip
