// The fixed pattern of a chip: what its seed decides about each circuit, row and synapse, by coordinate.
#pragma once

#include <cstdint>
#include <vector>

#include "csrc/chip/analog/constants.h"
#include "csrc/chip/analog/program.h"
#include "csrc/chip/mapping.h"

namespace gradspike::chip::analog {

class Pattern {
 public:
  Pattern(const Constants& constants, std::uint64_t seed) : constants_(constants), seed_(seed) {}

  /// A neuron of these circuits; the first one has threshold, reset and readout, time constants are the mean of all.
  AnalogNeuron neuron(const PlacedNeuron& placed, const math::LifCoefficients<float>& coefficients, bool fires,
                      double dt) const;
  /// Relative charge of a synapse on an excitatory and on an inhibitory row; 0 for one that is dead.
  std::array<double, 2> synapse(const PlacedSynapse& placed) const;

 private:
  double normal(std::int32_t kind, std::int64_t place) const;
  /// 1 + spread x, never below a tenth.
  double factor(double spread, std::int32_t kind, std::int64_t place) const;

  const Constants& constants_;
  std::uint64_t seed_;
};

/// Refractory times as the 8-bit counters give them. Each chip half has two clocks: the slower one is the fastest that
/// reaches the longest time of the half, the other one the best for what is left.
void quantise_refractory_times(const Constants& constants, const std::vector<std::int32_t>& chip_halves,
                               std::vector<AnalogNeuron>& neurons);

}  // namespace gradspike::chip::analog
