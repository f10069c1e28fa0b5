// Copies from global to shared memory that go on while the thread computes. A thread waits for its own copies; others
// see them after a barrier that follows the wait.
#pragma once

#include <cstdint>

namespace gradspike::device {
inline namespace GRADSPIKE_CUDA_BUILD {

#if defined(__CUDACC__)

/// Copies kBytes (4, 8 or 16, both sides aligned to them), or writes zeros where `inside` is false; `global` is then
/// not read, but must be a valid pointer.
template <std::int32_t kBytes>
__device__ __forceinline__ void async_copy(void* shared, const void* global, bool inside) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
  std::uint32_t words[kBytes / 4] = {};
  if (inside) {
    memcpy(words, __builtin_assume_aligned(global, kBytes), kBytes);
  }
  memcpy(__builtin_assume_aligned(shared, kBytes), words, kBytes);
#else
  const unsigned target = static_cast<unsigned>(__cvta_generic_to_shared(shared));
  const std::size_t source = __cvta_generic_to_global(global);
  const std::int32_t bytes = inside ? kBytes : 0;
  if constexpr (kBytes == 16) {  // past L1: every such line is read once per block
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(target), "l"(source), "r"(bytes) : "memory");
  } else {
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(target), "l"(source), "n"(kBytes), "r"(bytes)
                 : "memory");
  }
#endif
}

/// Ends this thread's group of copies.
__device__ __forceinline__ void async_copy_commit() {
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

/// Waits for all but the kPending youngest groups of this thread.
template <std::int32_t kPending>
__device__ __forceinline__ void async_copy_wait() {
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
#endif
}

#else

template <std::int32_t kBytes>
void async_copy(void* shared, const void* global, bool inside, const char* file = __builtin_FILE(),
                int line = __builtin_LINE()) {
  ::executor::async_copy(shared, inside ? global : nullptr, kBytes, {file, line});
}
inline void async_copy_commit() { ::executor::async_copy_commit(); }
template <std::int32_t kPending>
void async_copy_wait() {
  ::executor::async_copy_wait(kPending);
}

#endif

}  // namespace GRADSPIKE_CUDA_BUILD
}  // namespace gradspike::device
