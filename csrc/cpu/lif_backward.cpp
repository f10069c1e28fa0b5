// CPU kernels of lif and li, backward: one reverse pass over time per tile, linear in the number of steps.
#include "csrc/cpu/lif_tile.h"

namespace gradspike::kernels::GRADSPIKE_CPU_ISA {
namespace {

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

/// Adds the gradients of step t to the carried ones; the final state counts as the traces of the last step.
template <class T>
void add_trace_gradients(TileAdjoint<T>& adjoint, const T* grad_current, const T* grad_membrane, std::int64_t at,
                         std::int64_t count) {
  add_row(adjoint.current.get(), offset(grad_current, at), count);
  add_row(adjoint.membrane.get(), offset(grad_membrane, at), count);
}

template <class T, class Kind, class Coefficients>
void lif_adjoint_row(const LifBackwardArgs<T>& args, Kind surrogate, TileAdjoint<T>& adjoint, const Coefficients& c,
                     const T* grad_spikes, T* grad_input, std::int64_t at, std::int64_t count) {
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
void lif_adjoint_row_general(const LifBackwardArgs<T>& args, TileAdjoint<T>& adjoint, const Coefficients& coefficients,
                             const T* grad_spikes, T* grad_input, std::int64_t t, std::int64_t begin,
                             std::int64_t count) {
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
void finish_tile(TileAdjoint<T>& adjoint, const T* initial_state, T* grad_initial_state, T* grad_coefficients,
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

template <class T, bool kUniform>
void lif_backward_tile(const LifBackwardArgs<T>& args, std::int64_t begin, std::int64_t end) {
  const std::int64_t elements = args.batch * args.neuron;
  const std::int64_t count = end - begin;
  const TileCoefficients<T, true, kUniform> c(args.coefficients, args.neuron, begin, count);
  const bool general =
      args.grad_coefficients != nullptr || args.measured_spikes.steps > 0 || args.measured_membrane.steps > 0;
  TileAdjoint<T> adjoint(count, args.grad_coefficients != nullptr);
  Buffer<T> no_gradient(args.grad_spikes == nullptr ? count : 0);
  Buffer<T> unasked(args.grad_input == nullptr ? count : 0);
  if (args.grad_final_state != nullptr) {
    add_trace_gradients(adjoint, args.grad_final_state + math::kStateCurrent * elements,
                        args.grad_final_state + math::kStateMembrane * elements, begin, count);
  }
  for (std::int64_t t = args.time - 1; t >= 0; --t) {
    const std::int64_t at = t * elements + begin;
    add_trace_gradients(adjoint, args.grad_current, args.grad_membrane, at, count);
    const T* grad_spikes = args.grad_spikes == nullptr ? no_gradient.get() : args.grad_spikes + at;
    T* grad_input = args.grad_input == nullptr ? unasked.get() : args.grad_input + at;
    if (general) {
      lif_adjoint_row_general(args, adjoint, c, grad_spikes, grad_input, t, begin, count);
    } else {
      math::with_surrogate(args.surrogate, [&](auto surrogate) {
        lif_adjoint_row(args, surrogate, adjoint, c, grad_spikes, grad_input, at, count);
      });
    }
  }
  finish_tile(adjoint, args.initial_state, args.grad_initial_state, args.grad_coefficients, elements, begin, count,
              true);
}

template <class T, class Coefficients>
void li_adjoint_row(const LiBackwardArgs<T>& args, TileAdjoint<T>& adjoint, const Coefficients& coefficients,
                    T* grad_input, std::int64_t t, std::int64_t begin, std::int64_t count) {
  const std::int64_t elements = args.batch * args.neuron;
  const std::int64_t at = t * elements + begin;
  for (std::int64_t e = 0; e < count; ++e) {
    const math::LifCoefficients<T> c = coefficients.at(e);
    math::LifAdjoint<T> carried{adjoint.current[e], adjoint.membrane[e]};
    const math::LifAdjointStep<T> step{carried.current, carried.membrane, T{0}, T{0}};
    math::integrate_adjoint(carried, step.before, c);
    if (args.grad_coefficients != nullptr) {
      const T* initial = args.initial_state;
      const T i = t > 0 ? args.current[at - elements + e]
                        : (initial == nullptr ? T{0} : initial[math::kStateCurrent * elements + begin + e]);
      const T v = t > 0 ? args.membrane[at - elements + e]
                        : (initial == nullptr ? c.leak : initial[math::kStateMembrane * elements + begin + e]);
      math::CoefficientGradients<T> sums = adjoint.load(e);
      sums.accumulate(step, i, v, step.input, c);
      adjoint.save(e, sums);
    }
    adjoint.current[e] = carried.current;
    adjoint.membrane[e] = carried.membrane;
    grad_input[e] = step.input;
  }
}

template <class T, bool kUniform>
void li_backward_tile(const LiBackwardArgs<T>& args, std::int64_t begin, std::int64_t end) {
  const std::int64_t elements = args.batch * args.neuron;
  const std::int64_t count = end - begin;
  const TileCoefficients<T, false, kUniform> c(args.coefficients, args.neuron, begin, count);
  TileAdjoint<T> adjoint(count, args.grad_coefficients != nullptr);
  Buffer<T> unasked(args.grad_input == nullptr ? count : 0);
  if (args.grad_final_state != nullptr) {
    add_trace_gradients(adjoint, args.grad_final_state + math::kStateCurrent * elements,
                        args.grad_final_state + math::kStateMembrane * elements, begin, count);
  }
  for (std::int64_t t = args.time - 1; t >= 0; --t) {
    const std::int64_t at = t * elements + begin;
    add_trace_gradients(adjoint, args.grad_current, args.grad_membrane, at, count);
    li_adjoint_row(args, adjoint, c, args.grad_input == nullptr ? unasked.get() : args.grad_input + at, t, begin,
                   count);
  }
  finish_tile(adjoint, args.initial_state, args.grad_initial_state, args.grad_coefficients, elements, begin, count,
              false);
}

}  // namespace

template <class T>
void lif_backward(const CpuExec& exec, const LifBackwardArgs<T>& args) {
  const bool uniform = args.coefficients.columns == 1;
  for_each_tile(exec, args.batch * args.neuron, uniform, [&](std::int64_t begin, std::int64_t end) {
    if (uniform) {
      lif_backward_tile<T, true>(args, begin, end);
    } else {
      lif_backward_tile<T, false>(args, begin, end);
    }
  });
}

template <class T>
void li_backward(const CpuExec& exec, const LiBackwardArgs<T>& args) {
  const bool uniform = args.coefficients.columns == 1;
  for_each_tile(exec, args.batch * args.neuron, uniform, [&](std::int64_t begin, std::int64_t end) {
    if (uniform) {
      li_backward_tile<T, true>(args, begin, end);
    } else {
      li_backward_tile<T, false>(args, begin, end);
    }
  });
}

template <class T>
void parameter_gradients(const CpuExec& exec, const ParameterGradientsArgs<T>& args) {
  exec.for_each_range(args.neuron, 64, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t n = begin; n < end; ++n) {
      write_parameter_gradients(args, n);
    }
  });
}

#define GRADSPIKE_INSTANTIATE(T)                                            \
  template void lif_backward<T>(const CpuExec&, const LifBackwardArgs<T>&); \
  template void li_backward<T>(const CpuExec&, const LiBackwardArgs<T>&);   \
  template void parameter_gradients<T>(const CpuExec&, const ParameterGradientsArgs<T>&);
GRADSPIKE_INSTANTIATE(float)
GRADSPIKE_INSTANTIATE(double)
#undef GRADSPIKE_INSTANTIATE

}  // namespace gradspike::kernels::GRADSPIKE_CPU_ISA
