// What this process knows about networks that were read: "<network>/<name>" -> projection or population.
//
// Entries are immutable and replaced as a whole, all of a network at once, so a reader never sees half of a change.
// Thread-safe. Safe across fork: the registry of the process takes its lock before a fork and releases it in parent
// and child, so the child finds the state of that moment and may go on using it.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "csrc/chip/mapping.h"
#include "csrc/chip/network.h"
#include "csrc/chip/partition.h"

namespace gradspike::chip {

/// All that the registry knows about one projection.
struct RegisteredProjection {
  std::string key;  // "<network>/<name>"
  std::string network;
  std::uint64_t generation = 0;      // of the network: rises each time it is read
  Projection projection;             // sizes, receptor, weight transform, mask, wishes, plasticity
  std::vector<std::string> sources;  // inputs and populations, in order of first use
  std::string target;                // population
  /// The mapper's answer for the whole network, null before; `index` is the projection in it.
  std::shared_ptr<const PartitionedMapping> partition;
  std::int32_t index = 0;
  std::map<std::string, std::uint64_t> written;  // backend -> hash of the integers that it holds

  bool is_mapped() const { return partition != nullptr; }
  /// The execution instances that hold synapses of it, ascending; empty before mapping.
  std::vector<std::int32_t> instances() const;
  /// Its synapses in one instance, or in all of them; `projection` and `post` count as in the whole network.
  std::vector<PlacedSynapse> placement(std::int32_t instance) const;
  std::vector<PlacedSynapse> placement() const;
};

struct RegisteredPopulation {
  std::string key;
  std::string network;
  std::uint64_t generation = 0;
  Population population;
  double dt = 0.0;
  std::shared_ptr<const PartitionedMapping> partition;
  std::int32_t index = 0;

  bool is_mapped() const { return partition != nullptr; }
  /// The execution instances that hold neurons of it, ascending; empty before mapping.
  std::vector<std::int32_t> instances() const;
  /// The execution instance of each of its neurons, and its circuits there; empty before mapping.
  std::vector<std::int32_t> instance_of_neurons() const;
  std::vector<PlacedNeuron> placement() const;
};

class Registry {
 public:
  using ProjectionPtr = std::shared_ptr<const RegisteredProjection>;
  using PopulationPtr = std::shared_ptr<const RegisteredPopulation>;

  Registry() = default;
  Registry(const Registry&) = delete;
  Registry& operator=(const Registry&) = delete;

  /// Registers every projection and population of `network`; what was registered under its name is replaced at once.
  /// Returns the generation. Throws where the description is invalid, and then changes nothing.
  std::uint64_t set_network(const Network& network);
  /// Attaches the mapper's answer. Throws where the network is not registered with this generation: it was read again.
  void set_partition(const std::string& network, std::uint64_t generation,
                     std::shared_ptr<const PartitionedMapping> partition);
  /// Notes that `backend` now holds integers of this hash. Throws as set_partition does.
  void set_written(const std::string& key, std::uint64_t generation, const std::string& backend, std::uint64_t hash);

  /// The present entry; throws with the nearest keys where there is none.
  ProjectionPtr projection(const std::string& key) const;
  PopulationPtr population(const std::string& key) const;
  /// True where the network of an entry has been read again, or cleared, since the entry was looked up.
  bool is_stale(const RegisteredProjection& entry) const;
  bool is_stale(const RegisteredPopulation& entry) const;

  std::vector<std::string> networks() const;
  std::vector<std::string> projection_keys(const std::string& network = "") const;  // "": of all networks
  std::vector<std::string> population_keys(const std::string& network = "") const;
  /// The description that was registered.
  std::shared_ptr<const Network> network(const std::string& name) const;

  /// Canonical JSON, format "gradspike.registry", version 1: sizes, transforms, wishes, mapped or not, hashes written.
  std::string to_json() const;
  void clear();
  void clear(const std::string& network);

  /// For the fork handlers of the process-wide registry.
  void lock_for_fork() { mutex_.lock(); }
  void unlock_after_fork() { mutex_.unlock(); }

 private:
  struct Entry {
    std::uint64_t generation = 0;
    std::shared_ptr<const Network> network;
    std::vector<std::string> sources_of(const Projection& projection) const;
    std::map<std::string, ProjectionPtr> projections;  // by key
    std::map<std::string, PopulationPtr> populations;
  };
  using EntryPtr = std::shared_ptr<const Entry>;
  using Table = std::map<std::string, EntryPtr>;

  std::shared_ptr<const Table> snapshot() const;
  EntryPtr current_entry(const Table& table, const std::string& network, std::uint64_t generation) const;
  void replace(const std::string& network, EntryPtr entry);

  mutable std::mutex mutex_;
  std::shared_ptr<const Table> table_ = std::make_shared<const Table>();
  std::uint64_t last_generation_ = 0;
};

/// The registry of this process.
Registry& registry();

}  // namespace gradspike::chip
