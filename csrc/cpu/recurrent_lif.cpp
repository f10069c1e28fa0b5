// CPU kernel of recurrent_lif, forward: batch rows are independent, so a tile of rows walks over time on its own. Per
// step: event-driven sums of the input and of the last step's spikes, then one LIF step of the tile.
#include "csrc/cpu/graded_spikes_rows.h"
#include "csrc/cpu/lif_rows.h"
#include "csrc/cpu/recurrent_lif_tile.h"

namespace gradspike::kernels::GRADSPIKE_CPU_ISA {
namespace {

/// Real weights as [pre][post].
template <class T>
class TransposedWeights {
 public:
  TransposedWeights(const T* weights, std::int64_t in_features, std::int64_t out_features)
      : out_features_(out_features), rows_(in_features * out_features) {
    for (std::int64_t post = 0; post < out_features; ++post) {
      for (std::int64_t pre = 0; pre < in_features; ++pre) {
        rows_[pre * out_features + post] = weights[post * in_features + pre];
      }
    }
  }
  const T* row(std::int64_t pre) const { return rows_.get() + pre * out_features_; }

 private:
  std::int64_t out_features_;
  Buffer<T> rows_;
};

/// The product of single rows of spikes with real weights: sums in T in the order of pre.
template <class S, class T>
class RealRowSummer {
 public:
  RealRowSummer(const TransposedWeights<T>& weights, std::int64_t in_features, std::int64_t out_features, float factor)
      : weights_(weights),
        in_features_(in_features),
        out_features_(out_features),
        factor_(factor),
        index_(in_features + kFindSlack) {}

  void row(const S* spikes, T* __restrict__ out) {
    const std::int64_t found = find_spikes(spikes, in_features_, index_.get());
    for (std::int64_t j = 0; j < out_features_; ++j) {
      out[j] = T{0};
    }
    for (std::int64_t k = 0; k < found; ++k) {
      const T s = static_cast<T>(spikes[index_[k]]);
      const T* __restrict__ w = weights_.row(index_[k]);
      for (std::int64_t j = 0; j < out_features_; ++j) {
        out[j] = math::add(out[j], math::mul(s, w[j]));
      }
    }
    for (std::int64_t j = 0; j < out_features_; ++j) {
      out[j] = math::mul(out[j], static_cast<T>(factor_));
    }
  }

 private:
  const TransposedWeights<T>& weights_;
  std::int64_t in_features_;
  std::int64_t out_features_;
  float factor_;
  Buffer<std::int32_t> index_;
};

/// A projection as a tile uses it, whatever form its weights have.
template <class S, class T>
struct RowProduct {
  virtual ~RowProduct() = default;
  virtual void row(const S* spikes, T* out) = 0;
};

template <class S, class T, class Summer>
struct RowProductOf final : RowProduct<S, T> {
  template <class... Args>
  explicit RowProductOf(const Args&... args) : summer(args...) {}
  void row(const S* spikes, T* out) override { summer.row(spikes, out); }
  Summer summer;
};

template <class S, class T, class Q>
struct ProductType {
  using Packed = PackedWeights<Q>;
  using Product = RowProductOf<S, T, RowSummer<S, Q, T>>;
  static Product make(const Packed& packed, const ProjectionWeights& w, std::int64_t in, std::int64_t out) {
    return Product(packed, in, out, w.factor, w.wide);
  }
};

template <class S, class T>
struct ProductType<S, T, T> {
  using Packed = TransposedWeights<T>;
  using Product = RowProductOf<S, T, RealRowSummer<S, T>>;
  static Product make(const Packed& packed, const ProjectionWeights& w, std::int64_t in, std::int64_t out) {
    return Product(packed, in, out, w.factor);
  }
};

/// One tile of batch rows.
template <class S, class T, bool kUniform>
class ForwardTile {
 public:
  ForwardTile(const RecurrentLifForwardArgs<S, T>& args, bool refractory, std::int64_t first, std::int64_t last)
      : args_(args),
        refractory_(refractory),
        first_(first),
        rows_(last - first),
        elements_(args.batch * args.neuron),
        begin_(first * args.neuron),
        count_((last - first) * args.neuron),
        c_(args.coefficients, args.neuron, begin_, count_),
        state_(count_),
        input_(count_),
        feedback_(args.neuron),
        spikes_(count_) {
    state_.initialise(args.initial_state, elements_, begin_, count_, true, c_);
    if (args.initial_state != nullptr) {
      copy(spikes_.get(), args.initial_state + math::kStateSpikes * elements_ + begin_);
    }
  }

  void run(RowProduct<S, T>& input, RowProduct<T, T>& recurrent) {
    const T* previous = spikes_.get();
    for (std::int64_t t = 0; t < args_.time; ++t) {
      if (args_.checkpoints != nullptr && t % args_.checkpoint_steps == 0) {
        const std::int64_t checkpoint = t / args_.checkpoint_steps;
        store(args_.checkpoints + checkpoint * math::kNumRecurrentLifStates * elements_, previous);
      }
      sum_inputs(input, recurrent, t, previous);
      T* const spikes = args_.out_spikes == nullptr ? spikes_.get() : args_.out_spikes + t * elements_ + begin_;
      step(t, spikes);
      previous = spikes;
    }
    store(args_.final_state, previous);
  }

