// Kernels of recurrent_lif: LIF neurons with an input and a recurrent projection, one loop over time.
// S (input spikes) is float, double or uint8_t; T is float or double; all arrays are contiguous and time-major.
#pragma once

#include <cstdint>

#include "csrc/core/execution.h"
#include "csrc/kernels/lif.h"

namespace gradspike::kernels {

/// How the weights of a projection are stored: integers, or real numbers of the arithmetic (rounding="none").
enum class WeightForm : std::int32_t { kInt8 = 0, kInt16 = 1, kReal = 2 };

/// The weights of one projection, [post, pre].
///
/// Integers are summed as in graded_spikes (csrc/kernels/graded_spikes.h). Real weights are summed in T in the order of
/// pre, each product and sum rounded, spikes of 0 left out; then the sum is multiplied by factor.
struct ProjectionWeights {
  const void* data;
  WeightForm form;
  float factor;
  bool wide;  // integers: sums need 64 bits

  template <class W>
  GRADSPIKE_HD const W* as() const {
    return static_cast<const W*>(data);
  }
};

/// Pointers that are null are not read or not written. The current takes, each rounded,
///   x[t] = input projection of spikes[t] + recurrent projection of z[t-1]
/// Without an initial state: as in lif, and no spikes before the first step.
template <class S, class T>
struct RecurrentLifForwardArgs {
  const S* spikes;          // [time, batch, in_features]
  ProjectionWeights input;  // both have the form kReal, or neither
  ProjectionWeights recurrent;
  CoefficientTable<T> coefficients;
  const T* initial_state;  // [kNumRecurrentLifStates, batch, neuron] or null
  Measurement<T> measured_spikes;
  Measurement<T> measured_membrane;
  T* out_spikes;                  // or null
  T* membrane;                    // after reset, or null
  T* current;                     // or null
  T* saved;                       // membrane before reset or refractory mark, or null
  T* checkpoints;                 // [ceil(time / checkpoint_steps), kNumRecurrentLifStates, batch, neuron] or null
  std::int64_t checkpoint_steps;  // the state before every such step is stored
  T* final_state;                 // [kNumRecurrentLifStates, batch, neuron]
  std::int64_t time;
  std::int64_t batch;
  std::int64_t neuron;
  std::int64_t in_features;
};

/// The reverse loop of `lif`, in which the gradient to z[t] is
///   grad_spikes[t] + factor * sum over post, ascending, of weight[post, pre] * grad_input[t + 1, post]
/// All states have kNumRecurrentLifStates rows. `lif.grad_input` is always written. `previous_spikes` receives z[t -
/// 1], the operand of the gradient to the recurrent weight. A run may be taken in segments, last one first: the
/// gradients to the state before a segment are those to the final state of the segment before it, and the sums of the
/// coefficient gradients are carried on where `accumulate` says so.
template <class T>
struct RecurrentLifBackwardArgs {
  LifBackwardArgs<T> lif;
  ProjectionWeights recurrent;
  T* previous_spikes;  // [time, batch, neuron] or null
  bool accumulate;     // grad_coefficients holds the sums of the later segments
};

#define GRADSPIKE_RECURRENT_LIF_KERNELS(Exec)                                              \
  template <class S, class T>                                                              \
  void recurrent_lif_forward(const Exec& exec, const RecurrentLifForwardArgs<S, T>& args); \
  template <class T>                                                                       \
  void recurrent_lif_backward(const Exec& exec, const RecurrentLifBackwardArgs<T>& args);

GRADSPIKE_RECURRENT_LIF_KERNELS(CpuExec)
GRADSPIKE_RECURRENT_LIF_KERNELS(CudaExec)
#undef GRADSPIKE_RECURRENT_LIF_KERNELS

}  // namespace gradspike::kernels
