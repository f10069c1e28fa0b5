// CUDA kernels of lif and li: one thread per (batch, neuron) chain walks over time with its state in registers.
//
// A chain is sequential, so memory latency decides: each thread reads several time steps ahead of the one that it works
// on. Neighbouring threads are neighbouring neurons; every access of a warp is one contiguous run.
//
// How far ahead follows from the number of chains. To keep a memory of 4.3 TB/s and 0.8 us busy, 3.4 MB must be in
// flight. Computed, not measured, for float with spikes alone asked for:
//
//                               forward                              backward (two arrays read)
//   131072 chains, near   32 B per chain in registers,  4.2 MB        32 B,  3.2 MB    (101376 chains at a time)
//     8192 chains, far   352 B per chain in shared memory,  2.9 MB   320 B,  2.6 MB    (near: 0.26 MB)
//
// Far kernels use copies of 4 or 8 bytes that each thread waits for itself. Bulk copies of whole tiles (TMA) by a
// producer warp would issue fewer instructions, but need barriers between the warps, tiles of aligned sizes and a
// second kernel for sm_80; at 8192 chains neither issue slots nor shared memory (24 KiB per block) are short. Whether
// they pay has to be measured on a GPU first.
#include "csrc/kernels/lif.h"

#include "csrc/math/lif.h"
#include "cuda/common/device.cuh"
#include "cuda/lif_chain.cuh"

namespace gradspike::kernels {
namespace {

constexpr std::int32_t kThreads = 128;
constexpr std::int32_t kFarThreads = 64;      // small blocks spread few chains over many multiprocessors
constexpr std::int64_t kFarChains = 65536;    // from here on the near kernels have enough in flight
constexpr std::size_t kFarBytes = 48 * 1024;  // of shared memory

/// Blocks that a multiprocessor must hold. Without a limit the near kernels would take up to 128 registers (compiled
/// for sm_80 and sm_90), so that half of 131072 chains would wait for the other half. With it: 56 forward, 76 backward.
constexpr std::int32_t min_blocks(bool near) { return near ? 6 : 1; }

// ---- coefficients ------------------------------------------------------------------------------------------------

template <class T>
__global__ void __launch_bounds__(kThreads) lif_coefficients_kernel(const LifCoefficientsArgs<T> args) {
  const std::int64_t n = device::global_thread();
  if (n < args.columns) {
    write_coefficients(args, n);
  }
}

// ---- forward -----------------------------------------------------------------------------------------------------

template <class T, bool kMeasuredSpikes, bool kMeasuredMembrane, bool kFar>
__global__ void __launch_bounds__(kThreads, min_blocks(!kFar && !kMeasuredSpikes && !kMeasuredMembrane))
    lif_forward_kernel(const LifForwardArgs<T> args) {
  static_assert(!kFar || (!kMeasuredSpikes && !kMeasuredMembrane));
  using Steps = Window<T, kForwardSteps<T>>;
  GRADSPIKE_DYNAMIC_SHARED(T, shared);
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
      if constexpr (kMeasuredSpikes) {
        measured_spikes.template load<true>(args.measured_spikes.data, first, args.measured_spikes.steps, chains,
                                            chain);
      }
      if constexpr (kMeasuredMembrane) {
        measured_membrane.template load<true>(args.measured_membrane.data, first, args.measured_membrane.steps, chains,
                                              chain);
      }
    };

    Ring<T, kForwardSteps<T>> ring(shared, 1);
    const auto copy = [&](std::int64_t first) {
      ring.template copy<true>(0, args.input, first, args.time, chains, chain);
      ring.commit();
    };

