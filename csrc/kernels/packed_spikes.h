// Kernels of pack_spikes and unpack_spikes: spikes as bits along the neuron axis, in the layout of csrc/math/packed.h.
// S is float, double or uint8_t.
#pragma once

#include <cstdint>

#include "csrc/core/execution.h"
#include "csrc/math/packed.h"

namespace gradspike::kernels {

/// The bit of a neuron is 1 where its spike is not 0; `lost` counts the spikes that are neither 0 nor 1.
template <class S>
struct PackSpikesArgs {
  const S* spikes;       // [rows, neurons]
  std::uint8_t* packed;  // [rows, packed_bytes(neurons)]
  std::int64_t* lost;    // [1]
  std::int64_t rows;
  std::int64_t neurons;
};

/// 1 where the bit of a neuron is set, else 0.
template <class S>
struct UnpackSpikesArgs {
  const std::uint8_t* packed;  // [rows, packed_bytes(neurons)]
  S* spikes;                   // [rows, neurons]
  std::int64_t rows;
  std::int64_t neurons;
};

#define GRADSPIKE_PACKED_KERNELS(Exec)                               \
  template <class S>                                                 \
  void pack_spikes(const Exec& exec, const PackSpikesArgs<S>& args); \
  template <class S>                                                 \
  void unpack_spikes(const Exec& exec, const UnpackSpikesArgs<S>& args);

GRADSPIKE_PACKED_KERNELS(CpuExec)
GRADSPIKE_PACKED_KERNELS(CudaExec)
#undef GRADSPIKE_PACKED_KERNELS

}  // namespace gradspike::kernels
