// Backward kernel of recurrent_lif: part of recurrent_lif.cu.
//
// One persistent kernel walks back over time: a block has a tile of batch rows to itself. In a step each thread takes
// the adjoint of its neurons, for all rows of the tile; then, after the step's only barrier, it sums the gradient to
// the last spikes of the same neurons over all post neurons, in order. The gradients to the input of the step are
// exchanged through shared memory where they fit, in two buffers in turn, else through the result itself.
#pragma once

#include "csrc/kernels/recurrent_lif.h"
#include "cuda/common/device.cuh"
#include "cuda/lif_chain.cuh"

namespace gradspike::kernels::recurrent {
namespace {

constexpr std::int32_t kBackwardThreads = 256;
constexpr std::int32_t kBackwardRows = 2;  // batch rows of a block: a loaded weight serves each
constexpr std::int32_t kAhead = 16;        // weights that a thread reads before it needs them

/// Gradients that a block carries from step to step, [batch, neuron] each.
template <class T>
struct Carried {
  T* current;
  T* membrane;
  T* spikes;  // to the last spikes, through the recurrent projection
};

template <class T, class W>
__global__ void __launch_bounds__(kBackwardThreads)
    real_weights_kernel(const W* __restrict__ weights, std::int64_t count, T* __restrict__ out) {
  const std::int64_t i = device::global_thread();
  if (i < count) {
    out[i] = static_cast<T>(weights[i]);
  }
}

template <class T>
__device__ __forceinline__ math::CoefficientGradients<T> load_sums(const T* sums, std::int64_t chains,
                                                                   std::int64_t chain) {
  const T* const s = sums + chain;
  return {s[0], s[chains], s[2 * chains], s[3 * chains], s[4 * chains], s[5 * chains]};
}

template <class T>
__device__ __forceinline__ void store_sums(const math::CoefficientGradients<T>& g, T* sums, std::int64_t chains,
                                           std::int64_t chain) {
  T* const s = sums + chain;
  s[0] = g.input_gain;
  s[chains] = g.leak_conductance;
  s[2 * chains] = g.current_decay;
  s[3 * chains] = g.leak;
  s[4 * chains] = g.reset;
  s[5 * chains] = g.threshold;
}

/// Step t back of one chain, with the sums of the coefficient gradients where they are asked for; gives dL/dx[t].
template <class T>
__device__ __forceinline__ T step_back(const RecurrentLifBackwardArgs<T>& args, const Carried<T>& carried,
                                       std::int64_t t, std::int64_t chain) {
  const LifBackwardArgs<T>& lif = args.lif;
  const std::int64_t chains = lif.batch * lif.neuron;
  const std::int64_t at = t * chains + chain;
  const math::LifCoefficients<T> c = lif.coefficients.template at<true>(chain % lif.neuron);
  math::LifAdjoint<T> adjoint{carried.current[chain], carried.membrane[chain]};
  if (lif.grad_current != nullptr) {
    adjoint.current = math::add(adjoint.current, lif.grad_current[at]);
  }
  if (lif.grad_membrane != nullptr) {
    adjoint.membrane = math::add(adjoint.membrane, lif.grad_membrane[at]);
  }
  const T through = carried.spikes[chain];
  const T grad_spike = lif.grad_spikes == nullptr ? through : math::add(lif.grad_spikes[at], through);
  const T alpha = static_cast<T>(lif.alpha);
  math::LifAdjointStep<T> step;
  if (t < lif.measured_spikes.steps || t < lif.measured_membrane.steps) {
    const math::Measured<T> measured{lif.measured_spikes.at(t, chains, chain),
                                     lif.measured_membrane.at(t, chains, chain)};
    step = math::lif_adjoint_step_measured(adjoint, lif.saved[at], grad_spike, alpha, lif.surrogate, c, measured);
  } else {
    step = math::lif_adjoint_step(adjoint, lif.saved[at], grad_spike, alpha, lif.surrogate, c);
  }
  const math::MeasuredValue<T> spike_before =
      t > 0 ? lif.measured_spikes.at(t - 1, chains, chain) : math::MeasuredValue<T>{};
  if (lif.grad_coefficients != nullptr) {
    const math::LifState<T> initial = initial_state(lif.initial_state, chains, chain, c.leak, true);
    T current = initial.current;
    T membrane = initial.membrane;
    if (t > 0) {
      const math::Measured<T> measured{spike_before, lif.measured_membrane.at(t - 1, chains, chain)};
      current = lif.current[at - chains];
      membrane = math::membrane_after_reset(lif.saved[at - chains], c, measured);
    }
    math::CoefficientGradients<T> sums = load_sums(lif.grad_coefficients, chains, chain);
    sums.accumulate(step, current, membrane, step.input, c);
    store_sums(sums, lif.grad_coefficients, chains, chain);
  }
  if (args.previous_spikes != nullptr) {
    const T initial = lif.initial_state == nullptr ? T{0} : lif.initial_state[math::kStateSpikes * chains + chain];
    args.previous_spikes[at] = t > 0 ? math::spike_of_step(lif.saved[at - chains], c.threshold, spike_before) : initial;
  }
  carried.current[chain] = adjoint.current;
  carried.membrane[chain] = adjoint.membrane;
  lif.grad_input[at] = step.input;
  return step.input;
}

template <class T>
__device__ __forceinline__ void start_carrying(const RecurrentLifBackwardArgs<T>& args, const Carried<T>& carried,
                                               std::int64_t chain) {
  const std::int64_t chains = args.lif.batch * args.lif.neuron;
  const T* const state = args.lif.grad_final_state;
  carried.current[chain] = state == nullptr ? T{0} : state[math::kStateCurrent * chains + chain];
  carried.membrane[chain] = state == nullptr ? T{0} : state[math::kStateMembrane * chains + chain];
  carried.spikes[chain] = state == nullptr ? T{0} : state[math::kStateSpikes * chains + chain];
  if (args.lif.grad_coefficients != nullptr && !args.accumulate) {
    store_sums(math::CoefficientGradients<T>{}, args.lif.grad_coefficients, chains, chain);
  }
}

/// Writes what is left before the first step.
template <class T>
__device__ __forceinline__ void finish_carrying(const RecurrentLifBackwardArgs<T>& args, const Carried<T>& carried,
                                                std::int64_t chain) {
  const LifBackwardArgs<T>& lif = args.lif;
  const std::int64_t chains = lif.batch * lif.neuron;
  const math::LifAdjoint<T> adjoint{carried.current[chain], carried.membrane[chain]};
  math::CoefficientGradients<T> sums;
  if (lif.grad_coefficients != nullptr) {
    sums = load_sums(lif.grad_coefficients, chains, chain);
  }
  finish_adjoint(adjoint, sums, lif.initial_state == nullptr, lif.grad_initial_state, lif.grad_coefficients, chains,
                 chain, true);
  if (lif.grad_initial_state != nullptr) {
    lif.grad_initial_state[math::kStateSpikes * chains + chain] = carried.spikes[chain];
  }
}

/// Weights of kAhead post neurons from `first` on, zeros beyond the last.
template <class W>
__device__ __forceinline__ void read_weights(const W* __restrict__ weights, std::int64_t neurons, std::int64_t first,
                                             std::int64_t pre, W (&values)[kAhead]) {
#pragma unroll
  for (std::int32_t i = 0; i < kAhead; ++i) {
    values[i] = first + i < neurons ? weights[(first + i) * neurons + pre] : W{0};
  }
}

/// carried.spikes[row][pre] = factor * sum over post, in order, of weights[post][pre] * grad[row][post]. The weights of
/// the next post neurons are on their way while those of the last ones are summed.
template <class T, class W>
__device__ __forceinline__ void sum_over_posts(const RecurrentLifBackwardArgs<T>& args, const W* __restrict__ weights,
                                               const T* grad, std::int64_t first_row, std::int64_t pre,
                                               const Carried<T>& carried) {
  const std::int64_t neurons = args.lif.neuron;
  const std::int64_t rows = args.lif.batch - first_row < kBackwardRows ? args.lif.batch - first_row : kBackwardRows;
  T sums[kBackwardRows] = {};
  W next[kAhead];
  read_weights(weights, neurons, 0, pre, next);
  for (std::int64_t first = 0; first < neurons; first += kAhead) {
    T w[kAhead];
#pragma unroll
    for (std::int32_t i = 0; i < kAhead; ++i) {
      w[i] = static_cast<T>(next[i]);
    }
    read_weights(weights, neurons, first + kAhead, pre, next);
#pragma unroll
    for (std::int32_t i = 0; i < kAhead; ++i) {
      if (first + i < neurons) {  // the same for all threads; a zero of the padding would meet a gradient of nobody
#pragma unroll
        for (std::int32_t r = 0; r < kBackwardRows; ++r) {
          const T g = r < rows ? grad[r * neurons + first + i] : T{0};
          sums[r] = math::add(sums[r], math::mul(w[i], g));
        }
      }
    }
  }
#pragma unroll
  for (std::int32_t r = 0; r < kBackwardRows; ++r) {
    if (r < rows) {
      carried.spikes[(first_row + r) * neurons + pre] = math::mul(sums[r], static_cast<T>(args.recurrent.factor));
    }
  }
}

/// `weights` is [post][pre]. With kShared the launch has room for 2 * kBackwardRows * neuron values in shared memory.
template <class T, class W, bool kShared>
__global__ void __launch_bounds__(kBackwardThreads)
    backward_kernel(const RecurrentLifBackwardArgs<T> args, const W* __restrict__ weights, const Carried<T> carried) {
  GRADSPIKE_DYNAMIC_SHARED(T, exchange);
  const std::int64_t neurons = args.lif.neuron;
  const std::int64_t first_row = static_cast<std::int64_t>(blockIdx.x) * kBackwardRows;
  const std::int64_t last_row = first_row + kBackwardRows < args.lif.batch ? first_row + kBackwardRows : args.lif.batch;
  for (std::int64_t n = threadIdx.x; n < neurons; n += kBackwardThreads) {
    for (std::int64_t row = first_row; row < last_row; ++row) {
      start_carrying(args, carried, row * neurons + n);
    }
  }
  // From here on a thread reads carried gradients of its own neurons alone.
  for (std::int64_t t = args.lif.time - 1; t >= 0; --t) {
    T* const buffer = kShared ? exchange + t % 2 * kBackwardRows * neurons : nullptr;
    for (std::int64_t n = threadIdx.x; n < neurons; n += kBackwardThreads) {
      for (std::int64_t row = first_row; row < last_row; ++row) {
        const T grad = step_back(args, carried, t, row * neurons + n);
        if constexpr (kShared) {
          buffer[(row - first_row) * neurons + n] = grad;
        }
      }
    }
    __syncthreads();
    const T* const grad = kShared ? buffer : args.lif.grad_input + (t * args.lif.batch + first_row) * neurons;
    for (std::int64_t pre = threadIdx.x; pre < neurons; pre += kBackwardThreads) {
      sum_over_posts(args, weights, grad, first_row, pre, carried);
    }
  }
  for (std::int64_t n = threadIdx.x; n < neurons; n += kBackwardThreads) {
    for (std::int64_t row = first_row; row < last_row; ++row) {
      finish_carrying(args, carried, row * neurons + n);
    }
  }
}

// ---- launch --------------------------------------------------------------------------------------------------------

template <class T>
const T* real_weights(const CudaExec& exec, const ProjectionWeights& weights, std::int64_t neurons) {
  if (weights.form == WeightForm::kReal) {
    return weights.as<T>();
  }
  const std::int64_t count = neurons * neurons;
  T* const out = exec.workspace->allocate_array<T>(count);
  device::launch("recurrent_real_weights", &real_weights_kernel<T, std::int16_t>,
                 {device::divide_up(count, kBackwardThreads), kBackwardThreads}, exec, weights.as<std::int16_t>(),
                 count, out);
  return out;
}

template <class T, class W>
void launch_backward(const CudaExec& exec, const RecurrentLifBackwardArgs<T>& args, const W* weights,
                     const Carried<T>& carried) {
  const std::int64_t blocks = device::divide_up(args.lif.batch, kBackwardRows);
  const std::size_t bytes = static_cast<std::size_t>(2 * kBackwardRows * args.lif.neuron) * sizeof(T);
  const bool shared = bytes <= device::kMaxDynamicSharedBytes;
  device::launch("recurrent_lif_backward", shared ? &backward_kernel<T, W, true> : &backward_kernel<T, W, false>,
                 {blocks, kBackwardThreads, shared ? bytes : 0}, exec, args, weights, carried);
}

template <class T>
void backward(const CudaExec& exec, const RecurrentLifBackwardArgs<T>& args) {
  const std::int64_t chains = args.lif.batch * args.lif.neuron;
  if (chains == 0) {
    return;
  }
  T* const space = exec.workspace->allocate_array<T>(3 * chains);
  const Carried<T> carried{space, space + chains, space + 2 * chains};
  if (args.recurrent.form == WeightForm::kInt8) {  // they stay in the L1 cache from step to step
    launch_backward(exec, args, args.recurrent.template as<std::int8_t>(), carried);
  } else {
    launch_backward(exec, args, real_weights<T>(exec, args.recurrent, args.lif.neuron), carried);
  }
}

}  // namespace
}  // namespace gradspike::kernels::recurrent