    if constexpr (kFar) {
      for (std::int32_t group = 0; group < ring.kGroups; ++group) {
        copy(group * kForwardSteps<T>);
      }
    } else {
      load(0);
    }
    for (std::int64_t first = 0; first < args.time; first += kForwardSteps<T>) {
      Steps x = input;
      const Steps spikes = measured_spikes;
      const Steps membrane = measured_membrane;
      if constexpr (kFar) {
        ring.template wait<1>();
        x = ring.read(0, args.input);
      } else {
        load(first + kForwardSteps<T>);
      }
#pragma unroll
      for (std::int32_t i = 0; i < kForwardSteps<T>; ++i) {
        if (first + i < args.time) {
          math::LifStep<T> step;
          if constexpr (kMeasuredSpikes || kMeasuredMembrane) {
            const math::Measured<T> measured{args.measured_spikes.of_step(first + i, spikes.value[i]),
                                             args.measured_membrane.of_step(first + i, membrane.value[i])};
            step = math::lif_step_measured(state, x.value[i], c, measured);
          } else {
            step = math::lif_step<true>(state, x.value[i], c);
          }
          const std::int64_t at = (first + i) * chains + chain;
          store(args.spikes, at, step.spike);
          store(args.membrane, at, state.membrane);
          store(args.current, at, state.current);
          store(args.saved, at, step.saved);
        }
      }
      if constexpr (kFar) {  // into the slots that were read above
        copy(first + ring.kGroups * kForwardSteps<T>);
      }
    }
    if constexpr (kFar) {
      device::async_copy_wait<0>();
    }

    args.final_state[math::kStateCurrent * chains + chain] = state.current;
    args.final_state[math::kStateMembrane * chains + chain] = state.membrane;
    args.final_state[math::kStateRefractory * chains + chain] = state.refractory;
  }
}

template <class T, bool kMeasuredMembrane, bool kFar>
__global__ void __launch_bounds__(kThreads) li_forward_kernel(const LiForwardArgs<T> args) {
  static_assert(!kFar || !kMeasuredMembrane);
  using Steps = Window<T, kForwardSteps<T>>;
  GRADSPIKE_DYNAMIC_SHARED(T, shared);
  const std::int64_t chains = args.batch * args.neuron;
  const std::int64_t chain = device::global_thread();
  if (chain < chains) {
    const math::LifCoefficients<T> c = args.coefficients.template at<false>(chain % args.neuron);
    math::LifState<T> state = initial_state(args.initial_state, chains, chain, c.leak, false);
    Steps input;
    Steps measured_membrane;
    const auto load = [&](std::int64_t first) {
      input.template load<true>(args.input, first, args.time, chains, chain);
      if constexpr (kMeasuredMembrane) {
        measured_membrane.template load<true>(args.measured_membrane.data, first, args.measured_membrane.steps, chains,
                                              chain);
      }
    };

    Ring<T, kForwardSteps<T>> ring(shared, 1);
    const auto copy = [&](std::int64_t first) {
      ring.template copy<true>(0, args.input, first, args.time, chains, chain);
      ring.commit();
    };

    if constexpr (kFar) {
      for (std::int32_t group = 0; group < ring.kGroups; ++group) {
        copy(group * kForwardSteps<T>);
      }
    } else {
      load(0);
    }
    for (std::int64_t first = 0; first < args.time; first += kForwardSteps<T>) {
      Steps x = input;
      const Steps membrane = measured_membrane;
      if constexpr (kFar) {
        ring.template wait<1>();
        x = ring.read(0, args.input);
      } else {
        load(first + kForwardSteps<T>);
      }
#pragma unroll
      for (std::int32_t i = 0; i < kForwardSteps<T>; ++i) {
        if (first + i < args.time) {
          math::li_step(state, x.value[i], c, args.measured_membrane.of_step(first + i, membrane.value[i]));
          const std::int64_t at = (first + i) * chains + chain;
          store(args.membrane, at, state.membrane);
          store(args.current, at, state.current);
        }
      }
      if constexpr (kFar) {  // into the slots that were read above
        copy(first + ring.kGroups * kForwardSteps<T>);
      }
    }
    if constexpr (kFar) {
      device::async_copy_wait<0>();
    }

    args.final_state[math::kStateCurrent * chains + chain] = state.current;
    args.final_state[math::kStateMembrane * chains + chain] = state.membrane;
  }
}

// ---- backward ----------------------------------------------------------------------------------------------------

/// What one chain reads of several time steps, latest first. `current` is of the step before.
template <class T>
struct BackwardSteps {
  using Steps = Window<T, kBackwardSteps<T>>;
  Steps grad_spikes;
  Steps grad_membrane;
  Steps grad_current;
  Steps saved;
  Steps current;
  Steps measured_spikes;
  Steps measured_membrane;
};

/// How many of the arrays that a backward kernel may read are there, and their places among those that are.
template <std::int32_t kArrays>
struct Places {
  std::int32_t of[kArrays];
  std::int32_t count;

