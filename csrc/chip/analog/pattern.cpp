#include "csrc/chip/analog/pattern.h"

#include <algorithm>
#include <cmath>

#include "csrc/chip/geometry.h"
#include "csrc/math/random.h"

namespace gradspike::chip::analog {
namespace {

enum Kind : std::int32_t {
  kThreshold,
  kLeak,
  kReset,
  kTauMem,
  kTauExc,
  kTauInh,
  kGainExc,
  kGainInh,
  kRow,
  kSynapse,
  kDead,
  kCadcOffset,
};

constexpr int kDividers = 16;
constexpr double kLargestCount = 255.0;

double refractory_period(const Constants& c, int divider) {
  return static_cast<double>(std::int64_t{2} << divider) / c.refractory_clock;
}

double counted(double time, double period) {
  return std::clamp(std::round(time / period), 1.0, kLargestCount) * period;
}

double nearest_of(double time, double slow, double fast) {
  const double a = counted(time, slow);
  const double b = counted(time, fast);
  return std::fabs(a - time) < std::fabs(b - time) ? a : b;
}

}  // namespace

double Pattern::normal(std::int32_t kind, std::int64_t place) const {
  return math::normal(math::random_key(seed_, static_cast<std::uint64_t>(kind), static_cast<std::uint64_t>(place)));
}

double Pattern::factor(double spread, std::int32_t kind, std::int64_t place) const {
  return spread == 0.0 ? 1.0 : std::max(1.0 + spread * normal(kind, place), 0.1);
}

AnalogNeuron Pattern::neuron(const PlacedNeuron& placed, const math::LifCoefficients<float>& coefficients, bool fires,
                             double dt) const {
  const std::int32_t first = placed.circuits.front().to_enum();
  double tau_mem = 0.0;
  double tau_exc = 0.0;
  double tau_inh = 0.0;
  for (const AtomicNeuronOnDLS& circuit : placed.circuits) {
    tau_mem += factor(constants_.tau_mem_spread, kTauMem, circuit.to_enum());
    tau_exc += factor(constants_.tau_syn_spread, kTauExc, circuit.to_enum());
    tau_inh += factor(constants_.tau_syn_spread, kTauInh, circuit.to_enum());
  }
  const auto circuits = static_cast<double>(placed.circuits.size());
  const double unit = 1.0 / constants_.cadc_lsb_per_unit;
  AnalogNeuron n;
  n.lif = constants_.matched_steps != 0.0 ? math::matched(coefficients, dt) : math::continuous(coefficients, dt);
  n.fires = fires;
  if (!fires) {  // a leaky integrator: reset to its leak potential, without a threshold
    n.lif.reset = n.lif.leak;
    n.lif.threshold = n.lif.leak;
  }
  const double swing = n.lif.threshold - n.lif.leak;
  n.spike_jitter = constants_.spike_jitter / n.lif.exc_rate;
  n.lif.mem_rate *= circuits / tau_mem;
  n.lif.exc_rate = math::separated_rate(n.lif.exc_rate * circuits / tau_exc, n.lif.mem_rate);
  n.lif.inh_rate = math::separated_rate(n.lif.inh_rate * circuits / tau_inh, n.lif.mem_rate);
  n.lif.leak += constants_.leak_spread * unit * normal(kLeak, first);
  n.lif.reset += constants_.reset_spread * unit * normal(kReset, first);
  n.lif.threshold += swing * (constants_.threshold_offset + constants_.threshold_spread * normal(kThreshold, first));
  n.threshold_trial_spread = constants_.threshold_trial_spread * std::fabs(swing);
  n.cadc_offset = constants_.cadc_offset_spread * normal(kCadcOffset, first);
  return n;
}

std::array<double, 2> Pattern::synapse(const PlacedSynapse& placed) const {
  const std::int64_t row = placed.hemisphere * kSynapseRows + placed.row;
  const std::int64_t place = row * kColumns + placed.column;
  const std::int64_t circuit = placed.hemisphere * kColumns + placed.column;
  const std::uint64_t key = math::random_key(seed_, kDead, static_cast<std::uint64_t>(place));
  if (constants_.dead_synapse_rate > 0.0 && math::uniform(key) < constants_.dead_synapse_rate) {
    return {0.0, 0.0};
  }
  const double own =
      factor(constants_.row_gain_spread, kRow, row) * factor(constants_.synapse_gain_spread, kSynapse, place);
  return {own * factor(constants_.circuit_gain_spread, kGainExc, circuit),
          own * factor(constants_.circuit_gain_spread, kGainInh, circuit)};
}

void quantise_refractory_times(const Constants& constants, const std::vector<std::int32_t>& chip_halves,
                               std::vector<AnalogNeuron>& neurons) {
  for (std::int32_t half = 0; half < 2; ++half) {
    std::vector<AnalogNeuron*> members;
    double longest = 0.0;
    for (std::size_t n = 0; n < neurons.size(); ++n) {
      if (chip_halves[n] == half && neurons[n].fires) {
        neurons[n].lif.refractory_time = std::max(neurons[n].lif.refractory_time, constants.refractory_minimum);
        longest = std::max(longest, neurons[n].lif.refractory_time);
        members.push_back(&neurons[n]);
      }
    }
    int slow = 0;
    while (slow + 1 < kDividers && kLargestCount * refractory_period(constants, slow) < longest) {
      ++slow;
    }
    int fast = slow;
    double least = -1.0;
    for (int divider = 0; divider <= slow; ++divider) {
      double error = 0.0;
      for (const AnalogNeuron* n : members) {
        const double time = n->lif.refractory_time;
        error += std::fabs(nearest_of(time, refractory_period(constants, slow), refractory_period(constants, divider)) -
                           time);
      }
      if (least < 0.0 || error < least) {
        least = error;
        fast = divider;
      }
    }
    for (AnalogNeuron* n : members) {
      n->lif.refractory_time =
          nearest_of(n->lif.refractory_time, refractory_period(constants, slow), refractory_period(constants, fast));
    }
  }
}

}  // namespace gradspike::chip::analog
