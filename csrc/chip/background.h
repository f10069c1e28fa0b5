// Inputs whose spikes the chip's own generators make: what they ask for, and the spikes as a training run needs them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "csrc/chip/capacity.h"
#include "csrc/chip/network.h"
#include "csrc/math/background.h"

namespace gradspike::chip {

/// Sources that one generator makes the spikes of: a whole input, or 256 neurons of a larger one.
struct BackgroundSlice {
  std::int32_t input = 0;
  std::int64_t first = 0;
  std::int64_t size = 0;
};

/// Slices with a connection, by input and neuron.
std::vector<BackgroundSlice> background_slices(const Network& network);

/// Sources of each slice of an input.
std::int64_t background_slice_size(std::int64_t input_size);
/// Registers of the generators of an input; period 0 where its rate is out of range.
math::BackgroundTiming background_timing(const Background& background, std::int64_t input_size);
/// The seed of the slice that begins at neuron `first`: the wish's own for the first one.
std::uint32_t background_seed(const Background& background, std::int64_t first);

/// Number of sources, rate, and number of generators.
std::vector<Misfit> background_misfits(const Network& network);
/// What the generators do otherwise than asked, one sentence each.
std::vector<std::string> background_approximations(const Network& network);

/// Spike counts [steps, batch, size], the bits of what the analog emulator's generators make in these batch entries of
/// a run with seed `trial`: a spike belongs to the first step at or after it. Throws, with the limits, where no
/// generator gives such an input.
std::vector<std::uint8_t> background_spikes(const Background& background, std::int64_t size, std::int64_t steps,
                                            std::int64_t batch, double dt, std::uint64_t trial);

}  // namespace gradspike::chip
