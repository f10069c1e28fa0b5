// CPU kernel of graded_spikes, gradient to the weights: event-driven, and independent of the number of threads.
//
// Rows are taken in blocks of a fixed size. Within a block the rows that spiked are listed per input; each list is
// summed in registers over a block of outputs, in the order of the rows, and added to the total.
#include "csrc/cpu/find_spikes.h"
#include "csrc/kernels/graded_spikes.h"

namespace gradspike::kernels::GRADSPIKE_CPU_ISA {
namespace {

constexpr std::int64_t kRowBlock = 256;  // part of the numerics: changing it changes the rounding of the sums
constexpr std::int64_t kVectorBytes = 64;
constexpr std::int64_t kPostGrain = 64;
constexpr std::int64_t kPreGrain = 8;

template <class T>
using Vector [[gnu::vector_size(64)]] = T;

/// The rectangle [pre_begin, pre_end) x [post_begin, post_end) of the gradient.
template <class S, class W, class T>
class GradientTile {
 public:
  GradientTile(const GradedSpikesWeightGradArgs<S, W, T>& args, std::int64_t pre_begin, std::int64_t pre_end,
               std::int64_t post_begin, std::int64_t post_end)
      : args_(args),
        pre_begin_(pre_begin),
        num_pre_(pre_end - pre_begin),
        post_begin_(post_begin),
        num_post_(post_end - post_begin),
        total_(num_pre_ * num_post_),
        list_(num_pre_ * kRowBlock),
        index_(num_pre_ + kFindSlack),
        length_(num_pre_) {}

  void compute() {
    for (std::int64_t first = 0; first < args_.rows; first += kRowBlock) {
      list_spikes(first, smaller(args_.rows, first + kRowBlock));
      for (std::int64_t k = 0; k < num_pre_; ++k) {
        if (length_[k] > 0) {
          add_list(first, k);
        }
      }
    }
    finish();
  }

 private:
  /// Per input, the rows (relative to `first`) with a spike.
  void list_spikes(std::int64_t first, std::int64_t last) {
    for (std::int64_t k = 0; k < num_pre_; ++k) {
      length_[k] = 0;
    }
    for (std::int64_t r = first; r < last; ++r) {
      const std::int64_t found = find_spikes(args_.spikes + r * args_.in_features + pre_begin_, num_pre_, index_.get());
      for (std::int64_t i = 0; i < found; ++i) {
        const std::int64_t k = index_[i];
        list_[k * kRowBlock + length_[k]++] = static_cast<std::int16_t>(r - first);
      }
    }
  }

  void add_list(std::int64_t first, std::int64_t k) {
    constexpr std::int64_t kLanes = kVectorBytes / static_cast<std::int64_t>(sizeof(T));
    const T* grad = args_.grad + first * args_.out_features + post_begin_;
    const S* spikes = args_.spikes + first * args_.in_features + pre_begin_ + k;
    T* total = total_.get() + k * num_post_;
    std::int64_t post = 0;
    for (; post + 4 * kLanes <= num_post_; post += 4 * kLanes) {
      add_vectors<4>(grad + post, spikes, k, total + post);
    }
    for (; post + kLanes <= num_post_; post += kLanes) {
      add_vectors<1>(grad + post, spikes, k, total + post);
    }
    for (; post < num_post_; ++post) {
      T sum{0};
      for (std::int64_t i = 0; i < length_[k]; ++i) {
        const std::int64_t r = list_[k * kRowBlock + i];
        sum = math::add(sum,
                        math::mul(static_cast<T>(spikes[r * args_.in_features]), grad[r * args_.out_features + post]));
      }
      total[post] = math::add(total[post], sum);
    }
  }

  template <int kVectors>
  void add_vectors(const T* grad, const S* spikes, std::int64_t k, T* total) {
    Vector<T> sums[kVectors] = {};
    for (std::int64_t i = 0; i < length_[k]; ++i) {
      const std::int64_t r = list_[k * kRowBlock + i];
      const T s = static_cast<T>(spikes[r * args_.in_features]);
      for (int v = 0; v < kVectors; ++v) {
        Vector<T> g;
        std::memcpy(&g, grad + r * args_.out_features + v * (kVectorBytes / static_cast<std::int64_t>(sizeof(T))),
                    sizeof g);
        sums[v] += s * g;
      }
    }
    for (int v = 0; v < kVectors; ++v) {
      Vector<T> t;
      T* at = total + v * (kVectorBytes / static_cast<std::int64_t>(sizeof(T)));
      std::memcpy(&t, at, sizeof t);
      t += sums[v];
      std::memcpy(at, &t, sizeof t);
    }
  }

  void finish() {
    for (std::int64_t post = 0; post < num_post_; ++post) {
      for (std::int64_t k = 0; k < num_pre_; ++k) {
        const std::int64_t at = (post_begin_ + post) * args_.in_features + pre_begin_ + k;
        const W grad_q = static_cast<W>(math::mul(static_cast<T>(args_.factor), total_[k * num_post_ + post]));
        args_.grad_weight[at] = math::straight_through(grad_q, args_.weight[at], args_.transform, args_.rule);
      }
    }
  }

  const GradedSpikesWeightGradArgs<S, W, T>& args_;
  std::int64_t pre_begin_;
  std::int64_t num_pre_;
  std::int64_t post_begin_;
  std::int64_t num_post_;
  Buffer<T> total_;            // [pre][post]
  Buffer<std::int16_t> list_;  // [pre][kRowBlock]
  Buffer<std::int32_t> index_;
  Buffer<std::int32_t> length_;
};

}  // namespace

template <class S, class W, class T>
void graded_spikes_weight_grad(const CpuExec& exec, const GradedSpikesWeightGradArgs<S, W, T>& args) {
  if (args.in_features >= args.out_features) {
    exec.for_each_range(args.in_features, kPreGrain, [&](std::int64_t begin, std::int64_t end) {
      GradientTile<S, W, T>(args, begin, end, 0, args.out_features).compute();
    });
  } else {
    exec.for_each_range(args.out_features, kPostGrain, [&](std::int64_t begin, std::int64_t end) {
      GradientTile<S, W, T>(args, 0, args.in_features, begin, end).compute();
    });
  }
}

#define GRADSPIKE_INSTANTIATE(S, W, T) \
  template void graded_spikes_weight_grad<S, W, T>(const CpuExec&, const GradedSpikesWeightGradArgs<S, W, T>&);
#define GRADSPIKE_INSTANTIATE_WT(S)       \
  GRADSPIKE_INSTANTIATE(S, float, float)  \
  GRADSPIKE_INSTANTIATE(S, float, double) \
  GRADSPIKE_INSTANTIATE(S, double, float) \
  GRADSPIKE_INSTANTIATE(S, double, double)
GRADSPIKE_INSTANTIATE_WT(float)
GRADSPIKE_INSTANTIATE_WT(double)
GRADSPIKE_INSTANTIATE_WT(std::uint8_t)
#undef GRADSPIKE_INSTANTIATE_WT
#undef GRADSPIKE_INSTANTIATE

}  // namespace gradspike::kernels::GRADSPIKE_CPU_ISA
