// The event-driven product of one row of spikes, for kernels that work row by row.
#pragma once

#include "csrc/cpu/graded_spikes_local.h"

namespace gradspike::kernels::GRADSPIKE_CPU_ISA {

/// The product of single rows of spikes with packed weights, with its scratch memory: one per thread.
template <class S, class Q, class T>
class RowSummer {
 public:
  /// `wide`: sums of integers need 64 bits.
  RowSummer(const PackedWeights<Q>& weights, std::int64_t in_features, std::int64_t out_features, float factor,
            bool wide)
      : weights_(weights),
        in_features_(in_features),
        out_features_(out_features),
        factor_(factor),
        wide_(wide),
        index_(in_features + kFindSlack),
        count_(in_features),
        sums_(weights.padded),
        bytes_(PackedWeights<Q>::kHasDense ? weights.dense_in : 0) {}

  /// out[post] for the spikes of one row.
  void row(const S* spikes, T* out) {
    num_spikes_ = find_spikes(spikes, in_features_, index_.get());
    if (!count_spikes(spikes)) {
      float_row(spikes, out);
    } else if (PackedWeights<Q>::kHasDense && num_spikes_ * kDenseFraction > in_features_ && !wide_) {
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
    if (wide_) {
      event_row_as<std::int64_t>(out);
    } else {
      event_row_as<std::int32_t>(out);
    }
  }

  template <class Sum>
  void event_row_as(T* out) {
    const T factor = static_cast<T>(factor_);
    const bool ones = total_ == num_spikes_;
    for (std::int64_t post = 0; post < out_features_; post += kPostBlock) {
      Sum sums[kPostBlock];
      sum_block(weights_, post, index_.get(), count_.get(), num_spikes_, ones, sums);
      const std::int64_t width = smaller(kPostBlock, out_features_ - post);
      for (std::int64_t j = 0; j < width; ++j) {
        out[post + j] = math::mul(static_cast<T>(sums[j]), factor);
      }
    }
  }

  void dense_row(const S* spikes, T* out) {
    const T factor = static_cast<T>(factor_);
    for (std::int64_t pre = 0; pre < in_features_; ++pre) {
      bytes_[pre] = static_cast<std::uint8_t>(spikes[pre]);
    }
    for (std::int64_t post = 0; post < out_features_; post += kPostBlock) {
      std::int32_t sums[kPostBlock];
      weights_.dense_block(bytes_.get(), post, sums);
      const std::int64_t width = smaller(kPostBlock, out_features_ - post);
      for (std::int64_t j = 0; j < width; ++j) {
        out[post + j] = math::mul(static_cast<T>(sums[j]), factor);
      }
    }
  }

  /// Sums in T in the order of pre. A spike of 0 adds a zero, which changes no bit of a sum that started at +0.
  void float_row(const S* spikes, T* out) {
    T* __restrict__ sums = sums_.get();
    for (std::int64_t j = 0; j < out_features_; ++j) {
      sums[j] = T{0};
    }
    for (std::int64_t k = 0; k < num_spikes_; ++k) {
      const T s = static_cast<T>(spikes[index_[k]]);
      const Q* __restrict__ q = weights_.row(index_[k]);
      for (std::int64_t j = 0; j < out_features_; ++j) {
        sums[j] = math::add(sums[j], math::mul(s, static_cast<T>(q[j])));
      }
    }
    for (std::int64_t j = 0; j < out_features_; ++j) {
      out[j] = math::mul(sums[j], static_cast<T>(factor_));
    }
  }

  const PackedWeights<Q>& weights_;
  std::int64_t in_features_;
  std::int64_t out_features_;
  float factor_;
  bool wide_;
  Buffer<std::int32_t> index_;
  Buffer<std::int16_t> count_;
  Buffer<T> sums_;
  Buffer<std::uint8_t> bytes_;
  std::int64_t num_spikes_ = 0;
  std::int64_t total_ = 0;
};

}  // namespace gradspike::kernels::GRADSPIKE_CPU_ISA
