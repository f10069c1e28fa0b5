// Kernels of sparse_graded_spikes: the product of spikes with weights of which only the existing connections are kept.
// S (spikes) is float, double or uint8_t; T (output, gradient) is float or double; Q is int16_t (integers) or T (the
// weight as it is). Memory beyond the arguments is proportional to the connections and to the rows of activations.
#pragma once

#include <cstdint>

#include "csrc/core/execution.h"
#include "csrc/math/weight.h"

namespace gradspike::kernels {

/// Connections sorted by post, then pre, each at most once. On a device this is not checked: a connection with an index
/// outside counts as none, and an unsorted list gives wrong sums but touches no memory outside.
struct ConnectionIndex {
  const std::int64_t* post;  // [count]
  const std::int64_t* pre;   // [count]
  std::int64_t count;
  std::int64_t in_features;
  std::int64_t out_features;
};

/// The first connection that is outside, out of order or a repetition of the one before it; -1 where there is none.
inline std::int64_t first_bad_connection(const ConnectionIndex& index) {
  for (std::int64_t k = 0; k < index.count; ++k) {
    const bool inside = index.post[k] >= 0 && index.post[k] < index.out_features && index.pre[k] >= 0 &&
                        index.pre[k] < index.in_features;
    const bool ordered = k == 0 || index.post[k - 1] < index.post[k] ||
                         (index.post[k - 1] == index.post[k] && index.pre[k - 1] < index.pre[k]);
    if (!inside || !ordered) {
      return k;
    }
  }
  return -1;
}

/// out[row, post] = factor * sum over the connections k of post of weights[k] * spikes[row, pre[k]]
///
/// The bits of graded_spikes with the dense matrix. Integers: rows whose spikes are all integers in 0..kMaxSpikeCount
/// are summed exactly, converted to T once and multiplied by factor. Any other row, and every row where Q is T, is
/// summed in T in the order of pre over the spikes other than 0, each product and sum rounded. A post neuron with a NaN
/// weight gives NaN in every row. A spike that is not finite gives NaN at every post neuron without a connection to it,
/// as its product with the 0 of a dense matrix does.
template <class S, class Q, class T>
struct SparseGradedSpikesArgs {
  const S* spikes;   // [rows, in_features]
  const Q* weights;  // [connections]
  ConnectionIndex index;
  T* out;  // [rows, out_features]
  std::int64_t rows;
  float factor;
  bool wide;  // in_features * max|q| * kMaxSpikeCount >= 2^24: sum in 64 bits
};

/// grad_weights[k] = factor * sum over rows of grad[row, post[k]] * spikes[row, pre[k]], 0 outside. Only spikes other
/// than 0 do work on the CPU. The sum over rows is in blocks of a fixed size, independent of the number of threads.
template <class S, class T>
struct SparseWeightGradArgs {
  const T* grad;    // [rows, out_features]
  const S* spikes;  // [rows, in_features]
  ConnectionIndex index;
  T* grad_weights;  // [connections]
  std::int64_t rows;
  float factor;
};

/// grad_spikes[row, pre] = sum over the connections k of pre of (factor * weights[k]) * grad[row, post[k]], in T in the
/// order of post, each product and sum rounded.
template <class Q, class T>
struct SparseSpikeGradArgs {
  const T* grad;     // [rows, out_features]
  const Q* weights;  // [connections]
  ConnectionIndex index;
  T* grad_spikes;  // [rows, in_features]
  std::int64_t rows;
  float factor;
};

/// Whether a weight, or the float that an integer stands for, is NaN.
template <class Q>
GRADSPIKE_HD bool is_nan_weight(Q weight) {
  if constexpr (sizeof(Q) == sizeof(std::int16_t)) {
    return weight == math::nan_weight<Q>();
  } else {
    return math::is_nan(weight);
  }
}

/// False for NaN and infinities.
template <class S>
GRADSPIKE_HD bool is_finite(S spike) {
  if constexpr (sizeof(S) == 1) {
    return true;
  } else {
    return math::sub(spike, spike) == S{0};
  }
}

#define GRADSPIKE_SPARSE_KERNELS(Exec)                                                      \
  template <class S, class Q, class T>                                                      \
  void sparse_graded_spikes(const Exec& exec, const SparseGradedSpikesArgs<S, Q, T>& args); \
  template <class S, class T>                                                               \
  void sparse_weight_grad(const Exec& exec, const SparseWeightGradArgs<S, T>& args);        \
  template <class Q, class T>                                                               \
  void sparse_spike_grad(const Exec& exec, const SparseSpikeGradArgs<Q, T>& args);

GRADSPIKE_SPARSE_KERNELS(CpuExec)
GRADSPIKE_SPARSE_KERNELS(CudaExec)
#undef GRADSPIKE_SPARSE_KERNELS

}  // namespace gradspike::kernels