  template <class T>
  __host__ __device__ __forceinline__ explicit Places(const T* const (&arrays)[kArrays]) : count(0) {
    for (std::int32_t i = 0; i < kArrays; ++i) {
      of[i] = count;
      count += arrays[i] != nullptr ? 1 : 0;
    }
  }
};
template <class T>
__host__ __device__ __forceinline__ Places<5> places(const LifBackwardArgs<T>& args) {
  const T* const arrays[] = {args.grad_spikes, args.grad_membrane, args.grad_current, args.saved,
                             args.grad_coefficients != nullptr ? args.current : nullptr};
  return Places<5>(arrays);
}
template <class T>
__host__ __device__ __forceinline__ Places<4> places(const LiBackwardArgs<T>& args) {
  const bool traces = args.grad_coefficients != nullptr;
  const T* const arrays[] = {args.grad_membrane, args.grad_current, traces ? args.membrane : nullptr,
                             traces ? args.current : nullptr};
  return Places<4>(arrays);
}

template <class T, bool kMeasuredSpikes, bool kMeasuredMembrane, bool kCoefficients, bool kFar>
__global__ void __launch_bounds__(kThreads,
                                  min_blocks(!kFar && !kMeasuredSpikes && !kMeasuredMembrane && !kCoefficients))
    lif_backward_kernel(const LifBackwardArgs<T> args) {
  static_assert(!kFar || (!kMeasuredSpikes && !kMeasuredMembrane));
  GRADSPIKE_DYNAMIC_SHARED(T, shared);
  const std::int64_t chains = args.batch * args.neuron;
  const std::int64_t chain = device::global_thread();
  if (chain < chains) {
    const math::LifCoefficients<T> c = args.coefficients.template at<true>(chain % args.neuron);
    const math::LifState<T> initial = initial_state(args.initial_state, chains, chain, c.leak, true);
    const T alpha = static_cast<T>(args.alpha);
    math::LifAdjoint<T> adjoint = final_adjoint(args.grad_final_state, chains, chain);
    math::CoefficientGradients<T> sums;
    BackwardSteps<T> ahead;
    const auto load = [&](std::int64_t first) {
      ahead.grad_spikes.template load<false>(args.grad_spikes, first, args.time, chains, chain);
      ahead.grad_membrane.template load<false>(args.grad_membrane, first, args.time, chains, chain);
      ahead.grad_current.template load<false>(args.grad_current, first, args.time, chains, chain);
      ahead.saved.template load<false>(args.saved, first, args.time, chains, chain);
      if constexpr (kCoefficients) {
        ahead.current.template load<false>(args.current, first - 1, args.time, chains, chain);
      }
      if constexpr (kMeasuredSpikes) {
        ahead.measured_spikes.template load<false>(args.measured_spikes.data, first, args.measured_spikes.steps, chains,
                                                   chain);
      }
      if constexpr (kMeasuredMembrane) {
        ahead.measured_membrane.template load<false>(args.measured_membrane.data, first, args.measured_membrane.steps,
                                                     chains, chain);
      }
    };

    const Places<5> place = places(args);
    Ring<T, kBackwardSteps<T>> ring(shared, place.count);
    const auto copy = [&](std::int64_t first) {
      ring.template copy<false>(place.of[0], args.grad_spikes, first, args.time, chains, chain);
      ring.template copy<false>(place.of[1], args.grad_membrane, first, args.time, chains, chain);
      ring.template copy<false>(place.of[2], args.grad_current, first, args.time, chains, chain);
      ring.template copy<false>(place.of[3], args.saved, first, args.time, chains, chain);
      if constexpr (kCoefficients) {
        ring.template copy<false>(place.of[4], args.current, first - 1, args.time, chains, chain);
      }
      ring.commit();
    };

    if constexpr (kFar) {
      for (std::int32_t group = 0; group < ring.kGroups; ++group) {
        copy(args.time - 1 - group * kBackwardSteps<T>);
      }
    } else {
      load(args.time - 1);
    }
    for (std::int64_t first = args.time - 1; first >= 0; first -= kBackwardSteps<T>) {
      BackwardSteps<T> now = ahead;
      if constexpr (kFar) {
        ring.template wait<2>();
        now.grad_spikes = ring.read(place.of[0], args.grad_spikes);
        now.grad_membrane = ring.read(place.of[1], args.grad_membrane);
        now.grad_current = ring.read(place.of[2], args.grad_current);
        now.saved = ring.read(place.of[3], args.saved);
        if constexpr (kCoefficients) {
          now.current = ring.read(place.of[4], args.current);
          ahead.saved.value[0] = ring.peek(place.of[3]);
        }
      } else {
        load(first - kBackwardSteps<T>);
      }
#pragma unroll
      for (std::int32_t i = 0; i < kBackwardSteps<T>; ++i) {
        const std::int64_t t = first - i;
        if (t >= 0) {
          if (args.grad_current != nullptr) {
            adjoint.current = math::add(adjoint.current, now.grad_current.value[i]);
          }
          if (args.grad_membrane != nullptr) {
            adjoint.membrane = math::add(adjoint.membrane, now.grad_membrane.value[i]);
          }
          math::LifAdjointStep<T> step;
          if constexpr (kMeasuredSpikes || kMeasuredMembrane) {
            const math::Measured<T> measured{args.measured_spikes.of_step(t, now.measured_spikes.value[i]),
                                             args.measured_membrane.of_step(t, now.measured_membrane.value[i])};
            step = math::lif_adjoint_step_measured(adjoint, now.saved.value[i], now.grad_spikes.value[i], alpha,
                                                   args.surrogate, c, measured);
          } else {
            step =
                math::lif_adjoint_step(adjoint, now.saved.value[i], now.grad_spikes.value[i], alpha, args.surrogate, c);
          }
          store(args.grad_input, t * chains + chain, step.input);
          if constexpr (kCoefficients) {
            // The step before lies in the next slot, or in the first one of the next window.
            constexpr std::int32_t kLast = kBackwardSteps<T> - 1;
            const BackwardSteps<T>& earlier = i < kLast ? now : ahead;
            const std::int32_t slot = i < kLast ? i + 1 : 0;
            const math::Measured<T> measured{
                args.measured_spikes.of_step(t - 1, earlier.measured_spikes.value[slot]),
                args.measured_membrane.of_step(t - 1, earlier.measured_membrane.value[slot])};
            const T membrane =
                t > 0 ? math::membrane_after_reset(earlier.saved.value[slot], c, measured) : initial.membrane;
            const T current = t > 0 ? now.current.value[i] : initial.current;
            sums.accumulate(step, current, membrane, step.input, c);
          }
        }
      }
      if constexpr (kFar) {  // into the slots that were read above
        copy(first - ring.kGroups * kBackwardSteps<T>);
      }
    }
    if constexpr (kFar) {
      device::async_copy_wait<0>();
    }
    finish_adjoint(adjoint, sums, args.initial_state == nullptr, args.grad_initial_state, args.grad_coefficients,
                   chains, chain, true);
  }
}

