// One run of the analog emulator and what its threads share. Private to the emulator.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <mutex>
#include <queue>
#include <vector>

#include "csrc/chip/analog/program.h"
#include "csrc/chip/geometry.h"

namespace gradspike::chip::analog {

constexpr double kNever = std::numeric_limits<double>::infinity();

/// More samples than any run asks for: keeps the arithmetic of counts in range.
constexpr double kMostSamples = 1e12;

/// Times at which a membrane is sampled.
struct Sampling {
  double interval = 0.0;
  std::int64_t count = 0;    // that are taken
  std::int64_t dropped = 0;  // that there was no room for, per batch entry

  Sampling(double interval_s, double runtime, double most) : interval(interval_s) {
    const double wanted = std::min(std::floor(runtime / interval * (1.0 + 1e-12)) + 1.0, kMostSamples);
    count = static_cast<std::int64_t>(std::min(wanted, most));
    dropped = static_cast<std::int64_t>(wanted) - count;
  }
  double time(std::int64_t k) const { return static_cast<double>(k) * interval; }
};

/// What is lost on the chip, by kind.
struct Losses {
  std::int64_t current_clipped = 0;
  std::int64_t membrane_clipped = 0;
  std::int64_t cadc_samples_clipped = 0;
  std::int64_t madc_samples_clipped = 0;
  std::int64_t spikes_merged = 0;
  std::int64_t events_late = 0;
  std::int64_t bus_overflows = 0;

  void add(const Losses& other);
  void write(std::map<std::string, std::int64_t>& losses) const;
};

/// An event that the host sends or a generator makes.
struct Stimulus {
  double time = 0.0;
  const ChargeRoute* route = nullptr;
};

class AnalogRun {
 public:
  AnalogRun(const AnalogProgram& program, const std::vector<SpikeTensor>& inputs, const RunOptions& options);
  Observables run();

 private:
  friend class Entry;
  void check_options() const;
  void check_generators() const;
  void prepare();
  void prepare_madc();
  void interpolate(std::int64_t entry);
  std::vector<Stimulus> stimuli(std::int64_t entry, RunCounters& counters, Losses& losses) const;
  void add_background(std::int64_t entry, RunCounters& counters, std::vector<Stimulus>& events) const;
  std::int64_t replaced_spikes() const;

  const AnalogProgram& program_;
  const Constants& constants_;
  const std::vector<SpikeTensor>& inputs_;
  const RunOptions& options_;
  double end_ = 0.0;  // of the grid: the last step
  double gap_ = 0.0;  // from there to the forced reset of the next batch entry
  Sampling cadc_;
  Sampling madc_;
  std::int64_t madc_neuron_ = -1;
  std::vector<std::int64_t> population_of_;  // by neuron
  std::uint64_t trial_key_ = 0;
  Observables result_;
  Losses losses_;
  std::mutex mutex_;
};

struct NeuronState {
  math::ContinuousState state;
  double time = 0.0;  // of the state
  double threshold = 0.0;
  double refractory_until = 0.0;
  double crossing = kNever;  // of the threshold, before the jitter
  std::uint64_t version = 0;
  std::int64_t spikes = 0;
  std::int64_t next_cadc = 0;
  std::int64_t next_madc = 0;
};

/// When a neuron will fire if nothing reaches it before.
struct Prediction {
  double time = 0.0;
  std::int32_t neuron = 0;
  std::uint64_t version = 0;

  bool operator<(const Prediction& other) const {  // the earliest one is on top of the heap, ties by neuron
    return time != other.time ? time > other.time : neuron > other.neuron;
  }
};

/// One batch entry after the other, on one thread. A neuron is touched when an event reaches it, when it is predicted
/// to fire, and at the end; its samples are taken on the way.
class Entry {
 public:
  explicit Entry(AnalogRun& run)
      : run_(run), program_(run.program_), constants_(run.constants_), states_(program_.neurons.size()) {}

  /// The chip before its first batch entry: no current anywhere.
  void rest() { std::fill(states_.begin(), states_.end(), NeuronState()); }
  void run(std::int64_t entry, bool is_recorded);

  RunCounters counters;
  Losses losses;

 private:
  void count(std::int64_t& counter) const { counter += is_recorded_ ? 1 : 0; }
  double noise(std::int32_t kind, std::size_t neuron, std::int64_t place) const;
  void start(std::size_t n);
  void process(const std::vector<Stimulus>& events);
  void fire(std::size_t n, double time);
  void record_spike(std::size_t n, double time);
  void deliver(const ChargeRoute& route, double time);
  double limited(double current);
  math::ContinuousState state_at(std::size_t n, double time) const;
  void advance(std::size_t n, double time);
  void sample(std::size_t n, double time);
  double reading(std::size_t n, double time) const;
  std::int16_t converted(double exact, double highest, std::int32_t kind, double spread, std::size_t n,
                         std::int64_t place, std::int64_t& clipped) const;
  void predict(std::size_t n);

  AnalogRun& run_;
  const AnalogProgram& program_;
  const Constants& constants_;
  std::vector<NeuronState> states_;
  std::priority_queue<Prediction> predictions_;
  double bus_free_[kHemispheres * kBusesPerHemisphere] = {};
  std::int64_t entry_ = 0;
  bool is_recorded_ = true;
  std::uint64_t key_ = 0;
};

}  // namespace gradspike::chip::analog
