// What a run gave, as JSON, and what two runs differ in.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "csrc/chip/backend.h"

namespace gradspike::host {

/// Target, spikes by population, losses, timing and constants, as a JSON object.
std::string outcome_json(const chip::Observables& observed, double seconds);

/// How far two runs of one network agree.
struct Comparison {
  std::int64_t spikes = 0;  // compared, over populations, steps, batch entries and neurons
  std::int64_t different_spikes = 0;
  std::int64_t membranes = 0;
  std::int64_t different_membranes = 0;  // that are not the same float32
  std::vector<std::string> unrecorded;   // traces that one of the two did not give
  std::string first;                     // the first difference in time, "" where there is none

  bool equal() const { return different_spikes == 0 && different_membranes == 0 && unrecorded.empty(); }
  std::string text(const std::string& a, const std::string& b) const;
};

Comparison compare(const chip::Observables& a, const chip::Observables& b);

}  // namespace gradspike::host
