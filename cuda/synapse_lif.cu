// CUDA kernels of synapse_lif: the product of graded_spikes and the scan of lif, in turn for chunks of time.
//
// The memory of a chunk of synaptic input is that of the next one too, so that the synaptic input of many steps is
// never in memory; chunks are large enough for the device to outlast the launches of the host. Where states are kept
// for a backward that computes the traces again, a chunk ends at the next checkpoint at the latest. The backward runs
// the kernels of lif and of the weight gradient; from checkpoints it first makes the traces again.
#include "csrc/kernels/synapse_lif.h"

#include <algorithm>
#include <type_traits>
#include <vector>

#include "csrc/math/lif.h"
#include "cuda/common/device.cuh"

namespace gradspike::kernels {
namespace {

constexpr std::int32_t kThreads = 256;
constexpr std::int64_t kChunkBytes = 64 << 20;  // of synaptic input: some 20 us of reading and writing

device::LaunchShape one_thread_each(std::int64_t count) { return {device::divide_up(count, kThreads), kThreads}; }

__global__ void __launch_bounds__(kThreads)
    unpack_bits_kernel(const std::uint8_t* __restrict__ bits, std::int64_t rows, std::int64_t in_features,
                       std::uint8_t* __restrict__ spikes) {
  const std::int64_t element = device::global_thread();
  if (element < rows * in_features) {
    const std::int64_t row = element / in_features;
    spikes[element] = math::packed_spike(bits + row * math::packed_bytes(in_features), element % in_features) ? 1 : 0;
  }
}

/// Spikes that lif wrote, as bytes or as bits: a warp takes 32 neurons of one row.
template <class T>
__global__ void __launch_bounds__(kThreads)
    compress_spikes_kernel(const T* __restrict__ spikes, SpikeFormat format, std::int64_t rows, std::int64_t neurons,
                           std::uint8_t* __restrict__ to) {
  const std::int64_t words = device::divide_up(neurons, device::kWarpSize);
  const std::int64_t item = device::global_thread() / device::kWarpSize;
  const std::int32_t lane = static_cast<std::int32_t>(threadIdx.x) % device::kWarpSize;
  if (item < rows * words) {  // the same for all lanes of a warp
    const std::int64_t row = item / words;
    const std::int64_t neuron = item % words * device::kWarpSize + lane;
    const bool fires = neuron < neurons && spikes[row * neurons + neuron] != T{0};
    const unsigned bits = __ballot_sync(device::kFullMask, fires ? 1 : 0);
    if (neuron < neurons) {
      if (format == SpikeFormat::kUint8) {
        to[row * neurons + neuron] = fires ? 1 : 0;
      } else if (neuron % 8 == 0) {
        to[row * math::packed_bytes(neurons) + math::packed_byte(neuron)] = static_cast<std::uint8_t>(bits >> lane);
      }
    }
  }
}

// ---- forward -----------------------------------------------------------------------------------------------------

/// Gives every round the memory of the round before: rounds follow each other on one stream.
class RoundWorkspace final : public Workspace {
 public:
  explicit RoundWorkspace(Workspace& source) : source_(source) {}

  void* allocate(std::size_t bytes) override {
    if (next_ == blocks_.size()) {
      blocks_.emplace_back();
    }
    Block& block = blocks_[next_++];
    if (block.bytes < bytes) {
      block = {source_.allocate(bytes), bytes};
    }
    return block.data;
  }
  void next_round() { next_ = 0; }

