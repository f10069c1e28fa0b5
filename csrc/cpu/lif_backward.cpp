// CPU kernels of lif and li, backward: one reverse pass over time per tile, linear in the number of steps.
#include "csrc/cpu/lif_adjoint.h"

namespace gradspike::kernels::GRADSPIKE_CPU_ISA {
namespace {

template <class T, bool kUniform>
void lif_backward_tile(const LifBackwardArgs<T>& args, std::int64_t begin, std::int64_t end) {
  const std::int64_t elements = args.batch * args.neuron;
  const std::int64_t count = end - begin;
  const TileCoefficients<T, true, kUniform> c(args.coefficients, args.neuron, begin, count);
  TileAdjoint<T> adjoint(count, args.grad_coefficients != nullptr);
  if (args.grad_final_state != nullptr) {
    add_trace_gradients(adjoint, args.grad_final_state + math::kStateCurrent * elements,
                        args.grad_final_state + math::kStateMembrane * elements, begin, count);
  }
  AdjointStepper<T, kUniform> stepper(args, c, adjoint, begin);
  for (std::int64_t t = args.time - 1; t >= 0; --t) {
    const std::int64_t at = t * elements + begin;
    add_trace_gradients(adjoint, args.grad_current, args.grad_membrane, at, count);
    stepper.step(t, offset(args.grad_spikes, at), args.grad_input == nullptr ? nullptr : args.grad_input + at);
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
