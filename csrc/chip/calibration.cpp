#include "csrc/chip/calibration.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

#include "csrc/chip/analog/constants.h"
#include "csrc/chip/emulator_program.h"
#include "csrc/core/error.h"
#include "csrc/math/lif_parameters.h"

namespace gradspike::chip {
namespace {

constexpr char kSource[] =
    "calix src/py/calix/spiking/neuron.py and src/cc/ccalix/neuron_calib_target.cpp: what the calibration accepts";

struct Range {
  const char* parameter;
  const char* unit;
  double minimum;
  double maximum;
};

constexpr std::array<Range, 6> kRanges = {{{"tau_mem", "s", 0.5e-6, 60e-6},
                                           {"tau_syn", "s", 0.3e-6, 30e-6},
                                           {"refractory_time", "s", 40e-9, 32e-6},
                                           {"leak", "LSB", 50.0, 160.0},
                                           {"reset", "LSB", 50.0, 160.0},
                                           {"threshold", "LSB", 50.0, 220.0}}};

// The description holds float32 coefficients, not the times themselves.
constexpr double kTolerance = 1e-3;
constexpr double kSpeedUp = 1000.0;  // of the chip over biology

struct NamedValue {
  const char* name;
  double value;
};

/// Of one neuron, in the order in which a report lists them.
std::vector<NamedValue> values_of(const Population& population, std::int64_t neuron, double dt) {
  const math::LifCoefficients<float> c = coefficients_of(population, neuron);
  const math::LifParameters p = math::parameters_of(c, dt);
  std::vector<NamedValue> values = {{"tau_mem", p.tau_mem},
                                    {"tau_syn", p.tau_syn},
                                    {"membrane_capacitance", p.membrane_capacitance},
                                    {"leak", c.leak}};
  if (population.kind == NeuronKind::kLif) {
    values.insert(values.end(),
                  {{"refractory_time", p.refractory_time}, {"threshold", c.threshold}, {"reset", c.reset}});
  }
  return values;
}

const Range* range_of(const char* parameter) {
  const auto* found = std::find_if(kRanges.begin(), kRanges.end(),
                                   [&](const Range& range) { return std::string(range.parameter) == parameter; });
  return found == kRanges.end() ? nullptr : found;
}

bool is_time(const Range& range) { return std::string(range.unit) == "s"; }

/// Whether a range holds a value, and what becomes of one that it does not.
Calibratable state_of(const Range& range, double value, double dt) {
  if (value >= range.minimum * (1.0 - kTolerance) && value <= range.maximum * (1.0 + kTolerance)) {
    return Calibratable::kReached;
  }
  if (!is_time(range)) {
    return Calibratable::kOtherUnits;
  }
  const bool refractory = std::string(range.parameter) == "refractory_time";
  return refractory && value < range.minimum && range.minimum < dt ? Calibratable::kNearest
                                                                   : Calibratable::kUnreachable;
}

CalibrationEntry entry_of(const Population& population, const Range& range, double wanted) {
  CalibrationEntry entry;
  entry.population = population.name;
  entry.parameter = range.parameter;
  entry.unit = range.unit;
  entry.minimum = range.minimum;
  entry.maximum = range.maximum;
  entry.wanted = {wanted, wanted};
  entry.neurons = population.size;
  return entry;
}

/// Counts `neurons` neurons that want this value.
void add_value(const Range& range, double wanted, std::int64_t neurons, double dt, CalibrationEntry& entry) {
  const Calibratable state = state_of(range, wanted, dt);
  entry.wanted = {std::min(entry.wanted.lowest, wanted), std::max(entry.wanted.highest, wanted)};
  entry.outside += state == Calibratable::kReached ? 0 : neurons;
  entry.state = std::max(entry.state, state);
}

std::string remark_of(const CalibrationEntry& entry) {
  const std::string wanted = span_str(entry.wanted, entry.unit);
  const std::string range = span_str({entry.minimum, entry.maximum}, entry.unit);
  const std::string asked = detail::concatenate(entry.parameter, " is ", wanted, " and can be set to ", range);
  switch (entry.state) {
    case Calibratable::kReached:
      return "";
    case Calibratable::kNearest:
      return detail::concatenate(asked, "; the chip takes its shortest, less than a time step");
    case Calibratable::kOtherUnits:
      return detail::concatenate(asked, ": choose model units, or LSB per unit, with which the potentials fit");
    case Calibratable::kUnreachable:
      break;
  }
  const bool biological = entry.wanted.lowest > entry.maximum && entry.wanted.highest / kSpeedUp <= entry.maximum &&
                          entry.wanted.lowest / kSpeedUp >= entry.minimum;
  return detail::concatenate(
      asked, biological
                 ? ": the chip is 1000 times as fast as biology, train with dt and time constants divided by 1000"
                 : ": train with values in this range");
}

}  // namespace

const Span* PopulationParameters::find(const std::string& parameter) const {
  const auto found =
      std::find_if(entries.begin(), entries.end(), [&](const Entry& entry) { return entry.name == parameter; });
  return found == entries.end() ? nullptr : &found->span;
}

PopulationParameters parameters_of(const Population& population, double dt) {
  PopulationParameters result{population.name, population.kind, population.size, {}};
  const std::int64_t columns = std::min(population.columns, population.size);
  for (std::int64_t n = 0; n < columns; ++n) {
    const std::vector<NamedValue> values = values_of(population, n, dt);
    for (std::size_t k = 0; k < values.size(); ++k) {
      if (n == 0) {
        result.entries.push_back({values[k].name, {values[k].value, values[k].value}});
      }
      Span& span = result.entries[k].span;
      span = {std::min(span.lowest, values[k].value), std::max(span.highest, values[k].value)};
    }
  }
  return result;
}

CalibrationCheck check_calibration(const Network& network) {
  const analog::Constants constants = analog::constants_of("calibrated", {});
  CalibrationCheck check{kSource, constants.cadc_zero, constants.cadc_lsb_per_unit, {}};
  for (const Population& population : network.populations) {
    const std::int64_t columns = std::min(population.columns, population.size);
    std::vector<CalibrationEntry> entries;
    for (std::int64_t n = 0; n < columns; ++n) {
      std::size_t place = 0;
      for (const NamedValue& value : values_of(population, n, network.dt)) {
        const Range* range = range_of(value.name);
        if (range == nullptr) {
          continue;
        }
        const double wanted = is_time(*range) ? value.value : check.zero_lsb + check.lsb_per_unit * value.value;
        if (n == 0) {
          entries.push_back(entry_of(population, *range, wanted));
        }
        add_value(*range, wanted, population.columns == 1 ? population.size : 1, network.dt, entries[place++]);
      }
    }
    for (CalibrationEntry& entry : entries) {
      entry.remark = remark_of(entry);
      check.entries.push_back(std::move(entry));
    }
  }
  return check;
}

std::vector<Misfit> misfits_of(const CalibrationCheck& check) {
  std::vector<Misfit> misfits;
  for (const CalibrationEntry& entry : check.entries) {
    if (entry.state == Calibratable::kUnreachable) {
      misfits.push_back({entry.population, "neurons whose " + entry.parameter + " no calibration sets", entry.outside,
                         0, entry.remark, false});
    }
  }
  return misfits;
}

std::string number_str(double value, int digits) {
  char text[64];
  std::snprintf(text, sizeof(text), "%.*g", digits, value);
  return text;
}

std::string seconds_str(double seconds) {
  if (!std::isfinite(seconds)) {
    return "infinite";
  }
  const std::pair<const char*, double> units[] = {{" s", 1.0}, {" ms", 1e3}, {" us", 1e6}};
  for (const auto& [unit, factor] : units) {
    if (std::fabs(seconds) * factor >= 1.0) {
      return number_str(seconds * factor, 4) + unit;
    }
  }
  return seconds == 0.0 ? "0 s" : number_str(seconds * 1e9, 4) + " ns";
}

std::string span_str(const Span& span, const std::string& unit) {
  const bool is_time = unit == "s";
  const std::string lowest = is_time ? seconds_str(span.lowest) : number_str(span.lowest);
  const std::string highest = is_time ? seconds_str(span.highest) : number_str(span.highest);
  return (lowest == highest ? lowest : lowest + ".." + highest) + (is_time || unit.empty() ? "" : " " + unit);
}

}  // namespace gradspike::chip
