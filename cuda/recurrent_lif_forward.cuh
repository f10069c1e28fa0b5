// Forward kernels of recurrent_lif: part of recurrent_lif.cu.
//
// The input projection is a product over all time steps, made beforehand. Then one persistent kernel walks over time: a
// block has a tile of batch rows to itself, exchanges the spikes of a step through memory that it alone uses, in two
// buffers in turn, and so needs one barrier per step and no other block.
//
//   resident   int8 weights of up to 256 neurons stay in registers for the whole run: a neuron has two threads, each
//              with the weights of every other 16 inputs, which sum two batch rows from spikes as bytes; then either
//              thread takes the step of one of the rows
//   general    any number of neurons and any form of weights: one batch row per block, event-driven sums over weights
//              [pre][post] in global memory, which the caches hold
//
// Spikes that are no counts (measured ones, those of an initial state) are summed in T in the order of pre.
#pragma once

#include <type_traits>

#include "csrc/kernels/graded_spikes.h"
#include "csrc/kernels/recurrent_lif.h"
#include "cuda/common/device.cuh"
#include "cuda/common/dot.cuh"
#include "cuda/lif_chain.cuh"

namespace gradspike::kernels::recurrent {
namespace {

constexpr std::int32_t kParts = 2;         // threads of a neuron, and batch rows of a block
constexpr std::int32_t kChunkInputs = 16;  // inputs of one 16-byte load of spikes
constexpr std::int32_t kChunkWords = kChunkInputs / 4;
constexpr std::int32_t kMaxChunks = 8;  // of a thread: 32 registers of weights
constexpr std::int32_t kGeneralThreads = 256;
constexpr std::int32_t kGeneralBlocks = 4;  // per multiprocessor: 64 registers, enough without spills

constexpr std::int32_t resident_neurons(std::int32_t chunks) { return chunks * kParts * kChunkInputs; }

/// Everything of a forward run but the input spikes, whose projection is in `input`.
template <class T>
struct ForwardRun {
  const T* input;  // [time, batch, neuron]
  ProjectionWeights recurrent;
  CoefficientTable<T> coefficients;
  const T* initial_state;
  Measurement<T> measured_spikes;
  Measurement<T> measured_membrane;
  T* spikes;
  T* membrane;
  T* current;
  T* saved;
  T* checkpoints;
  std::int64_t checkpoint_steps;
  T* final_state;
  std::int64_t time;
  std::int64_t batch;
  std::int64_t neuron;

