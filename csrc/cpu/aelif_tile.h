// Tiles of aelif: those of lif with the coefficients and the state of the adaptation and the exponential.
#pragma once

#include "csrc/cpu/lif_tile.h"
#include "csrc/kernels/aelif.h"

namespace gradspike::kernels::GRADSPIKE_CPU_ISA {

/// Coefficients of one row of a tile. A row has its own copy, so that loops over it keep the uniform ones in registers.
template <class T, bool kUniform>
struct AdexRowCoefficients {
  math::AdexCoefficients<T> uniform;
  const T* spread;  // [row, element]
  std::int64_t count;

  GRADSPIKE_HD math::AdexCoefficients<T> at(std::int64_t e) const {
    if constexpr (kUniform) {
      return uniform;
    } else {
      return adex_coefficients<T>([&](std::int64_t row) { return spread[row * count + e]; });
    }
  }
};

/// Coefficients of a tile: one set where they are uniform, else spread over the elements so that loops run through.
template <class T, bool kUniform>
class AdexTileCoefficients {
 public:
  AdexTileCoefficients(const CoefficientTable<T>& table, std::int64_t neurons, std::int64_t begin, std::int64_t count)
      : spread_(kUniform ? 0 : math::kNumAdexCoefficients * count),
        row_{adex_coefficients(table, 0), spread_.get(), count} {
    if constexpr (!kUniform) {
      spread_rows(spread_.get(), table, 0, math::kNumAdexCoefficients, neurons, begin, count);
    }
  }

  AdexRowCoefficients<T, kUniform> row() const { return row_; }
  GRADSPIKE_HD math::AdexCoefficients<T> at(std::int64_t e) const { return row_.at(e); }

 private:
  Buffer<T> spread_;
  AdexRowCoefficients<T, kUniform> row_;
};

/// State of a tile, structure of arrays.
template <class T>
struct AdexTileState : TileState<T> {
  explicit AdexTileState(std::int64_t count) : TileState<T>(count), adaptation(count) {}

  template <class Coefficients>
  void initialise(const AdexForwardArgs<T>& args, std::int64_t begin, std::int64_t count, const Coefficients& c) {
    const std::int64_t elements = args.batch * args.neuron;
    if (args.initial_state != nullptr || args.terms.starts_at_leak()) {
      TileState<T>::initialise(args.initial_state, elements, begin, count, true, c);
    }
    if (args.initial_state != nullptr) {
      this->copy(adaptation.get(), args.initial_state + math::kStateAdaptation * elements + begin, count);
    }
  }

  void store(T* final_state, std::int64_t elements, std::int64_t begin, std::int64_t count) {
    TileState<T>::store(final_state, elements, begin, count, true);
    this->copy(final_state + math::kStateAdaptation * elements + begin, adaptation.get(), count);
  }

  Buffer<T> adaptation;
};

}  // namespace gradspike::kernels::GRADSPIKE_CPU_ISA
