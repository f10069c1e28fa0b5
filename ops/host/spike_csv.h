// Spikes and membranes as CSV files.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "csrc/chip/backend.h"

namespace gradspike::host {

struct SpikeLine {
  std::int64_t step = 0;
  std::int64_t batch = 0;
  std::int64_t neuron = 0;
  std::int64_t count = 1;
};

/// The spikes of one input as they stand in a file.
struct SpikeLines {
  std::string path;
  std::int64_t size = 0;  // neurons of the input
  std::vector<SpikeLine> lines;

  /// Up to the last spike.
  std::int64_t steps() const;
  std::int64_t batch() const;
};

/// Reads lines of `step,batch,neuron[,count]` after a header of these names. Throws naming file, line and what is
/// wrong with it.
SpikeLines read_spikes(const std::string& path, std::int64_t size);

/// Counts [time, batch, neuron], dense.
struct DenseSpikes {
  /// Throws where a spike lies beyond the given steps or batch, or where a neuron has too many in one step.
  DenseSpikes(const SpikeLines& read, std::int64_t num_steps, std::int64_t num_batch);

  std::int64_t steps = 0;
  std::int64_t batch = 0;
  std::int64_t size = 0;
  std::vector<std::uint8_t> counts;

  chip::SpikeTensor tensor() const;
};

/// Writes the spikes of one population in order of batch entry, step, neuron, with a count where it is above 1; "" is
/// standard output. Returns their number.
std::int64_t write_spikes(const std::string& path, const chip::Observables& observed, const std::string& population);

/// Writes the membranes of all leaky integrators: population,step,batch,neuron,membrane, the shortest decimals that
/// give the same float32 again.
void write_membranes(const std::string& path, const chip::Observables& observed);

}  // namespace gradspike::host
