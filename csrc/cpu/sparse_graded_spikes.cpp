// CPU kernels of sparse_graded_spikes: event-driven, each spike walks over the connections of its neuron.
//
// The connections are sorted by pre with a counting sort, which keeps the order of post, so that the walk is over
// contiguous memory and float sums are in the order of pre.
#include <algorithm>

#include "csrc/kernels/sparse_graded_spikes.h"

#include <limits>
#include <type_traits>

#include "csrc/cpu/find_spikes.h"

namespace gradspike::kernels::GRADSPIKE_CPU_ISA {
namespace {

constexpr std::int64_t kRowGrain = 16;   // rows per range
constexpr std::int64_t kRowBlock = 256;  // part of the numerics, and that of the dense gradient: sums of rows
constexpr std::int64_t kPreGrain = 16;   // inputs per range of the gradient to the weights
constexpr std::int64_t kRowLanes = 16;   // rows side by side in the gradient to the spikes

template <class T>
using Lanes [[gnu::vector_size(kRowLanes * sizeof(T))]] = T;

/// Connections by pre: those of `pre` are start[pre] .. start[pre + 1], in ascending order of post.
struct ByPre {
  explicit ByPre(const ConnectionIndex& index)
      : start(index.in_features + 1), post(index.count), position(index.count) {
    for (std::int64_t k = 0; k < index.count; ++k) {
      ++start[index.pre[k] + 1];
    }
    for (std::int64_t pre = 0; pre < index.in_features; ++pre) {
      start[pre + 1] += start[pre];
    }
    Buffer<std::int64_t> next(index.in_features);
    std::copy(start.get(), start.get() + index.in_features, next.get());
    for (std::int64_t k = 0; k < index.count; ++k) {
      const std::int64_t at = next[index.pre[k]]++;
      post[at] = static_cast<std::int32_t>(index.post[k]);
      position[at] = k;
    }
  }

  Buffer<std::int64_t> start;     // [in_features + 1]
  Buffer<std::int32_t> post;      // [count]
  Buffer<std::int64_t> position;  // [count], in the list that was given
};

/// Weights by pre, NaN as 0, and the post neurons that have a NaN weight.
template <class Q>
struct WeightsByPre {
  WeightsByPre(const ByPre& by_pre, const ConnectionIndex& index, const Q* weights)
      : value(index.count), is_nan(index.out_features) {
    for (std::int64_t k = 0; k < index.count; ++k) {
      const Q weight = weights[by_pre.position[k]];
      const bool nan = is_nan_weight(weight);
      value[k] = nan ? Q{0} : weight;
      if (nan) {
        is_nan[by_pre.post[k]] = 1;
        any_nan = true;
      }
    }
  }

  Buffer<Q> value;              // [count]
  Buffer<std::uint8_t> is_nan;  // [out_features]
  bool any_nan = false;
};

/// The product of single rows, with its scratch memory: one per thread.
template <class S, class Q, class T>
class SparseRowSummer {
 public:
  static constexpr bool kIntegers = std::is_same_v<Q, std::int16_t>;

  SparseRowSummer(const SparseGradedSpikesArgs<S, Q, T>& args, const ByPre& by_pre, const WeightsByPre<Q>& weights)
      : args_(args),
        by_pre_(by_pre),
        weights_(weights),
        spiking_(args.index.in_features + kFindSlack),
        narrow_(kIntegers && !args.wide ? args.index.out_features : 0),
        wide_(kIntegers && args.wide ? args.index.out_features : 0),
        reached_(args.index.out_features) {}

  void row(const S* spikes, T* out) {
    const std::int64_t found = find_spikes(spikes, args_.index.in_features, spiking_.get());
    bool counts = kIntegers;
    for (std::int64_t i = 0; i < found && counts; ++i) {
      counts = math::is_spike_count(spikes[spiking_[i]]);
    }
    if (!counts) {
      float_row(spikes, found, out);
    } else if (args_.wide) {
      integer_row(spikes, found, wide_.get(), out);
    } else {
      integer_row(spikes, found, narrow_.get(), out);
    }
    for (std::int64_t post = 0; weights_.any_nan && post < args_.index.out_features; ++post) {
      out[post] = weights_.is_nan[post] != 0 ? std::numeric_limits<T>::quiet_NaN() : out[post];
    }
  }

