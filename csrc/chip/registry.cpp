#include "csrc/chip/registry.h"

#include <pthread.h>

#include <algorithm>

#include "csrc/chip/names.h"
#include "csrc/core/error.h"

namespace gradspike::chip {

namespace {

/// Calls f(number, instance, part) for each part that instances hold of something.
template <class Slices, class F>
void for_each_part(const std::shared_ptr<const PartitionedMapping>& partition, const Slices& slices_of, const F& f) {
  for (std::size_t k = 0; partition != nullptr && k < partition->instances.size(); ++k) {
    const Instance& instance = partition->instances[k];
    for (std::size_t part = 0; part < slices_of(instance); ++part) {
      f(static_cast<std::int32_t>(k), instance, part);
    }
  }
}

void append_once(std::vector<std::int32_t>& numbers, std::int32_t number) {
  if (numbers.empty() || numbers.back() != number) {
    numbers.push_back(number);
  }
}

std::size_t num_projections(const Instance& instance) { return instance.projections.size(); }
std::size_t num_populations(const Instance& instance) { return instance.populations.size(); }

}  // namespace

std::vector<std::int32_t> RegisteredProjection::instances() const {
  std::vector<std::int32_t> result;
  for_each_part(partition, num_projections, [&](std::int32_t k, const Instance& instance, std::size_t part) {
    if (instance.projections[part].projection == index) {
      append_once(result, k);
    }
  });
  return result;
}

std::vector<PlacedSynapse> RegisteredProjection::placement(std::int32_t instance_number) const {
  std::vector<PlacedSynapse> synapses;
  for_each_part(partition, num_projections, [&](std::int32_t k, const Instance& instance, std::size_t part) {
    if (k != instance_number || instance.projections[part].projection != index) {
      return;
    }
    const auto target = static_cast<std::size_t>(instance.network.projections[part].target);
    const auto first = static_cast<std::int32_t>(instance.populations[target].first);
    for (PlacedSynapse synapse : instance.mapping.synapses) {
      if (static_cast<std::size_t>(synapse.projection) == part) {
        synapse.projection = index;
        synapse.post += first;
        synapses.push_back(synapse);
      }
    }
  });
  return synapses;
}

std::vector<PlacedSynapse> RegisteredProjection::placement() const {
  std::vector<PlacedSynapse> synapses;
  for (const std::int32_t instance : instances()) {
    const std::vector<PlacedSynapse> more = placement(instance);
    synapses.insert(synapses.end(), more.begin(), more.end());
  }
  return synapses;
}

std::vector<std::int32_t> RegisteredPopulation::instances() const {
  std::vector<std::int32_t> result;
  for_each_part(partition, num_populations, [&](std::int32_t k, const Instance& instance, std::size_t part) {
    if (instance.populations[part].population == index) {
      append_once(result, k);
    }
  });
  return result;
}

std::vector<std::int32_t> RegisteredPopulation::instance_of_neurons() const {
  std::vector<std::int32_t> result(is_mapped() ? static_cast<std::size_t>(population.size) : 0, -1);
  for_each_part(partition, num_populations, [&](std::int32_t k, const Instance& instance, std::size_t part) {
    const PopulationSlice& slice = instance.populations[part];
    if (slice.population == index) {
      std::fill_n(result.begin() + slice.first, slice.count, k);
    }
  });
  return result;
}

std::vector<PlacedNeuron> RegisteredPopulation::placement() const {
  std::vector<PlacedNeuron> neurons(is_mapped() ? static_cast<std::size_t>(population.size) : 0);
  for_each_part(partition, num_populations, [&](std::int32_t, const Instance& instance, std::size_t part) {
    const PopulationSlice& slice = instance.populations[part];
    if (slice.population == index) {
      const std::vector<PlacedNeuron>& placed = instance.mapping.populations[part].neurons;
      std::copy(placed.begin(), placed.end(), neurons.begin() + slice.first);
    }
  });
  return neurons;
}

std::vector<std::string> Registry::Entry::sources_of(const Projection& projection) const {
  std::vector<std::string> names;
  for (const ColumnRun& run : projection.columns) {
    const auto index = static_cast<std::size_t>(run.source.index);
    const std::string& name =
        run.source.kind == NodeRef::Kind::kInput ? network->inputs[index].name : network->populations[index].name;
    if (std::find(names.begin(), names.end(), name) == names.end()) {
      names.push_back(name);
    }
  }
  return names;
}

std::shared_ptr<const Registry::Table> Registry::snapshot() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return table_;
}