 private:
  struct Block {
    void* data = nullptr;
    std::size_t bytes = 0;
  };
  Workspace& source_;
  std::vector<Block> blocks_;
  std::size_t next_ = 0;
};

/// Element `first` of an array that may be absent.
template <class T>
T* from(T* array, std::int64_t first) {
  return array == nullptr ? nullptr : array + first;
}

/// What was measured from step `first` on.
template <class T>
Measurement<T> from(const Measurement<T>& measured, std::int64_t first, std::int64_t chains) {
  return first < measured.steps ? Measurement<T>(measured.data + first * chains, measured.steps - first)
                                : Measurement<T>();
}

/// The synaptic input of `steps` steps from `first` on.
template <class S, class Q, class T>
const T* chunk_input(const CudaExec& exec, const SynapseLifForwardArgs<S, Q, T>& args, std::int64_t first,
                     std::int64_t steps) {
  const SynapseDrive<S, Q, T>& drive = args.drive;
  const std::int64_t chains = args.batch * args.neuron;
  if (drive.has_input()) {
    return from(drive.input, first * chains);
  }
  const std::int64_t rows = steps * args.batch;
  const S* spikes = drive.spikes + first * args.batch * drive.row_length();
  T* const input = exec.workspace->template allocate_array<T>(steps * chains + 1);
  if constexpr (sizeof(S) == 1) {
    if (drive.packed) {
      S* const unpacked = exec.workspace->template allocate_array<S>(rows * drive.in_features + 1);
      device::launch("unpack_bits", &unpack_bits_kernel, one_thread_each(rows * drive.in_features), exec, spikes, rows,
                     drive.in_features, unpacked);
      spikes = unpacked;
    }
  }
  graded_spikes(exec, GradedSpikesArgs<S, Q, T>{spikes, drive.weights, input, rows, drive.in_features, args.neuron,
                                                drive.factor, drive.wide});
  return input;
}

/// The neurons over one chunk; its first state and its last.
template <class S, class Q, class T>
void run_chunk(const CudaExec& exec, const SynapseLifForwardArgs<S, Q, T>& args, std::int64_t first, std::int64_t steps,
               const T* initial_state, T* final_state) {
  const std::int64_t chains = args.batch * args.neuron;
  const std::int64_t rows = steps * args.batch;
  const bool compress = args.spikes != nullptr && args.format != SpikeFormat::kFloat;
  LifForwardArgs<T> neurons{};
  neurons.input = chunk_input(exec, args, first, steps);
  neurons.coefficients = args.coefficients;
  neurons.initial_state = initial_state;
  neurons.measured_spikes = from(args.measured_spikes, first, chains);
  neurons.measured_membrane = from(args.measured_membrane, first, chains);
  neurons.spikes = compress ? exec.workspace->template allocate_array<T>(steps * chains + 1)
                            : from(static_cast<T*>(args.spikes), first * chains);
  neurons.membrane = from(args.membrane, first * chains);
  neurons.current = from(args.current, first * chains);
  neurons.saved = from(args.saved, first * chains);
  neurons.final_state = final_state;
  neurons.time = steps;
  neurons.batch = args.batch;
  neurons.neuron = args.neuron;
  lif_forward(exec, neurons);
  if (compress) {
    const std::int64_t width = args.format == SpikeFormat::kPacked ? math::packed_bytes(args.neuron) : args.neuron;
    const std::int64_t words = device::divide_up(args.neuron, device::kWarpSize);
    device::launch("compress_spikes", &compress_spikes_kernel<T>, one_thread_each(rows * words * device::kWarpSize),
                   exec, static_cast<const T*>(neurons.spikes), args.format, rows, args.neuron,
                   static_cast<std::uint8_t*>(args.spikes) + first * args.batch * width);
  }
}

}  // namespace

template <class S, class Q, class T>
void synapse_lif_forward(const CudaExec& exec, const SynapseLifForwardArgs<S, Q, T>& args) {
  if (args.batch == 0 || args.neuron == 0) {
    return;
  }
  const std::int64_t chains = args.batch * args.neuron;
  const std::int64_t step_bytes = chains * static_cast<std::int64_t>(sizeof(T));
  const std::int64_t most_steps =
      std::max<std::int64_t>((args.chunk_bytes > 0 ? args.chunk_bytes : kChunkBytes) / step_bytes, 1);
  const bool keeps_states = args.checkpoints != nullptr;
  RoundWorkspace rounds(*exec.workspace);
  const CudaExec inner{exec.stream, &rounds};
  const auto checkpoint = [&](std::int64_t step) {
    return args.checkpoints + step / args.segment_steps * math::kNumLifStates * chains;
  };
  T* between[2] = {nullptr, nullptr};  // states between chunks that no checkpoint keeps
  std::int64_t num_between = 0;
  const auto state_before = [&](std::int64_t step) {
    if (step == args.time) {
      return args.final_state;
    }
    if (keeps_states && step % args.segment_steps == 0) {
      return checkpoint(step);
    }
    T*& state = between[num_between++ % 2];
    if (state == nullptr) {
      state = exec.workspace->template allocate_array<T>(math::kNumLifStates * chains);
    }
    return state;
  };
  if (keeps_states && args.time > 0) {
    SynapseLifForwardArgs<S, Q, T> nothing = args;
    nothing.spikes = nullptr;
    run_chunk(inner, nothing, 0, 0, args.initial_state, checkpoint(0));
  }
  const T* state = args.initial_state;
  std::int64_t first = 0;
  do {  // once for no steps, too: the final state is the initial one
    rounds.next_round();
    std::int64_t steps = std::min(most_steps, args.time - first);
    if (keeps_states) {
      steps = std::min(steps, args.segment_steps - first % args.segment_steps);
    }
    T* const after = state_before(first + steps);
    run_chunk(inner, args, first, steps, state, after);
    state = after;
    first += steps;
  } while (first < args.time);
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