  __device__ __forceinline__ std::int64_t chains() const { return batch * neuron; }
};

template <class T>
__device__ __forceinline__ void store_state(T* state, const math::LifState<T>& s, T spike, std::int64_t chains,
                                            std::int64_t chain) {
  state[math::kStateCurrent * chains + chain] = s.current;
  state[math::kStateMembrane * chains + chain] = s.membrane;
  state[math::kStateRefractory * chains + chain] = s.refractory;
  state[math::kStateSpikes * chains + chain] = spike;
}

/// One step of one chain: keeps the checkpoint before it and the traces after it, and gives the spike.
template <class T>
__device__ __forceinline__ T step_chain(const ForwardRun<T>& run, math::LifState<T>& state, T last_spike, T input,
                                        const math::LifCoefficients<T>& c, std::int64_t t, std::int64_t chain) {
  const std::int64_t chains = run.chains();
  if (run.checkpoints != nullptr && t % run.checkpoint_steps == 0) {
    store_state(run.checkpoints + t / run.checkpoint_steps * math::kNumRecurrentLifStates * chains, state, last_spike,
                chains, chain);
  }
  math::LifStep<T> step;
  if (t < run.measured_spikes.steps || t < run.measured_membrane.steps) {
    const math::Measured<T> measured{run.measured_spikes.at(t, chains, chain),
                                     run.measured_membrane.at(t, chains, chain)};
    step = math::lif_step_measured(state, input, c, measured);
  } else {
    step = math::lif_step<true>(state, input, c);
  }
  const std::int64_t at = t * chains + chain;
  store(run.spikes, at, step.spike);
  store(run.membrane, at, state.membrane);
  store(run.current, at, state.current);
  store(run.saved, at, step.saved);
  return step.spike;
}

template <class T>
__device__ __forceinline__ T initial_spike(const T* state, std::int64_t chains, std::int64_t chain) {
  return state == nullptr ? T{0} : state[math::kStateSpikes * chains + chain];
}

// ---- resident weights ----------------------------------------------------------------------------------------------

/// The sum over pre, in order, of real-valued spikes; NaN weights count as 0, their neuron is NaN anyway.
template <class T>
__device__ __forceinline__ T sum_real_spikes(const T* spikes, const std::int8_t* __restrict__ weights,
                                             std::int64_t neurons) {
  T sum = T{0};
  for (std::int64_t pre = 0; pre < neurons; ++pre) {
    if (spikes[pre] != T{0}) {
      const std::int8_t q = weights[pre];
      sum = math::add(sum, math::mul(spikes[pre], static_cast<T>(q == math::nan_weight<std::int8_t>() ? 0 : q)));
    }
  }
  return sum;
}

template <class T>
__device__ __forceinline__ bool all_counts(const T* spikes, std::int64_t neurons) {
  bool counts = true;
  for (std::int64_t pre = 0; pre < neurons; ++pre) {
    counts = counts && math::is_spike_count(spikes[pre]);
  }
  return counts;
}

template <class T, std::int32_t kChunks>
__global__ void __launch_bounds__(resident_neurons(kChunks) * kParts) resident_forward_kernel(const ForwardRun<T> run) {
  constexpr std::int32_t kNeurons = resident_neurons(kChunks);
  GRADSPIKE_SHARED(int4, bytes, [2][kParts][kNeurons / kChunkInputs]);  // spike counts
  GRADSPIKE_SHARED(T, values, [2][kParts][kNeurons]);                   // the spikes as they are
  const std::int64_t chains = run.chains();
  const std::int32_t post = static_cast<std::int32_t>(threadIdx.x) / kParts;
  const std::int32_t part = static_cast<std::int32_t>(threadIdx.x) % kParts;
  const std::int64_t row = static_cast<std::int64_t>(blockIdx.x) * kParts + part;
  const bool inside = post < run.neuron && row < run.batch;
  const std::int64_t chain = inside ? row * run.neuron + post : 0;
  const T factor = static_cast<T>(run.recurrent.factor);

  // The weights of this thread, four inputs to a word, the first one lowest; NaN as 0.
  const std::int8_t* const weights =
      run.recurrent.template as<std::int8_t>() + (post < run.neuron ? post : 0) * run.neuron;
  std::int32_t words[kChunks * kChunkWords];
  bool has_nan = false;
#pragma unroll
  for (std::int32_t word = 0; word < kChunks * kChunkWords; ++word) {
    std::uint32_t four = 0;
#pragma unroll
    for (std::int32_t i = 0; i < 4; ++i) {
      const std::int64_t pre = (word / kChunkWords * kParts + part) * kChunkInputs + word % kChunkWords * 4 + i;
      const std::int8_t q = post < run.neuron && pre < run.neuron ? weights[pre] : std::int8_t{0};
      const bool is_nan = q == math::nan_weight<std::int8_t>();
      four |= (is_nan ? 0U : static_cast<std::uint32_t>(static_cast<std::int32_t>(q)) & 0xFFU) << (8 * i);
      has_nan = has_nan || is_nan;
    }
    words[word] = static_cast<std::int32_t>(four);
  }
  has_nan = __shfl_xor_sync(device::kFullMask, has_nan ? 1 : 0, 1) != 0 || has_nan;

  const math::LifCoefficients<T> c = run.coefficients.template at<true>(post < run.neuron ? post : 0);
  math::LifState<T> state{T{0}, c.leak, T{0}};
  T spike = T{0};
  if (inside) {
    state = initial_state(run.initial_state, chains, chain, c.leak, true);
    spike = initial_spike(run.initial_state, chains, chain);
  }
  const auto send = [&](std::int32_t buffer) {
    const bool count = math::is_spike_count(spike);
    reinterpret_cast<std::int8_t*>(bytes[buffer][part])[post] =
        count ? static_cast<std::int8_t>(static_cast<std::int32_t>(spike)) : std::int8_t{0};
    values[buffer][part][post] = spike;
    return count;
  };
  bool some_real = __syncthreads_or(send(0) ? 0 : 1) != 0;

  T next_input = inside && run.time > 0 ? run.input[chain] : T{0};
  for (std::int64_t t = 0; t < run.time; ++t) {
    const std::int32_t buffer = static_cast<std::int32_t>(t % 2);
    const T input = next_input;
    next_input = inside && t + 1 < run.time ? run.input[(t + 1) * chains + chain] : T{0};
    std::int32_t sums[kParts] = {};
#pragma unroll
    for (std::int32_t k = 0; k < kChunks; ++k) {
#pragma unroll
      for (std::int32_t r = 0; r < kParts; ++r) {
        const int4 spikes = bytes[buffer][r][k * kParts + part];
        sums[r] = device::dot_bytes(words[k * kChunkWords], spikes.x, sums[r]);
        sums[r] = device::dot_bytes(words[k * kChunkWords + 1], spikes.y, sums[r]);
        sums[r] = device::dot_bytes(words[k * kChunkWords + 2], spikes.z, sums[r]);
        sums[r] = device::dot_bytes(words[k * kChunkWords + 3], spikes.w, sums[r]);
      }
    }
#pragma unroll
    for (std::int32_t r = 0; r < kParts; ++r) {
      sums[r] += __shfl_xor_sync(device::kFullMask, sums[r], 1);
    }
    T total = static_cast<T>(part == 0 ? sums[0] : sums[1]);
    if (some_real && inside && !all_counts(values[buffer][part], run.neuron)) {
      total = sum_real_spikes(values[buffer][part], weights, run.neuron);
    }
    if (inside) {
      const T fed_back = has_nan ? device::quiet_nan<T>() : math::mul(total, factor);
      spike = step_chain(run, state, spike, math::add(input, fed_back), c, t, chain);
    }
    // The other buffer was last read before the barrier of the step before.
    some_real = __syncthreads_or(send(1 - buffer) ? 0 : 1) != 0;
  }
  if (inside) {
    store_state(run.final_state, state, spike, chains, chain);
  }
}

// ---- weights in global memory --------------------------------------------------------------------------------------

/// Transposes weights to [pre][post] with NaN integers as 0, and notes the neurons that have one.
template <class W>
__global__ void __launch_bounds__(kGeneralThreads)
    transpose_weights_kernel(const W* __restrict__ weights, std::int64_t in_features, std::int64_t out_features,
                             W* __restrict__ transposed, std::uint8_t* __restrict__ post_is_nan) {
  const std::int64_t post = device::global_thread();
  if (post < out_features) {
    bool has_nan = false;
    for (std::int64_t pre = 0; pre < in_features; ++pre) {
      W w = weights[post * in_features + pre];
      if constexpr (!std::is_floating_point_v<W>) {
        const bool is_nan = w == math::nan_weight<W>();
        w = is_nan ? W{0} : w;
        has_nan = has_nan || is_nan;
      }
      transposed[pre * out_features + post] = w;
    }
    post_is_nan[post] = has_nan ? 1 : 0;
  }
}

/// Weights as the sums below read them.
template <class W>
struct Transposed {
  const W* weights;  // [pre][post]
  const std::uint8_t* post_is_nan;
};

/// Sum over the spikes of one row, in the order of pre, for one post neuron; every lane of the warp takes part. `Sum`
/// is an integer type, for counts, or T. The warp looks at 32 spikes at once and skips those that are 0.
template <class Sum, class S, class W>
__device__ __forceinline__ Sum sum_spikes(const S* spikes, std::int64_t in_features, const W* __restrict__ weights,
                                          std::int64_t out_features, std::int64_t post) {
  const std::int32_t lane = static_cast<std::int32_t>(threadIdx.x) % device::kWarpSize;
  Sum sum = Sum{0};
  for (std::int64_t first = 0; first < in_features; first += device::kWarpSize) {
    const S mine = first + lane < in_features ? spikes[first + lane] : S{0};
    unsigned open = __ballot_sync(device::kFullMask, mine != S{0} ? 1 : 0);
    while (open != 0) {  // the same for all lanes
      const std::int32_t next = device::first_lane(open);
      open &= open - 1;
      const S spike = __shfl_sync(device::kFullMask, mine, next);
      if (post < out_features) {
        const W w = weights[(first + next) * out_features + post];
        if constexpr (std::is_floating_point_v<Sum>) {
          sum = math::add(sum, math::mul(static_cast<Sum>(spike), static_cast<Sum>(w)));
        } else {
          sum += static_cast<Sum>(static_cast<std::int32_t>(spike)) * static_cast<Sum>(w);
        }
      }
    }
  }
  return sum;
}

/// `last_spikes` is [2][batch][neuron].
template <class T, class W, bool kWide>
__global__ void __launch_bounds__(kGeneralThreads, kGeneralBlocks)
    general_forward_kernel(const ForwardRun<T> run, const Transposed<W> transposed, T* last_spikes) {
  using Sum = std::conditional_t<std::is_floating_point_v<W>, T, std::conditional_t<kWide, std::int64_t, std::int32_t>>;
  const std::int64_t chains = run.chains();
  const std::int64_t row = blockIdx.x;
  const std::int64_t neurons = run.neuron;
  const std::int64_t rounded = device::divide_up(neurons, kGeneralThreads) * kGeneralThreads;
  const T factor = static_cast<T>(run.recurrent.factor);
  bool real = false;
  for (std::int64_t post = threadIdx.x; post < neurons; post += kGeneralThreads) {
    const std::int64_t chain = row * neurons + post;
    const math::LifState<T> state =
        initial_state(run.initial_state, chains, chain, run.coefficients.template at<true>(post).leak, true);
    const T spike = initial_spike(run.initial_state, chains, chain);
    store_state(run.final_state, state, spike, chains, chain);
    last_spikes[chain] = spike;
    real = real || !math::is_spike_count(spike);
  }
  bool some_real = __syncthreads_or(real ? 1 : 0) != 0;

  for (std::int64_t t = 0; t < run.time; ++t) {
    const T* const before = last_spikes + t % 2 * chains + row * neurons;
    T* const after = last_spikes + (1 - t % 2) * chains + row * neurons;
    real = false;
    for (std::int64_t post = threadIdx.x; post < rounded; post += kGeneralThreads) {
      const T total = some_real || std::is_floating_point_v<W>
                          ? sum_spikes<T>(before, neurons, transposed.weights, neurons, post)
                          : static_cast<T>(sum_spikes<Sum>(before, neurons, transposed.weights, neurons, post));
      if (post < neurons) {
        const std::int64_t chain = row * neurons + post;
        const bool is_nan = transposed.post_is_nan[post] != 0;
        const T fed_back = is_nan ? device::quiet_nan<T>() : math::mul(total, factor);
        const T input = math::add(run.input[t * chains + chain], fed_back);
        math::LifState<T> state = initial_state<T>(run.final_state, chains, chain, T{0}, true);
        const T spike = step_chain(run, state, before[post], input, run.coefficients.template at<true>(post), t, chain);
        store_state(run.final_state, state, spike, chains, chain);
        after[post] = spike;
        real = real || !math::is_spike_count(spike);
      }
    }
    some_real = __syncthreads_or(real ? 1 : 0) != 0;
  }
}

/// out[row][post] = factor * sum over pre, in order, of real weights; one warp-aligned block of post neurons per row.
template <class S, class T>
__global__ void __launch_bounds__(kGeneralThreads)
    real_product_kernel(const S* __restrict__ spikes, std::int64_t in_features, const T* __restrict__ weights,
                        std::int64_t out_features, float factor, T* __restrict__ out) {
  const std::int64_t tiles = device::divide_up(out_features, kGeneralThreads);
  const std::int64_t row = blockIdx.x / tiles;
  const std::int64_t post = blockIdx.x % tiles * kGeneralThreads + threadIdx.x;
  const T sum = sum_spikes<T>(spikes + row * in_features, in_features, weights, out_features, post);
  if (post < out_features) {
    out[row * out_features + post] = math::mul(sum, static_cast<T>(factor));
  }
}

// ---- launch --------------------------------------------------------------------------------------------------------

template <class W>
Transposed<W> transpose(const CudaExec& exec, const W* weights, std::int64_t in_features, std::int64_t out_features) {
  W* const transposed = exec.workspace->allocate_array<W>(in_features * out_features);
  std::uint8_t* const post_is_nan = exec.workspace->allocate_array<std::uint8_t>(out_features);
  device::launch("recurrent_transpose", &transpose_weights_kernel<W>,
                 {device::divide_up(out_features, kGeneralThreads), kGeneralThreads}, exec, weights, in_features,
                 out_features, transposed, post_is_nan);
  return {transposed, post_is_nan};
}

/// The input projection of all time steps.
template <class S, class T>
const T* input_product(const CudaExec& exec, const RecurrentLifForwardArgs<S, T>& args) {
  const std::int64_t rows = args.time * args.batch;
  T* const out = exec.workspace->allocate_array<T>(rows * args.neuron);
  const auto integers = [&](const auto* weights) {
    using Q = std::remove_const_t<std::remove_pointer_t<decltype(weights)>>;
    graded_spikes(exec, GradedSpikesArgs<S, Q, T>{args.spikes, weights, out, rows, args.in_features, args.neuron,
                                                  args.input.factor, args.input.wide});
  };
  if (args.input.form == WeightForm::kInt8) {
    integers(args.input.template as<std::int8_t>());
  } else if (args.input.form == WeightForm::kInt16) {
    integers(args.input.template as<std::int16_t>());
  } else {
    const Transposed<T> weights = transpose(exec, args.input.template as<T>(), args.in_features, args.neuron);
    device::launch("recurrent_real_product", &real_product_kernel<S, T>,
                   {rows * device::divide_up(args.neuron, kGeneralThreads), kGeneralThreads}, exec, args.spikes,
                   args.in_features, weights.weights, args.neuron, args.input.factor, out);
  }
  return out;
}

template <class W, class T>
void run_general(const CudaExec& exec, const ForwardRun<T>& run) {
  const Transposed<W> weights = transpose(exec, run.recurrent.template as<W>(), run.neuron, run.neuron);
  T* const last_spikes = exec.workspace->allocate_array<T>(2 * run.batch * run.neuron);
  constexpr bool kCanBeWide = !std::is_floating_point_v<W>;
  device::launch("recurrent_lif_forward",
                 kCanBeWide && run.recurrent.wide ? &general_forward_kernel<T, W, kCanBeWide>
                                                  : &general_forward_kernel<T, W, false>,
                 {run.batch, kGeneralThreads}, exec, run, weights, last_spikes);
}

template <class T>
void run_resident(const CudaExec& exec, const ForwardRun<T>& run) {
  const std::int64_t blocks = device::divide_up(run.batch, kParts);
  const auto with = [&](auto* kernel, std::int32_t chunks) {
    device::launch("recurrent_lif_forward", kernel, {blocks, resident_neurons(chunks) * kParts}, exec, run);
  };
  if (run.neuron <= resident_neurons(1)) {
    with(&resident_forward_kernel<T, 1>, 1);
  } else if (run.neuron <= resident_neurons(2)) {
    with(&resident_forward_kernel<T, 2>, 2);
  } else if (run.neuron <= resident_neurons(4)) {
    with(&resident_forward_kernel<T, 4>, 4);
  } else {
    with(&resident_forward_kernel<T, kMaxChunks>, kMaxChunks);
  }
}

template <class S, class T>
void forward(const CudaExec& exec, const RecurrentLifForwardArgs<S, T>& args) {
  if (args.batch == 0 || args.neuron == 0) {
    return;
  }
  const ForwardRun<T> run{input_product(exec, args),
                          args.recurrent,
                          args.coefficients,
                          args.initial_state,
                          args.measured_spikes,
                          args.measured_membrane,
                          args.out_spikes,
                          args.membrane,
                          args.current,
                          args.saved,
                          args.checkpoints,
                          args.checkpoint_steps,
                          args.final_state,
                          args.time,
                          args.batch,
                          args.neuron};
  if (args.recurrent.form == WeightForm::kReal) {
    run_general<T>(exec, run);
  } else if (args.recurrent.form == WeightForm::kInt16) {
    run_general<std::int16_t>(exec, run);
  } else if (args.neuron > resident_neurons(kMaxChunks)) {
    run_general<std::int8_t>(exec, run);
  } else {
    run_resident(exec, run);
  }
}

}  // namespace
}  // namespace gradspike::kernels::recurrent
