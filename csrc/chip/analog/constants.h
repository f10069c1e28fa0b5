// The constants of the analog emulator: each with its unit, its source or the word assumption, and its value in every
// preset. "calix", "haldls", "halco", "grenade" and "fastAndDeep" are the public sources of the chip's makers.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace gradspike::chip::analog {

/// Spreads are standard deviations of a normal distribution. LSB is that of the CADC.
struct Constants {
  double matched_steps = 0.0;
  // fixed pattern, drawn once per chip
  double threshold_offset = 0.0;
  double threshold_spread = 0.0;
  double leak_spread = 0.0;
  double reset_spread = 0.0;
  double tau_mem_spread = 0.0;
  double tau_syn_spread = 0.0;
  double circuit_gain_spread = 0.0;
  double row_gain_spread = 0.0;
  double synapse_gain_spread = 0.0;
  double dead_synapse_rate = 0.0;
  double cadc_offset_spread = 0.0;
  // trial to trial
  double threshold_trial_spread = 0.0;
  double spike_jitter = 0.0;
  double cadc_noise = 0.0;
  double madc_noise = 0.0;
  // ranges
  double cadc_zero = 0.0;
  double cadc_lsb_per_unit = 0.0;
  double membrane_low = 0.0;
  double membrane_high = 0.0;
  double current_limit = 0.0;
  // time
  double cadc_period = 0.0;
  double cadc_max_samples = 0.0;
  double madc_interval = 0.0;
  double madc_max_samples = 0.0;
  double refractory_clock = 0.0;
  double refractory_minimum = 0.0;
  double reset_time = 0.0;
  double relaxation_time = 0.0;
  // events
  double link_interval = 0.0;
  double link_max_lateness = 0.0;
  double bus_interval = 0.0;
  double bus_queue = 0.0;
};

struct ConstantInfo {
  const char* name;
  double Constants::*field;
  const char* unit;
  const char* meaning;
  const char* source;
  double minimum;
  double maximum;
  double values[3];  // in the order of preset_names()
};

/// Every constant, in the order of Constants.
const std::vector<ConstantInfo>& constant_infos();
/// The analog presets: noiseless, calibrated, delgrad-2024.
const std::vector<std::string>& preset_names();
/// A preset with some constants changed. Throws, with the nearest names, for a preset or constant that is not there,
/// and for a value outside its range.
Constants constants_of(const std::string& preset, const std::map<std::string, double>& changed);
std::map<std::string, double> as_map(const Constants& constants);
/// {preset: {constant: {"value", "unit", "meaning", "source", "minimum", "maximum"}}}; "ideal" has none.
std::string presets_json();

}  // namespace gradspike::chip::analog
