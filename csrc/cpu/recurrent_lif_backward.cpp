// CPU kernel of recurrent_lif, backward: one reverse pass over time per tile of batch rows, linear in the number of
// steps. The product with the transposed recurrent weights lies inside the loop: the gradient to z[t] needs that to the
// input at t + 1.
#include "csrc/cpu/lif_adjoint.h"
#include "csrc/cpu/recurrent_lif_tile.h"

namespace gradspike::kernels::GRADSPIKE_CPU_ISA {
namespace {

template <class T>
using Vector [[gnu::vector_size(64)]] = T;
template <class T>
constexpr std::int64_t kLanes = 64 / static_cast<std::int64_t>(sizeof(T));
#if defined(__AVX512F__)
constexpr int kVectors = 2;  // kRowGroup * kVectors sums in registers
constexpr int kRowGroup = 8;
#else
constexpr int kVectors = 1;
constexpr int kRowGroup = 4;
#endif

/// Weights as real numbers in blocks of pre neurons, [block][post][kBlock]: a block stays in the first-level cache
/// while all rows of a tile are multiplied with it. Padded with zeros.
template <class T>
class RealWeights {
 public:
  RealWeights(const ProjectionWeights& weights, std::int64_t neurons)
      : neurons_(neurons),
        factor_(static_cast<T>(weights.factor)),
        blocks_((neurons + kBlock - 1) / kBlock * kBlock * neurons) {
    if (weights.form == WeightForm::kInt8) {
      copy(weights.as<std::int8_t>());
    } else if (weights.form == WeightForm::kInt16) {
      copy(weights.as<std::int16_t>());
    } else {
      copy(weights.as<T>());
    }
  }

  /// out[row][pre] = factor * sum over post, ascending, of weight[post][pre] * grad[row][post]
  void multiply(const T* grad, std::int64_t rows, T* out) const {
    for (std::int64_t pre = 0; pre < neurons_; pre += kBlock) {
      std::int64_t row = 0;
      for (; row + kRowGroup <= rows; row += kRowGroup) {
        block<kRowGroup>(grad + row * neurons_, pre, out + row * neurons_);
      }
      for (; row < rows; ++row) {
        block<1>(grad + row * neurons_, pre, out + row * neurons_);
      }
    }
  }

 private:
  static constexpr std::int64_t kBlock = kVectors * kLanes<T>;

  template <class W>
  void copy(const W* weights) {
    for (std::int64_t post = 0; post < neurons_; ++post) {
      for (std::int64_t pre = 0; pre < neurons_; ++pre) {
        const std::int64_t first = pre / kBlock * kBlock;
        blocks_[first * neurons_ + post * kBlock + pre - first] = static_cast<T>(weights[post * neurons_ + pre]);
      }
    }
  }

  static Vector<T> load(const T* from) {
    Vector<T> v;
    std::memcpy(&v, from, sizeof v);
    return v;
  }

  template <int kRows>
  void block(const T* __restrict__ grad, std::int64_t pre, T* __restrict__ out) const {
    Vector<T> sums[kRows][kVectors] = {};
    const T* w = blocks_.get() + pre * neurons_;
    for (std::int64_t post = 0; post < neurons_; ++post, w += kBlock) {
      Vector<T> q[kVectors];
      for (int v = 0; v < kVectors; ++v) {
        q[v] = load(w + v * kLanes<T>);
      }
      for (int r = 0; r < kRows; ++r) {
        const T g = grad[r * neurons_ + post];
        for (int v = 0; v < kVectors; ++v) {
          sums[r][v] += q[v] * g;
        }
      }
    }
    const std::int64_t width = smaller(kBlock, neurons_ - pre);
    for (int r = 0; r < kRows; ++r) {
      T sum[kBlock];
      for (int v = 0; v < kVectors; ++v) {
        const Vector<T> part = sums[r][v];  // a copy, so that the sums themselves need no address
        std::memcpy(sum + v * kLanes<T>, &part, sizeof part);
      }
      for (std::int64_t j = 0; j < width; ++j) {
        out[r * neurons_ + pre + j] = math::mul(sum[j], factor_);
      }
    }
  }

