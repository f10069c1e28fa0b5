// CUDA kernels of eventprop_lif and exact_eventprop_lif: one thread per (batch, neuron) chain walks over time with its
// state in registers, as in lif.cu. In the backward a division happens only where the chain has an event.
#include "csrc/kernels/eventprop.h"

#include "cuda/common/device.cuh"
#include "cuda/lif_chain.cuh"

namespace gradspike::kernels {
namespace {

constexpr std::int32_t kThreads = 128;  // small blocks spread few chains over many multiprocessors

template <class T>
__global__ void __launch_bounds__(kThreads) eventprop_coefficients_kernel(const EventPropCoefficientsArgs<T> args) {
  const std::int64_t n = device::global_thread();
  if (n < args.columns) {
    write_coefficients(args, n);
  }
}

// ---- forward -----------------------------------------------------------------------------------------------------

/// Slot i of a window holds what leads to row first + i: the input of the row before, the measurement of the row.
template <class T, bool kMeasured>
__global__ void __launch_bounds__(kThreads) eventprop_forward_kernel(const EventPropForwardArgs<T> args) {
  using Steps = Window<T, kForwardSteps<T>>;
  const std::int64_t chains = args.batch * args.neuron;
  const std::int64_t chain = device::global_thread();
  if (chain < chains) {
    const math::EventPropCoefficients<T> c = args.coefficients.at(chain % args.neuron);
    math::EventPropState<T> state{T{0}, c.leak};
    Steps input;
    Steps measured_spikes;
    Steps measured_membrane;
    const auto load = [&](std::int64_t first) {
      input.template load<true>(args.input, first - 1, args.time, chains, chain);
      if constexpr (kMeasured) {
        measured_spikes.template load<true>(args.measured_spikes.data, first, args.measured_spikes.steps, chains,
                                            chain);
        measured_membrane.template load<true>(args.measured_membrane.data, first, args.measured_membrane.steps, chains,
                                              chain);
      }
    };

    load(0);
    for (std::int64_t first = 0; first < args.time; first += kForwardSteps<T>) {
      const Steps x = input;
      const Steps spikes = measured_spikes;
      const Steps membrane = measured_membrane;
      load(first + kForwardSteps<T>);
#pragma unroll
      for (std::int32_t i = 0; i < kForwardSteps<T>; ++i) {
        const std::int64_t t = first + i;
        if (t < args.time) {
          math::Measured<T> measured{};
          if constexpr (kMeasured) {
            measured = {args.measured_spikes.of_step(t, spikes.value[i]),
                        args.measured_membrane.of_step(t, membrane.value[i])};
          }
          const math::LifStep<T> step =
              t == 0 ? math::eventprop_start(state, c, measured) : math::eventprop_step(state, x.value[i], c, measured);
          const std::int64_t at = t * chains + chain;
          store(args.spikes, at, step.spike);
          store(args.membrane, at, state.membrane);
          store(args.current, at, state.current);
          store(args.saved, at, step.saved);
        }
      }
    }
  }
}

template <class T, bool kMeasured>
__global__ void __launch_bounds__(kThreads) exact_eventprop_forward_kernel(const LifForwardArgs<T> args) {
  using Steps = Window<T, kForwardSteps<T>>;
  const std::int64_t chains = args.batch * args.neuron;
  const std::int64_t chain = device::global_thread();
  if (chain < chains) {
    const math::LifCoefficients<T> c = args.coefficients.template at<true>(chain % args.neuron);
    math::LifState<T> state = initial_state(args.initial_state, chains, chain, c.leak, true);
    Steps input;
    Steps measured_spikes;
    Steps measured_membrane;
    const auto load = [&](std::int64_t first) {
      input.template load<true>(args.input, first, args.time, chains, chain);
      if constexpr (kMeasured) {
        measured_spikes.template load<true>(args.measured_spikes.data, first, args.measured_spikes.steps, chains,
                                            chain);
        measured_membrane.template load<true>(args.measured_membrane.data, first, args.measured_membrane.steps, chains,
                                              chain);
      }
    };

    load(0);
    for (std::int64_t first = 0; first < args.time; first += kForwardSteps<T>) {
      const Steps x = input;
      const Steps spikes = measured_spikes;
      const Steps membrane = measured_membrane;
      load(first + kForwardSteps<T>);
#pragma unroll
      for (std::int32_t i = 0; i < kForwardSteps<T>; ++i) {
        const std::int64_t t = first + i;
        if (t < args.time) {
          math::LifStep<T> step;
          const math::Measured<T> measured{args.measured_spikes.of_step(t, spikes.value[i]),
                                           args.measured_membrane.of_step(t, membrane.value[i])};
          if (kMeasured && (measured.spike.given || measured.membrane.given)) {
            step = math::exact_eventprop_step_measured(state, x.value[i], c, measured);
          } else {
            step = math::exact_eventprop_step<true>(state, x.value[i], c);
          }
          const std::int64_t at = t * chains + chain;
          store(args.spikes, at, step.spike);
          store(args.membrane, at, state.membrane);
          store(args.current, at, state.current);
          store(args.saved, at, step.saved);
        }
      }
    }

    args.final_state[math::kStateCurrent * chains + chain] = state.current;
    args.final_state[math::kStateMembrane * chains + chain] = state.membrane;
    args.final_state[math::kStateRefractory * chains + chain] = state.refractory;
  }
}

// ---- backward ----------------------------------------------------------------------------------------------------

/// The two schemes behind one loop over time: carried gradients, one step back with its event, and the two results.
template <class T>
struct EventPropScheme {
  explicit __device__ EventPropScheme(const math::EventPropCoefficients<T>& coefficients) : c(coefficients) {}

