// What a .cu file sees under g++ in place of the CUDA headers: types, indices, synchronisation and warp functions under
// their CUDA names. Raw `__shared__` is left undefined on purpose: it would silently become a variable on the stack.
#pragma once

#include <vector_functions.h>
#include <vector_types.h>

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "executor/device_api.h"
#include "executor/executor.h"

#undef __shared__
#define __launch_bounds__(...)

/// Written by the scheduler whenever a thread gets its turn.
extern uint3 threadIdx;
extern uint3 blockIdx;
extern dim3 blockDim;
extern dim3 gridDim;

#define GRADSPIKE_SHARED(type, name, dims) \
  static char name##_site;                 \
  using name##_array = type dims;          \
  name##_array& name =                     \
      *static_cast<name##_array*>(::executor::shared_memory(&name##_site, sizeof(name##_array), alignof(type), #name))

#define GRADSPIKE_DYNAMIC_SHARED(type, name) type* const name = static_cast<type*>(::executor::dynamic_shared_memory())

// Default arguments are evaluated at the call, so these are the kernel's lines.
#define GRADSPIKE_HERE const char *file = __builtin_FILE(), int line = __builtin_LINE()

inline void __syncthreads(GRADSPIKE_HERE) {
  ::executor::block_barrier(::executor::BarrierKind::kPlain, 0, {file, line});
}
inline int __syncthreads_count(int predicate, GRADSPIKE_HERE) {
  return ::executor::block_barrier(::executor::BarrierKind::kCount, predicate, {file, line});
}
inline int __syncthreads_and(int predicate, GRADSPIKE_HERE) {
  return ::executor::block_barrier(::executor::BarrierKind::kAnd, predicate, {file, line});
}
inline int __syncthreads_or(int predicate, GRADSPIKE_HERE) {
  return ::executor::block_barrier(::executor::BarrierKind::kOr, predicate, {file, line});
}
inline void __syncwarp(unsigned mask = 0xFFFFFFFFU, GRADSPIKE_HERE) { ::executor::warp_barrier(mask, {file, line}); }
inline void __threadfence() { ::executor::fence(); }

inline unsigned __ballot_sync(unsigned mask, int predicate, GRADSPIKE_HERE) {
  return ::executor::warp_ballot(mask, predicate != 0, {file, line});
}
inline int __any_sync(unsigned mask, int predicate, GRADSPIKE_HERE) {
  return ::executor::warp_ballot(mask, predicate != 0, {file, line}) != 0 ? 1 : 0;
}
inline int __all_sync(unsigned mask, int predicate, GRADSPIKE_HERE) {
  return ::executor::warp_ballot(mask, predicate != 0, {file, line}) == mask ? 1 : 0;
}

namespace executor {

template <class T>
T shuffle_value(unsigned mask, T value, int source_lane, Position position) {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= sizeof(std::uint64_t), "shuffles carry 64 bits");
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  bits = warp_shuffle(mask, bits, source_lane, position);
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

}  // namespace executor

template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32, GRADSPIKE_HERE) {
  const int segment = ::executor::lane() & ~(width - 1);
  return ::executor::shuffle_value(mask, value, segment + (source & (width - 1)), {file, line});
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32, GRADSPIKE_HERE) {
  const int lane = ::executor::lane();
  const int source = lane + static_cast<int>(delta);
  const int end = (lane & ~(width - 1)) + width;
  return ::executor::shuffle_value(mask, value, source < end ? source : lane, {file, line});
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, GRADSPIKE_HERE) {
  const int lane = ::executor::lane();
  const int source = lane - static_cast<int>(delta);
  return ::executor::shuffle_value(mask, value, source >= (lane & ~(width - 1)) ? source : lane, {file, line});
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32, GRADSPIKE_HERE) {
  const int lane = ::executor::lane();
  const int source = lane ^ bits;
  return ::executor::shuffle_value(mask, value, source < (lane & ~(width - 1)) + width ? source : lane, {file, line});
}

#undef GRADSPIKE_HERE
