// CPU kernel of synapse_lif, forward: per tile and step, the rows' spikes are found, their integers summed and the
// neurons stepped while the sums are in the first-level cache.
#include "csrc/cpu/synapse_lif_tile.h"

namespace gradspike::kernels::GRADSPIKE_CPU_ISA {
namespace {

constexpr std::int64_t kTileElements = 16384;  // state within a second-level cache, long runs of output at each step
constexpr std::int64_t kSmallestTile = 1024;

/// Tiles of whole rows where the batch is large enough for all threads, else of blocks of neurons.
class Tiling {
 public:
  Tiling(std::int64_t batch, std::int64_t neurons, std::int64_t threads) : batch_(batch), neurons_(neurons) {
    const std::int64_t share = (batch * neurons + threads - 1) / larger(1, threads);
    const std::int64_t elements = smaller(kTileElements, larger(kSmallestTile, share));
    // Blocks of neurons share a byte of packed spikes with no other, since they are multiples of kPostBlock.
    const std::int64_t blocks = (smaller(neurons, elements) + kPostBlock - 1) / kPostBlock;
    width_ = smaller(neurons, blocks * kPostBlock);
    rows_ = larger(1, smaller(batch, elements / larger(1, width_)));
    across_ = width_ > 0 ? (neurons + width_ - 1) / width_ : 0;
  }

  std::int64_t count() const { return across_ * ((batch_ + rows_ - 1) / rows_); }
  Rectangle at(std::int64_t k) const {
    const std::int64_t row = k / across_ * rows_;
    const std::int64_t begin = k % across_ * width_;
    return {row, smaller(batch_, row + rows_), begin, smaller(neurons_, begin + width_)};
  }

 private:
  std::int64_t batch_;
  std::int64_t neurons_;
  std::int64_t width_ = 0;
  std::int64_t rows_ = 1;
  std::int64_t across_ = 0;
};

template <class T>
void write_bytes(std::uint8_t* __restrict__ out, const T* __restrict__ spikes, std::int64_t count) {
  for (std::int64_t n = 0; n < count; ++n) {
    out[n] = spikes[n] != T{0} ? std::uint8_t{1} : std::uint8_t{0};
  }
}

/// Eight spikes as bits.
template <class T>
std::uint8_t byte_of(const T* spikes) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4) {
    return _mm256_cmp_ps_mask(_mm256_loadu_ps(spikes), _mm256_setzero_ps(), _CMP_NEQ_UQ);
  } else {
    return _mm512_cmp_pd_mask(_mm512_loadu_pd(spikes), _mm512_setzero_pd(), _CMP_NEQ_UQ);
  }
#else
  unsigned byte = 0;
  for (unsigned k = 0; k < 8; ++k) {
    byte |= (spikes[k] != T{0} ? 1U : 0U) << k;
  }
  return static_cast<std::uint8_t>(byte);
#endif
}

template <class T>
void write_bits(std::uint8_t* out, const T* spikes, std::int64_t count) {
  std::int64_t n = 0;
  for (; n + 8 <= count; n += 8) {
    out[math::packed_byte(n)] = byte_of(spikes + n);
  }
  if (n < count) {
    std::uint8_t byte = 0;
    for (; n < count; ++n) {
      byte = static_cast<std::uint8_t>(byte | (spikes[n] != T{0} ? math::packed_mask(n) : 0));
    }
    out[math::packed_byte(count - 1)] = byte;
  }
}

template <class S, class Q, class T, bool kUniform>
void forward_tile(const SynapseLifForwardArgs<S, Q, T>& args, const PackedWeights<Q>& weights, const Rectangle& r,
                  bool refractory) {
  SynapseTile<S, Q, T, kUniform> tile(weights, args.drive, args.coefficients, r, args.batch, args.neuron, refractory);
  tile.initialise(args.initial_state);
  const std::int64_t elements = args.batch * args.neuron;
  const bool floats = args.format == SpikeFormat::kFloat;
  T* const spikes = floats ? static_cast<T*>(args.spikes) : nullptr;
  std::uint8_t* const compact = floats ? nullptr : static_cast<std::uint8_t*>(args.spikes);
  const bool streamed = args.time * elements * static_cast<std::int64_t>(sizeof(T)) >= kStreamedBytes;
  Buffer<T> spike_row(args.spikes == nullptr ? 0 : r.width());
  Buffer<T> saved_row(args.saved == nullptr ? 0 : r.width());
  for (std::int64_t t = 0; t < args.time; ++t) {
    if (args.checkpoints != nullptr && t % args.segment_steps == 0) {
      tile.store(args.checkpoints + t / args.segment_steps * math::kNumLifStates * elements);
    }
    for (std::int64_t b = 0; b < r.rows(); ++b) {
      const std::int64_t row = t * args.batch + r.batch_begin + b;
      const std::int64_t at = row * args.neuron + r.begin;
      T* const z = args.spikes == nullptr ? nullptr : (spikes == nullptr || streamed ? spike_row.get() : spikes + at);
      T* const v = args.saved == nullptr ? nullptr : (streamed ? saved_row.get() : args.saved + at);
      tile.step(t, b, args.measured_spikes, args.measured_membrane, z, v);
      if (streamed && spikes != nullptr) {
        store_row(spikes + at, z, r.width(), true);
      }
      if (streamed && args.saved != nullptr) {
        store_row(args.saved + at, v, r.width(), true);
      }
      if (args.membrane != nullptr) {
        store_row(args.membrane + at, tile.state.membrane.get() + b * r.width(), r.width(), streamed);
      }
      if (args.current != nullptr) {
        store_row(args.current + at, tile.state.current.get() + b * r.width(), r.width(), streamed);
      }
      if (compact != nullptr && args.format == SpikeFormat::kUint8) {
        write_bytes(compact + at, z, r.width());
      } else if (compact != nullptr) {
        write_bits(compact + row * math::packed_bytes(args.neuron) + math::packed_byte(r.begin), z, r.width());
      }
    }
  }
  tile.store(args.final_state);
  finish_streams();
}

}  // namespace

template <class S, class Q, class T>
void synapse_lif_forward(const CpuExec& exec, const SynapseLifForwardArgs<S, Q, T>& args) {
  const PackedWeights<Q> weights = packed_weights(args.drive, args.neuron);
  const bool refractory = has_refractory(args.coefficients, args.initial_state, args.batch * args.neuron);
  const bool uniform = args.coefficients.columns == 1;
  const Tiling tiling(args.batch, args.neuron, exec.num_threads);
  exec.for_each_range(tiling.count(), 1, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t k = first; k < last; ++k) {
      if (uniform) {
        forward_tile<S, Q, T, true>(args, weights, tiling.at(k), refractory);
      } else {
        forward_tile<S, Q, T, false>(args, weights, tiling.at(k), refractory);
      }
    }
  });
}

#define GRADSPIKE_INSTANTIATE(S, Q, T) \
  template void synapse_lif_forward<S, Q, T>(const CpuExec&, const SynapseLifForwardArgs<S, Q, T>&);
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

}  // namespace gradspike::kernels::GRADSPIKE_CPU_ISA