template <class T, bool kCoefficients, bool kFar>
__global__ void __launch_bounds__(kThreads) li_backward_kernel(const LiBackwardArgs<T> args) {
  using Steps = Window<T, kBackwardSteps<T>>;
  GRADSPIKE_DYNAMIC_SHARED(T, shared);
  struct LiSteps {
    Steps grad_membrane;
    Steps grad_current;
    Steps membrane;  // of the step before, as is current
    Steps current;
  };
  const std::int64_t chains = args.batch * args.neuron;
  const std::int64_t chain = device::global_thread();
  if (chain < chains) {
    const math::LifCoefficients<T> c = args.coefficients.template at<false>(chain % args.neuron);
    const math::LifState<T> initial = initial_state(args.initial_state, chains, chain, c.leak, false);
    math::LifAdjoint<T> adjoint = final_adjoint(args.grad_final_state, chains, chain);
    math::CoefficientGradients<T> sums;
    LiSteps ahead;
    const auto load = [&](std::int64_t first) {
      ahead.grad_membrane.template load<false>(args.grad_membrane, first, args.time, chains, chain);
      ahead.grad_current.template load<false>(args.grad_current, first, args.time, chains, chain);
      if constexpr (kCoefficients) {
        ahead.membrane.template load<false>(args.membrane, first - 1, args.time, chains, chain);
        ahead.current.template load<false>(args.current, first - 1, args.time, chains, chain);
      }
    };

    const Places<4> place = places(args);
    Ring<T, kBackwardSteps<T>> ring(shared, place.count);
    const auto copy = [&](std::int64_t first) {
      ring.template copy<false>(place.of[0], args.grad_membrane, first, args.time, chains, chain);
      ring.template copy<false>(place.of[1], args.grad_current, first, args.time, chains, chain);
      if constexpr (kCoefficients) {
        ring.template copy<false>(place.of[2], args.membrane, first - 1, args.time, chains, chain);
        ring.template copy<false>(place.of[3], args.current, first - 1, args.time, chains, chain);
      }
      ring.commit();
    };

    if constexpr (kFar) {
      for (std::int32_t group = 0; group < ring.kGroups; ++group) {
        copy(args.time - 1 - group * kBackwardSteps<T>);
      }
    } else {
      load(args.time - 1);
    }
    for (std::int64_t first = args.time - 1; first >= 0; first -= kBackwardSteps<T>) {
      LiSteps now = ahead;
      if constexpr (kFar) {
        ring.template wait<1>();
        now.grad_membrane = ring.read(place.of[0], args.grad_membrane);
        now.grad_current = ring.read(place.of[1], args.grad_current);
        if constexpr (kCoefficients) {
          now.membrane = ring.read(place.of[2], args.membrane);
          now.current = ring.read(place.of[3], args.current);
        }
      } else {
        load(first - kBackwardSteps<T>);
      }
#pragma unroll
      for (std::int32_t i = 0; i < kBackwardSteps<T>; ++i) {
        const std::int64_t t = first - i;
        if (t >= 0) {
          if (args.grad_current != nullptr) {
            adjoint.current = math::add(adjoint.current, now.grad_current.value[i]);
          }
          if (args.grad_membrane != nullptr) {
            adjoint.membrane = math::add(adjoint.membrane, now.grad_membrane.value[i]);
          }
          const math::LifAdjointStep<T> step{adjoint.current, adjoint.membrane, T{0}, T{0}};
          math::integrate_adjoint(adjoint, step.before, c);
          store(args.grad_input, t * chains + chain, step.input);
          if constexpr (kCoefficients) {
            const T membrane = t > 0 ? now.membrane.value[i] : initial.membrane;
            const T current = t > 0 ? now.current.value[i] : initial.current;
            sums.accumulate(step, current, membrane, step.input, c);
          }
        }
      }
      if constexpr (kFar) {  // into the slots that were read above
        copy(first - ring.kGroups * kBackwardSteps<T>);
      }
    }
    if constexpr (kFar) {
      device::async_copy_wait<0>();
    }
    finish_adjoint(adjoint, sums, args.initial_state == nullptr, args.grad_initial_state, args.grad_coefficients,
                   chains, chain, false);
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads) parameter_gradients_kernel(const ParameterGradientsArgs<T> args) {
  const std::int64_t n = device::global_thread();
  if (n < args.neuron) {
    write_parameter_gradients(args, n);
  }
}

device::LaunchShape one_thread_each(std::int64_t count) { return {device::divide_up(count, kThreads), kThreads}; }

/// Whether chains are few enough to be read far ahead, which the kernels without measured data can.
bool is_far(std::int64_t chains) { return chains < kFarChains; }

/// A launch with room for `arrays` arrays in the ring of every chain.
template <class T, std::int32_t kSteps>
device::LaunchShape far_shape(std::int64_t chains, std::int32_t arrays) {
  const std::size_t bytes = Ring<T, kSteps>::bytes_per_chain(arrays);
  const std::int32_t threads = bytes * kFarThreads <= kFarBytes ? kFarThreads : kFarThreads / 2;
  return {device::divide_up(chains, threads), threads, bytes * static_cast<std::size_t>(threads)};
}

/// The kernel for what is measured.
template <class T>
auto select_lif_forward(const LifForwardArgs<T>& args) {
  if (args.measured_spikes.steps > 0) {
    return args.measured_membrane.steps > 0 ? &lif_forward_kernel<T, true, true, false>
                                            : &lif_forward_kernel<T, true, false, false>;
  }
  return args.measured_membrane.steps > 0 ? &lif_forward_kernel<T, false, true, false>
                                          : &lif_forward_kernel<T, false, false, false>;
}

template <bool kCoefficients, class T>
auto select_lif_backward(const LifBackwardArgs<T>& args) {
  if (args.measured_spikes.steps > 0) {
    return args.measured_membrane.steps > 0 ? &lif_backward_kernel<T, true, true, kCoefficients, false>
                                            : &lif_backward_kernel<T, true, false, kCoefficients, false>;
  }
  return args.measured_membrane.steps > 0 ? &lif_backward_kernel<T, false, true, kCoefficients, false>
                                          : &lif_backward_kernel<T, false, false, kCoefficients, false>;
}

}  // namespace

