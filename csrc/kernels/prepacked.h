// Kernels of prepack and prepacked_graded_spikes: the product of spikes with weights that were packed once.
// S (spikes) is float, double or uint8_t; Q is int8_t or int16_t; T (output) is float or double.
#pragma once

#include <cstdint>

#include "csrc/core/execution.h"
#include "csrc/core/host_device.h"

namespace gradspike::kernels {

constexpr std::int64_t kPackedPosts = 64;   // outputs that a CPU kernel sums at once
constexpr std::int64_t kPackedInputs = 64;  // inputs of one slice of the CUDA kernel

GRADSPIKE_HD constexpr std::int64_t packed_posts(std::int64_t out_features) {
  return (out_features + kPackedPosts - 1) / kPackedPosts * kPackedPosts;
}
GRADSPIKE_HD constexpr std::int64_t packed_groups(std::int64_t in_features) { return (in_features + 3) / 4; }
GRADSPIKE_HD constexpr std::int64_t packed_inputs(std::int64_t in_features) {
  return (in_features + kPackedInputs - 1) / kPackedInputs * kPackedInputs;
}

/// One weight matrix in the forms that kernels read. NaN is 0 in all of them, and so is the padding.
template <class Q>
struct PackedWeightsView {
  const Q* rows;          // [in_features, packed_posts]: a spike adds one row
  const Q* groups;        // [packed_groups, packed_posts, 4], int8 only, else null: operands of dot products of bytes
  const Q* matrix;        // [out_features, packed_inputs]: words of a product in tiles; 16-byte aligned on a device
  const bool* nan_posts;  // [out_features], true where a neuron has a NaN weight
  std::int64_t largest;   // bound of the magnitudes
};

/// Fills the four parts of the packed form of weights [out_features, in_features].
template <class Q>
struct PrepackArgs {
  const Q* weights;
  Q* rows;
  Q* groups;  // null for int16
  Q* matrix;
  bool* nan_posts;
  std::int64_t in_features;
  std::int64_t out_features;
};

/// As GradedSpikesArgs.
template <class S, class Q, class T>
struct PrepackedGradedSpikesArgs {
  const S* spikes;  // [rows, in_features]
  PackedWeightsView<Q> weights;
  T* out;  // [rows, out_features]
  std::int64_t rows;
  std::int64_t in_features;
  std::int64_t out_features;
  float factor;
  bool wide;
};

#define GRADSPIKE_PREPACKED_KERNELS(Exec)                     \
  template <class Q>                                          \
  void prepack(const Exec& exec, const PrepackArgs<Q>& args); \
  template <class S, class Q, class T>                        \
  void prepacked_graded_spikes(const Exec& exec, const PrepackedGradedSpikesArgs<S, Q, T>& args);

GRADSPIKE_PREPACKED_KERNELS(CpuExec)
GRADSPIKE_PREPACKED_KERNELS(CudaExec)
#undef GRADSPIKE_PREPACKED_KERNELS

}  // namespace gradspike::kernels
