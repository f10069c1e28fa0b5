// torch.classes.gradspike.Registry: the registry of the process, and its backends; .Projection and .Population are its
// entries.
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include <utility>

#include "csrc/chip/analog/constants.h"
#include "csrc/chip/attach.h"
#include "csrc/chip/background.h"
#include "csrc/chip/child_process.h"
#include "csrc/chip/mapping.h"
#include "csrc/chip/names.h"
#include "csrc/core/error.h"
#include "ops/classes/failure.h"
#include "ops/classes/network.h"
#include "ops/classes/outside_of_graphs.h"

namespace gradspike::ops {
namespace {

using Self = const c10::intrusive_ptr<RegistryHandle>&;
using Texts = std::vector<std::string>;

void require_backend(Self, const std::string& target) {
  require_outside_of_graphs("Registry.require_backend");
  noting_failure([&] { chip::find_backend(chip::backend_of_target(target)); });
}

c10::Dict<std::string, std::string> health(Self, const std::string& target) {
  require_outside_of_graphs("Registry.health");
  c10::Dict<std::string, std::string> result;
  for (const auto& [name, text] : noting_failure([&] { return chip::find_backend(target)->health(); })) {
    result.insert(name, text);
  }
  return result;
}

void attach_process(Self, const std::string& name, const Texts& command, double timeout) {
  require_outside_of_graphs("Registry.attach_process");
  noting_failure([&] { chip::attach_process(name, command, timeout); });
}

void attach_library(Self, const std::string& name, const std::string& library) {
  require_outside_of_graphs("Registry.attach_library");
  noting_failure([&] { chip::attach_library(name, library); });
}

void detach(Self, const std::string& name) {
  require_outside_of_graphs("Registry.detach");
  chip::unregister_backend(name);
}

void clear(Self, const std::string& network) {
  require_outside_of_graphs("Registry.clear");
  network.empty() ? chip::registry().clear() : chip::registry().clear(network);
}

std::vector<std::int64_t> whole(const std::vector<std::int32_t>& numbers) { return {numbers.begin(), numbers.end()}; }

/// uint8 [steps, batch, size].
at::Tensor background_spikes(Self, const std::vector<std::int64_t>& sizes, const std::string& kind, double rate,
                             const std::vector<std::int64_t>& seeds, double dt) {
  GRADSPIKE_REQUIRE(kind == "poisson" || kind == "regular",
                    "background_spikes: kind must be 'poisson' or 'regular', got '", kind, "'");
  GRADSPIKE_REQUIRE(seeds.at(0) >= 0 && seeds.at(0) <= std::numeric_limits<std::uint32_t>::max(),
                    "background_spikes: seed must lie in 0..2^32 - 1, got ", seeds.at(0));
  const chip::Background background{kind == "poisson", rate, static_cast<std::uint32_t>(seeds.at(0))};
  const std::vector<std::uint8_t> counts = chip::background_spikes(background, sizes.at(2), sizes.at(0), sizes.at(1),
                                                                   dt, static_cast<std::uint64_t>(seeds.at(1)));
  at::Tensor tensor = at::empty({sizes.at(0), sizes.at(1), sizes.at(2)}, at::kByte);
  std::copy(counts.begin(), counts.end(), tensor.mutable_data_ptr<std::uint8_t>());
  return tensor;
}

std::tuple<bool, c10::Dict<std::string, at::Tensor>, std::string, std::vector<std::int64_t>> take_failure(Self) {
  const Failure failure = std::exchange(last_failure(), Failure());
  return {failure.failed, failure.seen, failure.about, failure.entries};
}

}  // namespace

Failure& last_failure() {
  thread_local Failure failure;
  return failure;
}

TORCH_LIBRARY_FRAGMENT(gradspike, m) {
  m.class_<ProjectionHandle>("Projection")
      .def(torch::init<std::string>())
      .def("key", [](const c10::intrusive_ptr<ProjectionHandle>& self) { return self->entry().key; })
      .def("in_features",
           [](const c10::intrusive_ptr<ProjectionHandle>& self) { return self->entry().projection.in_features; })
      .def("out_features",
           [](const c10::intrusive_ptr<ProjectionHandle>& self) { return self->entry().projection.out_features; })
      .def("sources", [](const c10::intrusive_ptr<ProjectionHandle>& self) { return self->entry().sources; })
      .def("target", [](const c10::intrusive_ptr<ProjectionHandle>& self) { return self->entry().target; })
      .def("is_mapped", [](const c10::intrusive_ptr<ProjectionHandle>& self) { return self->entry().is_mapped(); })
      .def("instances",
           [](const c10::intrusive_ptr<ProjectionHandle>& self) { return whole(self->entry().instances()); })
      .def("generation",
           [](const c10::intrusive_ptr<ProjectionHandle>& self) {
             return static_cast<std::int64_t>(self->entry().generation);
           })
      .def("is_stale", [](const c10::intrusive_ptr<ProjectionHandle>& self) { return self->is_stale(); })
      .def_pickle([](const c10::intrusive_ptr<ProjectionHandle>& self) { return self->entry().key; },
                  [](const std::string& key) { return c10::make_intrusive<ProjectionHandle>(key); });
  m.class_<PopulationHandle>("Population")
      .def(torch::init<std::string>())
      .def("key", [](const c10::intrusive_ptr<PopulationHandle>& self) { return self->entry().key; })
      .def("size", [](const c10::intrusive_ptr<PopulationHandle>& self) { return self->entry().population.size; })
      .def("is_mapped", [](const c10::intrusive_ptr<PopulationHandle>& self) { return self->entry().is_mapped(); })
      .def("instances",
           [](const c10::intrusive_ptr<PopulationHandle>& self) { return whole(self->entry().instances()); })
      .def("instance_of_neurons",
           [](const c10::intrusive_ptr<PopulationHandle>& self) { return whole(self->entry().instance_of_neurons()); })
      .def("generation",
           [](const c10::intrusive_ptr<PopulationHandle>& self) {
             return static_cast<std::int64_t>(self->entry().generation);
           })
      .def("is_stale", [](const c10::intrusive_ptr<PopulationHandle>& self) { return self->is_stale(); })
      .def_pickle([](const c10::intrusive_ptr<PopulationHandle>& self) { return self->entry().key; },
                  [](const std::string& key) { return c10::make_intrusive<PopulationHandle>(key); });
  m.class_<RegistryHandle>("Registry")
      .def(torch::init<>())
      .def("json", [](Self) { return chip::registry().to_json(); })
      .def("networks", [](Self) { return chip::registry().networks(); })
      .def("projections", [](Self, const std::string& network) { return chip::registry().projection_keys(network); })
      .def("populations", [](Self, const std::string& network) { return chip::registry().population_keys(network); })
      .def("clear", &clear)
      .def("emulator_presets", [](Self) { return chip::analog::presets_json(); })
      .def("mapping_differences",
           [](Self, const std::string& a, const std::string& b) {
             return chip::differences(chip::mapping_from_json(a), chip::mapping_from_json(b));
           })
      .def("background_spikes", &background_spikes)
      .def("require_backend", &require_backend)
      .def("backends", [](Self) { return chip::backend_names(); })
      .def("health", &health)
      .def("split_words", [](Self, const std::string& line) { return chip::split_words(line); })
      .def("attach_process", &attach_process)
      .def("attach_library", &attach_library)
      .def("detach", &detach)
      .def("is_device", [](Self, const std::string& target) { return chip::is_device(target); })
      .def("take_failure", &take_failure);
}

}  // namespace gradspike::ops
