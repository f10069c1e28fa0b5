// The event-driven part: between two events the state of a neuron follows math/continuous_lif.h.
#include <algorithm>
#include <cmath>

#include "csrc/chip/analog/run.h"
#include "csrc/math/background.h"
#include "csrc/math/random.h"

namespace gradspike::chip::analog {
namespace {

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

/// What a random number is for; pattern.cpp has those of the fixed pattern.
enum Noise : std::int32_t { kThresholdTrial = 100, kJitter, kCadc, kMadc };

constexpr double kMadcPerCadc = 4.0;  // LSB; assumption: both cover the same range

}  // namespace

void Entry::run(std::int64_t entry, bool is_recorded) {
  entry_ = entry;
  is_recorded_ = is_recorded;
  key_ = math::random_key(run_.trial_key_, static_cast<std::uint64_t>(entry));
  std::fill(std::begin(bus_free_), std::end(bus_free_), -kNever);
  predictions_ = {};
  for (std::size_t n = 0; n < states_.size(); ++n) {
    start(n);
  }
  RunCounters sent;
  Losses late;
  const std::vector<Stimulus> events = run_.stimuli(entry, sent, late);
  process(events);
  for (std::size_t n = 0; n < states_.size(); ++n) {
    advance(n, run_.end_);
  }
  if (is_recorded_) {
    counters.events_sent += sent.events_sent;
    counters.background_spikes += sent.background_spikes;
    counters.events_dropped += late.events_late;
    losses.add(late);
  }
}

double Entry::noise(std::int32_t kind, std::size_t neuron, std::int64_t place) const {
  const auto what = static_cast<std::uint64_t>(kind) << 32 | static_cast<std::uint64_t>(neuron);
  return math::normal(math::random_key(key_, what, static_cast<std::uint64_t>(place)));
}

/// Currents of the entry before decay while the membrane is reset and then relaxes.
void Entry::start(std::size_t n) {
  const AnalogNeuron& neuron = program_.neurons[n];
  math::ContinuousState state = math::hold(neuron.lif, states_[n].state, run_.gap_ + constants_.reset_time);
  states_[n] = NeuronState();
  states_[n].state = math::evolve(neuron.lif, state, constants_.relaxation_time);
  states_[n].threshold = neuron.lif.threshold;
  if (neuron.threshold_trial_spread > 0.0) {
    states_[n].threshold += neuron.threshold_trial_spread * noise(kThresholdTrial, n, 0);
  }
  predict(n);
}

void Entry::process(const std::vector<Stimulus>& events) {
  std::size_t next = 0;
  while (true) {
    while (!predictions_.empty() && predictions_.top().version != states_[at(predictions_.top().neuron)].version) {
      predictions_.pop();
    }
    const double stimulus = next < events.size() ? events[next].time : kNever;
    const double spike = predictions_.empty() ? kNever : predictions_.top().time;
    if (std::min(stimulus, spike) > run_.end_) {
      return;
    }
    if (spike <= stimulus) {
      const std::int32_t neuron = predictions_.top().neuron;
      predictions_.pop();
      fire(at(neuron), spike);
    } else {
      deliver(*events[next].route, stimulus);
      ++next;
    }
  }
}

void Entry::fire(std::size_t n, double time) {
  advance(n, time);
  NeuronState& s = states_[n];
  s.state.membrane = program_.neurons[n].lif.reset;
  s.refractory_until = time + program_.neurons[n].lif.refractory_time;
  s.crossing = kNever;
  ++s.spikes;
  count(counters.spikes_on_chip);
  record_spike(n, time);
  deliver(program_.neuron_routes[n], time);
  predict(n);
}

void Entry::record_spike(std::size_t n, double time) {
  if (!is_recorded_) {
    return;
  }
  const std::int64_t step = math::step_of_time(time, program_.dt);
  const AnalogPopulation& population = program_.populations[at(run_.population_of_[n])];
  PopulationRecord& record = run_.result_.populations[at(run_.population_of_[n])];
  std::uint8_t& spike = record.spikes[at((step * run_.result_.batch + entry_) * population.size +
                                         static_cast<std::int64_t>(n) - population.first_neuron)];
  losses.spikes_merged += spike;
  spike = 1;
}

void Entry::deliver(const ChargeRoute& route, double time) {
  for (const BusCharges& bus : route) {
    double& free = bus_free_[bus.bus];
    if (free - time > constants_.bus_queue * constants_.bus_interval) {
      count(losses.bus_overflows);
      count(counters.events_dropped);
      continue;
    }
    free = std::max(free, time) + constants_.bus_interval;
    counters.synapse_events += is_recorded_ ? bus.synapses : 0;
    for (std::int64_t c = bus.first; c < bus.last; ++c) {
      const Charge& charge = program_.charges[at(c)];
      const auto n = at(charge.neuron);
      advance(n, time);
      states_[n].state.exc = limited(states_[n].state.exc + charge.exc);
      states_[n].state.inh = limited(states_[n].state.inh - charge.inh);
      predict(n);
    }
  }
}

double Entry::limited(double current) {
  const double limit = constants_.current_limit;
  if (limit == 0.0 || std::fabs(current) <= limit) {
    return current;
  }
  count(losses.current_clipped);
  return std::copysign(limit, current);
}

/// The state at `time`, not before that of the neuron.
math::ContinuousState Entry::state_at(std::size_t n, double time) const {
  const NeuronState& s = states_[n];
  const math::ContinuousLif& lif = program_.neurons[n].lif;
  if (s.refractory_until <= s.time) {
    return math::evolve(lif, s.state, time - s.time);
  }
  if (time <= s.refractory_until) {
    return math::hold(lif, s.state, time - s.time);
  }
  return math::evolve(lif, math::hold(lif, s.state, s.refractory_until - s.time), time - s.refractory_until);
}

void Entry::advance(std::size_t n, double time) {
  NeuronState& s = states_[n];
  if (is_recorded_) {
    sample(n, time);
  }
  if (time > s.time) {
    s.state = state_at(n, time);
    s.time = time;
    const double low = (constants_.membrane_low - constants_.cadc_zero) / constants_.cadc_lsb_per_unit;
    const double high = (constants_.membrane_high - constants_.cadc_zero) / constants_.cadc_lsb_per_unit;
    const double inside = std::clamp(s.state.membrane, low, high);
    if (inside != s.state.membrane) {
      count(losses.membrane_clipped);
      s.state.membrane = inside;
    }
  }
}

/// Takes the samples of a membrane up to `time`.
void Entry::sample(std::size_t n, double time) {
  NeuronState& s = states_[n];
  const std::int64_t p = run_.population_of_[n];
  PopulationRecord& record = run_.result_.populations[at(p)];
  const std::int64_t index = static_cast<std::int64_t>(n) - program_.populations[at(p)].first_neuron;
  if (!record.cadc.empty()) {
    for (; s.next_cadc < run_.cadc_.count && run_.cadc_.time(s.next_cadc) <= time; ++s.next_cadc) {
      const double exact = reading(n, run_.cadc_.time(s.next_cadc)) + program_.neurons[n].cadc_offset;
      record.cadc[at((s.next_cadc * run_.result_.batch + entry_) * record.size + index)] =
          converted(exact, kMaxCadcReading, kCadc, constants_.cadc_noise, n, s.next_cadc, losses.cadc_samples_clipped);
    }
  }
  if (static_cast<std::int64_t>(n) == run_.madc_neuron_) {
    for (; s.next_madc < run_.madc_.count && run_.madc_.time(s.next_madc) <= time; ++s.next_madc) {
      const double exact = kMadcPerCadc * reading(n, run_.madc_.time(s.next_madc));
      run_.result_.madc.samples[at(s.next_madc * run_.result_.batch + entry_)] =
          converted(exact, kMaxMadcReading, kMadc, constants_.madc_noise, n, s.next_madc, losses.madc_samples_clipped);
    }
  }
}

/// The membrane in LSB of the CADC.
double Entry::reading(std::size_t n, double time) const {
  return constants_.cadc_zero + constants_.cadc_lsb_per_unit * state_at(n, time).membrane;
}

std::int16_t Entry::converted(double exact, double highest, std::int32_t kind, double spread, std::size_t n,
                              std::int64_t place, std::int64_t& clipped) const {
  const double value = std::round(spread > 0.0 ? exact + spread * noise(kind, n, place) : exact);
  const double inside = std::clamp(value, 0.0, highest);
  clipped += inside != value ? 1 : 0;
  return static_cast<std::int16_t>(inside);
}

void Entry::predict(std::size_t n) {
  if (!program_.neurons[n].fires) {
    return;
  }
  NeuronState& s = states_[n];
  ++s.version;
  const double from = std::max(s.time, s.refractory_until);
  if (from > run_.end_) {
    return;
  }
  math::ContinuousLif lif = program_.neurons[n].lif;
  lif.threshold = s.threshold;
  const double wait = math::next_crossing(lif, state_at(n, from), run_.end_ - from);
  if (wait > 0.0 || s.crossing > from) {  // else it crossed before, and waits for its jitter
    s.crossing = from + wait;
  }
  if (s.crossing == kNever) {
    return;
  }
  const double jitter = program_.neurons[n].spike_jitter;
  const double shift = jitter > 0.0 ? jitter * noise(kJitter, n, s.spikes) : 0.0;
  const double spike = std::max(s.crossing + shift, from);
  if (spike <= run_.end_) {
    predictions_.push({spike, static_cast<std::int32_t>(n), s.version});
  }
}

}  // namespace gradspike::chip::analog
