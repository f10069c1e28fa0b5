// What the calibration of the chip can set in a neuron circuit, against what the neurons of a network ask for.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "csrc/chip/capacity.h"
#include "csrc/chip/network.h"

namespace gradspike::chip {

/// Smallest and largest value over neurons.
struct Span {
  double lowest = 0.0;
  double highest = 0.0;
};

/// Parameters of the neurons of a population, in model units and seconds of the chip.
struct PopulationParameters {
  std::string name;
  NeuronKind kind = NeuronKind::kLif;
  std::int64_t size = 0;
  struct Entry {
    std::string name;  // "tau_mem", "tau_syn", "refractory_time" [s], "membrane_capacitance", "leak", ...
    Span span;
  };
  std::vector<Entry> entries;  // none where there are no neurons

  /// Null where the population has no such parameter.
  const Span* find(const std::string& parameter) const;
};

PopulationParameters parameters_of(const Population& population, double dt);

enum class Calibratable {
  kReached,
  kNearest,      // shorter than the chip can, by less than a time step: the chip takes its shortest
  kOtherUnits,   // a potential is out of the range of the converter in these units; other ones may fit
  kUnreachable,  // no calibration sets it
};

/// One parameter of one population against the range in which it can be set.
struct CalibrationEntry {
  std::string population;
  std::string parameter;
  std::string unit;  // "s" or "LSB" of the CADC
  double minimum = 0.0;
  double maximum = 0.0;
  Span wanted;  // by the neurons
  std::int64_t neurons = 0;
  std::int64_t outside = 0;  // neurons that ask for more or for less
  Calibratable state = Calibratable::kReached;
  std::string remark;  // one sentence where it is not reached
};

struct CalibrationCheck {
  std::string source;         // of the ranges
  double zero_lsb = 0.0;      // reading at membrane 0 that was assumed,
  double lsb_per_unit = 0.0;  // and readings per model unit
  std::vector<CalibrationEntry> entries;
};

CalibrationCheck check_calibration(const Network& network);
/// One for each entry that is unreachable: so many neurons of at most 0. None of them keeps a mapping from being made.
std::vector<Misfit> misfits_of(const CalibrationCheck& check);

/// "8 us", "infinite": a time with the unit that keeps it short, four digits.
std::string seconds_str(double seconds);
/// "8 us..12 us", "50..160 LSB", or the one value that all have.
std::string span_str(const Span& span, const std::string& unit);
/// "%.<digits>g".
std::string number_str(double value, int digits = 6);

}  // namespace gradspike::chip
