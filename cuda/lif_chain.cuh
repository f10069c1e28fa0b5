// How a thread of the lif and li kernels reads and writes its chain, one (batch, neuron) pair over time.
#pragma once

#include "csrc/math/lif.h"
#include "cuda/common/device.cuh"

namespace gradspike::kernels {
namespace {

/// Steps per window, forward: of one to three arrays, 32 bytes of each in flight while as many are worked on.
template <class T>
constexpr std::int32_t kForwardSteps = 32 / sizeof(T);
/// Backward: of three to seven arrays.
template <class T>
constexpr std::int32_t kBackwardSteps = 16 / sizeof(T);

/// The values of kSteps consecutive time steps of one chain, in registers.
template <class T, std::int32_t kSteps>
struct Window {
  T value[kSteps];

  /// Slot i is step first + i (kForward) or first - i of data [time, chain]; 0 where there is no such step or no data.
  template <bool kForward>
  __device__ __forceinline__ void load(const T* __restrict__ data, std::int64_t first, std::int64_t time,
                                       std::int64_t chains, std::int64_t chain) {
#pragma unroll
    for (std::int32_t i = 0; i < kSteps; ++i) {
      const std::int64_t t = kForward ? first + i : first - i;
      value[i] = data != nullptr && t >= 0 && t < time ? data[t * chains + chain] : T{0};
    }
  }
};

template <class T>
__device__ __forceinline__ void store(T* data, std::int64_t at, T value) {
  if (data != nullptr) {
    data[at] = value;
  }
}

template <class T>
__device__ __forceinline__ math::LifState<T> initial_state(const T* state, std::int64_t chains, std::int64_t chain,
                                                           T leak, bool fires) {
  if (state == nullptr) {
    return {T{0}, leak, T{0}};
  }
  return {state[math::kStateCurrent * chains + chain], state[math::kStateMembrane * chains + chain],
          fires ? state[math::kStateRefractory * chains + chain] : T{0}};
}

/// The gradients to the final state count as gradients to the traces of the last step.
template <class T>
__device__ __forceinline__ math::LifAdjoint<T> final_adjoint(const T* grad_final_state, std::int64_t chains,
                                                             std::int64_t chain) {
  math::LifAdjoint<T> adjoint{T{0}, T{0}};
  if (grad_final_state != nullptr) {
    adjoint.current = math::add(adjoint.current, grad_final_state[math::kStateCurrent * chains + chain]);
    adjoint.membrane = math::add(adjoint.membrane, grad_final_state[math::kStateMembrane * chains + chain]);
  }
  return adjoint;
}

/// Writes what is left before the first step. Without an initial state the membrane starts at leak.
template <class T>
__device__ __forceinline__ void finish_adjoint(const math::LifAdjoint<T>& adjoint, math::CoefficientGradients<T> sums,
                                               bool starts_at_leak, T* grad_initial_state, T* grad_coefficients,
                                               std::int64_t chains, std::int64_t chain, bool fires) {
  if (grad_initial_state != nullptr) {
    grad_initial_state[math::kStateCurrent * chains + chain] = adjoint.current;
    grad_initial_state[math::kStateMembrane * chains + chain] = adjoint.membrane;
    if (fires) {
      grad_initial_state[math::kStateRefractory * chains + chain] = T{0};
    }
  }
  if (grad_coefficients != nullptr) {
    if (starts_at_leak) {
      sums.leak = math::add(sums.leak, adjoint.membrane);
    }
    T* const column = grad_coefficients + chain;
    column[0] = sums.input_gain;
    column[chains] = sums.leak_conductance;
    column[2 * chains] = sums.current_decay;
    column[3 * chains] = sums.leak;
    column[4 * chains] = sums.reset;
    column[5 * chains] = sums.threshold;
  }
}

}  // namespace
}  // namespace gradspike::kernels
