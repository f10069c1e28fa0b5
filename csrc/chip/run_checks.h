// What every backend asks of the inputs and options of a run.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "csrc/chip/backend.h"

namespace gradspike::chip {

/// Element `k` of a tensor that holds counts.
inline std::int64_t spike_count(const SpikeTensor& tensor, std::int64_t k) {
  return tensor.type == SpikeTensor::Type::kUint8
             ? static_cast<const std::uint8_t*>(tensor.data)[k]
             : static_cast<std::int64_t>(static_cast<const float*>(tensor.data)[k]);
}

/// Throws unless the inputs have the sizes of the network, equal steps and batch, and hold counts in 0..127. `backend`
/// begins the message.
void check_inputs(const std::vector<std::string>& names, const std::vector<std::int64_t>& sizes,
                  const std::vector<SpikeTensor>& inputs, const std::string& backend = "emulator");

/// Throws, with the nearest names, where no population is called `name`.
void require_population(const std::vector<std::string>& populations, const std::string& name,
                        const std::string& backend = "emulator");

/// A phrase for each plasticity rule of the network, which an emulator does not execute.
std::vector<std::string> plasticity_not_modelled(const Network& network);

/// Whether a list of populations, "*" for all, asks for this one.
bool is_recorded(const std::vector<std::string>& wanted, const std::string& name);

}  // namespace gradspike::chip
