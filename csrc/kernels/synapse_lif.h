// Kernels of synapse_lif: graded spikes and leaky integrate-and-fire neurons, so that the synaptic input of all steps
// is never in memory. The bits are those of graded_spikes followed by lif. S (spikes) is float, double or uint8_t; Q is
// int8_t or int16_t; T (neurons) is float or double.
#pragma once

#include <cstdint>

#include "csrc/core/execution.h"
#include "csrc/kernels/graded_spikes.h"
#include "csrc/kernels/lif.h"
#include "csrc/math/packed.h"

namespace gradspike::kernels {

/// How output spikes are written: as T, as uint8_t, or as bits (csrc/math/packed.h).
enum class SpikeFormat : std::int32_t { kFloat = 0, kUint8 = 1, kPacked = 2 };

/// What drives the neurons: spikes through integers, or a synaptic input that was computed before.
template <class S, class Q, class T>
struct SynapseDrive {
  const S* spikes;   // [time, batch, in_features], or bits [time, batch, packed_bytes(in_features)] where `packed`
  const Q* weights;  // [neuron, in_features]
  const T* input;    // [time, batch, neuron]; null: the product of spikes and weights, as GradedSpikesArgs makes it
  std::int64_t in_features;
  float factor;
  bool wide;
  bool packed;
  bool from_input = false;  // with a null input too, which is that of no step or no batch entry

  GRADSPIKE_HD bool has_input() const { return from_input || input != nullptr; }
  GRADSPIKE_HD std::int64_t row_length() const { return packed ? math::packed_bytes(in_features) : in_features; }
};

/// Pointers that are null are not read or not written.
template <class S, class Q, class T>
struct SynapseLifForwardArgs {
  SynapseDrive<S, Q, T> drive;
  CoefficientTable<T> coefficients;
  const T* initial_state;  // [kNumLifStates, batch, neuron] or null
  Measurement<T> measured_spikes;
  Measurement<T> measured_membrane;
  void* spikes;  // in the format below, or null
  SpikeFormat format;
  T* membrane;     // after reset, or null
  T* current;      // or null
  T* saved;        // membrane before reset or refractory mark, or null
  T* checkpoints;  // [segments, kNumLifStates, batch, neuron], the state before every `segment_steps` steps, or null
  T* final_state;  // [kNumLifStates, batch, neuron]
  std::int64_t segment_steps;
  std::int64_t time;
  std::int64_t batch;
  std::int64_t neuron;
  std::int64_t chunk_bytes = 0;  // of synaptic input that a GPU has in memory at once; 0: what suits it
};

/// Number of checkpoints of `time` steps.
constexpr std::int64_t num_segments(std::int64_t time, std::int64_t segment_steps) {
  return segment_steps > 0 ? (time + segment_steps - 1) / segment_steps : 0;
}

/// Either `saved` (and, for `neurons.grad_coefficients`, `current`) of all steps, or checkpoints, from which the traces
/// are computed again. `neurons.grad_input` is written where it is given; grad_weight does not need it in memory.
/// grad_weight[post, pre] = factor * sum over steps and batch of dL/dinput[.., post] * spikes[.., pre].
template <class S, class Q, class T>
struct SynapseLifBackwardArgs {
  SynapseDrive<S, Q, T> drive;
  LifBackwardArgs<T> neurons;
  const T* checkpoints;  // or null
  std::int64_t segment_steps;
  float weight_factor;
  T* grad_weight;  // [neuron, in_features], gradient to the integers; or null
};

#define GRADSPIKE_SYNAPSE_LIF_KERNELS(Exec)                                               \
  template <class S, class Q, class T>                                                    \
  void synapse_lif_forward(const Exec& exec, const SynapseLifForwardArgs<S, Q, T>& args); \
  template <class S, class Q, class T>                                                    \
  void synapse_lif_backward(const Exec& exec, const SynapseLifBackwardArgs<S, Q, T>& args);

GRADSPIKE_SYNAPSE_LIF_KERNELS(CpuExec)
GRADSPIKE_SYNAPSE_LIF_KERNELS(CudaExec)
#undef GRADSPIKE_SYNAPSE_LIF_KERNELS

}  // namespace gradspike::kernels
