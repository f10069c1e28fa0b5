// Loads and stores of several neighbouring elements at once, with the alignment that they need.
#pragma once

#include <cstdint>

namespace gradspike::device {
inline namespace GRADSPIKE_CUDA_BUILD {

/// Whether load_four may read four elements at once: all rows start at multiples of them.
template <class X>
bool rows_are_wide(const X* data, std::int64_t row_length) {
  return row_length % 4 == 0 && reinterpret_cast<std::uintptr_t>(data) % (4 * sizeof(X)) == 0;
}

/// Elements first..first+3 of a row of `length`; 0 beyond its end. `wide` is rows_are_wide, and `first` a multiple
/// of 4.
template <class X>
__device__ __forceinline__ void load_four(const X* __restrict__ row, std::int64_t first, std::int64_t length, bool wide,
                                          X (&values)[4]) {
  struct alignas(4 * sizeof(X)) Four {
    X value[4];
  };
  if (wide && first < length) {
    const Four four = *reinterpret_cast<const Four*>(row + first);
#pragma unroll
    for (std::int32_t i = 0; i < 4; ++i) {
      values[i] = four.value[i];
    }
  } else {
#pragma unroll
    for (std::int32_t i = 0; i < 4; ++i) {
      values[i] = first + i < length ? row[first + i] : X{0};
    }
  }
}

/// data[at] and data[at + 1] where they are inside. `wide`: `at` is even and `data` aligned to two elements.
template <class T>
__device__ __forceinline__ void store_pair(T* data, std::int64_t at, bool wide, const bool (&inside)[2],
                                           const T (&value)[2]) {
  struct alignas(2 * sizeof(T)) Pair {
    T value[2];
  };
  if (wide && inside[1]) {
    *reinterpret_cast<Pair*>(data + at) = Pair{{value[0], value[1]}};
  } else {
#pragma unroll
    for (std::int32_t j = 0; j < 2; ++j) {
      if (inside[j]) {
        data[at + j] = value[j];
      }
    }
  }
}

}  // namespace GRADSPIKE_CUDA_BUILD
}  // namespace gradspike::device
