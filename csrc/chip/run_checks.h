// What every backend checks before it runs.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "csrc/chip/backend.h"
#include "csrc/chip/network.h"

namespace gradspike::chip {

/// Throws unless there is one tensor per input, all of one number of steps and batch entries, with whole numbers in
/// 0..kMaxSpikeCount. `backend` begins the message.
void check_inputs(const std::string& backend, const std::vector<Input>& inputs,
                  const std::vector<SpikeTensor>& tensors);

/// The count at position k of a tensor that was checked.
std::int64_t count_at(const SpikeTensor& tensor, std::int64_t k);

/// Rows of the state of a population: those of math::LifStateRow or the first two of them and, for the source of a
/// projection with a delay, the spikes of the last step.
std::int64_t num_states(const Network& network, std::size_t population);

/// For each population whether it is among `wanted` ("*": all). Throws with the nearest names for one that is unknown.
std::vector<bool> selected(const std::string& backend, const Network& network, const std::vector<std::string>& wanted);

/// Throws unless each state is [state, batch, neuron] of a population.
void check_states(const std::string& backend, const Network& network, const RunOptions& options, std::int64_t batch);

}  // namespace gradspike::chip
