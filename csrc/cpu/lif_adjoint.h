// One time step of the adjoint of a contiguous run of LIF neurons, per instruction set.
#pragma once

#include "csrc/cpu/lif_tile.h"

namespace gradspike::kernels::GRADSPIKE_CPU_ISA {

/// Gradients that a tile carries backwards in time, and the sums of the coefficient gradients where they are asked for.
template <class T>
struct TileAdjoint {
  TileAdjoint(std::int64_t num_elements, bool coefficients)
      : count(num_elements),
        current(num_elements),
        membrane(num_elements),
        sums(coefficients ? num_elements * math::kNumCoefficientGradients : 0) {}

  math::CoefficientGradients<T> load(std::int64_t e) const {
    const T* s = sums.get() + e;
    return {s[0], s[count], s[2 * count], s[3 * count], s[4 * count], s[5 * count]};
  }
  void save(std::int64_t e, const math::CoefficientGradients<T>& g) {
    T* s = sums.get() + e;
    s[0] = g.input_gain;
    s[count] = g.leak_conductance;
    s[2 * count] = g.current_decay;
    s[3 * count] = g.leak;
    s[4 * count] = g.reset;
    s[5 * count] = g.threshold;
  }

  std::int64_t count;
  Buffer<T> current;
  Buffer<T> membrane;
  Buffer<T> sums;  // [kNumCoefficientGradients][count]
};

/// What the adjoint of one step reads, from element `first` of the tile on.
template <class T>
struct AdjointStepRow {
  const T* saved;
  const T* grad_spikes;
  const T* measured_spikes;    // or null
  const T* measured_membrane;  // or null
  const T* current_before;     // i and v of the step before: for coefficient gradients alone
  const T* membrane_before;
  T* grad_input;
};

template <class T, class Kind, class Coefficients>
inline void lif_adjoint_row(Kind surrogate, T alpha, TileAdjoint<T>& adjoint, std::int64_t first, const Coefficients c,
                            const AdjointStepRow<T>& row, std::int64_t count) {
  const T* __restrict__ saved = row.saved;
  const T* __restrict__ grad_spikes = row.grad_spikes;
  T* __restrict__ grad_input = row.grad_input;
  T* __restrict__ current = adjoint.current.get() + first;
  T* __restrict__ membrane = adjoint.membrane.get() + first;
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
template <class T, class Kind, class Coefficients>
inline void lif_adjoint_row_general(Kind surrogate, math::Surrogate named, T alpha, TileAdjoint<T>& adjoint,
                                    std::int64_t first, const Coefficients coefficients, const AdjointStepRow<T>& row,
                                    std::int64_t count) {
  const bool measures = row.measured_spikes != nullptr || row.measured_membrane != nullptr;
  for (std::int64_t e = 0; e < count; ++e) {
    const math::LifCoefficients<T> c = coefficients.at(e);
    math::LifAdjoint<T> carried{adjoint.current[first + e], adjoint.membrane[first + e]};
    const T grad_current = carried.current;
    math::LifAdjointStep<T> step;
    if (measures) {
      const math::Measured<T> now{math::measured_value(offset(row.measured_spikes, e)),
                                  math::measured_value(offset(row.measured_membrane, e))};
      step = math::lif_adjoint_step_measured(carried, row.saved[e], row.grad_spikes[e], alpha, named, c, now);
    } else {
      step = math::lif_adjoint_step(carried, row.saved[e], row.grad_spikes[e], alpha, surrogate, c);
    }
    if (row.membrane_before != nullptr) {
      math::CoefficientGradients<T> sums = adjoint.load(first + e);
      sums.accumulate(step, row.current_before[e], row.membrane_before[e], grad_current, c);
      adjoint.save(first + e, sums);
    }
    adjoint.current[first + e] = carried.current;
    adjoint.membrane[first + e] = carried.membrane;
    row.grad_input[e] = step.input;
  }
}

/// The step in the form that fits.
template <class T, class Coefficients>
inline void lif_adjoint_row_any(math::Surrogate named, T alpha, TileAdjoint<T>& adjoint, std::int64_t first,
                                const Coefficients c, const AdjointStepRow<T>& row, std::int64_t count) {
  const bool general =
      row.membrane_before != nullptr || row.measured_spikes != nullptr || row.measured_membrane != nullptr;
  math::with_surrogate(named, [&](auto surrogate) {
    if (general) {
      lif_adjoint_row_general(surrogate, named, alpha, adjoint, first, c, row, count);
    } else {
      lif_adjoint_row(surrogate, alpha, adjoint, first, c, row, count);
    }
  });
}

/// v of a step from its saved row, after the reset.
template <class T, class Coefficients>
inline void membrane_row(T* membrane, const T* saved, const T* measured_spikes, const T* measured_membrane,
                         const Coefficients c, std::int64_t count) {
  for (std::int64_t e = 0; e < count; ++e) {
    membrane[e] = math::membrane_after_reset(saved[e], c.at(e),
                                             math::Measured<T>{math::measured_value(offset(measured_spikes, e)),
                                                               math::measured_value(offset(measured_membrane, e))});
  }
}

/// Without an initial state the gradient that is left in the membrane belongs to the leak.
template <class T>
inline void add_initial_leak(TileAdjoint<T>& adjoint) {
  for (std::int64_t e = 0; e < adjoint.count; ++e) {
    math::CoefficientGradients<T> sums = adjoint.load(e);
    sums.leak = math::add(sums.leak, adjoint.membrane[e]);
    adjoint.save(e, sums);
  }
}

/// Adds the gradients of step t to the carried ones; the final state counts as the traces of the last step.
template <class T>
inline void add_trace_gradients(TileAdjoint<T>& adjoint, const T* grad_current, const T* grad_membrane, std::int64_t at,
                                std::int64_t count) {
  add_row(adjoint.current.get(), offset(grad_current, at), count);
  add_row(adjoint.membrane.get(), offset(grad_membrane, at), count);
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
  if (grad_coefficients == nullptr) {
    return;
  }
  if (initial_state == nullptr) {
    add_initial_leak(adjoint);
  }
  for (std::int64_t row = 0; row < math::kNumCoefficientGradients; ++row) {
    TileState<T>::copy(grad_coefficients + row * elements + begin, adjoint.sums.get() + row * count, count);
  }
}

/// i and v before the first step.
template <class T, class Coefficients>
inline void initial_rows(const T* initial, std::int64_t elements, std::int64_t begin, std::int64_t count,
                         const Coefficients& c, const T* zeros, T* leaks, AdjointStepRow<T>& row) {
  if (initial != nullptr) {
    row.current_before = initial + math::kStateCurrent * elements + begin;
    row.membrane_before = initial + math::kStateMembrane * elements + begin;
    return;
  }
  for (std::int64_t e = 0; e < count; ++e) {
    leaks[e] = c.at(e).leak;
  }
  row.current_before = zeros;
  row.membrane_before = leaks;
}

/// Steps of a tile back in time, in runs whose rows stay in the first-level cache.
template <class T, bool kUniform>
class AdjointStepper {
 public:
  AdjointStepper(const LifBackwardArgs<T>& args, const TileCoefficients<T, true, kUniform>& c, TileAdjoint<T>& adjoint,
                 std::int64_t begin)
      : args_(args),
        c_(c),
        adjoint_(adjoint),
        begin_(begin),
        elements_(args.batch * args.neuron),
        coefficients_(args.grad_coefficients != nullptr),
        no_gradient_(kRun),
        before_(coefficients_ ? kRun : 0),
        at_rest_(coefficients_ && args.initial_state == nullptr ? kRun : 0),
        unasked_(kRun) {}

  /// `grad_spikes` and `grad_input` are rows of the tile at step t; null where there is no gradient or nobody asks.
  void step(std::int64_t t, const T* grad_spikes, T* grad_input) {
    for (std::int64_t first = 0; first < adjoint_.count; first += kRun) {
      const std::int64_t length = smaller(kRun, adjoint_.count - first);
      const std::int64_t from = begin_ + first;
      const std::int64_t at = t * elements_ + from;
      AdjointStepRow<T> row{args_.saved + at,
                            grad_spikes == nullptr ? no_gradient_.get() : grad_spikes + first,
                            args_.measured_spikes.row(t, elements_, from),
                            args_.measured_membrane.row(t, elements_, from),
                            nullptr,
                            nullptr,
                            grad_input == nullptr ? unasked_.get() : grad_input + first};
      if (coefficients_ && t > 0) {
        membrane_row(before_.get(), args_.saved + at - elements_, args_.measured_spikes.row(t - 1, elements_, from),
                     args_.measured_membrane.row(t - 1, elements_, from), c_.from(first), length);
        row.current_before = args_.current + at - elements_;
        row.membrane_before = before_.get();
      } else if (coefficients_) {
        initial_rows(args_.initial_state, elements_, from, length, c_.from(first), at_rest_.get(), before_.get(), row);
      }
      lif_adjoint_row_any(args_.surrogate, static_cast<T>(args_.alpha), adjoint_, first, c_.from(first), row, length);
    }
  }

 private:
  static constexpr std::int64_t kRun = 1024;
  const LifBackwardArgs<T>& args_;
  const TileCoefficients<T, true, kUniform>& c_;
  TileAdjoint<T>& adjoint_;
  std::int64_t begin_;
  std::int64_t elements_;
  bool coefficients_;
  Buffer<T> no_gradient_;
  Buffer<T> before_;
  Buffer<T> at_rest_;
  Buffer<T> unasked_;
};

}  // namespace gradspike::kernels::GRADSPIKE_CPU_ISA