  __device__ void step_back(T saved, T grad_spike) {
    math::eventprop_adjoint_step(adjoint, c);
    if (math::is_event(saved)) {
      math::eventprop_adjoint_spike(adjoint, saved, grad_spike, c);
    }
  }
  __device__ T to_input() const { return math::eventprop_to_input(adjoint, c); }
  __device__ T to_adjoint() const { return math::eventprop_to_adjoint(adjoint); }

  math::EventPropCoefficients<T> c;
  math::EventPropAdjoint<T> adjoint{T{0}, T{0}};
};

template <class T>
struct ExactScheme {
  explicit __device__ ExactScheme(const math::LifCoefficients<T>& coefficients) : c(coefficients) {}

  __device__ void step_back(T saved, T grad_spike) {
    if (math::is_event(saved)) {
      math::exact_adjoint_event(adjoint, saved, grad_spike, c);
    }
    math::exact_adjoint_step(adjoint, c);
  }
  __device__ T to_input() const { return adjoint.current; }
  __device__ T to_adjoint() const { return math::exact_to_adjoint(adjoint, c); }

  math::LifCoefficients<T> c;
  math::ExactAdjoint<T> adjoint{T{0}, T{0}, T{0}};
};

template <class T, class Scheme, class Args>
__device__ __forceinline__ void walk_back(const Args& args, Scheme scheme, std::int64_t chains, std::int64_t chain) {
  using Steps = Window<T, kForwardSteps<T>>;  // two arrays only, so the longer window
  Steps saved;
  Steps grad_spikes;
  const auto load = [&](std::int64_t first) {
    saved.template load<false>(args.saved, first, args.time, chains, chain);
    grad_spikes.template load<false>(args.grad_spikes, first, args.time, chains, chain);
  };

  if (args.time > 0) {
    store(args.grad_input, (args.time - 1) * chains + chain, T{0});
    store(args.grad_adjoint, (args.time - 1) * chains + chain, T{0});
  }
  load(args.time - 1);
  for (std::int64_t first = args.time - 1; first > 0; first -= kForwardSteps<T>) {
    const Steps event = saved;
    const Steps grad = grad_spikes;
    load(first - kForwardSteps<T>);
#pragma unroll
    for (std::int32_t i = 0; i < kForwardSteps<T>; ++i) {
      const std::int64_t t = first - i;
      if (t > 0) {
        scheme.step_back(event.value[i], grad.value[i]);
        store(args.grad_input, (t - 1) * chains + chain, scheme.to_input());
        store(args.grad_adjoint, (t - 1) * chains + chain, scheme.to_adjoint());
      }
    }
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    eventprop_backward_kernel(const EventPropBackwardArgs<T, EventPropTable<T>> args) {
  const std::int64_t chains = args.batch * args.neuron;
  const std::int64_t chain = device::global_thread();
  if (chain < chains) {
    walk_back<T>(args, EventPropScheme<T>(args.coefficients.at(chain % args.neuron)), chains, chain);
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    exact_eventprop_backward_kernel(const EventPropBackwardArgs<T, CoefficientTable<T>> args) {
  const std::int64_t chains = args.batch * args.neuron;
  const std::int64_t chain = device::global_thread();
  if (chain < chains) {
    walk_back<T>(args, ExactScheme<T>(args.coefficients.template at<true>(chain % args.neuron)), chains, chain);
  }
}

device::LaunchShape one_thread_each(std::int64_t count) { return {device::divide_up(count, kThreads), kThreads}; }

template <class Args>
bool measures(const Args& args) {
  return args.measured_spikes.steps > 0 || args.measured_membrane.steps > 0;
}

}  // namespace

template <class T>
void eventprop_coefficients(const CudaExec& exec, const EventPropCoefficientsArgs<T>& args) {
  device::launch("eventprop_coefficients", &eventprop_coefficients_kernel<T>, one_thread_each(args.columns), exec,
                 args);
}

template <class T>
void eventprop_forward(const CudaExec& exec, const EventPropForwardArgs<T>& args) {
  device::launch("eventprop_forward",
                 measures(args) ? &eventprop_forward_kernel<T, true> : &eventprop_forward_kernel<T, false>,
                 one_thread_each(args.batch * args.neuron), exec, args);
}

template <class T>
void eventprop_backward(const CudaExec& exec, const EventPropBackwardArgs<T, EventPropTable<T>>& args) {
  device::launch("eventprop_backward", &eventprop_backward_kernel<T>, one_thread_each(args.batch * args.neuron), exec,
                 args);
}

template <class T>
void exact_eventprop_forward(const CudaExec& exec, const LifForwardArgs<T>& args) {
  device::launch("exact_eventprop_forward",
                 measures(args) ? &exact_eventprop_forward_kernel<T, true> : &exact_eventprop_forward_kernel<T, false>,
                 one_thread_each(args.batch * args.neuron), exec, args);
}

template <class T>
void exact_eventprop_backward(const CudaExec& exec, const EventPropBackwardArgs<T, CoefficientTable<T>>& args) {
  device::launch("exact_eventprop_backward", &exact_eventprop_backward_kernel<T>,
                 one_thread_each(args.batch * args.neuron), exec, args);
}

#define GRADSPIKE_INSTANTIATE(T)                                                                            \
  template void eventprop_coefficients<T>(const CudaExec&, const EventPropCoefficientsArgs<T>&);            \
  template void eventprop_forward<T>(const CudaExec&, const EventPropForwardArgs<T>&);                      \
  template void eventprop_backward<T>(const CudaExec&, const EventPropBackwardArgs<T, EventPropTable<T>>&); \
  template void exact_eventprop_forward<T>(const CudaExec&, const LifForwardArgs<T>&);                      \
  template void exact_eventprop_backward<T>(const CudaExec&, const EventPropBackwardArgs<T, CoefficientTable<T>>&);
GRADSPIKE_INSTANTIATE(float)
GRADSPIKE_INSTANTIATE(double)
#undef GRADSPIKE_INSTANTIATE

}  // namespace gradspike::kernels
