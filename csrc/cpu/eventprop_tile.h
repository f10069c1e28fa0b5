// Coefficients of eventprop_lif over a tile of (batch, neuron) elements.
#pragma once

#include "csrc/cpu/lif_tile.h"
#include "csrc/kernels/eventprop.h"

namespace gradspike::kernels::GRADSPIKE_CPU_ISA {

/// One set where they are uniform, else spread over the elements so that loops run through.
template <class T, bool kUniform>
class TileEventPropCoefficients {
 public:
  TileEventPropCoefficients(const EventPropTable<T>& table, std::int64_t neurons, std::int64_t begin,
                            std::int64_t count)
      : spread_(kUniform ? 0 : kRows * count), count_(count), uniform_(table.at(0)) {
    for (std::int64_t row = 0; !kUniform && row < kRows; ++row) {
      std::int64_t neuron = begin % neurons;
      for (std::int64_t e = 0; e < count; ++e) {
        spread_[row * count + e] = table.data[row * table.columns + neuron];
        neuron = neuron + 1 == neurons ? 0 : neuron + 1;
      }
    }
    rows_ = spread_.get();
  }

  math::EventPropCoefficients<T> at(std::int64_t e) const {
    if constexpr (kUniform) {
      return uniform_;
    } else {
      const auto row = [&](std::int64_t index) { return rows_[index * count_ + e]; };
      return {row(math::kEventPropMembraneGain), row(math::kEventPropMembraneDecay), row(math::kEventPropCurrentGain),
              row(math::kEventPropCurrentDecay), row(math::kEventPropTauSyn),        row(math::kEventPropLeak),
              row(math::kEventPropReset),        row(math::kEventPropThreshold)};
    }
  }

 private:
  static constexpr std::int64_t kRows = math::kNumEventPropCoefficients;
  Buffer<T> spread_;
  std::int64_t count_;
  math::EventPropCoefficients<T> uniform_;
  const T* rows_ = nullptr;
};

}  // namespace gradspike::kernels::GRADSPIKE_CPU_ISA
