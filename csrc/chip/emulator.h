// The ideal emulator: events go through crossbar, drivers, rows and labels of the mapping, sums are integers, the
// neurons take the steps of math/lif.h. Its spikes, membranes and currents are the bits of the training ops.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "csrc/chip/backend.h"

namespace gradspike::chip {

/// Per step and batch entry, population by population in the order of the network:
///
///   sum[p][n] = sum over the events of this step of the weights of the synapses that respond    (int64)
///   x[n]      = (...(f[0] + f[1]) + f[2]...),  f[p] = float(sum[p][n]) * factor[p]  in ascending position of p
///   one step of math::lif_step or math::li_step with the coefficients of the description           (float32)
///
/// A population sees the spikes that others fired in the same step. A neuron that no projection reaches gets x = 0.
/// A count above 1 is that many events. Batch entries are independent and run in parallel where an executor is given;
/// the result does not depend on it. Deterministic.
///
/// compile() accepts every mapping whose numbers are in range, right or wrong, and does what the chip would: a synapse
/// on a disabled row is silent, one on a row of the other sign acts with that sign. Only charge that would arrive at a
/// neuron which its projection does not reach is refused, as there is no factor to weigh it with.
class Emulator final : public Backend {
 public:
  std::string name() const override { return "emulator"; }
  std::shared_ptr<const Program> compile(const Network& network, const Mapping& mapping, const Weights& weights,
                                         const CompileOptions& options) const override;
  std::shared_ptr<const Program> update(const Program& program, const Weights& weights) const override;
  Observables run(const Program& program, const std::vector<SpikeTensor>& inputs,
                  const RunOptions& options) const override;
};

}  // namespace gradspike::chip