/// Swaps in a table with one network replaced. Expects the lock to be held. Readers keep the table that they took.
void Registry::replace(const std::string& network, EntryPtr entry) {
  auto table = std::make_shared<Table>(*table_);
  if (entry == nullptr) {
    table->erase(network);
  } else {
    (*table)[network] = std::move(entry);
  }
  table_ = std::move(table);
}

std::uint64_t Registry::set_network(const Network& network) {
  validate(network);
  auto entry = std::make_shared<Entry>();
  entry->network = std::make_shared<const Network>(network);
  const std::lock_guard<std::mutex> lock(mutex_);
  entry->generation = ++last_generation_;
  for (std::size_t p = 0; p < network.projections.size(); ++p) {
    auto projection = std::make_shared<RegisteredProjection>();
    projection->projection = network.projections[p];
    projection->key = network.name + "/" + projection->projection.name;
    projection->network = network.name;
    projection->generation = entry->generation;
    projection->sources = entry->sources_of(projection->projection);
    projection->target = network.populations[static_cast<std::size_t>(projection->projection.target)].name;
    projection->index = static_cast<std::int32_t>(p);
    entry->projections[projection->key] = std::move(projection);
  }
  for (std::size_t p = 0; p < network.populations.size(); ++p) {
    auto population = std::make_shared<RegisteredPopulation>();
    population->population = network.populations[p];
    population->key = network.name + "/" + population->population.name;
    population->network = network.name;
    population->generation = entry->generation;
    population->dt = network.dt;
    population->index = static_cast<std::int32_t>(p);
    entry->populations[population->key] = std::move(population);
  }
  const std::uint64_t generation = entry->generation;
  replace(network.name, std::move(entry));
  return generation;
}

namespace {

template <class T>
std::vector<std::string> keys_of(const std::map<std::string, T>& map) {
  std::vector<std::string> keys;
  for (const auto& [key, value] : map) {
    keys.push_back(key);
  }
  return keys;
}

std::string network_of(const std::string& key) { return key.substr(0, key.find('/')); }

}  // namespace

Registry::EntryPtr Registry::current_entry(const Table& table, const std::string& network,
                                           std::uint64_t generation) const {
  const auto found = table.find(network);
  GRADSPIKE_REQUIRE(found != table.end(), "no network \"", network, "\" is registered",
                    nearest_text(network, keys_of(table)));
  GRADSPIKE_REQUIRE(found->second->generation == generation, "network \"", network, "\" was read again: generation ",
                    generation, " is stale, present is ", found->second->generation);
  return found->second;
}

void Registry::set_partition(const std::string& network, std::uint64_t generation,
                             std::shared_ptr<const PartitionedMapping> partition) {
  GRADSPIKE_REQUIRE(partition != nullptr, "set_partition: network \"", network, "\" needs a mapping");
  const std::lock_guard<std::mutex> lock(mutex_);
  auto entry = std::make_shared<Entry>(*current_entry(*table_, network, generation));
  validate(*partition, *entry->network);
  for (auto& [key, projection] : entry->projections) {
    auto replaced = std::make_shared<RegisteredProjection>(*projection);
    replaced->partition = partition;
    projection = std::move(replaced);
  }
  for (auto& [key, population] : entry->populations) {
    auto replaced = std::make_shared<RegisteredPopulation>(*population);
    replaced->partition = partition;
    population = std::move(replaced);
  }
  replace(network, std::move(entry));
}