 private:
  void copy(T* to, const T* from) { TileState<T>::copy(to, from, count_); }

  void store(T* state, const T* spikes) {
    state_.store(state, elements_, begin_, count_, true);
    copy(state + math::kStateSpikes * elements_ + begin_, spikes);
  }

  void sum_inputs(RowProduct<S, T>& input, RowProduct<T, T>& recurrent, std::int64_t t, const T* previous) {
    for (std::int64_t r = 0; r < rows_; ++r) {
      T* __restrict__ x = input_.get() + r * args_.neuron;
      const T* __restrict__ fed_back = feedback_.get();
      input.row(args_.spikes + (t * args_.batch + first_ + r) * args_.in_features, x);
      recurrent.row(previous + r * args_.neuron, feedback_.get());
      for (std::int64_t n = 0; n < args_.neuron; ++n) {
        x[n] = math::add(x[n], fed_back[n]);
      }
    }
  }

  void step(std::int64_t t, T* spikes) {
    const std::int64_t at = t * elements_ + begin_;
    T* const saved = args_.saved == nullptr ? nullptr : args_.saved + at;
    const T* const measured_spikes = args_.measured_spikes.row(t, elements_, begin_);
    const T* const measured_membrane = args_.measured_membrane.row(t, elements_, begin_);
    const StateRow<T> state{state_.current.get(), state_.membrane.get(), state_.refractory.get()};
    lif_row_any(refractory_, input_.get(), measured_spikes, measured_membrane, spikes, saved, state, c_.from(0),
                count_);
    if (args_.membrane != nullptr) {
      copy(args_.membrane + at, state_.membrane.get());
    }
    if (args_.current != nullptr) {
      copy(args_.current + at, state_.current.get());
    }
  }

  const RecurrentLifForwardArgs<S, T>& args_;
  bool refractory_;
  std::int64_t first_;
  std::int64_t rows_;
  std::int64_t elements_;
  std::int64_t begin_;
  std::int64_t count_;
  TileCoefficients<T, true, kUniform> c_;
  TileState<T> state_;
  Buffer<T> input_;
  Buffer<T> feedback_;
  Buffer<T> spikes_;  // of the last step, where no trace of them is asked for
};

template <class QInput, class QRecurrent, class S, class T>
void run_tiles(const CpuExec& exec, const RecurrentLifForwardArgs<S, T>& args) {
  using Input = ProductType<S, T, QInput>;
  using Recurrent = ProductType<T, T, QRecurrent>;
  const typename Input::Packed input(args.input.template as<QInput>(), args.in_features, args.neuron);
  const typename Recurrent::Packed recurrent(args.recurrent.template as<QRecurrent>(), args.neuron, args.neuron);
  const bool refractory = has_refractory(args.coefficients, args.initial_state, args.batch * args.neuron);
  const bool uniform = args.coefficients.columns == 1;
  for_each_row_tile(exec, args.batch, args.neuron, [&](std::int64_t first, std::int64_t last) {
    typename Input::Product fed_in = Input::make(input, args.input, args.in_features, args.neuron);
    typename Recurrent::Product fed_back = Recurrent::make(recurrent, args.recurrent, args.neuron, args.neuron);
    if (uniform) {
      ForwardTile<S, T, true>(args, refractory, first, last).run(fed_in, fed_back);
    } else {
      ForwardTile<S, T, false>(args, refractory, first, last).run(fed_in, fed_back);
    }
  });
}

}  // namespace

template <class S, class T>
void recurrent_lif_forward(const CpuExec& exec, const RecurrentLifForwardArgs<S, T>& args) {
  const bool short_input = args.input.form == WeightForm::kInt16;
  if (args.input.form == WeightForm::kReal) {
    run_tiles<T, T>(exec, args);
  } else if (args.recurrent.form == WeightForm::kInt16) {
    short_input ? run_tiles<std::int16_t, std::int16_t>(exec, args) : run_tiles<std::int8_t, std::int16_t>(exec, args);
  } else {
    short_input ? run_tiles<std::int16_t, std::int8_t>(exec, args) : run_tiles<std::int8_t, std::int8_t>(exec, args);
  }
}

#define GRADSPIKE_INSTANTIATE(S, T) \
  template void recurrent_lif_forward<S, T>(const CpuExec&, const RecurrentLifForwardArgs<S, T>&);
GRADSPIKE_INSTANTIATE(float, float)
GRADSPIKE_INSTANTIATE(float, double)
GRADSPIKE_INSTANTIATE(double, double)
GRADSPIKE_INSTANTIATE(std::uint8_t, float)
GRADSPIKE_INSTANTIATE(std::uint8_t, double)
#undef GRADSPIKE_INSTANTIATE

}  // namespace gradspike::kernels::GRADSPIKE_CPU_ISA
