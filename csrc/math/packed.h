// Spikes as bits along the neuron axis: neuron n is bit n & 7 of byte n >> 3, the least significant bit first. The bits
// beyond the last neuron are 0.
#pragma once

#include <cstdint>

#include "csrc/core/host_device.h"

namespace gradspike::math {

GRADSPIKE_HD constexpr std::int64_t packed_bytes(std::int64_t neurons) { return (neurons + 7) >> 3; }
GRADSPIKE_HD constexpr std::int64_t packed_byte(std::int64_t neuron) { return neuron >> 3; }
GRADSPIKE_HD constexpr std::uint8_t packed_mask(std::int64_t neuron) {
  return static_cast<std::uint8_t>(1U << static_cast<unsigned>(neuron & 7));
}
GRADSPIKE_HD bool packed_spike(const std::uint8_t* row, std::int64_t neuron) {
  return (row[packed_byte(neuron)] & packed_mask(neuron)) != 0;
}

}  // namespace gradspike::math
