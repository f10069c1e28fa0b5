// Spikes and membranes as CSV files.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "csrc/chip/backend.h"

namespace gradspike::host {

/// Counts [time, batch, neuron], dense.
struct DenseSpikes {
  std::int64_t steps = 0;
  std::int64_t batch = 0;
  std::int64_t size = 0;
  std::vector<std::uint8_t> counts;

  chip::SpikeTensor tensor() const;
};

/// Reads lines of `step,batch,neuron[,count]` after a header of these names. `steps` 0: up to the last spike. Throws
/// naming file, line and what is wrong with it.
DenseSpikes read_spikes(const std::string& path, std::int64_t size, std::int64_t steps);

/// Writes the spikes of one population in order of batch entry, step, neuron, with a count where it is above 1; "" is
/// standard output. Returns their number.
std::int64_t write_spikes(const std::string& path, const chip::Observables& observed, const std::string& population);

/// Writes the membranes of all leaky integrators: population,step,batch,neuron,membrane, the shortest decimals that
/// give the same float32 again.
void write_membranes(const std::string& path, const chip::Observables& observed);

}  // namespace gradspike::host
