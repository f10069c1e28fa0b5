// Tiles of (batch, neuron) elements whose state stays in cache while a kernel walks over time.
#pragma once

#include "csrc/cpu/isa_local.h"
#include "csrc/kernels/lif.h"

namespace gradspike::kernels::GRADSPIKE_CPU_ISA {

// Elements per tile: long contiguous runs at every time step, with state (and coefficients, where they differ from
// neuron to neuron) within a second-level cache of 512 kB.
constexpr std::int64_t kUniformTile = 4096;
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

/// Writes `rows` rows of the table from `first_row` on, [row, element], for `count` elements from `begin` on.
template <class T>
inline void spread_rows(T* spread, const CoefficientTable<T>& table, std::int64_t first_row, std::int64_t rows,
                        std::int64_t neurons, std::int64_t begin, std::int64_t count) {
  for (std::int64_t row = 0; row < rows; ++row) {
    std::int64_t neuron = begin % neurons;
    for (std::int64_t e = 0; e < count; ++e) {
      spread[row * count + e] = table.data[(first_row + row) * table.columns + neuron];
      neuron = neuron + 1 == neurons ? 0 : neuron + 1;
    }
  }
}

/// Whether any neuron is refractory for at least a step, now or after a spike. Kernels without counters are faster.
template <class T>
inline bool has_refractory(const CoefficientTable<T>& table, const T* initial_state, std::int64_t elements) {
  for (std::int64_t n = 0; n < table.columns; ++n) {
    if (table.data[math::kRefractorySteps * table.columns + n] != T{0}) {
      return true;
    }
  }
  for (std::int64_t e = 0; initial_state != nullptr && e < elements; ++e) {
    if (initial_state[math::kStateRefractory * elements + e] != T{0}) {
      return true;
    }
  }
  return false;
}

/// Coefficients of a run of elements.
template <class T, bool kFires, bool kUniform>
struct Run {
  math::LifCoefficients<T> uniform;
  const T* rows;  // [coefficient][stride] where not uniform
  std::int64_t stride;

  GRADSPIKE_HD math::LifCoefficients<T> at(std::int64_t e) const {
    if constexpr (kUniform) {
      return uniform;
    } else {
      math::LifCoefficients<T> c{};
      c.input_gain = rows[math::kInputGain * stride + e];
      c.leak_conductance = rows[math::kLeakConductance * stride + e];
      c.current_decay = rows[math::kCurrentDecay * stride + e];
      c.leak = rows[math::kLeak * stride + e];
      if constexpr (kFires) {
        c.reset = rows[math::kReset * stride + e];
        c.threshold = rows[math::kThreshold * stride + e];
        c.refractory_steps = rows[math::kRefractorySteps * stride + e];
      }
      return c;
    }
  }
};

/// Coefficients of a tile: one set where they are uniform, else spread over the elements so that loops run through.
template <class T, bool kFires, bool kUniform>
class TileCoefficients {
 public:
  TileCoefficients(const CoefficientTable<T>& table, std::int64_t neurons, std::int64_t begin, std::int64_t count)
      : spread_(kUniform ? 0 : kRows * count), count_(count), uniform_(table.template at<kFires>(0)) {
    if constexpr (!kUniform) {
      spread_rows(spread_.get(), table, 0, kRows, neurons, begin, count);
      rows_ = spread_.get();
    }
  }

  /// The coefficients of a run of elements that starts at `first`, by value: no store can change them.
  Run<T, kFires, kUniform> from(std::int64_t first) const { return {uniform_, rows_ + (kUniform ? 0 : first), count_}; }

  GRADSPIKE_HD math::LifCoefficients<T> at(std::int64_t e) const { return from(0).at(e); }

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

/// Adds a row; nothing where it is null.
template <class T>
inline void add_row(T* to, const T* from, std::int64_t count) {
  for (std::int64_t e = 0; from != nullptr && e < count; ++e) {
    to[e] = math::add(to[e], from[e]);
  }
}

}  // namespace gradspike::kernels::GRADSPIKE_CPU_ISA
