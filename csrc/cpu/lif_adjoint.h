// One step back in time of a tile of neurons, for the kernels that walk backwards over time.
#pragma once

#include "csrc/cpu/lif_tile.h"

namespace gradspike::kernels::GRADSPIKE_CPU_ISA {

/// Carried gradients of a tile, and the sums of the coefficient gradients where they are asked for.
template <class T>
struct TileAdjoint {
  TileAdjoint(std::int64_t count, bool coefficients)
      : current(count), membrane(count), sums(coefficients ? count * kNumSums : 0) {}

  static constexpr std::int64_t kNumSums = math::kNumCoefficientGradients;
  Buffer<T> current;
  Buffer<T> membrane;
  Buffer<T> sums;  // [count] of math::CoefficientGradients, flattened

  math::CoefficientGradients<T> load(std::int64_t e) {
    const T* s = sums.get() + e * kNumSums;
    return {s[0], s[1], s[2], s[3], s[4], s[5]};
  }
  void save(std::int64_t e, const math::CoefficientGradients<T>& g) {
    T* s = sums.get() + e * kNumSums;
    s[0] = g.input_gain;
    s[1] = g.leak_conductance;
    s[2] = g.current_decay;
    s[3] = g.leak;
    s[4] = g.reset;
    s[5] = g.threshold;
  }
};

template <class T>
inline void add_row(T* to, const T* from, std::int64_t count) {
  for (std::int64_t e = 0; from != nullptr && e < count; ++e) {
    to[e] = math::add(to[e], from[e]);
  }
}

/// Adds the gradients of step t to the carried ones; the final state counts as the traces of the last step.
template <class T>
inline void add_trace_gradients(TileAdjoint<T>& adjoint, const T* grad_current, const T* grad_membrane, std::int64_t at,
                                std::int64_t count) {
  add_row(adjoint.current.get(), offset(grad_current, at), count);
  add_row(adjoint.membrane.get(), offset(grad_membrane, at), count);
}

template <class T, class Kind, class Coefficients>
inline void lif_adjoint_row(const LifBackwardArgs<T>& args, Kind surrogate, TileAdjoint<T>& adjoint,
                            const Coefficients& c, const T* grad_spikes, T* grad_input, std::int64_t at,
                            std::int64_t count) {
  const T alpha = static_cast<T>(args.alpha);
  const T* __restrict__ saved = args.saved + at;
  T* __restrict__ current = adjoint.current.get();
  T* __restrict__ membrane = adjoint.membrane.get();
#pragma GCC ivdep
  for (std::int64_t e = 0; e < count; ++e) {
    math::LifAdjoint<T> carried{current[e], membrane[e]};
    const math::LifAdjointStep<T> step =
        math::lif_adjoint_step(carried, saved[e], grad_spikes[e], alpha, surrogate, c.at(e));
    current[e] = carried.current;
    membrane[e] = carried.membrane;
    grad_input[e] = step.input;
  }
}

/// The general row: measured data, coefficient gradients.
template <class T, class Coefficients>
inline void lif_adjoint_row_general(const LifBackwardArgs<T>& args, TileAdjoint<T>& adjoint,
                                    const Coefficients& coefficients, const T* grad_spikes, T* grad_input,
                                    std::int64_t t, std::int64_t begin, std::int64_t count) {
  const std::int64_t elements = args.batch * args.neuron;
  const std::int64_t at = t * elements + begin;
  const T alpha = static_cast<T>(args.alpha);
  for (std::int64_t e = 0; e < count; ++e) {
    const math::LifCoefficients<T> c = coefficients.at(e);
    math::LifAdjoint<T> carried{adjoint.current[e], adjoint.membrane[e]};
    const T grad_current = carried.current;
    const math::Measured<T> now{args.measured_spikes.at(t, elements, begin + e),
                                args.measured_membrane.at(t, elements, begin + e)};
    const bool measures = now.spike.given || now.membrane.given;
    const math::LifAdjointStep<T> step =
        measures ? math::lif_adjoint_step_measured(carried, args.saved[at + e], grad_spikes[e], alpha, args.surrogate,
                                                   c, now)
                 : math::lif_adjoint_step(carried, args.saved[at + e], grad_spikes[e], alpha, args.surrogate, c);
    if (args.grad_coefficients != nullptr) {
      const std::int64_t before = at - elements + e;  // element at t - 1
      const T* initial = args.initial_state;
      const T i = t > 0 ? args.current[before]
                        : (initial == nullptr ? T{0} : initial[math::kStateCurrent * elements + begin + e]);
      const T v =
          t > 0 ? math::membrane_after_reset(args.saved[before], c,
                                             math::Measured<T>{args.measured_spikes.at(t - 1, elements, begin + e),
                                                               args.measured_membrane.at(t - 1, elements, begin + e)})
                : (initial == nullptr ? c.leak : initial[math::kStateMembrane * elements + begin + e]);
      math::CoefficientGradients<T> sums = adjoint.load(e);
      sums.accumulate(step, i, v, grad_current, c);
      adjoint.save(e, sums);
    }
    adjoint.current[e] = carried.current;
    adjoint.membrane[e] = carried.membrane;
    grad_input[e] = step.input;
  }
}

/// Writes what is left at t = 0: gradients to the initial state and the summed coefficient gradients.
template <class T>
inline void finish_tile(TileAdjoint<T>& adjoint, const T* initial_state, T* grad_initial_state, T* grad_coefficients,
                        std::int64_t elements, std::int64_t begin, std::int64_t count, bool fires) {
  if (grad_initial_state != nullptr) {
    TileState<T>::copy(grad_initial_state + math::kStateCurrent * elements + begin, adjoint.current.get(), count);
    TileState<T>::copy(grad_initial_state + math::kStateMembrane * elements + begin, adjoint.membrane.get(), count);
    for (std::int64_t e = 0; fires && e < count; ++e) {
      grad_initial_state[math::kStateRefractory * elements + begin + e] = T{0};
    }
  }
  for (std::int64_t e = 0; grad_coefficients != nullptr && e < count; ++e) {
    math::CoefficientGradients<T> sums = adjoint.load(e);
    if (initial_state == nullptr) {
      sums.leak = math::add(sums.leak, adjoint.membrane[e]);
    }
    adjoint.save(e, sums);
    for (std::int64_t row = 0; row < math::kNumCoefficientGradients; ++row) {
      grad_coefficients[row * elements + begin + e] = adjoint.sums[e * TileAdjoint<T>::kNumSums + row];
    }
  }
}

}  // namespace gradspike::kernels::GRADSPIKE_CPU_ISA
