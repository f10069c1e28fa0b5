// CPU kernels of aelif, backward: one reverse pass over time per tile, linear in the number of steps.
#include "csrc/cpu/aelif_tile.h"

namespace gradspike::kernels::GRADSPIKE_CPU_ISA {
namespace {

/// Carried gradients of a tile, what one step needs besides, and the sums of the coefficient gradients.
template <class T>
struct AdexTileAdjoint {
  AdexTileAdjoint(std::int64_t count, bool coefficients)
      : current(count),
        membrane(count),
        adaptation(count),
        surrogate(count),
        previous(count),
        sums(coefficients ? count : 0) {}

  math::AdexAdjoint<T> load(std::int64_t e) const { return {{current[e], membrane[e]}, adaptation[e]}; }
  void store(std::int64_t e, const math::AdexAdjoint<T>& adjoint) {
    current[e] = adjoint.current;
    membrane[e] = adjoint.membrane;
    adaptation[e] = adjoint.adaptation;
  }

  Buffer<T> current;
  Buffer<T> membrane;
  Buffer<T> adaptation;
  Buffer<T> surrogate;  // gradient that the spikes pass on
  Buffer<T> previous;   // membrane of the step before
  Buffer<math::AdexCoefficientGradients<T>> sums;
};

/// One step of a tile: where it lies in the traces.
template <class T>
struct AdexRow {
  const AdexBackwardArgs<T>& args;
  std::int64_t t;
  std::int64_t begin;
  std::int64_t count;
  const T* grad_spikes;
  T* grad_input;