template <class T>
void lif_coefficients(const CudaExec& exec, const LifCoefficientsArgs<T>& args) {
  device::launch("lif_coefficients", &lif_coefficients_kernel<T>, one_thread_each(args.columns), exec, args);
}

template <class T>
void lif_forward(const CudaExec& exec, const LifForwardArgs<T>& args) {
  const std::int64_t chains = args.batch * args.neuron;
  if (is_far(chains) && args.measured_spikes.steps == 0 && args.measured_membrane.steps == 0) {
    device::launch("lif_forward", &lif_forward_kernel<T, false, false, true>, far_shape<T, kForwardSteps<T>>(chains, 1),
                   exec, args);
  } else {
    device::launch("lif_forward", select_lif_forward(args), one_thread_each(chains), exec, args);
  }
}

template <class T>
void lif_backward(const CudaExec& exec, const LifBackwardArgs<T>& args) {
  const std::int64_t chains = args.batch * args.neuron;
  const bool coefficients = args.grad_coefficients != nullptr;
  if (is_far(chains) && args.measured_spikes.steps == 0 && args.measured_membrane.steps == 0) {
    device::launch("lif_backward",
                   coefficients ? &lif_backward_kernel<T, false, false, true, true>
                                : &lif_backward_kernel<T, false, false, false, true>,
                   far_shape<T, kBackwardSteps<T>>(chains, places(args).count), exec, args);
  } else {
    device::launch("lif_backward", coefficients ? select_lif_backward<true>(args) : select_lif_backward<false>(args),
                   one_thread_each(chains), exec, args);
  }
}