  std::int64_t neurons_;
  T factor_;
  Buffer<T> blocks_;
};

/// One tile of batch rows.
template <class T, bool kUniform>
class BackwardTile {
 public:
  BackwardTile(const RecurrentLifBackwardArgs<T>& args, const RealWeights<T>& weights, std::int64_t first,
               std::int64_t last)
      : args_(args),
        weights_(weights),
        rows_(last - first),
        elements_(args.lif.batch * args.lif.neuron),
        begin_(first * args.lif.neuron),
        count_((last - first) * args.lif.neuron),
        c_(args.lif.coefficients, args.lif.neuron, begin_, count_),
        adjoint_(count_, args.lif.grad_coefficients != nullptr),
        spikes_(count_),
        grad_spikes_(count_) {
    if (args.lif.grad_final_state != nullptr) {
      const T* const state = args.lif.grad_final_state + begin_;
      TileState<T>::copy(adjoint_.current.get(), state + math::kStateCurrent * elements_, count_);
      TileState<T>::copy(adjoint_.membrane.get(), state + math::kStateMembrane * elements_, count_);
      TileState<T>::copy(spikes_.get(), state + math::kStateSpikes * elements_, count_);
    }
    if (args.accumulate && args.lif.grad_coefficients != nullptr) {
      for (std::int64_t row = 0; row < math::kNumCoefficientGradients; ++row) {
        TileState<T>::copy(adjoint_.sums.get() + row * count_, args.lif.grad_coefficients + row * elements_ + begin_,
                           count_);
      }
    }
  }

  void run() {
    const LifBackwardArgs<T>& lif = args_.lif;
    AdjointStepper<T, kUniform> stepper(lif, c_, adjoint_, begin_);
    for (std::int64_t t = lif.time - 1; t >= 0; --t) {
      const std::int64_t at = t * elements_ + begin_;
      T* const grad_input = lif.grad_input + at;
      add_trace_gradients(adjoint_, lif.grad_current, lif.grad_membrane, at, count_);
      add_spike_gradients(at);
      stepper.step(t, grad_spikes_.get(), grad_input);
      weights_.multiply(grad_input, rows_, spikes_.get());
      if (args_.previous_spikes != nullptr) {
        write_previous_spikes(t, args_.previous_spikes + at);
      }
    }
    finish_tile(adjoint_, lif.initial_state, lif.grad_initial_state, lif.grad_coefficients, elements_, begin_, count_,
                true);
    if (lif.grad_initial_state != nullptr) {
      TileState<T>::copy(lif.grad_initial_state + math::kStateSpikes * elements_ + begin_, spikes_.get(), count_);
    }
  }

 private:
  /// Of the spikes' own trace and of the projection that takes them to the next step.
  void add_spike_gradients(std::int64_t at) {
    const T* const given = args_.lif.grad_spikes;
    for (std::int64_t e = 0; e < count_; ++e) {
      grad_spikes_[e] = given == nullptr ? spikes_[e] : math::add(given[at + e], spikes_[e]);
    }
  }

  void write_previous_spikes(std::int64_t t, T* out) {
    const LifBackwardArgs<T>& lif = args_.lif;
    if (t == 0) {
      for (std::int64_t e = 0; e < count_; ++e) {
        out[e] = lif.initial_state == nullptr ? T{0} : lif.initial_state[math::kStateSpikes * elements_ + begin_ + e];
      }
      return;
    }
    const T* const saved = lif.saved + (t - 1) * elements_ + begin_;
    const T* const measured = lif.measured_spikes.row(t - 1, elements_, begin_);
    if (measured != nullptr) {
      TileState<T>::copy(out, measured, count_);
      return;
    }
    for (std::int64_t e = 0; e < count_; ++e) {
      out[e] = math::spike_of_step(saved[e], c_.at(e).threshold, math::MeasuredValue<T>{});
    }
  }

  const RecurrentLifBackwardArgs<T>& args_;
  const RealWeights<T>& weights_;
  std::int64_t rows_;
  std::int64_t elements_;
  std::int64_t begin_;
  std::int64_t count_;
  TileCoefficients<T, true, kUniform> c_;
  TileAdjoint<T> adjoint_;
  Buffer<T> spikes_;       // gradient to the last spikes through the recurrent projection
  Buffer<T> grad_spikes_;  // the whole gradient to them
};

}  // namespace

template <class T>
void recurrent_lif_backward(const CpuExec& exec, const RecurrentLifBackwardArgs<T>& args) {
  const RealWeights<T> weights(args.recurrent, args.lif.neuron);
  const bool uniform = args.lif.coefficients.columns == 1;
  for_each_row_tile(exec, args.lif.batch, args.lif.neuron, [&](std::int64_t first, std::int64_t last) {
    if (uniform) {
      BackwardTile<T, true>(args, weights, first, last).run();
    } else {
      BackwardTile<T, false>(args, weights, first, last).run();
    }
  });
}

#define GRADSPIKE_INSTANTIATE(T) \
  template void recurrent_lif_backward<T>(const CpuExec&, const RecurrentLifBackwardArgs<T>&);
GRADSPIKE_INSTANTIATE(float)
GRADSPIKE_INSTANTIATE(double)
#undef GRADSPIKE_INSTANTIATE

}  // namespace gradspike::kernels::GRADSPIKE_CPU_ISA
