// Helpers of the kernel files that are compiled once per instruction set (GRADSPIKE_CPU_ISA names it).
//
// Everything here lives in a namespace of that instruction set: an inline function shared between differently compiled
// files could be merged by the linker into the copy that uses instructions which the machine lacks.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

#ifndef GRADSPIKE_CPU_ISA
#error "GRADSPIKE_CPU_ISA names the instruction set that this file is compiled for"
#endif

namespace gradspike::kernels::GRADSPIKE_CPU_ISA {

/// A zeroed array of trivial type, aligned to a cache line.
template <class T>
class Buffer {
 public:
  explicit Buffer(std::int64_t count) {
    const std::size_t bytes = (static_cast<std::size_t>(count) * sizeof(T) + 63) / 64 * 64;
    data_ = static_cast<T*>(std::aligned_alloc(64, bytes == 0 ? 64 : bytes));
    if (data_ == nullptr) {
      throw std::bad_alloc();
    }
    std::memset(static_cast<void*>(data_), 0, bytes);
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() { std::free(data_); }

  T* get() { return data_; }
  const T* get() const { return data_; }
  T& operator[](std::int64_t i) { return data_[i]; }
  const T& operator[](std::int64_t i) const { return data_[i]; }

 private:
  T* data_;
};

inline __attribute__((always_inline)) std::int64_t smaller(std::int64_t a, std::int64_t b) { return a < b ? a : b; }
inline __attribute__((always_inline)) std::int64_t larger(std::int64_t a, std::int64_t b) { return a > b ? a : b; }

/// Asks for memory that is read soon: rows are too short, and too far apart, for the
/// processor to guess. An address that is nobody's does nothing.
inline __attribute__((always_inline)) void prefetch_row(std::uintptr_t address, std::uintptr_t bytes) {
  for (std::uintptr_t at = 0; at < bytes; at += 64) {
    __builtin_prefetch(reinterpret_cast<const void*>(address + at));
  }
}

template <class T>
inline __attribute__((always_inline)) void prefetch_ahead(const T* data, std::int64_t ahead, std::int64_t count) {
  if (data != nullptr) {
    prefetch_row(reinterpret_cast<std::uintptr_t>(data) + static_cast<std::uintptr_t>(ahead) * sizeof(T),
                 static_cast<std::uintptr_t>(count) * sizeof(T));
  }
}

/// Results from this size on are written past the caches, whose lines would have to be read first and would be evicted
/// before anybody uses them.
constexpr std::int64_t kStreamedBytes = std::int64_t{1} << 23;

/// Copies a row of results; `streamed` writes past the caches where rows lie on cache lines. Whoever streams calls
/// finish_streams() before the results are handed on.
template <class T>
inline void store_row(T* to, const T* from, std::int64_t count, bool streamed) {
#if defined(__AVX512F__)
  const std::int64_t bytes = count * static_cast<std::int64_t>(sizeof(T));
  if (streamed && reinterpret_cast<std::uintptr_t>(to) % 64 == 0 && bytes % 64 == 0) {
    for (std::int64_t at = 0; at < bytes; at += 64) {
      _mm512_stream_si512(reinterpret_cast<__m512i*>(reinterpret_cast<char*>(to) + at),
                          _mm512_loadu_si512(reinterpret_cast<const char*>(from) + at));
    }
    return;
  }
#else
  (void)streamed;
#endif
  std::memcpy(to, from, static_cast<std::size_t>(count) * sizeof(T));
}
inline void finish_streams() {
#if defined(__AVX512F__)
  _mm_sfence();
#endif
}

}  // namespace gradspike::kernels::GRADSPIKE_CPU_ISA
