// CUDA kernels of aelif: one thread per (batch, neuron) chain walks over time with its state in registers, as in
// cuda/lif.cu. The exponential and the measurements are kernels of their own; the other terms are the same for all
// threads, so that a branch on them costs nothing.
#include "csrc/kernels/aelif.h"

#include "csrc/math/adex.h"
#include "cuda/common/device.cuh"
#include "cuda/lif_chain.cuh"

namespace gradspike::kernels {
namespace {

constexpr std::int32_t kThreads = 128;  // small blocks spread few chains over many multiprocessors

/// The terms with the exponential as a type.
template <bool kExponential>
struct DeviceTerms {
  bool leaky;
  bool fire;
  bool subthreshold;
  bool spike_triggered;
  static constexpr bool exponential = kExponential;

  __device__ __forceinline__ explicit DeviceTerms(const math::AdexTerms& t)
      : leaky(t.leaky), fire(t.fire), subthreshold(t.subthreshold), spike_triggered(t.spike_triggered) {}
  __device__ __forceinline__ bool adapts() const { return subthreshold || spike_triggered; }
};

template <class T>
__global__ void __launch_bounds__(kThreads) aelif_coefficients_kernel(const AdexCoefficientsArgs<T> args) {
  const std::int64_t n = device::global_thread();
  if (n < args.columns) {
    write_coefficients(args, n);
  }
}

// ---- forward -----------------------------------------------------------------------------------------------------

/// What one chain reads of several time steps.
template <class T>
struct AdexForwardSteps {
  using Steps = Window<T, kForwardSteps<T>>;
  Steps input;
  Steps measured_spikes;
  Steps measured_membrane;
  Steps measured_adaptation;

  template <bool kMeasured>
  __device__ __forceinline__ void load(const AdexForwardArgs<T>& args, std::int64_t first, std::int64_t chains,
                                       std::int64_t chain) {
    input.template load<true>(args.input, first, args.time, chains, chain);
    if constexpr (kMeasured) {
      measured_spikes.template load<true>(args.measured_spikes.data, first, args.measured_spikes.steps, chains, chain);
      measured_membrane.template load<true>(args.measured_membrane.data, first, args.measured_membrane.steps, chains,
                                            chain);
      measured_adaptation.template load<true>(args.measured_adaptation.data, first, args.measured_adaptation.steps,
                                              chains, chain);
    }
  }
};

template <class T, bool kExponential, bool kMeasured>
__global__ void __launch_bounds__(kThreads) aelif_forward_kernel(const AdexForwardArgs<T> args) {
  const std::int64_t chains = args.batch * args.neuron;
  const std::int64_t chain = device::global_thread();
  if (chain < chains) {
    const DeviceTerms<kExponential> terms(args.terms);
    const math::AdexCoefficients<T> c = adex_coefficients(args.coefficients, chain % args.neuron);
    math::AdexState<T> state = adex_initial_state(args.initial_state, args.terms, c.leak, chains, chain);
    const T unused_counter = state.refractory;
    if (!terms.fire) {
      state.refractory = T{0};
    }
    AdexForwardSteps<T> ahead;
    ahead.template load<kMeasured>(args, 0, chains, chain);
    for (std::int64_t first = 0; first < args.time; first += kForwardSteps<T>) {
      const AdexForwardSteps<T> now = ahead;
      ahead.template load<kMeasured>(args, first + kForwardSteps<T>, chains, chain);
#pragma unroll
      for (std::int32_t i = 0; i < kForwardSteps<T>; ++i) {
        const std::int64_t t = first + i;
        if (t < args.time) {
          math::AdexStep<T> step;
          const bool blocked = state.refractory > T{0};
          if constexpr (kMeasured) {
            const math::AdexMeasured<T> measured{{args.measured_spikes.of_step(t, now.measured_spikes.value[i]),
                                                  args.measured_membrane.of_step(t, now.measured_membrane.value[i])},
                                                 args.measured_adaptation.of_step(t, now.measured_adaptation.value[i])};
            step = math::adex_step_measured(state, now.input.value[i], c, terms, measured);
          } else {
            step = math::adex_step<true>(state, now.input.value[i], c, terms);
          }
          const std::int64_t at = t * chains + chain;
          store(args.spikes, at, step.spike);
          store(args.membrane, at, state.membrane);
          store(args.current, at, state.current);
          store(args.adaptation, at, state.adaptation);
          store(args.saved, at, step.before);
          store(args.blocked, at, static_cast<std::uint8_t>(blocked ? 1 : 0));
        }
      }
    }

    args.final_state[math::kStateCurrent * chains + chain] = state.current;
    args.final_state[math::kStateMembrane * chains + chain] = state.membrane;
    args.final_state[math::kStateRefractory * chains + chain] = terms.fire ? state.refractory : unused_counter;
    args.final_state[math::kStateAdaptation * chains + chain] = state.adaptation;
  }
}

// ---- backward ----------------------------------------------------------------------------------------------------

/// What one chain reads of several time steps, latest first. `current` and `adaptation` are of the step before.
template <class T>
struct AdexBackwardSteps {
  using Steps = Window<T, kBackwardSteps<T>>;
  Steps grad_spikes;
  Steps grad_membrane;
  Steps grad_current;
  Steps grad_adaptation;
  Steps saved;
  Window<std::uint8_t, kBackwardSteps<T>> blocked;
  Steps current;
  Steps adaptation;
  Steps measured_spikes;
  Steps measured_membrane;

