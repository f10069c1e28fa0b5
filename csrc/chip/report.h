// The deployment report: verdict first, then everything that does not fit, then what is used and what is lost.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "csrc/chip/capacity.h"
#include "csrc/chip/mapping.h"
#include "csrc/chip/network.h"
#include "csrc/chip/partition.h"

namespace gradspike::chip {

enum class Verdict { kFits, kFitsWithLosses, kDoesNotFit };

/// Weights of one layer against their bounds.
struct WeightLosses {
  std::int64_t count = 0;
  std::int64_t clipped = 0;          // beyond a bound
  std::int64_t rounded_to_zero = 0;  // not 0 and stored as 0
  double rms_rounding_error = 0.0;   // [LSB]
};

struct Resource {
  std::string layer;  // "" for the chip, "instance 0" for one of several execution instances
  std::string quantity;
  std::int64_t used = 0;
  std::int64_t limit = 0;
};

struct Report {
  std::string network;
  std::string target;
  Verdict verdict = Verdict::kFits;
  /// Execution instances: as many chips side by side, or as many runs per sample on one.
  std::int64_t chips = 1;
  std::int64_t runs_per_sample = 1;
  std::vector<Misfit> misfits;
  std::vector<Resource> resources;
  std::map<std::string, WeightLosses> weights;  // by projection
  std::vector<std::string> approximations;
  std::map<std::string, std::string> provenance;  // "model hash" -> ...

  /// Tables for a terminal.
  std::string text() const;
  /// Canonical JSON, format "gradspike.report", version 1.
  std::string to_json() const;
  /// 0 fits, 1 fits with losses, 2 does not fit.
  int exit_code() const { return static_cast<int>(verdict); }
};

struct ReportInputs {
  std::string target = "emulator ideal";
  const Mapping* mapping = nullptr;               // where there is one: rows and drivers as used
  const PartitionedMapping* partition = nullptr;  // instead of `mapping`
  std::map<std::string, WeightLosses> weights;
  std::vector<std::string> approximations;
  std::map<std::string, std::string> provenance;
  /// Misfits of the mapper (MapResult); those of the capacity check where null.
  const std::vector<Misfit>* misfits = nullptr;
};

/// Collects the report. Misfits that only the chip has (unequal scales) count as a loss for a target that begins with
/// "emulator", and as a misfit for any other.
Report make_report(const Network& network, const ReportInputs& inputs);

}  // namespace gradspike::chip
