// How strongly a backend responds to a synaptic weight, against the response that training assumes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "csrc/chip/backend.h"
#include "csrc/chip/network.h"

namespace gradspike::chip {

/// What a probe of one projection gave. Membranes are in model units.
struct ScaleMeasurement {
  std::string projection;
  std::string target;            // what ran
  double scale = 0.0;            // of the projection
  double gain = 0.0;             // response over that of training; 1: the same
  double gain_spread = 0.0;      // standard deviation over neurons
  double offset = 0.0;           // reading at rest minus the leak potential
  double offset_spread = 0.0;    // over neurons
  double noise = 0.0;            // of one reading at rest, from run to run
  std::int64_t neurons = 0;      // that were measured
  std::int64_t clipped = 0;      // readings at the end of their range
  double suggested_scale = 0.0;  // scale / gain: weights of this scale respond as the model says
};

/// Measures each projection of `network` on a chip full of leaky integrators with the parameters of its target: one
/// input, weights from the lower to the upper bound, one spike, several batch entries. The gain is the least-squares
/// slope of the measured membranes over those of the ideal emulator, which are those of training.
///
/// Throws where the response is not above the noise: a gain that is not positive has no scale.
std::vector<ScaleMeasurement> measure_scales(const Network& network, const Backend& backend,
                                             const CompileOptions& options);

}  // namespace gradspike::chip
