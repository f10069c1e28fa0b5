// CUDA kernels of synapse_lif: integer sums and the neurons' step in one kernel that walks over time.
//
// Spikes and weights are packed into words of four inputs. A block owns 64 neurons and 4 batch entries; a thread owns
// one neuron of two entries, with sums and states in registers. The block's weights stay in shared memory where they
// fit. The backward runs the kernels of lif and of the weight gradient; from checkpoints it first makes the traces
// again.
#include "csrc/kernels/synapse_lif.h"

#include <type_traits>

#include "csrc/math/lif.h"
#include "cuda/common/device.cuh"
#include "cuda/common/dot.cuh"
#include "cuda/lif_chain.cuh"

namespace gradspike::kernels {
namespace {

constexpr std::int32_t kThreads = 128;
constexpr std::int32_t kNeurons = 64;                            // of a block
constexpr std::int32_t kItems = 2;                               // batch entries of a thread
constexpr std::int32_t kEntries = kThreads / kNeurons * kItems;  // of a block
constexpr std::int32_t kBlocksAtOnce = 3;                        // per multiprocessor: 168 registers per thread
constexpr std::int32_t kWordInputs = 4;                          // inputs per word of spikes
constexpr std::int32_t kSlice = 32;                              // words of spikes that are staged at once
constexpr std::size_t kMaxSharedWeights = 32768;                 // bytes; beyond, weights are read from the L2 cache

/// Words of a weight per word of spikes.
template <class Q>
constexpr std::int32_t kWeightWords = sizeof(Q);

// ---- packing -----------------------------------------------------------------------------------------------------

template <class S>
__device__ __forceinline__ S spike_at(const S* row, std::int64_t pre, bool packed) {
  if constexpr (sizeof(S) == 1) {
    if (packed) {
      return math::packed_spike(row, pre) ? S{1} : S{0};
    }
  }
  return row[pre];
}

/// Four spikes as bytes, the first one lowest, [rows][words]; a warp per row. Notes rows that hold anything else.
template <class S>
__global__ void __launch_bounds__(kThreads)
    pack_rows_kernel(const S* __restrict__ spikes, std::int64_t row_length, bool is_packed, std::int64_t rows,
                     std::int64_t in_features, std::int64_t words, std::int32_t* __restrict__ packed,
                     std::uint8_t* __restrict__ row_is_float) {
  const std::int64_t row = device::global_thread() / device::kWarpSize;
  const std::int32_t lane = static_cast<std::int32_t>(threadIdx.x) % device::kWarpSize;
  if (row < rows) {  // the same for all lanes of a warp
    bool counts = true;
    for (std::int64_t word = lane; word < words; word += device::kWarpSize) {
      std::uint32_t bytes = 0;
#pragma unroll
      for (std::int32_t i = 0; i < kWordInputs; ++i) {
        const std::int64_t pre = word * kWordInputs + i;
        const S spike = pre < in_features ? spike_at(spikes + row * row_length, pre, is_packed) : S{0};
        const bool count = math::is_spike_count(spike);
        bytes |= (count ? static_cast<std::uint32_t>(spike) : 0U) << (8 * i);
        counts = counts && count;
      }
      packed[row * words + word] = static_cast<std::int32_t>(bytes);
    }
    const bool all_counts = __all_sync(device::kFullMask, counts ? 1 : 0) != 0;
    if (lane == 0) {
      row_is_float[row] = all_counts ? 0 : 1;
    }
  }
}

/// Weights of four inputs, [words * kWeightWords][padded neurons]: neighbours are neighbouring neurons. NaN becomes 0.
template <class Q>
__global__ void __launch_bounds__(kThreads)
    pack_columns_kernel(const Q* __restrict__ weights, std::int64_t neurons, std::int64_t padded,
                        std::int64_t in_features, std::int64_t words, std::int32_t* __restrict__ packed,
                        std::uint8_t* __restrict__ neuron_is_nan) {
  constexpr std::int32_t kPerWord = 4 / sizeof(Q);
  constexpr std::uint32_t kMask = sizeof(Q) == 1 ? 0xFFU : 0xFFFFU;
  const std::int64_t neuron = device::global_thread();
  if (neuron < padded) {
    bool has_nan = false;
    for (std::int64_t word = 0; word < words * kWeightWords<Q>; ++word) {
      std::uint32_t bytes = 0;
#pragma unroll
      for (std::int32_t i = 0; i < kPerWord; ++i) {
        const std::int64_t pre = word * kPerWord + i;
        const Q weight = neuron < neurons && pre < in_features ? weights[neuron * in_features + pre] : Q{0};
        const bool is_nan = weight == math::nan_weight<Q>();
        bytes |= (is_nan ? 0U : static_cast<std::uint32_t>(static_cast<std::int32_t>(weight)) & kMask)
                 << (8 * sizeof(Q) * i);
        has_nan = has_nan || is_nan;
      }
      packed[word * padded + neuron] = static_cast<std::int32_t>(bytes);
    }
    neuron_is_nan[neuron] = has_nan ? 1 : 0;
  }
}

__global__ void __launch_bounds__(kThreads)
    unpack_bits_kernel(const std::uint8_t* __restrict__ bits, std::int64_t rows, std::int64_t in_features,
                       std::uint8_t* __restrict__ spikes) {
  const std::int64_t element = device::global_thread();
  if (element < rows * in_features) {
    const std::int64_t row = element / in_features;
    spikes[element] = math::packed_spike(bits + row * math::packed_bytes(in_features), element % in_features) ? 1 : 0;
  }
}

// ---- forward -----------------------------------------------------------------------------------------------------

/// What packing made.
struct PackedDrive {
  const std::int32_t* spikes;        // [time * batch][words]
  const std::uint8_t* row_is_float;  // [time * batch]
  const std::int32_t* weights;       // [words * kWeightWords][padded]
  const std::uint8_t* neuron_is_nan;
  std::int64_t words;
  std::int64_t padded;
  bool weights_fit;  // in shared memory
};

/// Sum of four products of spike bytes and weights.
template <class Q>
__device__ __forceinline__ std::int32_t multiply(std::int32_t spikes, const std::int32_t* weights, std::int64_t stride,
                                                 std::int32_t sum) {
  if constexpr (sizeof(Q) == 1) {
    return device::dot_bytes(spikes, weights[0], sum);
  } else {
#pragma unroll
    for (std::int32_t i = 0; i < kWordInputs; ++i) {
      const std::uint32_t pair = static_cast<std::uint32_t>(weights[(i / 2) * stride]);
      const std::int32_t weight = static_cast<std::int16_t>(pair >> (16 * (i % 2)));
      sum += weight * static_cast<std::int32_t>((static_cast<std::uint32_t>(spikes) >> (8 * i)) & 0xFFU);
    }
    return sum;
  }
}

/// A row that is no counts, in T in the order of pre.
template <class S, class Q, class T>
__device__ __forceinline__ T float_sum(const SynapseDrive<S, Q, T>& drive, std::int64_t row, std::int64_t neuron) {
  T sum{0};
  for (std::int64_t pre = 0; pre < drive.in_features; ++pre) {
    const T spike = static_cast<T>(drive.spikes[row * drive.in_features + pre]);
    sum = math::add(sum, math::mul(spike, static_cast<T>(drive.weights[neuron * drive.in_features + pre])));
  }
  return sum;
}

template <class T>
struct Chains {
  math::LifState<T> state[kItems];
};

template <class T>
__device__ __forceinline__ void store_state(T* to, std::int64_t chains, std::int64_t chain,
                                            const math::LifState<T>& state) {
  to[math::kStateCurrent * chains + chain] = state.current;
  to[math::kStateMembrane * chains + chain] = state.membrane;
  to[math::kStateRefractory * chains + chain] = state.refractory;
}

/// A spike in the format asked for. All lanes of a warp call it with neighbouring neurons of one entry.
template <class T>
__device__ __forceinline__ void store_spike(void* spikes, SpikeFormat format, std::int64_t row, std::int64_t neuron,
                                            std::int64_t neurons, bool inside, T spike) {
  if (format == SpikeFormat::kPacked) {
    const unsigned bits = __ballot_sync(device::kFullMask, inside && spike != T{0} ? 1 : 0);
    const std::int64_t byte = math::packed_byte(neuron);
    if (neuron % 8 == 0 && neuron < neurons && row >= 0) {
      static_cast<std::uint8_t*>(spikes)[row * math::packed_bytes(neurons) + byte] =
          static_cast<std::uint8_t>(bits >> (threadIdx.x % device::kWarpSize));
    }
  } else if (inside && format == SpikeFormat::kFloat) {
    static_cast<T*>(spikes)[row * neurons + neuron] = spike;
  } else if (inside) {
    static_cast<std::uint8_t*>(spikes)[row * neurons + neuron] = spike != T{0} ? 1 : 0;
  }
}

/// Integer sums of one step for the thread's neuron and entries. Slices are summed in 32 bits: 128 * 127 * 32767 <
/// 2^31.
template <class Q, class Sum>
__device__ __forceinline__ void integer_sums(const PackedDrive& drive, const std::int32_t* weights, std::int64_t stride,
                                             std::int64_t first_row, std::int64_t valid_rows,
                                             std::int32_t (*stage)[kSlice], std::int32_t entry, Sum* sums) {
  for (std::int64_t slice = 0; slice < drive.words; slice += kSlice) {
    __syncthreads();  // the slice before has been read
    for (std::int32_t k = static_cast<std::int32_t>(threadIdx.x); k < kEntries * kSlice; k += kThreads) {
      const std::int32_t e = k / kSlice;
      const std::int64_t word = slice + k % kSlice;
      stage[e][k % kSlice] =
          e < valid_rows && word < drive.words ? drive.spikes[(first_row + e) * drive.words + word] : 0;
    }
    __syncthreads();
    std::int32_t part[kItems] = {};
    const std::int64_t end = drive.words - slice < kSlice ? drive.words - slice : kSlice;
#pragma unroll 2
    for (std::int64_t k = 0; k < end; ++k) {
      const std::int32_t* word = weights + (slice + k) * kWeightWords<Q> * stride;
#pragma unroll
      for (std::int32_t i = 0; i < kItems; ++i) {
        part[i] = multiply<Q>(stage[entry + i][k], word, stride, part[i]);
      }
    }
#pragma unroll
    for (std::int32_t i = 0; i < kItems; ++i) {
      sums[i] += part[i];
    }
  }
}

template <class S, class Q, class T, bool kWide>
__global__ void __launch_bounds__(kThreads, kBlocksAtOnce)
    synapse_lif_forward_kernel(const SynapseLifForwardArgs<S, Q, T> args, const PackedDrive drive) {
  using Sum = std::conditional_t<kWide, std::int64_t, std::int32_t>;
  GRADSPIKE_DYNAMIC_SHARED(std::int32_t, shared_weights);
  GRADSPIKE_SHARED(std::int32_t, stage, [kEntries][kSlice]);
  const std::int64_t across = device::divide_up(args.neuron, kNeurons);
  const std::int64_t tile = blockIdx.x % across * kNeurons;
  const std::int64_t first_entry = blockIdx.x / across * kEntries;
  const std::int32_t lane = static_cast<std::int32_t>(threadIdx.x) % kNeurons;
  const std::int32_t entry = static_cast<std::int32_t>(threadIdx.x) / kNeurons * kItems;
  const std::int64_t neuron = tile + lane;
  const std::int64_t valid = args.batch - first_entry < kEntries ? args.batch - first_entry : kEntries;
  const std::int64_t chains = args.batch * args.neuron;
  const bool sums_spikes = !args.drive.has_input();

  if (drive.weights_fit) {
    for (std::int64_t k = threadIdx.x; k < drive.words * kWeightWords<Q> * kNeurons; k += kThreads) {
      shared_weights[k] = drive.weights[k / kNeurons * drive.padded + tile + k % kNeurons];
    }
  }
  const std::int32_t* const weights = drive.weights_fit ? shared_weights + lane : drive.weights + neuron;
  const std::int64_t stride = drive.weights_fit ? kNeurons : drive.padded;

  const std::int64_t known = neuron < args.neuron ? neuron : args.neuron - 1;
  const math::LifCoefficients<T> c = args.coefficients.template at<true>(known);
  const bool is_nan = sums_spikes && drive.neuron_is_nan[known] != 0;
  Chains<T> chain_of;
#pragma unroll
  for (std::int32_t i = 0; i < kItems; ++i) {
    const std::int64_t e = entry + i < valid ? first_entry + entry + i : first_entry;
    chain_of.state[i] = initial_state(args.initial_state, chains, e * args.neuron + known, c.leak, true);
  }

  for (std::int64_t t = 0; t < args.time; ++t) {
    const std::int64_t first_row = t * args.batch + first_entry;
    Sum sums[kItems] = {};
    if (sums_spikes) {
      integer_sums<Q>(drive, weights, stride, first_row, valid, stage, entry, sums);
    }
#pragma unroll
    for (std::int32_t i = 0; i < kItems; ++i) {
      const bool inside = neuron < args.neuron && entry + i < valid;
      const std::int64_t row = first_row + entry + i;
      const std::int64_t chain = (first_entry + entry + i) * args.neuron + neuron;
      math::LifState<T>& state = chain_of.state[i];
      T spike{0};
      if (inside) {
        T x;
        if (!sums_spikes) {
          x = args.drive.input[t * chains + chain];
        } else if (is_nan) {
          x = device::quiet_nan<T>();
        } else {
          const T sum = drive.row_is_float[row] != 0 ? float_sum(args.drive, row, neuron) : static_cast<T>(sums[i]);
          x = math::mul(sum, static_cast<T>(args.drive.factor));
        }
        if (args.checkpoints != nullptr && t % args.segment_steps == 0) {
          store_state(args.checkpoints + t / args.segment_steps * math::kNumLifStates * chains, chains, chain, state);
        }
        const math::Measured<T> measured{args.measured_spikes.at(t, chains, chain),
                                         args.measured_membrane.at(t, chains, chain)};
        const math::LifStep<T> step = measured.spike.given || measured.membrane.given
                                          ? math::lif_step_measured(state, x, c, measured)
                                          : math::lif_step<true>(state, x, c);
        spike = step.spike;
        store(args.membrane, t * chains + chain, state.membrane);
        store(args.current, t * chains + chain, state.current);
        store(args.saved, t * chains + chain, step.saved);
      }
      if (args.spikes != nullptr) {  // the same for all lanes of a warp
        store_spike(args.spikes, args.format, entry + i < valid ? row : -1, neuron, args.neuron, inside, spike);
      }
    }
  }
#pragma unroll
  for (std::int32_t i = 0; i < kItems; ++i) {
    if (neuron < args.neuron && entry + i < valid) {
      store_state(args.final_state, chains, (first_entry + entry + i) * args.neuron + neuron, chain_of.state[i]);
    }
  }
}

device::LaunchShape one_thread_each(std::int64_t count) { return {device::divide_up(count, kThreads), kThreads}; }

}  // namespace

template <class S, class Q, class T>
void synapse_lif_forward(const CudaExec& exec, const SynapseLifForwardArgs<S, Q, T>& args) {
  if (args.batch == 0 || args.neuron == 0) {
    return;
  }
  const SynapseDrive<S, Q, T>& from = args.drive;
  PackedDrive drive{};
  std::size_t shared = 0;
  if (!from.has_input()) {
    Workspace& workspace = *exec.workspace;
    const std::int64_t rows = args.time * args.batch;
    drive.words = device::divide_up(from.in_features, kWordInputs);
    drive.padded = device::divide_up(args.neuron, kNeurons) * kNeurons;
    std::int32_t* const spikes = workspace.allocate_array<std::int32_t>(rows * drive.words + 1);
    std::uint8_t* const row_is_float = workspace.allocate_array<std::uint8_t>(rows + 1);
    std::int32_t* const weights =
        workspace.allocate_array<std::int32_t>(drive.words * kWeightWords<Q> * drive.padded + 1);
    std::uint8_t* const is_nan = workspace.allocate_array<std::uint8_t>(drive.padded);
    device::launch("pack_rows", &pack_rows_kernel<S>, one_thread_each(rows * device::kWarpSize), exec, from.spikes,
                   from.row_length(), from.packed, rows, from.in_features, drive.words, spikes, row_is_float);
    device::launch("pack_columns", &pack_columns_kernel<Q>, one_thread_each(drive.padded), exec, from.weights,
                   args.neuron, drive.padded, from.in_features, drive.words, weights, is_nan);
    drive.spikes = spikes;
    drive.row_is_float = row_is_float;
    drive.weights = weights;
    drive.neuron_is_nan = is_nan;
    shared = static_cast<std::size_t>(drive.words * kWeightWords<Q> * kNeurons) * sizeof(std::int32_t);
    drive.weights_fit = shared <= kMaxSharedWeights;
    shared = drive.weights_fit ? shared : 0;
  }
  const device::LaunchShape shape{device::divide_up(args.neuron, kNeurons) * device::divide_up(args.batch, kEntries),
                                  kThreads, shared};
  device::launch("synapse_lif_forward",
                 from.wide ? &synapse_lif_forward_kernel<S, Q, T, true> : &synapse_lif_forward_kernel<S, Q, T, false>,
                 shape, exec, args, drive);
}

template <class S, class Q, class T>
void synapse_lif_backward(const CudaExec& exec, const SynapseLifBackwardArgs<S, Q, T>& args) {
  Workspace& workspace = *exec.workspace;
  LifBackwardArgs<T> neurons = args.neurons;
  const std::int64_t chains = neurons.batch * neurons.neuron;
  const std::int64_t rows = neurons.time * neurons.batch;
  if (args.checkpoints != nullptr && neurons.time > 0) {  // the traces again, all steps at once
    T* const saved = workspace.allocate_array<T>(neurons.time * chains + 1);
    T* const current =
        neurons.grad_coefficients == nullptr ? nullptr : workspace.allocate_array<T>(neurons.time * chains + 1);
    SynapseLifForwardArgs<S, Q, T> forward{};
    forward.drive = args.drive;
    forward.coefficients = neurons.coefficients;
    forward.initial_state = args.checkpoints;  // that of the first segment
    forward.measured_spikes = neurons.measured_spikes;
    forward.measured_membrane = neurons.measured_membrane;
    forward.current = current;
    forward.saved = saved;
    forward.final_state = workspace.allocate_array<T>(math::kNumLifStates * chains + 1);
    forward.time = neurons.time;
    forward.batch = neurons.batch;
    forward.neuron = neurons.neuron;
    synapse_lif_forward(exec, forward);
    neurons.saved = saved;
    neurons.current = current;
  }
  if (neurons.grad_input == nullptr && args.grad_weight != nullptr) {
    neurons.grad_input = workspace.allocate_array<T>(neurons.time * chains + 1);
  }
  lif_backward(exec, neurons);
  if (args.grad_weight == nullptr) {
    return;
  }
  const std::int64_t in = args.drive.in_features;
  const auto count = static_cast<std::size_t>(neurons.neuron * in);
  // The rule is the identity, so the weight that it reads does not matter: zeros, in the place of the result.
  device::fill_zero(exec, args.grad_weight, count * sizeof(T));
  const math::WeightTransform unit{1.0F, -1.0, 1.0, math::Rounding::kNone};
  const auto run = [&](const auto* spikes) {
    using Spike = std::remove_const_t<std::remove_pointer_t<decltype(spikes)>>;
    graded_spikes_weight_grad(exec, GradedSpikesWeightGradArgs<Spike, T, T>{
                                        neurons.grad_input, spikes, args.grad_weight, args.grad_weight, rows, in,
                                        neurons.neuron, args.weight_factor, unit, math::StraightThrough::kIdentity});
  };
  if constexpr (sizeof(S) == 1) {
    if (args.drive.packed) {
      std::uint8_t* const spikes = workspace.allocate_array<std::uint8_t>(rows * in + 1);
      device::launch("unpack_bits", &unpack_bits_kernel, one_thread_each(rows * in), exec, args.drive.spikes, rows, in,
                     spikes);
      run(static_cast<const std::uint8_t*>(spikes));
      return;
    }
  }
  run(args.drive.spikes);
}

#define GRADSPIKE_INSTANTIATE(S, Q, T)                                                                \
  template void synapse_lif_forward<S, Q, T>(const CudaExec&, const SynapseLifForwardArgs<S, Q, T>&); \
  template void synapse_lif_backward<S, Q, T>(const CudaExec&, const SynapseLifBackwardArgs<S, Q, T>&);
#define GRADSPIKE_INSTANTIATE_QT(S)             \
  GRADSPIKE_INSTANTIATE(S, std::int8_t, float)  \
  GRADSPIKE_INSTANTIATE(S, std::int8_t, double) \
  GRADSPIKE_INSTANTIATE(S, std::int16_t, float) \
  GRADSPIKE_INSTANTIATE(S, std::int16_t, double)
GRADSPIKE_INSTANTIATE_QT(float)
GRADSPIKE_INSTANTIATE_QT(double)
GRADSPIKE_INSTANTIATE_QT(std::uint8_t)
#undef GRADSPIKE_INSTANTIATE_QT
#undef GRADSPIKE_INSTANTIATE

}  // namespace gradspike::kernels