void Registry::set_written(const std::string& key, std::uint64_t generation, const std::string& backend,
                           std::uint64_t hash) {
  const std::lock_guard<std::mutex> lock(mutex_);
  auto entry = std::make_shared<Entry>(*current_entry(*table_, network_of(key), generation));
  const auto found = entry->projections.find(key);
  GRADSPIKE_REQUIRE(found != entry->projections.end(), "no projection \"", key, "\" is registered",
                    nearest_text(key, keys_of(entry->projections)));
  auto replaced = std::make_shared<RegisteredProjection>(*found->second);
  replaced->written[backend] = hash;
  found->second = std::move(replaced);
  replace(network_of(key), std::move(entry));
}

Registry::ProjectionPtr Registry::projection(const std::string& key) const {
  const std::shared_ptr<const Table> table = snapshot();
  const auto entry = table->find(network_of(key));
  if (entry != table->end()) {
    const auto found = entry->second->projections.find(key);
    if (found != entry->second->projections.end()) {
      return found->second;
    }
  }
  GRADSPIKE_FAIL("no projection \"", key, "\" is registered", nearest_text(key, projection_keys()));
}

Registry::PopulationPtr Registry::population(const std::string& key) const {
  const std::shared_ptr<const Table> table = snapshot();
  const auto entry = table->find(network_of(key));
  if (entry != table->end()) {
    const auto found = entry->second->populations.find(key);
    if (found != entry->second->populations.end()) {
      return found->second;
    }
  }
  GRADSPIKE_FAIL("no population \"", key, "\" is registered", nearest_text(key, population_keys()));
}

bool Registry::is_stale(const RegisteredProjection& entry) const {
  const std::shared_ptr<const Table> table = snapshot();
  const auto found = table->find(entry.network);
  return found == table->end() || found->second->generation != entry.generation;
}

bool Registry::is_stale(const RegisteredPopulation& entry) const {
  const std::shared_ptr<const Table> table = snapshot();
  const auto found = table->find(entry.network);
  return found == table->end() || found->second->generation != entry.generation;
}

std::vector<std::string> Registry::networks() const { return keys_of(*snapshot()); }

std::vector<std::string> Registry::projection_keys(const std::string& network) const {
  std::vector<std::string> keys;
  const std::shared_ptr<const Table> table = snapshot();  // kept alive for the loop
  for (const auto& [name, entry] : *table) {
    if (network.empty() || network == name) {
      const std::vector<std::string> more = keys_of(entry->projections);
      keys.insert(keys.end(), more.begin(), more.end());
    }
  }
  return keys;
}

std::vector<std::string> Registry::population_keys(const std::string& network) const {
  std::vector<std::string> keys;
  const std::shared_ptr<const Table> table = snapshot();  // kept alive for the loop
  for (const auto& [name, entry] : *table) {
    if (network.empty() || network == name) {
      const std::vector<std::string> more = keys_of(entry->populations);
      keys.insert(keys.end(), more.begin(), more.end());
    }
  }
  return keys;
}

std::shared_ptr<const Network> Registry::network(const std::string& name) const {
  const std::shared_ptr<const Table> table = snapshot();
  const auto found = table->find(name);
  GRADSPIKE_REQUIRE(found != table->end(), "no network \"", name, "\" is registered",
                    nearest_text(name, keys_of(*table)));
  return found->second->network;
}

void Registry::clear() {
  const std::lock_guard<std::mutex> lock(mutex_);
  table_ = std::make_shared<const Table>();
}

void Registry::clear(const std::string& network) {
  const std::lock_guard<std::mutex> lock(mutex_);
  replace(network, nullptr);
}

Registry& registry() {
  // Never destroyed: handles may outlive static objects, and fork handlers cannot be taken back.
  static Registry* const instance = [] {
    auto* created = new Registry;
    pthread_atfork([] { registry().lock_for_fork(); }, [] { registry().unlock_after_fork(); },
                   [] { registry().unlock_after_fork(); });
    return created;
  }();
  return *instance;
}

}  // namespace gradspike::chip