  template <bool kMeasured, bool kCoefficients>
  __device__ __forceinline__ void load(const AdexBackwardArgs<T>& args, std::int64_t first, std::int64_t chains,
                                       std::int64_t chain) {
    grad_spikes.template load<false>(args.grad_spikes, first, args.time, chains, chain);
    grad_membrane.template load<false>(args.grad_membrane, first, args.time, chains, chain);
    grad_current.template load<false>(args.grad_current, first, args.time, chains, chain);
    grad_adaptation.template load<false>(args.grad_adaptation, first, args.time, chains, chain);
    saved.template load<false>(args.saved, first, args.time, chains, chain);
    blocked.template load<false>(args.blocked, first, args.time, chains, chain);
    if constexpr (kCoefficients) {
      current.template load<false>(args.current, first - 1, args.time, chains, chain);
      adaptation.template load<false>(args.adaptation, first - 1, args.time, chains, chain);
    }
    if constexpr (kMeasured) {
      measured_spikes.template load<false>(args.measured_spikes.data, first, args.measured_spikes.steps, chains, chain);
      measured_membrane.template load<false>(args.measured_membrane.data, first, args.measured_membrane.steps, chains,
                                             chain);
    }
  }

  /// What was measured in step t, which is slot `slot`.
  template <bool kMeasured>
  __device__ __forceinline__ math::Measured<T> measured(const AdexBackwardArgs<T>& args, std::int64_t t,
                                                        std::int32_t slot) const {
    if constexpr (kMeasured) {
      return {args.measured_spikes.of_step(t, measured_spikes.value[slot]),
              args.measured_membrane.of_step(t, measured_membrane.value[slot])};
    } else {
      return {};
    }
  }

