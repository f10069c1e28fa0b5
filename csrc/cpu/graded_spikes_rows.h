// The event-driven product of one row of spikes, for kernels that work row by row.
#pragma once

#include "csrc/cpu/graded_spikes_local.h"

namespace gradspike::kernels::GRADSPIKE_CPU_ISA {

constexpr std::int64_t kRowsAhead = 6;  // rows of spikes that are fetched early

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
        offset_(in_features),
        sums_(weights.padded),
        bytes_(PackedWeights<Q>::kHasDense ? weights.dense_in : 0) {}

  /// out[post] for the spikes of one row.
  void row(const S* spikes, T* out) {
    load(spikes);
    write(out, 0, out_features_);
  }

  /// Finds the spikes of a row, which must stay alive until the last `write`.
  void load(const S* spikes) {
    spikes_ = spikes;
    num_spikes_ = find_spikes(spikes, in_features_, index_.get(), ones_);
    total_ = num_spikes_;
    integers_ = ones_ || count_spikes(spikes);
    choose();
  }

  /// The same for a row of bits.
  void load_bits(const std::uint8_t* bits) {
    num_spikes_ = find_bits(bits, in_features_, index_.get());
    total_ = num_spikes_;
    integers_ = true;
    ones_ = true;
    choose();
  }

  /// out[k] of post neuron begin + k for the row that was loaded; `begin` is a multiple of kPostBlock.
  void write(T* out, std::int64_t begin, std::int64_t end) {
    if (!integers_) {
      float_row(out, begin, end);
    } else if (dense_) {
      if constexpr (PackedWeights<Q>::kHasDense) {
        dense_row(out, begin, end);
      }
    } else if (wide_) {
      event_row<std::int64_t>(out, begin, end);
    } else {
      event_row<std::int32_t>(out, begin, end);
    }
    for (std::int64_t k = 0; k < weights_.num_nan; ++k) {
      if (weights_.nan_posts[k] >= begin && weights_.nan_posts[k] < end) {
        out[weights_.nan_posts[k] - begin] = std::numeric_limits<T>::quiet_NaN();
      }
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

  /// Rows with many spikes are spread as bytes for the dense product. Of others, the places of the rows of weights are
  /// worked out once for all blocks of post neurons.
  void choose() {
    dense_ = PackedWeights<Q>::kHasDense && integers_ && !wide_ && num_spikes_ * kDenseFraction > in_features_;
    if (!dense_) {
      for (std::int64_t k = 0; integers_ && k < num_spikes_; ++k) {
        offset_[k] = index_[k] * weights_.padded;
      }
      return;
    }
    std::memset(bytes_.get(), 0, static_cast<std::size_t>(weights_.dense_in));
    for (std::int64_t k = 0; k < num_spikes_; ++k) {
      bytes_[index_[k]] = ones_ ? std::uint8_t{1} : static_cast<std::uint8_t>(count_[k]);
    }
  }

  template <class Sum>
  void event_row(T* out, std::int64_t begin, std::int64_t end) {
    const T factor = static_cast<T>(factor_);
    std::int64_t post = begin;
    if constexpr (std::is_same_v<Q, std::int8_t>) {
      if (total_ * weights_.largest <= std::numeric_limits<std::int16_t>::max()) {  // all in one int16 sum
        for (; post + 2 * kPostBlock <= end; post += 2 * kPostBlock) {
          short_sums<4>(post, factor, out + (post - begin), 2 * kPostBlock);
        }
        for (; post < end; post += kPostBlock) {
          short_sums<2>(post, factor, out + (post - begin), smaller(kPostBlock, end - post));
        }
      }
    }
    for (; post < end; post += kPostBlock) {
      Sum sums[kPostBlock];
      if (ones_) {
        sum_block(weights_, post, index_.get(), count_.get(), num_spikes_, true, sums);
      } else {
        sum_block(weights_, post, index_.get(), count_.get(), num_spikes_, false, sums);
      }
      finish(sums, factor, out + (post - begin), smaller(kPostBlock, end - post));
    }
  }

  /// Sums of 32 * kVectors outputs in int16 registers.
  template <int kVectors>
  void short_sums(std::int64_t post, T factor, T* out, std::int64_t width) {
    Shorts32 sums[kVectors] = {};
    const std::int8_t* block = weights_.row(0) + post;
    if (ones_) {
      for (std::int64_t k = 0; k < num_spikes_; ++k) {
        const std::int8_t* row = block + offset_[k];
        for (int v = 0; v < kVectors; ++v) {
          sums[v] += widened_bytes(row + 32 * v);
        }
      }
    } else {
      for (std::int64_t k = 0; k < num_spikes_; ++k) {
        const std::int8_t* row = block + offset_[k];
        for (int v = 0; v < kVectors; ++v) {
          sums[v] += widened_bytes(row + 32 * v) * count_[k];
        }
      }
    }
    std::int16_t stored[32 * kVectors];
    std::memcpy(stored, sums, sizeof stored);
    finish<32 * kVectors>(stored, factor, out, width);
  }

  void dense_row(T* out, std::int64_t begin, std::int64_t end) {
    const T factor = static_cast<T>(factor_);
    for (std::int64_t post = begin; post < end; post += kPostBlock) {
      std::int32_t sums[kPostBlock];
      weights_.dense_block(bytes_.get(), post, sums);
      finish(sums, factor, out + (post - begin), smaller(kPostBlock, end - post));
    }
  }

  /// Sums to outputs; whole blocks have a length that the compiler knows.
  template <std::int64_t kWidth = kPostBlock, class Sum>
  static void finish(const Sum* sums, T factor, T* __restrict__ out, std::int64_t width) {
    if (width == kWidth) {
      for (std::int64_t j = 0; j < kWidth; ++j) {
        out[j] = math::mul(static_cast<T>(sums[j]), factor);
      }
      return;
    }
    for (std::int64_t j = 0; j < width; ++j) {
      out[j] = math::mul(static_cast<T>(sums[j]), factor);
    }
  }

  /// Sums in T in the order of pre. A spike of 0 adds a zero, which changes no bit of a sum that started at +0.
  void float_row(T* out, std::int64_t begin, std::int64_t end) {
    T* __restrict__ sums = sums_.get();
    const std::int64_t count = end - begin;
    for (std::int64_t j = 0; j < count; ++j) {
      sums[j] = T{0};
    }
    for (std::int64_t k = 0; k < num_spikes_; ++k) {
      const T s = static_cast<T>(spikes_[index_[k]]);
      const Q* __restrict__ q = weights_.row(index_[k]) + begin;
      for (std::int64_t j = 0; j < count; ++j) {
        sums[j] = math::add(sums[j], math::mul(s, static_cast<T>(q[j])));
      }
    }
    for (std::int64_t j = 0; j < count; ++j) {
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
  Buffer<std::int64_t> offset_;
  Buffer<T> sums_;
  Buffer<std::uint8_t> bytes_;
  const S* spikes_ = nullptr;
  std::int64_t num_spikes_ = 0;
  std::int64_t total_ = 0;
  bool integers_ = true;
  bool ones_ = true;
  bool dense_ = false;
};

}  // namespace gradspike::kernels::GRADSPIKE_CPU_ISA
