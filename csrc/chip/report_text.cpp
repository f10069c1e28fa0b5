// The report for a terminal: aligned tables and bars, in ASCII but for names.
#include <algorithm>
#include <cstdio>

#include "csrc/chip/report.h"
#include "csrc/chip/text_table.h"

namespace gradspike::chip {
namespace {

std::string section(const std::string& title, const std::vector<std::string>& lines) {
  std::string text = lines.empty() ? "" : "\n" + title + "\n";
  for (const std::string& line : lines) {
    text += line + "\n";
  }
  return text;
}

std::string fixed(double value, int digits) {
  char text[64];
  std::snprintf(text, sizeof(text), "%.*f", digits, value);
  return text;
}

std::string percent(std::int64_t part, std::int64_t whole) {
  const double share = static_cast<double>(part) / static_cast<double>(std::max<std::int64_t>(whole, 1));
  return fixed(100.0 * share, 2) + " %";
}

std::string bar(std::int64_t used, std::int64_t limit) {
  constexpr std::int64_t kWidth = 20;
  const std::int64_t filled = limit > 0 ? std::min(kWidth, (used * kWidth + limit - 1) / limit) : 0;
  return std::string(static_cast<std::size_t>(filled), '#') +
         std::string(static_cast<std::size_t>(kWidth - filled), '.');
}

std::string verdict_line(const Report& report) {
  const std::string chips = std::to_string(report.chips);
  return "network \"" + printable(report.network) + "\" " + name_of(report.verdict) + ": target " +
         printable(report.target) +
         (report.chips == 1 ? ", 1 chip, 1 run per sample\n"
                            : ", " + chips + " chips, or one chip and " + std::to_string(report.runs_per_sample) +
                                  " runs per sample\n");
}

std::vector<std::string> misfit_lines(const Report& report) {
  if (report.misfits.empty()) {
    return {};
  }
  std::vector<TextRow> rows = {{"layer", "quantity", "needed", "limit", "over"}};
  for (const Misfit& m : report.misfits) {
    rows.push_back({m.layer.empty() ? "(network)" : printable(m.layer), printable(m.quantity), std::to_string(m.need),
                    std::to_string(m.limit), std::to_string(m.need - m.limit)});
  }
  const std::vector<std::string> found = aligned(rows, {2, 3, 4});
  std::vector<std::string> lines = {found[0]};
  for (std::size_t k = 0; k < report.misfits.size(); ++k) {
    lines.push_back(found[k + 1]);
    lines.push_back("    " + printable(report.misfits[k].remedy));
  }
  return lines;
}

std::vector<std::string> resource_lines(const Report& report) {
  std::vector<TextRow> rows;
  for (const Resource& r : report.resources) {
    rows.push_back({r.layer.empty() ? "(chip)" : printable(r.layer), printable(r.quantity), std::to_string(r.used), "/",
                    std::to_string(r.limit), bar(r.used, r.limit)});
  }
  return aligned(rows, {2, 4});
}

/// Counts of integers as characters, at most 32 bins.
std::string spark(const Histogram& histogram) {
  constexpr std::int64_t kBins = 32;
  const std::string levels = " .:-=+*%#";
  const auto count = static_cast<std::int64_t>(histogram.counts.size());
  const std::int64_t width = (count + kBins - 1) / kBins;
  std::vector<std::int64_t> bins(static_cast<std::size_t>((count + width - 1) / width));
  for (std::int64_t k = 0; k < count; ++k) {
    bins[static_cast<std::size_t>(k / width)] += histogram.counts[static_cast<std::size_t>(k)];
  }
  const std::int64_t top = std::max<std::int64_t>(*std::max_element(bins.begin(), bins.end()), 1);
  std::string bars;
  for (const std::int64_t bin : bins) {
    bars += levels[static_cast<std::size_t>((bin * static_cast<std::int64_t>(levels.size() - 1) + top - 1) / top)];
  }
  return std::to_string(histogram.first) + " |" + bars + "| " + std::to_string(histogram.first + count - 1);
}

std::vector<std::string> weight_lines(const Report& report) {
  if (report.projections.empty()) {
    return {};
  }
  std::vector<TextRow> rows = {
      {"projection", "scale", "bounds", "count", "clipped", "to zero", "rms error [LSB]", "integers, low to high"}};
  for (const ProjectionReport& p : report.projections) {
    const auto found = report.weights.find(p.name);
    const bool known = found != report.weights.end();
    const WeightLosses losses = known ? found->second : WeightLosses{p.in_features * p.out_features};
    const auto lost = [&](std::int64_t part) { return known ? percent(part, losses.count) : "-"; };
    rows.push_back(
        {printable(p.name), number_str(p.scale), std::to_string(p.min_weight) + ".." + std::to_string(p.max_weight),
         std::to_string(losses.count), lost(losses.clipped), lost(losses.rounded_to_zero),
         known ? fixed(losses.rms_rounding_error, 4) : "-", p.histogram.has_value() ? spark(*p.histogram) : ""});
  }
  return aligned(rows, {1, 2, 3, 4, 5, 6});
}

std::vector<std::string> time_lines(const Report& report) {
  const std::string length = report.steps > 0
                                 ? ", " + std::to_string(report.steps) +
                                       " steps = " + seconds_str(static_cast<double>(report.steps) * report.dt)
                                 : "";
  std::vector<TextRow> rows = {
      {"population", "neurons", "tau_mem", "tau_syn", "refractory", "threshold", "leak", "reset"}};
  for (const PopulationParameters& p : report.populations) {
    const auto entry = [&](const char* parameter, const char* unit) {
      const Span* span = p.find(parameter);
      return span == nullptr ? std::string("-") : span_str(*span, unit);
    };
    rows.push_back({printable(p.name), std::to_string(p.size) + (p.kind == NeuronKind::kLif ? " LIF" : " LI"),
                    entry("tau_mem", "s"), entry("tau_syn", "s"), entry("refractory_time", "s"), entry("threshold", ""),
                    entry("leak", ""), entry("reset", "")});
  }
  std::vector<std::string> lines = {"  step " + seconds_str(report.dt) + length};
  const std::vector<std::string> populations = aligned(rows, {1, 2, 3, 4, 5, 6, 7});
  lines.insert(lines.end(), populations.begin(), populations.end());
  std::vector<TextRow> pairs;
  for (const auto& [name, text] : conventions()) {
    pairs.push_back({name, text});
  }
  const std::vector<std::string> convention_lines = aligned(pairs);
  lines.insert(lines.end(), convention_lines.begin(), convention_lines.end());
  return lines;
}

std::vector<std::string> calibration_lines(const CalibrationCheck& check) {
  if (check.entries.empty()) {
    return {};
  }
  std::vector<TextRow> rows = {{"population", "parameter", "wanted", "can be set to", "neurons outside", ""}};
  std::vector<std::string> warnings;
  for (const CalibrationEntry& entry : check.entries) {
    rows.push_back({printable(entry.population), entry.parameter, span_str(entry.wanted, entry.unit),
                    span_str({entry.minimum, entry.maximum}, entry.unit),
                    std::to_string(entry.outside) + " of " + std::to_string(entry.neurons), name_of(entry.state)});
    if (entry.state == Calibratable::kOtherUnits) {
      warnings.push_back("  warning: " + printable(entry.population) + ": " + entry.remark);
    }
  }
  std::vector<std::string> lines = aligned(rows, {2, 3, 4});
  lines.insert(lines.end(), warnings.begin(), warnings.end());
  lines.push_back("  " + number_str(check.zero_lsb) + " LSB at membrane 0, " + number_str(check.lsb_per_unit) +
                  " LSB per model unit; " + check.source);
  return lines;
}

std::vector<std::string> indented(const std::vector<std::string>& texts) {
  std::vector<std::string> lines;
  for (const std::string& text : texts) {
    lines.push_back("  " + printable(text));
  }
  return lines;
}

std::vector<std::string> provenance_lines(const Report& report) {
  std::vector<TextRow> rows;
  for (const auto& [name, value] : report.provenance) {
    rows.push_back({printable(name), printable(value)});
  }
  return aligned(rows);
}

}  // namespace

std::string Report::text() const {
  return verdict_line(*this) + section("misfits", misfit_lines(*this)) + section("resources", resource_lines(*this)) +
         section("weights", weight_lines(*this)) + section("time and units", time_lines(*this)) +
         section("calibration", calibration_lines(calibration)) + section("approximations", indented(approximations)) +
         section("provenance", provenance_lines(*this));
}

}  // namespace gradspike::chip