  /// Adds the gradients of slot `slot` to the carried ones.
  __device__ __forceinline__ void add_gradients(const AdexBackwardArgs<T>& args, math::AdexAdjoint<T>& adjoint,
                                                std::int32_t slot) const {
    if (args.grad_current != nullptr) {
      adjoint.current = math::add(adjoint.current, grad_current.value[slot]);
    }
    if (args.grad_membrane != nullptr) {
      adjoint.membrane = math::add(adjoint.membrane, grad_membrane.value[slot]);
    }
    if (args.grad_adaptation != nullptr) {
      adjoint.adaptation = math::add(adjoint.adaptation, grad_adaptation.value[slot]);
    }
  }
};

template <class T, bool kExponential, bool kMeasured, bool kCoefficients>
__global__ void __launch_bounds__(kThreads) aelif_backward_kernel(const AdexBackwardArgs<T> args) {
  using Steps = AdexBackwardSteps<T>;
  const std::int64_t chains = args.batch * args.neuron;
  const std::int64_t chain = device::global_thread();
  if (chain < chains) {
    const DeviceTerms<kExponential> terms(args.terms);
    const math::AdexCoefficients<T> c = adex_coefficients(args.coefficients, chain % args.neuron);
    const math::AdexState<T> initial = adex_initial_state(args.initial_state, args.terms, c.leak, chains, chain);
    const T alpha = static_cast<T>(args.alpha);
    math::AdexAdjoint<T> adjoint = adex_final_adjoint(args.grad_final_state, chains, chain);
    math::AdexCoefficientGradients<T> sums;
    Steps ahead;
    ahead.template load<kMeasured, kCoefficients>(args, args.time - 1, chains, chain);
    for (std::int64_t first = args.time - 1; first >= 0; first -= kBackwardSteps<T>) {
      const Steps now = ahead;
      ahead.template load<kMeasured, kCoefficients>(args, first - kBackwardSteps<T>, chains, chain);
#pragma unroll
      for (std::int32_t i = 0; i < kBackwardSteps<T>; ++i) {
        const std::int64_t t = first - i;
        if (t >= 0) {
          now.add_gradients(args, adjoint, i);
          // The step before lies in the next slot, or in the first one of the next window.
          constexpr std::int32_t kLast = kBackwardSteps<T> - 1;
          const Steps& earlier = i < kLast ? now : ahead;
          const std::int32_t slot = i < kLast ? i + 1 : 0;
          math::AdexSaved<T> saved{now.saved.value[i], now.blocked.value[i] != 0, T{0},
                                   now.template measured<kMeasured>(args, t, i)};
          if constexpr (kExponential || kCoefficients) {
            saved.membrane =
                t > 0 ? math::adex_membrane_after_reset(earlier.saved.value[slot], earlier.blocked.value[slot] != 0, c,
                                                        terms, earlier.template measured<kMeasured>(args, t - 1, slot))
                      : initial.membrane;
          }
          const T surrogate = math::adex_surrogate_gradient(now.grad_spikes.value[i], adjoint.adaptation, saved.before,
                                                            saved.blocked, alpha, args.surrogate, c, terms);
          const bool measures = saved.now.spike.given || saved.now.membrane.given;
          const math::AdexAdjointStep<T> step =
              measures ? math::adex_adjoint_step_measured(adjoint, saved, surrogate, c, terms)
                       : math::adex_adjoint_step(adjoint, saved, surrogate, c, terms);
          store(args.grad_input, t * chains + chain, step.input);
          if constexpr (kCoefficients) {
            const T current = t > 0 ? now.current.value[i] : initial.current;
            const T adaptation = t > 0 ? now.adaptation.value[i] : initial.adaptation;
            sums.accumulate(step, current, saved.membrane, adaptation, saved.before, c, terms);
          }
        }
      }
    }
    write_adex_gradients(args, adjoint, sums, chain);
  }
}

// Two kernels: together they would need more registers than a thread has.
template <class T>
__global__ void __launch_bounds__(kThreads) lif_part_gradients_kernel(const AdexParameterGradientsArgs<T> args) {
  const std::int64_t n = device::global_thread();
  if (n < args.neuron) {
    write_lif_parameter_gradients(args, n);
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads) adex_part_gradients_kernel(const AdexParameterGradientsArgs<T> args) {
  const std::int64_t n = device::global_thread();
  if (n < args.neuron) {
    write_adex_parameter_gradients(args, n);
  }
}

device::LaunchShape one_thread_each(std::int64_t count) { return {device::divide_up(count, kThreads), kThreads}; }

template <bool kExponential, class T>
auto select_forward(const AdexForwardArgs<T>& args) {
  const bool measured =
      args.measured_spikes.steps > 0 || args.measured_membrane.steps > 0 || args.measured_adaptation.steps > 0;
  return measured ? &aelif_forward_kernel<T, kExponential, true> : &aelif_forward_kernel<T, kExponential, false>;
}

template <bool kExponential, class T>
auto select_backward(const AdexBackwardArgs<T>& args) {
  if (args.measured_spikes.steps > 0 || args.measured_membrane.steps > 0) {
    return args.grad_coefficients != nullptr ? &aelif_backward_kernel<T, kExponential, true, true>
                                             : &aelif_backward_kernel<T, kExponential, true, false>;
  }
  return args.grad_coefficients != nullptr ? &aelif_backward_kernel<T, kExponential, false, true>
                                           : &aelif_backward_kernel<T, kExponential, false, false>;
}

}  // namespace

template <class T>
void aelif_coefficients(const CudaExec& exec, const AdexCoefficientsArgs<T>& args) {
  device::launch("aelif_coefficients", &aelif_coefficients_kernel<T>, one_thread_each(args.columns), exec, args);
}

template <class T>
void aelif_forward(const CudaExec& exec, const AdexForwardArgs<T>& args) {
  device::launch("aelif_forward", args.terms.exponential ? select_forward<true>(args) : select_forward<false>(args),
                 one_thread_each(args.batch * args.neuron), exec, args);
}

template <class T>
void aelif_backward(const CudaExec& exec, const AdexBackwardArgs<T>& args) {
  device::launch("aelif_backward", args.terms.exponential ? select_backward<true>(args) : select_backward<false>(args),
                 one_thread_each(args.batch * args.neuron), exec, args);
}

template <class T>
void aelif_parameter_gradients(const CudaExec& exec, const AdexParameterGradientsArgs<T>& args) {
  device::launch("aelif_parameter_gradients", &lif_part_gradients_kernel<T>, one_thread_each(args.neuron), exec, args);
  device::launch("aelif_parameter_gradients", &adex_part_gradients_kernel<T>, one_thread_each(args.neuron), exec, args);
}

#define GRADSPIKE_INSTANTIATE(T)                                                        \
  template void aelif_coefficients<T>(const CudaExec&, const AdexCoefficientsArgs<T>&); \
  template void aelif_forward<T>(const CudaExec&, const AdexForwardArgs<T>&);           \
  template void aelif_backward<T>(const CudaExec&, const AdexBackwardArgs<T>&);         \
  template void aelif_parameter_gradients<T>(const CudaExec&, const AdexParameterGradientsArgs<T>&);
GRADSPIKE_INSTANTIATE(float)
GRADSPIKE_INSTANTIATE(double)
#undef GRADSPIKE_INSTANTIATE

}  // namespace gradspike::kernels
