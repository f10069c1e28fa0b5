// What a backend outside of this library did wrong, with everything that was recorded before.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "csrc/chip/backend.h"
#include "csrc/core/error.h"

namespace gradspike::chip {

/// Thrown where a backend is missing, refuses, is silent, ends, or answers partly or with nonsense.
class BackendError : public Error {
 public:
  explicit BackendError(const std::string& message, std::shared_ptr<const Observables> partial = nullptr,
                        std::vector<std::int64_t> entries = {})
      : Error(message), partial_(std::move(partial)), entries_(std::move(entries)) {}

  /// The complete batch entries of a run, in ascending order; null where there is none.
  const std::shared_ptr<const Observables>& partial() const { return partial_; }
  /// For each batch entry of `partial()` its index in the inputs.
  const std::vector<std::int64_t>& entries() const { return entries_; }

 private:
  std::shared_ptr<const Observables> partial_;
  std::vector<std::int64_t> entries_;
};

}  // namespace gradspike::chip
