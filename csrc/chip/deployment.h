// A network with its integers on the way to a backend: checked, mapped, compiled, run. Shared by the C++ program and
// the operators; holds no Torch.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "csrc/chip/backend.h"
#include "csrc/chip/mapping.h"
#include "csrc/chip/network.h"
#include "csrc/chip/partition.h"
#include "csrc/chip/report.h"

namespace gradspike::chip {

/// A network as one backend holds it. Immutable: deploying the network again makes another one.
class DeployedNetwork {
 public:
  /// Throws where the network has been read again since.
  Observables run(const std::vector<SpikeTensor>& inputs, const RunOptions& options) const;
  std::string target() const { return program_->target(); }
  /// Whether these integers differ from those that the backend holds.
  bool changed(const Weights& weights) const;
  /// Hashes of the integers that the backend holds, by projection.
  const std::map<std::string, std::uint64_t>& written() const { return written_; }

 private:
  friend class Deployment;
  DeployedNetwork() = default;

  std::string name_;
  std::uint64_t generation_ = 0;
  std::shared_ptr<const Backend> backend_;
  std::shared_ptr<const Program> program_;
  std::map<std::string, std::uint64_t> written_;  // hashes by projection
};

/// Throws where a stored mapping is not one of this network or the checker finds it wrong.
void require_right(const PartitionedMapping& partition, const Network& network);

class Deployment {
 public:
  /// Registers the network; an earlier network of its name is replaced.
  explicit Deployment(Network network);

  const Network& network() const { return network_; }
  std::uint64_t generation() const { return generation_; }
  /// True where a network of this name was read after this one.
  bool is_stale() const;

  /// The report on `target` and at most `max_instances` execution instances (0: as many as it takes), from the
  /// untrained description; `losses` adds those of the weights, `integers` their histograms and hashes.
  Report check(const std::string& target, const std::map<std::string, WeightLosses>& losses,
               std::int64_t max_instances = 1, const Weights* integers = nullptr) const;

  /// The execution instances, made at the first call. Throws with every misfit where the network does not fit.
  std::shared_ptr<const PartitionedMapping> partition();
  /// The mapping of a network that takes one instance. Throws where it takes more.
  std::shared_ptr<const Mapping> mapping();
  /// Takes a stored mapping. Throws where it is not one of this network or the checker finds it wrong.
  void set_mapping(Mapping mapping);
  void set_partition(PartitionedMapping partition);

  /// Makes a program for `backend` ("" is the default one) with these integers, and notes their hashes as written.
  std::shared_ptr<const DeployedNetwork> compile(const std::string& backend, const CompileOptions& options,
                                                 const Weights& weights);

 private:
  Network network_;
  std::uint64_t generation_ = 0;
  /// What was compiled last: the same again with other weights is an upload.
  struct Compiled {
    std::shared_ptr<const Backend> backend;
    CompileOptions options;
    std::shared_ptr<const PartitionedMapping> partition;
    std::shared_ptr<const Program> program;
  };
  void keep(PartitionedMapping partition);
  std::shared_ptr<const Program> program_for(const std::shared_ptr<const Backend>& backend,
                                             const CompileOptions& options, const Weights& weights);

  /// The answer for a limit, asked once: it depends on nothing but the network.
  const PartitionResult& found(std::int64_t max_instances) const;

  mutable std::map<std::int64_t, std::shared_ptr<const PartitionResult>> found_;  // by limit
  std::shared_ptr<const PartitionedMapping> partition_;
  Compiled compiled_;
};

}  // namespace gradspike::chip
