#include "csrc/chip/background.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "csrc/chip/backend.h"
#include "csrc/chip/geometry.h"
#include "csrc/core/error.h"

namespace gradspike::chip {
namespace {

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

/// Of a rate, for a misfit: rounded towards what is refused.
std::int64_t whole(double value) { return static_cast<std::int64_t>(std::min(value, 9e18)); }

/// Spikes per second and source that the generators of an input can give.
double lowest_rate(const Background& background, std::int64_t size) {
  return math::lowest_background_events(background.random) / static_cast<double>(background_slice_size(size));
}
double highest_rate(std::int64_t size) {
  return math::highest_background_events() / static_cast<double>(background_slice_size(size));
}

std::string limits_text(const Background& background, std::int64_t size) {
  return detail::concatenate("the generators of ", size, size == 1 ? " source" : " sources", " give ",
                             lowest_rate(background, size), " to ", highest_rate(size), " Hz per source");
}

void check_input(const Input& input, std::vector<Misfit>& misfits) {
  const Background& background = *input.background;
  if (!background.random && input.size != 1) {
    misfits.push_back({input.name, "sources of a regular background generator", input.size, 1,
                       "use one input for each source, or kind \"poisson\""});
    return;
  }
  if ((input.size & (input.size - 1)) != 0) {
    std::int64_t power = 1;
    while (2 * power < input.size) {
      power *= 2;
    }
    misfits.push_back(
        {input.name, "background sources in powers of two", input.size, power,
         detail::concatenate("a generator draws label bits at random: use ", power, " or ", 2 * power, " sources")});
    return;
  }
  const double low = lowest_rate(background, input.size);
  const double high = highest_rate(input.size);
  if (background.rate > high) {
    misfits.push_back({input.name, "highest rate of background spikes [Hz]", whole(std::ceil(background.rate)),
                       whole(high), limits_text(background, input.size)});
  } else if (background.rate < low) {
    misfits.push_back({input.name, "lowest rate of background spikes [Hz]", whole(background.rate),
                       whole(std::ceil(low)), limits_text(background, input.size)});
  }
}

}  // namespace

std::int64_t background_slice_size(std::int64_t input_size) {
  return std::min<std::int64_t>(input_size, kMaxGeneratorSources);
}

std::vector<BackgroundSlice> background_slices(const Network& network) {
  std::vector<std::vector<bool>> used(network.inputs.size());
  for (std::size_t i = 0; i < network.inputs.size(); ++i) {
    used[i].resize(at((network.inputs[i].size + kMaxGeneratorSources - 1) / kMaxGeneratorSources), false);
  }
  for (const Projection& projection : network.projections) {
    for (const ColumnRun& run : projection.columns) {
      if (run.source.kind == NodeRef::Kind::kInput && network.inputs[at(run.source.index)].background) {
        for (std::int64_t k = 0; k < run.count; ++k) {
          used[at(run.source.index)][at((run.first + k * run.step) / kMaxGeneratorSources)] = true;
        }
      }
    }
  }
  std::vector<BackgroundSlice> slices;
  for (std::size_t i = 0; i < network.inputs.size(); ++i) {
    for (std::size_t k = 0; k < used[i].size(); ++k) {
      if (used[i][k]) {
        const auto first = static_cast<std::int64_t>(k) * kMaxGeneratorSources;
        slices.push_back({static_cast<std::int32_t>(i), first,
                          std::min<std::int64_t>(network.inputs[i].size - first, kMaxGeneratorSources)});
      }
    }
  }
  return slices;
}

math::BackgroundTiming background_timing(const Background& background, std::int64_t input_size) {
  return math::background_timing(background.rate * static_cast<double>(background_slice_size(input_size)),
                                 background.random);
}

std::uint32_t background_seed(const Background& background, std::int64_t first) {
  return first == 0 ? background.seed
                    : static_cast<std::uint32_t>(math::random_key(background.seed, static_cast<std::uint64_t>(first)));
}

std::vector<Misfit> background_misfits(const Network& network) {
  std::vector<Misfit> misfits;
  for (const Input& input : network.inputs) {
    if (input.background) {
      check_input(input, misfits);
    }
  }
  const auto need = static_cast<std::int64_t>(background_slices(network).size());
  if (need > kBackgroundSources) {
    misfits.push_back({"", "background generators", need, kBackgroundSources,
                       detail::concatenate("a generator makes the spikes of up to ", kMaxGeneratorSources,
                                           " sources of one input: join inputs of equal rate, or let the host send ",
                                           need - kBackgroundSources, " of them")});
  }
  return misfits;
}

std::vector<std::string> background_approximations(const Network& network) {
  std::vector<std::string> result;
  for (std::size_t i = 0; i < network.inputs.size(); ++i) {
    const Input& input = network.inputs[i];
    const math::BackgroundTiming timing =
        input.background ? background_timing(*input.background, input.size) : math::BackgroundTiming();
    if (timing.period == 0) {
      continue;
    }
    const double rate = timing.events() / static_cast<double>(background_slice_size(input.size));
    result.push_back(detail::concatenate(
        "input '", input.name, "': the chip's generators make its ", input.background->random ? "random" : "regular",
        " spikes, not those that a run is given; ", rate, " Hz per source, ", input.background->rate,
        " Hz were asked for (period ", timing.period, " cycles",
        input.background->random ? detail::concatenate(", rate ", timing.rate, " of 255") : std::string(), ")"));
    for (std::size_t j = 0; j < i; ++j) {
      const Input& other = network.inputs[j];
      const bool same = other.background && other.background->random && input.background->random &&
                        other.background->seed == input.background->seed && other.size == input.size &&
                        other.background->rate == input.background->rate;
      if (same) {
        result.push_back("inputs '" + other.name + "' and '" + input.name +
                         "' fire together: their generators have the same seed, rate and size");
      }
    }
  }
  return result;
}

std::vector<std::uint8_t> background_spikes(const Background& background, std::int64_t size, std::int64_t steps,
                                            std::int64_t batch, double dt, std::uint64_t trial) {
  GRADSPIKE_REQUIRE(size >= 1 && steps >= 0 && batch >= 0,
                    "background_spikes: sizes must be [steps >= 0, batch >= 0, "
                    "size >= 1], got [",
                    steps, ", ", batch, ", ", size, "]");
  GRADSPIKE_REQUIRE(std::isfinite(dt) && dt > 0.0, "background_spikes: dt must be finite and above 0 s, got ", dt);
  GRADSPIKE_REQUIRE(std::isfinite(background.rate) && background.rate > 0.0,
                    "background_spikes: rate must be finite and above 0 Hz, got ", background.rate);
  std::vector<Misfit> misfits;
  check_input({"", size, background}, misfits);
  GRADSPIKE_REQUIRE(misfits.empty(), "background_spikes: ",
                    misfits.empty()
                        ? ""
                        : misfits.front().quantity + ": got " + std::to_string(misfits.front().need) + ", limit " +
                              std::to_string(misfits.front().limit) + "; " + misfits.front().remedy);
  constexpr std::int64_t kMost = std::int64_t{1} << 40;
  GRADSPIKE_REQUIRE(steps <= kMost && batch <= kMost / std::max<std::int64_t>(steps, 1) &&
                        size <= kMost / std::max<std::int64_t>(steps * batch, 1),
                    "background_spikes: [", steps, ", ", batch, ", ", size, "] is too large");
  std::vector<std::uint8_t> counts(at(steps * batch * size), 0);
  const math::BackgroundTiming timing = background_timing(background, size);
  const std::int64_t slice = background_slice_size(size);
  const double end = math::end_of_steps(steps, dt);
  GRADSPIKE_REQUIRE(math::background_ticks(timing, end) <= math::kMostBackgroundTicks, "background_spikes: ", steps,
                    " steps of ", dt, " s are too long: a generator of period ", timing.period, " cycles would tick ",
                    math::background_ticks(timing, end), " times, at most ", math::kMostBackgroundTicks, " are made");
  for (std::int64_t b = 0; b < batch && steps > 0; ++b) {
    for (std::int64_t first = 0; first < size; first += slice) {
      math::BackgroundTrain train(timing, static_cast<std::int32_t>(slice - 1), background.random,
                                  background_seed(background, first), trial, b);
      while (train.next(end)) {
        const std::int64_t step = math::step_of_time(train.time(), dt);
        std::uint8_t& count = counts[at((step * batch + b) * size + first + train.source())];
        count = static_cast<std::uint8_t>(std::min<std::int64_t>(count + 1, kMaxSpikeCount));
      }
    }
  }
  return counts;
}

}  // namespace gradspike::chip
