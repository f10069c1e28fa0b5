// What a backend that failed leaves for Python: an exception alone would not arrive there whole.
#pragma once

#include <ATen/core/Dict.h>
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "csrc/chip/backend_error.h"

namespace gradspike::ops {

struct Failure {
  bool failed = false;
  c10::Dict<std::string, at::Tensor> seen;  // of the complete batch entries
  std::string about;                        // the rest of what a run gives, as JSON
  std::vector<std::int64_t> entries;        // which they are
};

/// Of the last call of this thread that failed and was not asked for yet.
Failure& last_failure();

/// Runs `action` on a backend and notes a BackendError that passes; `describe` makes tensors, and what is said about
/// them, of what was recorded.
template <class Action, class Describe>
auto noting_failure(Action action, Describe describe) {
  try {
    return action();
  } catch (const chip::BackendError& error) {
    Failure& failure = last_failure();
    failure = Failure();
    failure.failed = true;
    failure.entries = error.entries();
    if (error.partial() != nullptr) {
      std::tie(failure.seen, failure.about) = describe(*error.partial());
    }
    throw;
  }
}

template <class Action>
auto noting_failure(Action action) {
  return noting_failure(std::move(action), [](const chip::Observables&) {
    return std::pair(c10::Dict<std::string, at::Tensor>(), std::string());
  });
}

}  // namespace gradspike::ops
