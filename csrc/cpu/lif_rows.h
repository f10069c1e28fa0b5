// One time step of a tile of LIF neurons, for the kernels that walk over time.
#pragma once

#include "csrc/cpu/lif_tile.h"

namespace gradspike::kernels::GRADSPIKE_CPU_ISA {

/// Whether a neuron can be refractory at any time.
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

/// One time step of a tile.
template <class T, bool kRefractory, class Coefficients>
inline void lif_row(const T* __restrict__ x, T* __restrict__ spikes, T* __restrict__ saved, T* __restrict__ current,
                    T* __restrict__ membrane, T* __restrict__ refractory, const Coefficients& c, std::int64_t count) {
#pragma GCC ivdep
  for (std::int64_t e = 0; e < count; ++e) {
    math::LifState<T> state{current[e], membrane[e], kRefractory ? refractory[e] : T{0}};
    const math::LifStep<T> step = math::lif_step<kRefractory>(state, x[e], c.at(e));
    current[e] = state.current;
    membrane[e] = state.membrane;
    if constexpr (kRefractory) {
      refractory[e] = state.refractory;
    }
    spikes[e] = step.spike;
    saved[e] = step.saved;
  }
}

template <class T, class Coefficients>
inline void lif_row_measured(const T* x, const T* measured_spikes, const T* measured_membrane, T* spikes, T* saved,
                             TileState<T>& tile, const Coefficients& c, std::int64_t count) {
  for (std::int64_t e = 0; e < count; ++e) {
    math::LifState<T> state{tile.current[e], tile.membrane[e], tile.refractory[e]};
    const math::Measured<T> measured{math::measured_value(offset(measured_spikes, e)),
                                     math::measured_value(offset(measured_membrane, e))};
    const math::LifStep<T> step = math::lif_step_measured(state, x[e], c.at(e), measured);
    tile.current[e] = state.current;
    tile.membrane[e] = state.membrane;
    tile.refractory[e] = state.refractory;
    spikes[e] = step.spike;
    saved[e] = step.saved;
  }
}

}  // namespace gradspike::kernels::GRADSPIKE_CPU_ISA
