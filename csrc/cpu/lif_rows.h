// One time step of a contiguous run of LIF neurons, per instruction set.
#pragma once

#include "csrc/cpu/lif_tile.h"

namespace gradspike::kernels::GRADSPIKE_CPU_ISA {

/// State of a run of neurons.
template <class T>
struct StateRow {
  T* current;
  T* membrane;
  T* refractory;
};

template <class T, bool kRefractory, bool kSpikes, bool kSaved, class Coefficients>
inline void lif_row(const T* __restrict__ x, T* __restrict__ spikes, T* __restrict__ saved,
                    const StateRow<T>& state_row, const Coefficients c, std::int64_t count) {
  T* __restrict__ current = state_row.current;
  T* __restrict__ membrane = state_row.membrane;
  T* __restrict__ refractory = state_row.refractory;
#pragma GCC ivdep
  for (std::int64_t e = 0; e < count; ++e) {
    math::LifState<T> state{current[e], membrane[e], kRefractory ? refractory[e] : T{0}};
    const math::LifStep<T> step = math::lif_step<kRefractory>(state, x[e], c.at(e));
    current[e] = state.current;
    membrane[e] = state.membrane;
    if constexpr (kRefractory) {
      refractory[e] = state.refractory;
    }
    if constexpr (kSpikes) {
      spikes[e] = step.spike;
    }
    if constexpr (kSaved) {
      saved[e] = step.saved;
    }
  }
}

/// What is not null is written.
template <class T, bool kRefractory, class Coefficients>
inline void lif_row_sinks(const T* x, T* spikes, T* saved, const StateRow<T>& row, const Coefficients c,
                          std::int64_t count) {
  if (spikes != nullptr && saved != nullptr) {
    lif_row<T, kRefractory, true, true>(x, spikes, saved, row, c, count);
  } else if (spikes != nullptr) {
    lif_row<T, kRefractory, true, false>(x, spikes, saved, row, c, count);
  } else if (saved != nullptr) {
    lif_row<T, kRefractory, false, true>(x, spikes, saved, row, c, count);
  } else {
    lif_row<T, kRefractory, false, false>(x, spikes, saved, row, c, count);
  }
}

template <class T, class Coefficients>
inline void lif_row_measured(const T* x, const T* measured_spikes, const T* measured_membrane, T* spikes, T* saved,
                             const StateRow<T>& row, const Coefficients c, std::int64_t count) {
  for (std::int64_t e = 0; e < count; ++e) {
    math::LifState<T> state{row.current[e], row.membrane[e], row.refractory[e]};
    const math::Measured<T> measured{math::measured_value(offset(measured_spikes, e)),
                                     math::measured_value(offset(measured_membrane, e))};
    const math::LifStep<T> step = math::lif_step_measured(state, x[e], c.at(e), measured);
    row.current[e] = state.current;
    row.membrane[e] = state.membrane;
    row.refractory[e] = state.refractory;
    if (spikes != nullptr) {
      spikes[e] = step.spike;
    }
    if (saved != nullptr) {
      saved[e] = step.saved;
    }
  }
}

/// The step in the form that fits: `measured_*` are null where nothing was measured at this step.
/// `spikes` and `saved` are null where nobody asked for them.
template <class T, class Coefficients>
inline void lif_row_any(bool refractory, const T* x, const T* measured_spikes, const T* measured_membrane, T* spikes,
                        T* saved, const StateRow<T>& row, const Coefficients c, std::int64_t count) {
  if (measured_spikes != nullptr || measured_membrane != nullptr) {
    lif_row_measured(x, measured_spikes, measured_membrane, spikes, saved, row, c, count);
  } else if (refractory) {
    lif_row_sinks<T, true>(x, spikes, saved, row, c, count);
  } else {
    lif_row_sinks<T, false>(x, spikes, saved, row, c, count);
  }
}

}  // namespace gradspike::kernels::GRADSPIKE_CPU_ISA
