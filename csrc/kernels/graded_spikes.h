// Kernels of graded_spikes: the exact integer product of spikes and hardware weights.
// S (spikes) is float, double or uint8_t; Q is int8_t or int16_t; T (output) is float or double.
#pragma once

#include <cstdint>

#include "csrc/core/execution.h"
#include "csrc/math/weight.h"

namespace gradspike::kernels {

using math::kMaxSpikeCount;

/// out[row, post] = factor * sum over pre of q[post, pre] * spikes[row, pre]
///
/// Rows whose spikes are all integers in 0..kMaxSpikeCount are summed exactly in integers (`wide` says that 32 bits
/// could overflow), converted to T once and multiplied by factor. Any other row is summed in T in the order of pre,
/// each product and sum rounded. A post neuron with a NaN weight gives NaN in every row.
template <class S, class Q, class T>
struct GradedSpikesArgs {
  const S* spikes;   // [rows, in_features]
  const Q* weights;  // [out_features, in_features]
  T* out;            // [rows, out_features]
  std::int64_t rows;
  std::int64_t in_features;
  std::int64_t out_features;
  float factor;  // inverse_scale in model units, 1 in LSB
  bool wide;     // in_features * max|q| * kMaxSpikeCount >= 2^24: sum in 64 bits
};

/// grad_q[post, pre] = factor * sum over rows of grad[row, post] * spikes[row, pre], then the straight-through rule:
/// grad_weight = straight_through(grad_q, weight). W is the type of the weight (float or double), T of the gradient.
/// Only spikes != 0 do work. The sum over rows is in blocks of a fixed size, independent of the number of threads; on a
/// GPU with T = float on tensor cores, in two halves per gradient (cuda/graded_spikes_weight_grad_halves.cuh).
template <class S, class W, class T>
struct GradedSpikesWeightGradArgs {
  const T* grad;    // [rows, out_features]
  const S* spikes;  // [rows, in_features]
  const W* weight;  // [out_features, in_features]
  W* grad_weight;   // [out_features, in_features]
  std::int64_t rows;
  std::int64_t in_features;
  std::int64_t out_features;
  float factor;
  math::WeightTransform transform;
  math::StraightThrough rule;
};

#define GRADSPIKE_GRADED_SPIKES_KERNELS(Exec)                                  \
  template <class S, class Q, class T>                                         \
  void graded_spikes(const Exec& exec, const GradedSpikesArgs<S, Q, T>& args); \
  template <class S, class W, class T>                                         \
  void graded_spikes_weight_grad(const Exec& exec, const GradedSpikesWeightGradArgs<S, W, T>& args);

GRADSPIKE_GRADED_SPIKES_KERNELS(CpuExec)
GRADSPIKE_GRADED_SPIKES_KERNELS(CudaExec)
#undef GRADSPIKE_GRADED_SPIKES_KERNELS

}  // namespace gradspike::kernels
