// The chip's background generators: their registers for a wanted rate, and the spikes that they make. The emulator and
// the spikes for training (csrc/chip/background.h) share this.
//
// A random generator may fire every `period` clock cycles, and does with probability rate / 255, so that the mean
// interval is period / (rate / 255). Which of its sources fires are the label bits that its mask leaves open, drawn
// anew. A regular one fires every `period` cycles. Source: haldls, background.h (electronicvisions); its random numbers
// are a shift register's, here they are a hash's (math/hash.h), so that trains agree in law and not event by event.
#pragma once

#include <cmath>
#include <cstdint>

#include "csrc/math/random.h"

namespace gradspike::math {

/// [Hz] Assumption: PyNN for BrainScaleS-2 takes half of the PHY reference clock, 500 MHz.
constexpr double kBackgroundClock = 250e6;
constexpr std::int32_t kMaxBackgroundPeriod = 65535;  // 16 bit
constexpr std::int32_t kMaxBackgroundRate = 255;      // 8 bit
/// A random train is the closer to a Poisson process the rarer its ticks fire, so the rarest that meets the rate this
/// closely is taken.
constexpr double kBackgroundRateError = 1e-3;

struct BackgroundTiming {
  std::int32_t period = 0;  // 0: the wanted rate is out of range
  std::int32_t rate = kMaxBackgroundRate;

  /// Events per second.
  double events() const { return kBackgroundClock * rate / kMaxBackgroundRate / period; }
};

/// Lowest and highest number of events per second of a generator.
inline double lowest_background_events(bool random) {
  return BackgroundTiming{kMaxBackgroundPeriod, random ? 1 : kMaxBackgroundRate}.events();
}
inline double highest_background_events() { return BackgroundTiming{1, kMaxBackgroundRate}.events(); }

/// Registers for `wanted` events per second; period 0 where no registers give that.
inline BackgroundTiming background_timing(double wanted, bool random) {
  BackgroundTiming best{0, kMaxBackgroundRate};
  if (!(wanted >= lowest_background_events(random) && wanted <= highest_background_events())) {
    return best;
  }
  double least = 0.0;
  for (std::int32_t rate = random ? 1 : kMaxBackgroundRate; rate <= kMaxBackgroundRate; ++rate) {
    const double period = std::round(BackgroundTiming{1, rate}.events() / wanted);
    if (period < 1.0 || period > kMaxBackgroundPeriod) {
      continue;
    }
    const BackgroundTiming timing{static_cast<std::int32_t>(period), rate};
    const double error = std::fabs(timing.events() / wanted - 1.0);
    if (best.period == 0 || error < least) {
      best = timing;
      least = error;
    }
    if (error <= kBackgroundRateError) {
      break;
    }
  }
  return best;
}

/// The step that an event at `time` belongs to: the first one at or after it, where the membrane of the training
/// operators crosses.
inline std::int64_t step_of_time(double time, double dt) {
  return static_cast<std::int64_t>(std::ceil(time / dt * (1.0 - 1e-12)));
}

/// Ticks that one batch entry may take: a quarter of a second of a generator that ticks at every cycle.
constexpr double kMostBackgroundTicks = 67108864.0;

inline double background_ticks(BackgroundTiming timing, double end) {
  return end * kBackgroundClock / static_cast<double>(timing.period);
}

/// The last time [s] at which an event has a step, on a grid of `steps`.
inline double end_of_steps(std::int64_t steps, double dt) {
  return static_cast<double>(steps - 1) * dt * (1.0 + 1e-12);
}

/// What a generator does in one batch entry. Each entry of each trial has a train of its own.
class BackgroundTrain {
 public:
  BackgroundTrain(BackgroundTiming timing, std::int32_t mask, bool random, std::uint64_t seed, std::uint64_t trial,
                  std::int64_t entry)
      : timing_(timing),
        mask_(mask),
        random_(random),
        key_(random_key(seed, trial, static_cast<std::uint64_t>(entry))) {}

  /// Goes on to the next event, not beyond `end` [s]; false where there is none.
  bool next(double end) {
    for (;;) {
      ++tick_;
      time_ = static_cast<double>(tick_) * timing_.period / kBackgroundClock;
      if (!(time_ <= end)) {
        return false;
      }
      if (!random_) {
        return true;
      }
      const std::uint64_t bits = random_key(key_, static_cast<std::uint64_t>(tick_));
      source_ = static_cast<std::int32_t>(bits) & mask_;
      if (static_cast<std::int32_t>(((bits >> 32) * kMaxBackgroundRate) >> 32) < timing_.rate) {
        return true;
      }
    }
  }
  double time() const { return time_; }            // [s] after the start of the entry
  std::int32_t source() const { return source_; }  // the open label bits

 private:
  BackgroundTiming timing_;
  std::int32_t mask_;
  bool random_;
  std::uint64_t key_;
  std::int64_t tick_ = 0;
  double time_ = 0.0;
  std::int32_t source_ = 0;
};

}  // namespace gradspike::math
