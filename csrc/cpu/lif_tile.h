// Tiles of (batch, neuron) elements whose state stays in cache while a kernel walks over time.
#pragma once

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

#include "csrc/cpu/isa_local.h"
#include "csrc/kernels/lif.h"

namespace gradspike::kernels::GRADSPIKE_CPU_ISA {

// Elements per tile: long contiguous runs at every time step, with state (and coefficients, where they differ from
// neuron to neuron) within a second-level cache of 512 kB.
constexpr std::int64_t kUniformTile = 16384;
constexpr std::int64_t kHeterogeneousTile = 4096;
constexpr std::int64_t kSmallestTile = 1024;

template <class F>
inline void for_each_tile(const CpuExec& exec, std::int64_t elements, bool uniform, F&& body) {
  const std::int64_t largest = uniform ? kUniformTile : kHeterogeneousTile;
  const std::int64_t share = (elements + exec.num_threads - 1) / larger(1, exec.num_threads);
  const std::int64_t tile = smaller(largest, larger(kSmallestTile, (share + 63) / 64 * 64));
  exec.for_each_range((elements + tile - 1) / tile, 1, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t k = first; k < last; ++k) {
      body(k * tile, smaller(elements, (k + 1) * tile));
    }
  });
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

/// Coefficients of a tile: one set where they are uniform, else spread over the elements so that loops run through.
template <class T, bool kFires, bool kUniform>
class TileCoefficients {
 public:
  TileCoefficients(const CoefficientTable<T>& table, std::int64_t neurons, std::int64_t begin, std::int64_t count)
      : spread_(kUniform ? 0 : kRows * count), count_(count), uniform_(table.template at<kFires>(0)) {
    if constexpr (!kUniform) {
      for (std::int64_t row = 0; row < kRows; ++row) {
        std::int64_t neuron = begin % neurons;
        for (std::int64_t e = 0; e < count; ++e) {
          spread_[row * count + e] = table.data[row * table.columns + neuron];
          neuron = neuron + 1 == neurons ? 0 : neuron + 1;
        }
      }
      rows_ = spread_.get();
    }
  }

  /// The coefficients of a run of elements that starts at `first`.
  class Run {
   public:
    Run(const TileCoefficients& all, std::int64_t first) : all_(all), first_(first) {}
    GRADSPIKE_HD math::LifCoefficients<T> at(std::int64_t e) const { return all_.at(first_ + e); }

   private:
    const TileCoefficients& all_;
    std::int64_t first_;
  };
  Run from(std::int64_t first) const { return {*this, first}; }

  GRADSPIKE_HD math::LifCoefficients<T> at(std::int64_t e) const {
    if constexpr (kUniform) {
      return uniform_;
    } else {
      math::LifCoefficients<T> c{};
      c.input_gain = rows_[math::kInputGain * count_ + e];
      c.leak_conductance = rows_[math::kLeakConductance * count_ + e];
      c.current_decay = rows_[math::kCurrentDecay * count_ + e];
      c.leak = rows_[math::kLeak * count_ + e];
      if constexpr (kFires) {
        c.reset = rows_[math::kReset * count_ + e];
        c.threshold = rows_[math::kThreshold * count_ + e];
        c.refractory_steps = rows_[math::kRefractorySteps * count_ + e];
      }
      return c;
    }
  }

 private:
  static constexpr std::int64_t kRows = kFires ? math::kNumLifCoefficients : math::kNumLiCoefficients;
  Buffer<T> spread_;
  std::int64_t count_;
  math::LifCoefficients<T> uniform_;
  const T* rows_ = nullptr;
};

/// State of a tile, structure of arrays.
template <class T>
struct TileState {
  explicit TileState(std::int64_t count) : current(count), membrane(count), refractory(count) {}

  template <class Coefficients>
  void initialise(const T* initial, std::int64_t elements, std::int64_t begin, std::int64_t count, bool fires,
                  const Coefficients& c) {
    if (initial == nullptr) {
      for (std::int64_t e = 0; e < count; ++e) {
        membrane[e] = c.at(e).leak;
      }
      return;
    }
    copy(current.get(), initial + math::kStateCurrent * elements + begin, count);
    copy(membrane.get(), initial + math::kStateMembrane * elements + begin, count);
    if (fires) {
      copy(refractory.get(), initial + math::kStateRefractory * elements + begin, count);
    }
  }

  void store(T* final_state, std::int64_t elements, std::int64_t begin, std::int64_t count, bool fires) {
    copy(final_state + math::kStateCurrent * elements + begin, current.get(), count);
    copy(final_state + math::kStateMembrane * elements + begin, membrane.get(), count);
    if (fires) {
      copy(final_state + math::kStateRefractory * elements + begin, refractory.get(), count);
    }
  }

  static void copy(T* to, const T* from, std::int64_t count) {
    std::memcpy(to, from, static_cast<std::size_t>(count) * sizeof(T));
  }

  Buffer<T> current;
  Buffer<T> membrane;
  Buffer<T> refractory;
};

template <class T>
inline const T* offset(const T* data, std::int64_t at) {
  return data == nullptr ? nullptr : data + at;
}

}  // namespace gradspike::kernels::GRADSPIKE_CPU_ISA
