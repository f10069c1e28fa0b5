#include "csrc/chip/analog/constants.h"

#include <cmath>
#include <iterator>
#include <limits>

#include "csrc/chip/json_reader.h"
#include "csrc/chip/names.h"
#include "csrc/core/error.h"

namespace gradspike::chip::analog {
namespace {

constexpr double kNone = std::numeric_limits<double>::infinity();
constexpr const char* kNoFigure = "assumption: no published figure";

using C = Constants;

const ConstantInfo kInfos[] = {
    {"matched_steps",
     &C::matched_steps,
     "0 or 1",
     "1: calibrated so that membranes at the time steps are those of training; 0: to the time constants of the model, "
     "whose Euler steps respond more strongly",
     "assumption: targets of a calibration can be chosen freely in their range",
     0,
     1,
     {1, 1, 1}},
    {"threshold_offset",
     &C::threshold_offset,
     "threshold - leak",
     "mean shift of the threshold",
     "fastAndDeep yin_yang_hwAware.yaml: 0.13 of 2.6; calibrated: assumption",
     -1,
     1,
     {0.0, 0.0, 0.05}},
    {"threshold_spread",
     &C::threshold_spread,
     "threshold - leak",
     "spread of the threshold over circuits",
     "fastAndDeep: 0.08 of 2.6; calibrated: calix test_neuron_threshold_calibration bound of 8 LSB as two spreads, "
     "3.5 of 45 LSB",
     0,
     1,
     {0.0, 3.5 / 45.0, 0.08 / 2.6}},
    {"leak_spread",
     &C::leak_spread,
     "LSB",
     "spread of the leak potential over circuits",
     kNoFigure,
     0,
     100,
     {0.0, 2.0, 0.0}},
    {"reset_spread",
     &C::reset_spread,
     "LSB",
     "spread of the reset potential over circuits",
     kNoFigure,
     0,
     100,
     {0.0, 2.0, 0.0}},
    {"tau_mem_spread",
     &C::tau_mem_spread,
     "relative",
     "spread of the membrane time constant over circuits",
     kNoFigure,
     0,
     1,
     {0.0, 0.075, 0.0}},
    {"tau_syn_spread",
     &C::tau_syn_spread,
     "relative",
     "spread of each synaptic time constant over circuits",
     kNoFigure,
     0,
     1,
     {0.0, 0.075, 0.0}},
    {"circuit_gain_spread",
     &C::circuit_gain_spread,
     "relative",
     "spread of the gain of a synaptic input over circuits and polarities",
     kNoFigure,
     0,
     1,
     {0.0, 0.075, 0.0}},
    {"row_gain_spread",
     &C::row_gain_spread,
     "relative",
     "spread of the pulse of a synapse row",
     "assumption; calix test_hagen_input finds about 2 LSB between drivers in MAC mode",
     0,
     1,
     {0.0, 0.0, 0.0}},
    {"synapse_gain_spread",
     &C::synapse_gain_spread,
     "relative",
     "spread of the charge of single synapses",
     kNoFigure,
     0,
     1,
     {0.0, 0.05, 0.0}},
    {"dead_synapse_rate",
     &C::dead_synapse_rate,
     "fraction",
     "synapses that never respond",
     kNoFigure,
     0,
     1,
     {0.0, 0.0, 0.0}},
    {"cadc_offset_spread",
     &C::cadc_offset_spread,
     "LSB",
     "spread of the offset over CADC channels",
     "calix test_cadc_calibration: below 3 LSB after calibration",
     0,
     100,
     {0.0, 3.0, 0.0}},
    {"threshold_trial_spread",
     &C::threshold_trial_spread,
     "threshold - leak",
     "spread of the threshold from batch entry to batch entry",
     "fastAndDeep: 0.04 of 2.6",
     0,
     1,
     {0.0, 0.04 / 2.6, 0.04 / 2.6}},
    {"spike_jitter",
     &C::spike_jitter,
     "tau_syn",
     "jitter of the time of a spike",
     "fastAndDeep: 0.01",
     0,
     1,
     {0.0, 0.01, 0.01}},
    {"cadc_noise",
     &C::cadc_noise,
     "LSB",
     "noise of one CADC sample",
     "assumption: 1 to 2 LSB",
     0,
     100,
     {0.0, 1.5, 0.0}},
    {"madc_noise", &C::madc_noise, "LSB of the MADC", "noise of one MADC sample", kNoFigure, 0, 400, {0.0, 4.0, 0.0}},
    {"cadc_zero", &C::cadc_zero, "LSB", "reading at membrane 0", "calix: default leak 80", 0, 255, {80, 80, 80}},
    {"cadc_lsb_per_unit",
     &C::cadc_lsb_per_unit,
     "LSB",
     "readings per unit of the membrane",
     "calix: default threshold 125 above leak 80, for a model with threshold 1 above leak 0",
     1e-3,
     1e6,
     {45, 45, 45}},
    {"membrane_low",
     &C::membrane_low,
     "LSB",
     "lowest potential that a membrane reaches",
     "assumption: bottom of the CADC range",
     -1e6,
     1e6,
     {0, 0, 0}},
    {"membrane_high",
     &C::membrane_high,
     "LSB",
     "highest potential that a membrane reaches",
     "assumption: top of the CADC range",
     -1e6,
     1e6,
     {255, 255, 255}},
    {"current_limit",
     &C::current_limit,
     "model units",
     "largest synaptic current of one polarity; 0: none",
     kNoFigure,
     0,
     kNone,
     {0, 0, 0}},
    {"cadc_period",
     &C::cadc_period,
     "s",
     "time between CADC samples",
     "hxtorch: about 2 us into SRAM, 6 us into DRAM, at least 1.7 us",
     1.7e-6,
     1,
     {2e-6, 2e-6, 2e-6}},
    {"cadc_max_samples",
     &C::cadc_max_samples,
     "",
     "samples per batch entry; later ones are dropped",
     "grenade ppu.h: 100 in SRAM, 204800 in DRAM",
     1,
     204800,
     {100, 100, 100}},
    {"madc_interval",
     &C::madc_interval,
     "s",
     "time between MADC samples",
     "haldls madc.h: 500 MHz / 12 (a calix text implies 30 MS/s)",
     1e-9,
     1,
     {24e-9, 24e-9, 24e-9}},
    {"madc_max_samples",
     &C::madc_max_samples,
     "",
     "samples per trigger; later ones are dropped",
     "haldls madc.h",
     1,
     65535,
     {65535, 65535, 65535}},
    {"refractory_clock",
     &C::refractory_clock,
     "Hz",
     "clock that the refractory counters divide by 2, 4, ... 65536",
     "haldls neuron.h: 250 MHz, 8 bit, two dividers per chip half",
     1e6,
     1e9,
     {250e6, 250e6, 250e6}},
    {"refractory_minimum",
     &C::refractory_minimum,
     "s",
     "shortest refractory time",
     "calix: 40 ns",
     1e-9,
     1e-3,
     {40e-9, 40e-9, 40e-9}},
    {"reset_time",
     &C::reset_time,
     "s",
     "forced reset before a batch entry",
     "grenade: 125 cycles of 8 ns",
     0,
     1,
     {1e-6, 1e-6, 1e-6}},
    {"relaxation_time",
     &C::relaxation_time,
     "s",
     "free time between the reset and the start of a batch entry",
     "grenade: 500 cycles of 8 ns",
     0,
     1,
     {4e-6, 4e-6, 4e-6}},
    {"link_interval",
     &C::link_interval,
     "s",
     "time between two events on the way into the chip",
     "grenade: one event per FPGA cycle of 8 ns",
     0,
     1,
     {8e-9, 8e-9, 8e-9}},
    {"link_max_lateness",
     &C::link_max_lateness,
     "s",
     "events that would be sent later than this are dropped",
     "assumption; grenade warns beyond 10 us",
     0,
     1,
     {10e-6, 10e-6, 10e-6}},
    {"bus_interval",
     &C::bus_interval,
     "s",
     "time that a PADI bus needs for one event",
     "assumption: 8 ns",
     0,
     1,
     {8e-9, 8e-9, 8e-9}},
    {"bus_queue",
     &C::bus_queue,
     "events",
     "events that wait for a PADI bus; more are dropped",
     "assumption: 16",
     0,
     1e9,
     {16, 16, 16}},
};

}  // namespace

const std::vector<std::string>& preset_names() {
  static const std::vector<std::string> names = {"noiseless", "calibrated", "delgrad-2024"};
  return names;
}

const std::vector<ConstantInfo>& constant_infos() {
  static const std::vector<ConstantInfo> infos(std::begin(kInfos), std::end(kInfos));
  return infos;
}

Constants constants_of(const std::string& preset, const std::map<std::string, double>& changed) {
  std::size_t column = 0;
  std::string list = "ideal";
  for (const std::string& name : preset_names()) {
    list += ", " + name;
  }
  while (column < preset_names().size() && preset_names()[column] != preset) {
    ++column;
  }
  GRADSPIKE_REQUIRE(column < preset_names().size(), "emulator: there is no preset \"", preset, "\"; there are: ", list);
  Constants constants;
  std::vector<std::string> names;
  for (const ConstantInfo& info : constant_infos()) {
    constants.*info.field = info.values[column];
    names.emplace_back(info.name);
    const auto found = changed.find(info.name);
    if (found != changed.end()) {
      const double value = found->second;
      GRADSPIKE_REQUIRE(value >= info.minimum && value <= info.maximum, "emulator: constant \"", info.name,
                        "\" must lie in ", info.minimum, "..", info.maximum, " [", info.unit, "], got ", value);
      constants.*info.field = value;
    }
  }
  for (const auto& [name, value] : changed) {
    GRADSPIKE_REQUIRE(as_map(constants).count(name) != 0, "emulator: preset \"", preset, "\" has no constant \"", name,
                      "\"", nearest_text(name, names));
  }
  GRADSPIKE_REQUIRE(constants.membrane_low < constants.membrane_high, "emulator: constant \"membrane_low\" must be ",
                    "below \"membrane_high\", got ", constants.membrane_low, " and ", constants.membrane_high);
  return constants;
}

std::map<std::string, double> as_map(const Constants& constants) {
  std::map<std::string, double> result;
  for (const ConstantInfo& info : constant_infos()) {
    result[info.name] = constants.*info.field;
  }
  return result;
}

std::string presets_json() {
  Json presets = {{"ideal", Json::object()}};
  for (std::size_t column = 0; column < preset_names().size(); ++column) {
    Json& preset = presets[preset_names()[column]];
    for (const ConstantInfo& info : constant_infos()) {
      preset[info.name] = {{"value", info.values[column]},
                           {"unit", info.unit},
                           {"meaning", info.meaning},
                           {"source", info.source},
                           {"minimum", info.minimum},
                           {"maximum", std::isfinite(info.maximum) ? Json(info.maximum) : Json(nullptr)}};
    }
  }
  return dump_json(presets, "presets of the emulator");
}

}  // namespace gradspike::chip::analog