 private:
  /// `sums` is all zero before and after.
  template <class Sum>
  void integer_row(const S* spikes, std::int64_t found, Sum* __restrict__ sums, T* __restrict__ out) {
    for (std::int64_t i = 0; i < found; ++i) {
      const std::int32_t pre = spiking_[i];
      const Sum count = static_cast<Sum>(spikes[pre]);
      for (std::int64_t k = by_pre_.start[pre]; k < by_pre_.start[pre + 1]; ++k) {
        sums[by_pre_.post[k]] += count * static_cast<Sum>(weights_.value[k]);
      }
    }
    const T factor = static_cast<T>(args_.factor);
    for (std::int64_t post = 0; post < args_.index.out_features; ++post) {
      out[post] = math::mul(static_cast<T>(sums[post]), factor);
      sums[post] = 0;
    }
  }

  void float_row(const S* spikes, std::int64_t found, T* __restrict__ out) {
    std::int64_t num_not_finite = 0;
    for (std::int64_t post = 0; post < args_.index.out_features; ++post) {
      out[post] = T{0};
    }
    for (std::int64_t i = 0; i < found; ++i) {
      const std::int32_t pre = spiking_[i];
      const T spike = static_cast<T>(spikes[pre]);
      const bool finite = is_finite(spike);
      num_not_finite += finite ? 0 : 1;
      for (std::int64_t k = by_pre_.start[pre]; k < by_pre_.start[pre + 1]; ++k) {
        const std::int32_t post = by_pre_.post[k];
        out[post] = math::add(out[post], math::mul(spike, static_cast<T>(weights_.value[k])));
        reached_[post] += finite ? 0 : 1;
      }
    }
    for (std::int64_t post = 0; post < args_.index.out_features; ++post) {
      const bool missed = reached_[post] != num_not_finite;
      out[post] = missed ? std::numeric_limits<T>::quiet_NaN() : math::mul(out[post], static_cast<T>(args_.factor));
      reached_[post] = 0;
    }
  }