template <class T>
void li_forward(const CudaExec& exec, const LiForwardArgs<T>& args) {
  const std::int64_t chains = args.batch * args.neuron;
  if (is_far(chains) && args.measured_membrane.steps == 0) {
    device::launch("li_forward", &li_forward_kernel<T, false, true>, far_shape<T, kForwardSteps<T>>(chains, 1), exec,
                   args);
  } else {
    device::launch(
        "li_forward",
        args.measured_membrane.steps > 0 ? &li_forward_kernel<T, true, false> : &li_forward_kernel<T, false, false>,
        one_thread_each(chains), exec, args);
  }
}

template <class T>
void li_backward(const CudaExec& exec, const LiBackwardArgs<T>& args) {
  const std::int64_t chains = args.batch * args.neuron;
  const bool coefficients = args.grad_coefficients != nullptr;
  if (is_far(chains)) {
    device::launch("li_backward",
                   coefficients ? &li_backward_kernel<T, true, true> : &li_backward_kernel<T, false, true>,
                   far_shape<T, kBackwardSteps<T>>(chains, places(args).count), exec, args);
  } else {
    device::launch("li_backward",
                   coefficients ? &li_backward_kernel<T, true, false> : &li_backward_kernel<T, false, false>,
                   one_thread_each(chains), exec, args);
  }
}

template <class T>
void parameter_gradients(const CudaExec& exec, const ParameterGradientsArgs<T>& args) {
  device::launch("parameter_gradients", &parameter_gradients_kernel<T>, one_thread_each(args.neuron), exec, args);
}

#define GRADSPIKE_INSTANTIATE(T)                                                     \
  template void lif_coefficients<T>(const CudaExec&, const LifCoefficientsArgs<T>&); \
  template void lif_forward<T>(const CudaExec&, const LifForwardArgs<T>&);           \
  template void lif_backward<T>(const CudaExec&, const LifBackwardArgs<T>&);         \
  template void li_forward<T>(const CudaExec&, const LiForwardArgs<T>&);             \
  template void li_backward<T>(const CudaExec&, const LiBackwardArgs<T>&);           \
  template void parameter_gradients<T>(const CudaExec&, const ParameterGradientsArgs<T>&);
GRADSPIKE_INSTANTIATE(float)
GRADSPIKE_INSTANTIATE(double)
#undef GRADSPIKE_INSTANTIATE

}  // namespace gradspike::kernels
