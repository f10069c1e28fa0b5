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

/// The same values on their way through shared memory, where they take no registers: for few chains, each of which then
/// has to read far ahead. Every thread copies and reads slots of its own, so nobody waits for others.
///
///   ring[slot][array][thread], where a slot is one time step; consecutive threads lie in consecutive banks
template <class T, std::int32_t kSteps>
class Ring {
 public:
  static constexpr std::int32_t kGroups = 12;  // of kSteps steps: 96 steps of float forward, 48 backward

  __device__ __forceinline__ Ring(T* shared, std::int32_t arrays) : shared_(shared), arrays_(arrays) {}

  /// Starts the copies of one array for the group that begins at step `first`; steps that do not exist become 0.
  template <bool kForward>
  __device__ __forceinline__ void copy(std::int32_t array, const T* __restrict__ data, std::int64_t first,
                                       std::int64_t time, std::int64_t chains, std::int64_t chain) {
    if (data != nullptr) {
#pragma unroll
      for (std::int32_t i = 0; i < kSteps; ++i) {
        const std::int64_t t = kForward ? first + i : first - i;
        const bool inside = t >= 0 && t < time;
        device::async_copy<static_cast<std::int32_t>(sizeof(T))>(slot(oldest_, array, i),
                                                                 inside ? data + t * chains + chain : data, inside);
      }
    }
  }
  /// Ends a group of copies, which took the place of the oldest one.
  __device__ __forceinline__ void commit() {
    device::async_copy_commit();
    oldest_ = next(oldest_);
  }
  /// Waits for the kOldest oldest groups.
  template <std::int32_t kOldest>
  __device__ __forceinline__ void wait() const {
    device::async_copy_wait<kGroups - kOldest>();
  }
  /// The values of one array in the oldest group; 0 without data.
  __device__ __forceinline__ Window<T, kSteps> read(std::int32_t array, const T* data) const {
    Window<T, kSteps> window;
#pragma unroll
    for (std::int32_t i = 0; i < kSteps; ++i) {
      window.value[i] = data != nullptr ? *slot(oldest_, array, i) : T{0};
    }
    return window;
  }
  /// The first value of one array, which has data, in the group after the oldest.
  __device__ __forceinline__ T peek(std::int32_t array) const { return *slot(next(oldest_), array, 0); }

  static constexpr std::size_t bytes_per_chain(std::int32_t arrays) { return kGroups * kSteps * arrays * sizeof(T); }

 private:
  __device__ __forceinline__ T* slot(std::int32_t group, std::int32_t array, std::int32_t step) const {
    const std::int32_t index = (group * kSteps + step) * arrays_ + array;
    return shared_ + index * static_cast<std::int32_t>(blockDim.x) + static_cast<std::int32_t>(threadIdx.x);
  }
  __device__ __forceinline__ static std::int32_t next(std::int32_t group) {
    return group + 1 < kGroups ? group + 1 : 0;
  }

  T* shared_;
  std::int32_t arrays_;
  std::int32_t oldest_ = 0;
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
