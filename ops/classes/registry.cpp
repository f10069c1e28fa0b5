// torch.classes.gradspike.Registry: the registry of the process, and its backends; .Projection and .Population are its
// entries.
#include <torch/library.h>

#include <utility>

#include "csrc/chip/analog/constants.h"
#include "csrc/chip/attach.h"
#include "csrc/chip/child_process.h"
#include "csrc/chip/mapping.h"
#include "ops/classes/failure.h"
#include "ops/classes/network.h"

namespace gradspike::ops {
namespace {

using Self = const c10::intrusive_ptr<RegistryHandle>&;
using Texts = std::vector<std::string>;

void require_backend(Self, const std::string& target) {
  noting_failure([&] { chip::find_backend(chip::backend_of_target(target)); });
}

c10::Dict<std::string, std::string> health(Self, const std::string& target) {
  c10::Dict<std::string, std::string> result;
  for (const auto& [name, text] : noting_failure([&] { return chip::find_backend(target)->health(); })) {
    result.insert(name, text);
  }
  return result;
}

void attach_process(Self, const std::string& name, const Texts& command, double timeout) {
  noting_failure([&] { chip::attach_process(name, command, timeout); });
}

void attach_library(Self, const std::string& name, const std::string& library) {
  noting_failure([&] { chip::attach_library(name, library); });
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
      .def("is_mapped",
           [](const c10::intrusive_ptr<ProjectionHandle>& self) { return self->entry().mapping != nullptr; })
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
      .def("is_mapped",
           [](const c10::intrusive_ptr<PopulationHandle>& self) { return self->entry().mapping != nullptr; })
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
      .def("clear",
           [](Self, const std::string& network) {
             network.empty() ? chip::registry().clear() : chip::registry().clear(network);
           })
      .def("emulator_presets", [](Self) { return chip::analog::presets_json(); })
      .def("mapping_differences",
           [](Self, const std::string& a, const std::string& b) {
             return chip::differences(chip::mapping_from_json(a), chip::mapping_from_json(b));
           })
      .def("require_backend", &require_backend)
      .def("backends", [](Self) { return chip::backend_names(); })
      .def("health", &health)
      .def("split_words", [](Self, const std::string& line) { return chip::split_words(line); })
      .def("attach_process", &attach_process)
      .def("attach_library", &attach_library)
      .def("detach", [](Self, const std::string& name) { chip::unregister_backend(name); })
      .def("take_failure", &take_failure);
}

}  // namespace gradspike::ops
