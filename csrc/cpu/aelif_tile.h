// Tiles of aelif: those of lif with the coefficients and the state of the adaptation and the exponential.
#pragma once

#include "csrc/cpu/lif_tile.h"
#include "csrc/kernels/aelif.h"

namespace gradspike::kernels::GRADSPIKE_CPU_ISA {

/// Coefficients of a tile, as TileCoefficients has them.
template <class T, bool kUniform>
class AdexTileCoefficients {
 public:
  AdexTileCoefficients(const CoefficientTable<T>& table, std::int64_t neurons, std::int64_t begin, std::int64_t count)
      : lif_(table, neurons, begin, count),
        spread_(kUniform ? 0 : kRows * count),
        count_(count),
        uniform_(adex_coefficients(table, 0)) {
    if constexpr (!kUniform) {
      spread_rows(spread_.get(), table, math::kNumLifCoefficients, kRows, neurons, begin, count);
      rows_ = spread_.get();
    }
  }

  GRADSPIKE_HD math::AdexCoefficients<T> at(std::int64_t e) const {
    if constexpr (kUniform) {
      return uniform_;
    } else {
      return adex_coefficients<T>(
          lif_.at(e), [&](std::int64_t row) { return rows_[(row - math::kNumLifCoefficients) * count_ + e]; });
    }
  }

 private:
  static constexpr std::int64_t kRows = math::kNumAdexCoefficients - math::kNumLifCoefficients;
  TileCoefficients<T, true, kUniform> lif_;
  Buffer<T> spread_;
  std::int64_t count_;
  math::AdexCoefficients<T> uniform_;
  const T* rows_ = nullptr;
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