  std::int64_t elements() const { return args.batch * args.neuron; }
  std::int64_t at() const { return t * elements() + begin; }
  math::Measured<T> measured(std::int64_t step, std::int64_t e) const {
    return {args.measured_spikes.at(step, elements(), begin + e),
            args.measured_membrane.at(step, elements(), begin + e)};
  }
};

/// The membrane at the end of the step before.
template <class T, class Coefficients>
void previous_membrane(const AdexRow<T>& row, T* __restrict__ previous, const Coefficients& coefficients) {
  const auto c = coefficients.row();
  const AdexBackwardArgs<T>& args = row.args;
  if (row.t == 0) {
    for (std::int64_t e = 0; e < row.count; ++e) {
      previous[e] =
          adex_initial_state(args.initial_state, args.terms, c.at(e).leak, row.elements(), row.begin + e).membrane;
    }
    return;
  }
  const T* __restrict__ saved = args.saved + row.at() - row.elements();
  const std::uint8_t* __restrict__ blocked = args.blocked + row.at() - row.elements();
  const math::AdexTerms terms = args.terms;
  if (row.t - 1 < args.measured_spikes.steps || row.t - 1 < args.measured_membrane.steps) {
    for (std::int64_t e = 0; e < row.count; ++e) {
      previous[e] =
          math::adex_membrane_after_reset(saved[e], blocked[e] != 0, c.at(e), terms, row.measured(row.t - 1, e));
    }
    return;
  }
#pragma GCC ivdep
  for (std::int64_t e = 0; e < row.count; ++e) {
    previous[e] = math::adex_membrane_after_reset(saved[e], blocked[e] != 0, c.at(e), terms, math::Measured<T>{});
  }
}

template <class T, class Kind, class Terms, class Coefficients>
void surrogate_row(const AdexRow<T>& row, AdexTileAdjoint<T>& adjoint, const Coefficients& coefficients, Kind kind,
                   const Terms& terms) {
  const auto c = coefficients.row();
  const T alpha = static_cast<T>(row.args.alpha);
  const T* __restrict__ saved = row.args.saved + row.at();
  const std::uint8_t* __restrict__ blocked = row.args.blocked + row.at();
  const T* __restrict__ grad_spikes = row.grad_spikes;
  const T* __restrict__ adaptation = adjoint.adaptation.get();
  T* __restrict__ surrogate = adjoint.surrogate.get();
#pragma GCC ivdep
  for (std::int64_t e = 0; e < row.count; ++e) {
    surrogate[e] = math::adex_surrogate_gradient(grad_spikes[e], adaptation[e], saved[e], blocked[e] != 0, alpha, kind,
                                                 c.at(e), terms);
  }
}

template <class T, class Terms, class Coefficients>
void adjoint_row(const AdexRow<T>& row, AdexTileAdjoint<T>& adjoint, const Coefficients& coefficients,
                 const Terms& fixed) {
  const auto c = coefficients.row();
  const T* __restrict__ saved = row.args.saved + row.at();
  const std::uint8_t* __restrict__ blocked = row.args.blocked + row.at();
  const T* __restrict__ surrogate = adjoint.surrogate.get();
  const T* __restrict__ previous = adjoint.previous.get();
  T* __restrict__ current = adjoint.current.get();
  T* __restrict__ membrane = adjoint.membrane.get();
  T* __restrict__ adaptation = adjoint.adaptation.get();
  T* __restrict__ grad_input = row.grad_input;
  const Terms terms = fixed;
#pragma GCC ivdep
  for (std::int64_t e = 0; e < row.count; ++e) {
    math::AdexAdjoint<T> carried{{current[e], membrane[e]}, adaptation[e]};
    const math::AdexSaved<T> step{saved[e], blocked[e] != 0, previous[e], {}};
    grad_input[e] = math::adex_adjoint_step(carried, step, surrogate[e], c.at(e), terms).input;
    current[e] = carried.current;
    membrane[e] = carried.membrane;
    adaptation[e] = carried.adaptation;
  }
}

/// The general row: measured data, coefficient gradients.
template <class T, class Coefficients>
void adjoint_row_general(const AdexRow<T>& row, AdexTileAdjoint<T>& adjoint, const Coefficients& coefficients) {
  const AdexBackwardArgs<T>& args = row.args;
  for (std::int64_t e = 0; e < row.count; ++e) {
    const math::AdexCoefficients<T> c = coefficients.at(e);
    const std::int64_t at = row.at() + e;
    const math::AdexSaved<T> saved{args.saved[at], args.blocked[at] != 0, adjoint.previous[e], row.measured(row.t, e)};
    math::AdexAdjoint<T> carried = adjoint.load(e);
    const bool measures = saved.now.spike.given || saved.now.membrane.given;
    const math::AdexAdjointStep<T> step =
        measures ? math::adex_adjoint_step_measured(carried, saved, adjoint.surrogate[e], c, args.terms)
                 : math::adex_adjoint_step(carried, saved, adjoint.surrogate[e], c, args.terms);
    if (args.grad_coefficients != nullptr) {
      const std::int64_t before = at - row.elements();  // element at t - 1
      const math::AdexState<T> initial =
          adex_initial_state(args.initial_state, args.terms, c.leak, row.elements(), row.begin + e);
      const T current = row.t > 0 ? args.current[before] : initial.current;
      const T adaptation = row.t > 0 ? args.adaptation[before] : initial.adaptation;
      adjoint.sums[e].accumulate(step, current, saved.membrane, adaptation, saved.before, c, args.terms);
    }
    adjoint.store(e, carried);
    row.grad_input[e] = step.input;
  }
}

template <class T, class Coefficients>
void backward_row(const AdexRow<T>& row, AdexTileAdjoint<T>& adjoint, const Coefficients& c) {
  const AdexBackwardArgs<T>& args = row.args;
  add_row(adjoint.current.get(), offset(args.grad_current, row.at()), row.count);
  add_row(adjoint.membrane.get(), offset(args.grad_membrane, row.at()), row.count);
  add_row(adjoint.adaptation.get(), offset(args.grad_adaptation, row.at()), row.count);
  // Without spikes the surrogate's gradients stay 0.
  if (args.terms.fire) {
    math::with_surrogate(args.surrogate, [&](auto kind) {
      if (args.terms.spike_triggered) {
        surrogate_row(row, adjoint, c, kind, math::FixedAdexTerms<true, true, false, false, true>{});
      } else {
        surrogate_row(row, adjoint, c, kind, math::FixedAdexTerms<true, true, false, false, false>{});
      }
    });
  }
  if (args.terms.exponential || args.grad_coefficients != nullptr) {
    previous_membrane(row, adjoint.previous.get(), c);
  }
  if (args.grad_coefficients != nullptr || row.t < args.measured_spikes.steps || row.t < args.measured_membrane.steps) {
    adjoint_row_general(row, adjoint, c);
  } else {
    math::with_adex_terms(args.terms, [&](const auto& terms) { adjoint_row(row, adjoint, c, terms); });
  }
}

template <class T, bool kUniform>
void aelif_backward_tile(const AdexBackwardArgs<T>& args, std::int64_t begin, std::int64_t end) {
  const std::int64_t elements = args.batch * args.neuron;
  const std::int64_t count = end - begin;
  const AdexTileCoefficients<T, kUniform> c(args.coefficients, args.neuron, begin, count);
  AdexTileAdjoint<T> adjoint(count, args.grad_coefficients != nullptr);
  Buffer<T> no_gradient(args.grad_spikes == nullptr ? count : 0);
  Buffer<T> unasked(args.grad_input == nullptr ? count : 0);
  for (std::int64_t e = 0; e < count; ++e) {
    adjoint.store(e, adex_final_adjoint(args.grad_final_state, elements, begin + e));
  }
  for (std::int64_t t = args.time - 1; t >= 0; --t) {
    const std::int64_t at = t * elements + begin;
    backward_row(
        AdexRow<T>{args, t, begin, count, args.grad_spikes == nullptr ? no_gradient.get() : args.grad_spikes + at,
                   args.grad_input == nullptr ? unasked.get() : args.grad_input + at},
        adjoint, c);
  }
  for (std::int64_t e = 0; e < count; ++e) {
    write_adex_gradients(args, adjoint.load(e),
                         args.grad_coefficients == nullptr ? math::AdexCoefficientGradients<T>{} : adjoint.sums[e],
                         begin + e);
  }
}

}  // namespace

template <class T>
void aelif_backward(const CpuExec& exec, const AdexBackwardArgs<T>& args) {
  const bool uniform = args.coefficients.columns == 1;
  for_each_tile(exec, args.batch * args.neuron, uniform, [&](std::int64_t begin, std::int64_t end) {
    if (uniform) {
      aelif_backward_tile<T, true>(args, begin, end);
    } else {
      aelif_backward_tile<T, false>(args, begin, end);
    }
  });
}

template <class T>
void aelif_parameter_gradients(const CpuExec& exec, const AdexParameterGradientsArgs<T>& args) {
  exec.for_each_range(args.neuron, 64, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t n = begin; n < end; ++n) {
      write_lif_parameter_gradients(args, n);
      write_adex_parameter_gradients(args, n);
    }
  });
}

#define GRADSPIKE_INSTANTIATE(T)                                               \
  template void aelif_backward<T>(const CpuExec&, const AdexBackwardArgs<T>&); \
  template void aelif_parameter_gradients<T>(const CpuExec&, const AdexParameterGradientsArgs<T>&);
GRADSPIKE_INSTANTIATE(float)
GRADSPIKE_INSTANTIATE(double)
#undef GRADSPIKE_INSTANTIATE

}  // namespace gradspike::kernels::GRADSPIKE_CPU_ISA
