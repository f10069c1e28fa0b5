// A tile of synapse_lif: a rectangle of batch entries and neurons whose state stays in cache over time.
#pragma once

#include <algorithm>

#include "csrc/cpu/graded_spikes_rows.h"
#include "csrc/cpu/lif_rows.h"
#include "csrc/kernels/synapse_lif.h"

namespace gradspike::kernels::GRADSPIKE_CPU_ISA {

/// Batch entries [batch_begin, batch_end) and neurons [begin, end); `begin` is a multiple of kPostBlock.
struct Rectangle {
  std::int64_t batch_begin;
  std::int64_t batch_end;
  std::int64_t begin;
  std::int64_t end;

  std::int64_t rows() const { return batch_end - batch_begin; }
  std::int64_t width() const { return end - begin; }
  std::int64_t count() const { return rows() * width(); }
};

/// Copies between [batch, neuron] arrays and the tile's own rows.
template <class T>
inline void rectangle_from(T* tile, const T* from, const Rectangle& r, std::int64_t neurons) {
  for (std::int64_t b = 0; b < r.rows(); ++b) {
    TileState<T>::copy(tile + b * r.width(), from + (r.batch_begin + b) * neurons + r.begin, r.width());
  }
}
template <class T>
inline void rectangle_to(T* to, const T* tile, const Rectangle& r, std::int64_t neurons) {
  for (std::int64_t b = 0; b < r.rows(); ++b) {
    TileState<T>::copy(to + (r.batch_begin + b) * neurons + r.begin, tile + b * r.width(), r.width());
  }
}

/// Packed weights of a call, or nothing where the input was computed before.
template <class S, class Q, class T>
PackedWeights<Q> packed_weights(const SynapseDrive<S, Q, T>& drive, std::int64_t neurons) {
  return !drive.has_input() ? PackedWeights<Q>(drive.weights, drive.in_features, neurons)
                            : PackedWeights<Q>(nullptr, 0, 0);
}

/// State of the tile and the step of its rows. `kUniform`: one set of coefficients for all neurons.
template <class S, class Q, class T, bool kUniform>
class SynapseTile {
 public:
  SynapseTile(const PackedWeights<Q>& weights, const SynapseDrive<S, Q, T>& drive, const CoefficientTable<T>& table,
              const Rectangle& rectangle, std::int64_t batch, std::int64_t neurons, bool refractory)
      : coefficients(table, neurons, rectangle.begin, rectangle.width()),
        state(rectangle.count()),
        drive_(drive),
        r_(rectangle),
        batch_(batch),
        neurons_(neurons),
        refractory_(refractory),
        summer_(weights, !drive.has_input() ? drive.in_features : 0, neurons, drive.factor, drive.wide),
        input_(rectangle.width()) {}

  /// `initial`: [kNumLifStates, batch, neuron] or null.
  void initialise(const T* initial) {
    if (initial != nullptr) {
      load(initial);
      return;
    }
    for (std::int64_t b = 0; b < r_.rows(); ++b) {
      for (std::int64_t n = 0; n < r_.width(); ++n) {
        state.membrane[b * r_.width() + n] = coefficients.at(n).leak;
      }
    }
  }
  void load(const T* from) {
    const std::int64_t elements = batch_ * neurons_;
    rectangle_from(state.current.get(), from + math::kStateCurrent * elements, r_, neurons_);
    rectangle_from(state.membrane.get(), from + math::kStateMembrane * elements, r_, neurons_);
    rectangle_from(state.refractory.get(), from + math::kStateRefractory * elements, r_, neurons_);
  }
  void store(T* to) const {
    const std::int64_t elements = batch_ * neurons_;
    rectangle_to(to + math::kStateCurrent * elements, state.current.get(), r_, neurons_);
    rectangle_to(to + math::kStateMembrane * elements, state.membrane.get(), r_, neurons_);
    rectangle_to(to + math::kStateRefractory * elements, state.refractory.get(), r_, neurons_);
  }

  /// One step of row `b` of the tile. `spikes` and `saved`, where not null, receive a row.
  void step(std::int64_t t, std::int64_t b, const Measurement<T>& measured_spikes,
            const Measurement<T>& measured_membrane, T* spikes, T* saved) {
    const std::int64_t elements = batch_ * neurons_;
    const std::int64_t first = (r_.batch_begin + b) * neurons_ + r_.begin;
    const T* x = !drive_.has_input() ? input_.get() : drive_.input + t * elements + first;
    if (!drive_.has_input()) {
      // Of this step or the next one; beyond the last step the address is not used.
      const std::int64_t ahead = b + kRowsAhead < r_.rows() ? b + kRowsAhead : batch_ + (b + kRowsAhead) % r_.rows();
      prefetch_row(
          address_of(drive_.spikes) + static_cast<std::uintptr_t>(t * batch_ + r_.batch_begin + ahead) * row_bytes(),
          row_bytes());
      sum_input(t * batch_ + r_.batch_begin + b);
    }
    const std::int64_t at = b * r_.width();
    lif_row_any(refractory_, x, measured_spikes.row(t, elements, first), measured_membrane.row(t, elements, first),
                spikes, saved,
                StateRow<T>{state.current.get() + at, state.membrane.get() + at, state.refractory.get() + at},
                coefficients.from(0), r_.width());
  }

  TileCoefficients<T, true, kUniform> coefficients;
  TileState<T> state;

 private:
  void sum_input(std::int64_t row) {
    const S* spikes = drive_.spikes + row * drive_.row_length();
    if constexpr (std::is_same_v<S, std::uint8_t>) {
      if (drive_.packed) {
        summer_.load_bits(spikes);
        summer_.write(input_.get(), r_.begin, r_.end);
        return;
      }
    }
    summer_.load(spikes);
    summer_.write(input_.get(), r_.begin, r_.end);
  }

  static std::uintptr_t address_of(const S* spikes) { return reinterpret_cast<std::uintptr_t>(spikes); }
  std::uintptr_t row_bytes() const { return static_cast<std::uintptr_t>(drive_.row_length()) * sizeof(S); }

  const SynapseDrive<S, Q, T>& drive_;
  Rectangle r_;
  std::int64_t batch_;
  std::int64_t neurons_;
  bool refractory_;
  RowSummer<S, Q, T> summer_;
  Buffer<T> input_;
};

}  // namespace gradspike::kernels::GRADSPIKE_CPU_ISA
