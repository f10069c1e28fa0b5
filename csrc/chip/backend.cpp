#include "csrc/chip/backend.h"

#include <pthread.h>

#include <cstdlib>
#include <mutex>

#include "csrc/chip/attach.h"
#include "csrc/chip/emulator.h"
#include "csrc/chip/names.h"
#include "csrc/core/error.h"

namespace gradspike::chip {
namespace {

struct BackendTable {
  std::mutex mutex;
  std::map<std::string, std::shared_ptr<const Backend>> backends;  // by name
  std::map<std::string, std::shared_ptr<const Backend>> by_text;   // "process:..." and "library:..."
};

/// Never destroyed, so that it outlives every other static object.
BackendTable& table() {
  static BackendTable* const instance = [] {
    auto* created = new BackendTable;
    created->backends["emulator"] = std::make_shared<Emulator>();
    // A fork while another thread holds the lock would leave it locked in the child for ever.
    pthread_atfork([] { table().mutex.lock(); }, [] { table().mutex.unlock(); }, [] { table().mutex.unlock(); });
    return created;
  }();
  return *instance;
}

}  // namespace

void register_backend(std::shared_ptr<const Backend> backend) {
  GRADSPIKE_REQUIRE(backend != nullptr && !backend->name().empty(), "register_backend: needs a backend with a name");
  const std::string name = backend->name();
  register_backend(name, std::move(backend));
}

void register_backend(const std::string& name, std::shared_ptr<const Backend> backend) {
  GRADSPIKE_REQUIRE(backend != nullptr && !name.empty(), "register_backend: needs a backend and a name");
  BackendTable& t = table();
  const std::lock_guard<std::mutex> lock(t.mutex);
  t.backends[name].swap(backend);  // what was there is destroyed after the lock is released
}

void unregister_backend(const std::string& name) {
  GRADSPIKE_REQUIRE(name != "emulator", "the backend \"emulator\" is built in and stays");
  std::shared_ptr<const Backend> removed;  // destroyed after the lock is released
  BackendTable& t = table();
  const std::lock_guard<std::mutex> lock(t.mutex);
  for (auto* known : {&t.backends, &t.by_text}) {
    const auto found = known->find(name);
    if (found != known->end()) {
      removed = std::move(found->second);
      known->erase(found);
    }
  }
  GRADSPIKE_REQUIRE(removed != nullptr, "there is no backend \"", name, "\"");
}

std::vector<std::string> backend_names() {
  BackendTable& t = table();
  const std::lock_guard<std::mutex> lock(t.mutex);
  std::vector<std::string> names;
  for (const auto& [name, backend] : t.backends) {
    names.push_back(name);
  }
  return names;
}

std::shared_ptr<const Backend> find_backend(const std::string& name) {
  const char* const from_environment = name.empty() ? std::getenv("GRADSPIKE_BACKEND") : nullptr;
  const bool is_set = from_environment != nullptr && *from_environment != '\0';
  const std::string wanted = is_set ? from_environment : (name.empty() ? "emulator" : name);
  {
    BackendTable& t = table();
    const std::lock_guard<std::mutex> lock(t.mutex);
    for (const auto* known : {&t.backends, &t.by_text}) {
      const auto found = known->find(wanted);
      if (found != known->end()) {
        return found->second;
      }
    }
  }
  if (std::shared_ptr<const Backend> attached = backend_of_text(wanted)) {
    BackendTable& t = table();
    const std::lock_guard<std::mutex> lock(t.mutex);
    return t.by_text.emplace(wanted, std::move(attached)).first->second;
  }
  std::string list;
  for (const std::string& known : backend_names()) {
    list += (list.empty() ? "" : ", ") + known;
  }
  GRADSPIKE_FAIL("there is no backend \"", wanted, "\"", is_set ? " (from GRADSPIKE_BACKEND)" : "",
                 "; there are: ", list);
}

const PopulationRecord& Observables::population(const std::string& name) const {
  std::vector<std::string> names;
  for (const PopulationRecord& record : populations) {
    if (record.name == name) {
      return record;
    }
    names.push_back(record.name);
  }
  GRADSPIKE_FAIL("the run recorded no population \"", name, "\"", nearest_text(name, names));
}

std::vector<SpikeEvent> Observables::events(const std::string& name) const {
  const PopulationRecord& record = population(name);
  std::vector<SpikeEvent> events;
  for (std::int64_t b = 0; b < batch && !record.spikes.empty(); ++b) {
    for (std::int64_t t = 0; t < steps; ++t) {
      for (std::int64_t n = 0; n < record.size; ++n) {
        if (record.spikes[static_cast<std::size_t>((t * batch + b) * record.size + n)] != 0) {
          events.push_back({t, b, n});
        }
      }
    }
  }
  return events;
}

std::vector<float> Observables::spikes_as_float(const std::string& name) const {
  const PopulationRecord& record = population(name);
  return {record.spikes.begin(), record.spikes.end()};
}

}  // namespace gradspike::chip