  const SparseGradedSpikesArgs<S, Q, T>& args_;
  const ByPre& by_pre_;
  const WeightsByPre<Q>& weights_;
  Buffer<std::int32_t> spiking_;
  Buffer<std::int32_t> narrow_;
  Buffer<std::int64_t> wide_;
  Buffer<std::int64_t> reached_;  // per post neuron, spikes of the row that are not finite and reach it
};

}  // namespace

template <class S, class Q, class T>
void sparse_graded_spikes(const CpuExec& exec, const SparseGradedSpikesArgs<S, Q, T>& args) {
  const ByPre by_pre(args.index);
  const WeightsByPre<Q> weights(by_pre, args.index, args.weights);
  exec.for_each_range(args.rows, kRowGrain, [&](std::int64_t begin, std::int64_t end) {
    SparseRowSummer<S, Q, T> summer(args, by_pre, weights);
    for (std::int64_t r = begin; r < end; ++r) {
      summer.row(args.spikes + r * args.index.in_features, args.out + r * args.index.out_features);
    }
  });
}

template <class S, class T>
void sparse_weight_grad(const CpuExec& exec, const SparseWeightGradArgs<S, T>& args) {
  const ByPre by_pre(args.index);
  exec.for_each_range(args.index.in_features, kPreGrain, [&](std::int64_t begin, std::int64_t end) {
    const std::int64_t first = by_pre.start[begin];
    const std::int64_t count = by_pre.start[end] - first;
    Buffer<T> total(count);
    Buffer<T> part(count);
    Buffer<std::int32_t> spiking(end - begin + kFindSlack);
    for (std::int64_t block = 0; block < args.rows; block += kRowBlock) {
      for (std::int64_t r = block; r < smaller(args.rows, block + kRowBlock); ++r) {
        const S* spikes = args.spikes + r * args.index.in_features + begin;
        const T* __restrict__ grad = args.grad + r * args.index.out_features;
        const std::int64_t found = find_spikes(spikes, end - begin, spiking.get());
        for (std::int64_t i = 0; i < found; ++i) {
          const std::int64_t pre = begin + spiking[i];
          const T spike = static_cast<T>(spikes[spiking[i]]);
          for (std::int64_t k = by_pre.start[pre]; k < by_pre.start[pre + 1]; ++k) {
            part[k - first] = math::add(part[k - first], math::mul(spike, grad[by_pre.post[k]]));
          }
        }
      }
      for (std::int64_t k = 0; k < count; ++k) {
        total[k] = math::add(total[k], part[k]);
        part[k] = T{0};
      }
    }
    for (std::int64_t k = 0; k < count; ++k) {
      args.grad_weights[by_pre.position[first + k]] = math::mul(static_cast<T>(args.factor), total[k]);
    }
  });
}

template <class Q, class T>
void sparse_spike_grad(const CpuExec& exec, const SparseSpikeGradArgs<Q, T>& args) {
  const ByPre by_pre(args.index);
  Buffer<T> weights(args.index.count);
  for (std::int64_t k = 0; k < args.index.count; ++k) {
    const Q weight = args.weights[by_pre.position[k]];
    weights[k] = is_nan_weight(weight) ? std::numeric_limits<T>::quiet_NaN()
                                       : math::mul(static_cast<T>(args.factor), static_cast<T>(weight));
  }
  const std::int64_t in_features = args.index.in_features;
  const std::int64_t out_features = args.index.out_features;
  exec.for_each_range((args.rows + kRowLanes - 1) / kRowLanes, 1, [&](std::int64_t begin, std::int64_t end) {
    Buffer<T> grad(out_features * kRowLanes);  // [post][row]: a connection takes kRowLanes rows at once
    for (std::int64_t block = begin; block < end; ++block) {
      const std::int64_t first = block * kRowLanes;
      const std::int64_t lanes = smaller(kRowLanes, args.rows - first);
      for (std::int64_t lane = 0; lane < lanes; ++lane) {
        for (std::int64_t post = 0; post < out_features; ++post) {
          grad[post * kRowLanes + lane] = args.grad[(first + lane) * out_features + post];
        }
      }
      for (std::int64_t pre = 0; pre < in_features; ++pre) {
        Lanes<T> sums = {};
        for (std::int64_t k = by_pre.start[pre]; k < by_pre.start[pre + 1]; ++k) {
          Lanes<T> g;
          std::memcpy(&g, grad.get() + by_pre.post[k] * kRowLanes, sizeof g);
          sums += weights[k] * g;
        }
        for (std::int64_t lane = 0; lane < lanes; ++lane) {
          args.grad_spikes[(first + lane) * in_features + pre] = sums[lane];
        }
      }
    }
  });
}

#define GRADSPIKE_INSTANTIATE(S, Q, T) \
  template void sparse_graded_spikes<S, Q, T>(const CpuExec&, const SparseGradedSpikesArgs<S, Q, T>&);
#define GRADSPIKE_INSTANTIATE_S(S)                                                                   \
  GRADSPIKE_INSTANTIATE(S, std::int16_t, float)                                                      \
  GRADSPIKE_INSTANTIATE(S, std::int16_t, double)                                                     \
  GRADSPIKE_INSTANTIATE(S, float, float)                                                             \
  GRADSPIKE_INSTANTIATE(S, double, double)                                                           \
  template void sparse_weight_grad<S, float>(const CpuExec&, const SparseWeightGradArgs<S, float>&); \
  template void sparse_weight_grad<S, double>(const CpuExec&, const SparseWeightGradArgs<S, double>&);
GRADSPIKE_INSTANTIATE_S(float)
GRADSPIKE_INSTANTIATE_S(double)
GRADSPIKE_INSTANTIATE_S(std::uint8_t)
#define GRADSPIKE_INSTANTIATE_QT(Q, T) \
  template void sparse_spike_grad<Q, T>(const CpuExec&, const SparseSpikeGradArgs<Q, T>&);
GRADSPIKE_INSTANTIATE_QT(std::int16_t, float)
GRADSPIKE_INSTANTIATE_QT(std::int16_t, double)
GRADSPIKE_INSTANTIATE_QT(float, float)
GRADSPIKE_INSTANTIATE_QT(double, double)
#undef GRADSPIKE_INSTANTIATE_QT
#undef GRADSPIKE_INSTANTIATE_S
#undef GRADSPIKE_INSTANTIATE

}  // namespace gradspike::kernels::GRADSPIKE_CPU_ISA
