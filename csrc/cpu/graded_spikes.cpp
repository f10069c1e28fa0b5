// CPU kernel of graded_spikes, forward: event-driven integer sums, dense dot products for rows with many spikes.
//
// The weights are transposed once into [pre][post], so that a spike adds one contiguous row of integers. int8 rows are
// summed in int16 (which holds at least 258 rows of 127) and flushed into wider sums before that could overflow.
#include "csrc/kernels/graded_spikes.h"

#include "csrc/cpu/graded_spikes_local.h"

namespace gradspike::kernels::GRADSPIKE_CPU_ISA {
namespace {

constexpr std::int64_t kRowGrain = 64;  // rows per range: some 5 us at chip size

/// One range of rows with its scratch memory.
template <class S, class Q, class T>
class RowSummer {
 public:
  RowSummer(const GradedSpikesArgs<S, Q, T>& args, const PackedWeights<Q>& weights)
      : args_(args),
        weights_(weights),
        index_(args.in_features + kFindSlack),
        count_(args.in_features),
        sums_(weights.padded),
        bytes_(PackedWeights<Q>::kHasDense ? weights.dense_in : 0) {}

  void row(std::int64_t r) {
    const S* spikes = args_.spikes + r * args_.in_features;
    T* out = args_.out + r * args_.out_features;
    num_spikes_ = find_spikes(spikes, args_.in_features, index_.get());
    if (!count_spikes(spikes)) {
      float_row(spikes, out);
    } else if (PackedWeights<Q>::kHasDense && num_spikes_ * kDenseFraction > args_.in_features && !args_.wide) {
      dense_row(spikes, out);
    } else {
      event_row(out);
    }
    for (std::int64_t k = 0; k < weights_.num_nan; ++k) {
      out[weights_.nan_posts[k]] = std::numeric_limits<T>::quiet_NaN();
    }
  }

 private:
  /// Integer counts of the spikes found; false where one is no integer in 0..kMaxSpikeCount.
  bool count_spikes(const S* spikes) {
    bool integers = true;
    total_ = 0;
    for (std::int64_t k = 0; k < num_spikes_; ++k) {
      const S s = spikes[index_[k]];
      const bool counts = math::is_spike_count(s);
      const std::int16_t count = counts ? static_cast<std::int16_t>(s) : std::int16_t{0};
      integers = integers && counts;
      count_[k] = count;
      total_ += count;
    }
    return integers;
  }

  void event_row(T* out) {
    if (args_.wide) {
      event_row_as<std::int64_t>(out);
    } else {
      event_row_as<std::int32_t>(out);
    }
  }

  template <class Sum>
  void event_row_as(T* out) {
    const T factor = static_cast<T>(args_.factor);
    const bool ones = total_ == num_spikes_;
    for (std::int64_t post = 0; post < args_.out_features; post += kPostBlock) {
      Sum sums[kPostBlock];
      sum_block(weights_, post, index_.get(), count_.get(), num_spikes_, ones, sums);
      const std::int64_t width = smaller(kPostBlock, args_.out_features - post);
      for (std::int64_t j = 0; j < width; ++j) {
        out[post + j] = math::mul(static_cast<T>(sums[j]), factor);
      }
    }
  }

  void dense_row(const S* spikes, T* out) {
    const T factor = static_cast<T>(args_.factor);
    for (std::int64_t pre = 0; pre < args_.in_features; ++pre) {
      bytes_[pre] = static_cast<std::uint8_t>(spikes[pre]);
    }
    for (std::int64_t post = 0; post < args_.out_features; post += kPostBlock) {
      std::int32_t sums[kPostBlock];
      weights_.dense_block(bytes_.get(), post, sums);
      const std::int64_t width = smaller(kPostBlock, args_.out_features - post);
      for (std::int64_t j = 0; j < width; ++j) {
        out[post + j] = math::mul(static_cast<T>(sums[j]), factor);
      }
    }
  }

  /// Sums in T in the order of pre. A spike of 0 adds a zero, which changes no bit of a sum that started at +0.
  void float_row(const S* spikes, T* out) {
    T* __restrict__ sums = sums_.get();
    for (std::int64_t j = 0; j < args_.out_features; ++j) {
      sums[j] = T{0};
    }
    for (std::int64_t k = 0; k < num_spikes_; ++k) {
      const T s = static_cast<T>(spikes[index_[k]]);
      const Q* __restrict__ q = weights_.row(index_[k]);
      for (std::int64_t j = 0; j < args_.out_features; ++j) {
        sums[j] = math::add(sums[j], math::mul(s, static_cast<T>(q[j])));
      }
    }
    for (std::int64_t j = 0; j < args_.out_features; ++j) {
      out[j] = math::mul(sums[j], static_cast<T>(args_.factor));
    }
  }

  const GradedSpikesArgs<S, Q, T>& args_;
  const PackedWeights<Q>& weights_;
  Buffer<std::int32_t> index_;
  Buffer<std::int16_t> count_;
  Buffer<T> sums_;
  Buffer<std::uint8_t> bytes_;
  std::int64_t num_spikes_ = 0;
  std::int64_t total_ = 0;
};

}  // namespace

template <class S, class Q, class T>
void graded_spikes(const CpuExec& exec, const GradedSpikesArgs<S, Q, T>& args) {
  const PackedWeights<Q> weights(args.weights, args.in_features, args.out_features);
  exec.for_each_range(args.rows, kRowGrain, [&](std::int64_t begin, std::int64_t end) {
    RowSummer<S, Q, T> summer(args, weights);
    for (std::int64_t r = begin; r < end; ++r) {
      summer.row(r);
    }
  });
}

#define GRADSPIKE_INSTANTIATE(S, Q, T) \
  template void graded_spikes<S, Q, T>(const CpuExec&, const GradedSpikesArgs<S, Q, T>&);
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
