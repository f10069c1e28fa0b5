// Arrays in NumPy's file format, version 1 to 3: dense, little-endian, row-major.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "csrc/chip/backend.h"
#include "ops/host/spike_csv.h"

namespace gradspike::host {

/// Whether a path ends in ".npy".
bool is_npy(const std::string& path);

/// Counts [time, batch, neuron] of one input, from an array of integers, booleans or floating-point numbers that are
/// whole numbers from 0. Throws naming the file and what is wrong with it.
DenseSpikes read_npy(const std::string& path, std::int64_t size);

/// Writes the spikes of one population, uint8 [time, batch, neuron]. Returns their number.
std::int64_t write_spikes_npy(const std::string& path, const chip::Observables& observed,
                              const std::string& population);
/// Writes the membrane of one population, float32 [time, batch, neuron].
void write_membrane_npy(const std::string& path, const chip::Observables& observed, const std::string& population);

}  // namespace gradspike::host
