// The deployment report: verdict first, then everything that does not fit, then what is used and what is lost.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "csrc/chip/calibration.h"
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

/// How often each integer occurs, from the smallest to the largest that does.
struct Histogram {
  std::int64_t first = 0;
  std::vector<std::int64_t> counts;
};

/// One projection: what it connects, its transform, and its integers where they are known.
struct ProjectionReport {
  std::string name;
  std::vector<std::string> sources;  // in order of the alphabet
  std::string target;
  std::int64_t in_features = 0;
  std::int64_t out_features = 0;
  float scale = 1.0F;
  std::int32_t min_weight = 0;
  std::int32_t max_weight = 0;
  Receptor receptor = Receptor::kSigned;
  math::Rounding rounding = math::Rounding::kHalfEven;
  Units units = Units::kModel;
  std::int32_t delay_steps = 0;
  std::optional<Histogram> histogram;
  std::optional<std::uint64_t> hash;
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
  std::vector<ProjectionReport> projections;    // in the order of the network
  double dt = 0.0;                              // [s]
  std::int64_t steps = 0;                       // of a sample; 0: unknown
  std::vector<PopulationParameters> populations;
  CalibrationCheck calibration;
  std::vector<std::string> approximations;
  std::map<std::string, std::string> provenance;  // "model hash" -> ...

  /// Tables for a terminal, in the layout that Report.text has in Python; names as they are in UTF-8.
  std::string text() const;
  /// Canonical JSON, format "gradspike.report", version 3: all that is known without a run, which Python adds.
  std::string to_json() const;
  /// 0 fits, 1 fits with losses, 2 does not fit.
  int exit_code() const { return static_cast<int>(verdict); }
};

struct ReportInputs {
  std::string target = "emulator ideal";
  const Mapping* mapping = nullptr;               // where there is one: rows and drivers as used
  const PartitionedMapping* partition = nullptr;  // instead of `mapping`
  std::map<std::string, WeightLosses> weights;
  const Weights* integers = nullptr;  // where they are known: histograms and hashes
  std::vector<std::string> approximations;
  std::map<std::string, std::string> provenance;
  /// Misfits of the mapper (MapResult); those of the capacity check where null.
  const std::vector<Misfit>* misfits = nullptr;
};

/// Collects the report. Misfits that only the chip has (unequal scales, parameters that no calibration sets) count as a
/// loss for a target that begins with "emulator", and as a misfit for any other.
Report make_report(const Network& network, const ReportInputs& inputs);

/// Projections and populations, whatever the weights are; the rest of the report is empty.
Report describe(const Network& network);
/// The same as JSON: "network", "projections", "time".
std::string layers_json(const Network& network);

/// Names as a report writes them.
const char* name_of(Verdict verdict);
const char* name_of(Calibratable state);
/// How values are counted and when things happen, by name.
const std::map<std::string, std::string>& conventions();

}  // namespace gradspike::chip
