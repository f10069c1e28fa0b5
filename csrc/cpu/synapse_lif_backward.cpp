// CPU kernel of synapse_lif, backward: the reverse scan of a tile and, while its gradients to the synaptic input are in
// cache, their share of the weight gradient.
//
// The batch is cut into groups and the neurons into blocks, by sizes alone, so that no sum depends on the number of
// threads. Within a group the rows (step, entry) are taken in blocks of whole steps, latest first; a block's rows with
// a spike are listed per input, summed in registers in their order, and added to the group's total. Totals of the
// groups are added in order.
#include "csrc/cpu/lif_adjoint.h"
#include "csrc/cpu/synapse_lif_tile.h"

namespace gradspike::kernels::GRADSPIKE_CPU_ISA {
namespace {

// The first four are part of the numerics: changing them changes the rounding of the sums.
constexpr std::int64_t kGroupRows = 64;  // batch entries per group, more where the batch is large
constexpr std::int64_t kMaxGroups = 16;
constexpr std::int64_t kBlockRows = 256;                    // rows of a block, where they make whole steps
constexpr std::int64_t kMaxTotals = std::int64_t{1} << 24;  // weights of all groups together
constexpr std::int64_t kNeuronBlock = 128;
constexpr std::int64_t kMaxGroupRows = 32768;  // rows of a block are counted in 16 bits

template <class T>
using Vector [[gnu::vector_size(64)]] = T;
template <class T>
constexpr std::int64_t kLanes = 64 / static_cast<std::int64_t>(sizeof(T));

/// An array that starts with any values: pages that are never written cost nothing.
template <class T>
class RawBuffer {
 public:
  explicit RawBuffer(std::int64_t count)
      : data_(static_cast<T*>(std::malloc(static_cast<std::size_t>(larger(1, count)) * sizeof(T)))) {
    if (data_ == nullptr) {
      throw std::bad_alloc();
    }
  }
  RawBuffer(const RawBuffer&) = delete;
  RawBuffer& operator=(const RawBuffer&) = delete;
  ~RawBuffer() { std::free(data_); }
  T* get() { return data_; }
  const T* get() const { return data_; }

 private:
  T* data_;
};

/// How batch, time and neurons are cut.
struct Partition {
  Partition(std::int64_t time, std::int64_t batch, std::int64_t neurons, std::int64_t in_features) {
    const std::int64_t weights = larger(1, neurons * in_features);
    const std::int64_t wanted = smaller(kMaxGroups, (batch + kGroupRows - 1) / kGroupRows);
    const std::int64_t least = (batch + kMaxGroupRows - 1) / kMaxGroupRows;
    const std::int64_t count = larger(larger(1, least), smaller(wanted, kMaxTotals / weights));
    group_rows = larger(1, (batch + count - 1) / count);
    groups = (batch + group_rows - 1) / group_rows;
    steps = larger(1, kBlockRows / group_rows);
    blocks = (time + steps - 1) / steps;
    across = (neurons + kNeuronBlock - 1) / kNeuronBlock;
  }
  std::int64_t group_rows;
  std::int64_t groups;
  std::int64_t steps;   // per block
  std::int64_t blocks;  // per group
  std::int64_t across;  // blocks of neurons
};

/// The rows with a spike per input, of every block of every group.
template <class S, class Q, class T>
class SpikeLists {
 public:
  SpikeLists(const CpuExec& exec, const SynapseDrive<S, Q, T>& drive, const Partition& partition, std::int64_t time,
             std::int64_t batch)
      : drive_(drive),
        partition_(partition),
        time_(time),
        batch_(batch),
        first_(partition.groups * partition.blocks * (drive.in_features + 1)),
        ones_(partition.groups * partition.blocks),
        rows_(time * batch * drive.in_features),
        values_(time * batch * drive.in_features) {
    exec.for_each_range(time > 0 ? partition.groups * partition.blocks : 0, 4,
                        [&](std::int64_t begin, std::int64_t end) {
                          const std::int64_t capacity = partition_.steps * partition_.group_rows * drive_.in_features;
                          RawBuffer<std::int32_t> found(capacity + kFindSlack);
                          Buffer<std::int32_t> next(drive_.in_features);
                          for (std::int64_t k = begin; k < end; ++k) {
                            list(k, found.get(), next.get());
                          }
                        });
  }

  struct Block {
    const std::int32_t* first;  // [in_features + 1]
    const std::uint16_t* rows;
    const T* values;  // null: every spike is 1
  };
  Block block(std::int64_t group, std::int64_t k) const {
    const std::int64_t index = group * partition_.blocks + k;
    const std::int64_t at = offset_of(group, k);
    return {first_.get() + index * (drive_.in_features + 1), rows_.get() + at,
            ones_[index] != 0 ? nullptr : values_.get() + at};
  }

 private:
  std::int64_t rows_of(std::int64_t group) const {
    return smaller(batch_, (group + 1) * partition_.group_rows) - group * partition_.group_rows;
  }
  std::int64_t offset_of(std::int64_t group, std::int64_t k) const {
    return (group * partition_.group_rows * time_ + k * partition_.steps * rows_of(group)) * drive_.in_features;
  }

  std::int64_t find(const S* row, std::int32_t* found, bool& ones) const {
    if constexpr (std::is_same_v<S, std::uint8_t>) {
      if (drive_.packed) {
        ones = true;
        return find_bits(row, drive_.in_features, found);
      }
    }
    return find_spikes(row, drive_.in_features, found, ones);
  }

  void list(std::int64_t index, std::int32_t* found, std::int32_t* next) {
    const std::int64_t group = index / partition_.blocks;
    const std::int64_t k = index % partition_.blocks;
    const std::int64_t in = drive_.in_features;
    const std::int64_t rows = rows_of(group);
    const std::int64_t t_begin = k * partition_.steps;
    const std::int64_t t_end = smaller(time_, t_begin + partition_.steps);
    std::int32_t* const first = first_.get() + index * (in + 1);
    RawBuffer<std::int32_t> lengths((t_end - t_begin) * rows);
    std::int64_t total = 0;
    bool ones = true;
    for (std::int64_t r = 0; r < (t_end - t_begin) * rows; ++r) {
      const S* row = row_at(group, t_begin, rows, r);
      bool row_ones;
      const std::int64_t count = find(row, found + total, row_ones);
      ones = ones && row_ones;
      for (std::int64_t i = total; i < total + count; ++i) {
        ++first[found[i] + 1];
      }
      lengths.get()[r] = static_cast<std::int32_t>(count);
      total += count;
    }
    for (std::int64_t pre = 0; pre < in; ++pre) {
      next[pre] = first[pre];
      first[pre + 1] += first[pre];
    }
    ones_[index] = ones ? 1 : 0;
    const std::int64_t at = offset_of(group, k);
    for (std::int64_t r = 0, i = 0; r < (t_end - t_begin) * rows; ++r) {
      const S* row = row_at(group, t_begin, rows, r);
      for (const std::int64_t last = i + lengths.get()[r]; i < last; ++i) {
        const std::int64_t place = at + next[found[i]]++;
        rows_.get()[place] = static_cast<std::uint16_t>(r);
        if (!ones) {
          values_.get()[place] = static_cast<T>(row[found[i]]);
        }
      }
    }
  }

  const S* row_at(std::int64_t group, std::int64_t t_begin, std::int64_t rows, std::int64_t r) const {
    const std::int64_t row = (t_begin + r / rows) * batch_ + group * partition_.group_rows + r % rows;
    return drive_.spikes + row * drive_.row_length();
  }

  const SynapseDrive<S, Q, T>& drive_;
  const Partition& partition_;
  std::int64_t time_;
  std::int64_t batch_;
  Buffer<std::int32_t> first_;
  Buffer<std::uint8_t> ones_;
  RawBuffer<std::uint16_t> rows_;
  RawBuffer<T> values_;
};

/// Adds the sums of one input's list to its total, kVectors vectors of neurons wide.
template <int kVectors, bool kOnes, class T>
inline void add_list(const T* grad, std::int64_t stride, const std::uint16_t* rows, const T* values, std::int64_t count,
                     T* total) {
  Vector<T> sums[kVectors] = {};
  for (std::int64_t i = 0; i < count; ++i) {
    const T* from = grad + rows[i] * stride;
    for (int v = 0; v < kVectors; ++v) {
      Vector<T> g;
      std::memcpy(&g, from + v * kLanes<T>, sizeof g);
      sums[v] += kOnes ? g : values[i] * g;
    }
  }
  for (int v = 0; v < kVectors; ++v) {
    Vector<T> t;
    std::memcpy(&t, total + v * kLanes<T>, sizeof t);
    t += sums[v];
    std::memcpy(total + v * kLanes<T>, &t, sizeof t);
  }
}

/// total[pre][padded] += sums of a block.
template <bool kOnes, class T>
inline void add_block(const T* grad, std::int64_t padded, const std::int32_t* first, const std::uint16_t* rows,
                      const T* values, std::int64_t in_features, T* total) {
  constexpr int kWide = 8;
  for (std::int64_t pre = 0; pre < in_features; ++pre) {
    const std::int64_t count = first[pre + 1] - first[pre];
    if (count == 0) {
      continue;
    }
    const std::uint16_t* list = rows + first[pre];
    const T* weights = kOnes ? nullptr : values + first[pre];
    T* to = total + pre * padded;
    std::int64_t n = 0;
    for (; n + kWide * kLanes<T> <= padded; n += kWide * kLanes<T>) {
      add_list<kWide, kOnes>(grad + n, padded, list, weights, count, to + n);
    }
    for (; n < padded; n += kLanes<T>) {
      add_list<1, kOnes>(grad + n, padded, list, weights, count, to + n);
    }
  }
}

/// The reverse scan of one group and block of neurons.
template <class S, class Q, class T, bool kUniform>
class BackwardTile {
 public:
  BackwardTile(const SynapseLifBackwardArgs<S, Q, T>& args, const PackedWeights<Q>& weights, const Rectangle& r,
               const Partition& partition, bool refractory)
      : args_(args),
        n_(args.neurons),
        r_(r),
        partition_(partition),
        elements_(n_.batch * n_.neuron),
        padded_((r.width() + kLanes<T> - 1) / kLanes<T> * kLanes<T>),
        recomputes_(args.checkpoints != nullptr),
        sums_(n_.grad_coefficients != nullptr),
        forward_(weights, args.drive, n_.coefficients, r, n_.batch, n_.neuron, refractory),
        adjoint_(r.count(), sums_),
        grad_((args.grad_weight != nullptr ? partition.steps * r.rows() : 1) * padded_),
        zeros_(r.width()),
        before_(r.width()),
        saved_(recomputes_ ? args.segment_steps * r.count() : 0),
        current_(recomputes_ && sums_ ? args.segment_steps * r.count() : 0) {}

  void run(const SpikeLists<S, Q, T>* lists, std::int64_t group, T* total) {
    if (n_.grad_final_state != nullptr) {
      for (std::int64_t b = 0; b < r_.rows(); ++b) {
        add_gradients(n_.grad_final_state + math::kStateCurrent * elements_,
                      n_.grad_final_state + math::kStateMembrane * elements_, at(0, b), b);
      }
    }
    for (std::int64_t t = n_.time - 1; t >= 0; --t) {
      if (recomputes_ && (t == n_.time - 1 || (t + 1) % args_.segment_steps == 0)) {
        recompute(t / args_.segment_steps, t + 1);
      }
      for (std::int64_t b = 0; b < r_.rows(); ++b) {
        step(t, b);
      }
      if (total != nullptr && t % partition_.steps == 0) {
        const auto block = lists->block(group, t / partition_.steps);
        if (block.values == nullptr) {
          add_block<true>(grad_.get(), padded_, block.first, block.rows, block.values, args_.drive.in_features, total);
        } else {
          add_block<false>(grad_.get(), padded_, block.first, block.rows, block.values, args_.drive.in_features, total);
        }
      }
    }
    finish();
  }

 private:
  std::int64_t at(std::int64_t t, std::int64_t b) const {
    return t * elements_ + (r_.batch_begin + b) * n_.neuron + r_.begin;
  }

  void add_gradients(const T* grad_current, const T* grad_membrane, std::int64_t from, std::int64_t b) {
    add_row(adjoint_.current.get() + b * r_.width(), offset(grad_current, from), r_.width());
    add_row(adjoint_.membrane.get() + b * r_.width(), offset(grad_membrane, from), r_.width());
  }

  const T* checkpoint(std::int64_t segment) const {
    return args_.checkpoints + segment * math::kNumLifStates * elements_;
  }

  /// The traces of a segment's steps up to t_end, from its checkpoint.
  void recompute(std::int64_t segment, std::int64_t t_end) {
    forward_.load(checkpoint(segment));
    for (std::int64_t t = segment * args_.segment_steps; t < t_end; ++t) {
      for (std::int64_t b = 0; b < r_.rows(); ++b) {
        const std::int64_t row = (t - segment * args_.segment_steps) * r_.count() + b * r_.width();
        forward_.step(t, b, n_.measured_spikes, n_.measured_membrane, nullptr, saved_.get() + row);
        if (sums_) {
          TileState<T>::copy(current_.get() + row, forward_.state.current.get() + b * r_.width(), r_.width());
        }
      }
    }
  }

  const T* saved_row(std::int64_t t, std::int64_t b) const {
    return recomputes_ ? saved_.get() + t % args_.segment_steps * r_.count() + b * r_.width() : n_.saved + at(t, b);
  }

  /// i and v before step t.
  void set_before(std::int64_t t, std::int64_t b, AdjointStepRow<T>& row) {
    const std::int64_t first = at(0, b);
    const T* state = recomputes_ && t % args_.segment_steps == 0 ? checkpoint(t / args_.segment_steps)
                                                                 : (t == 0 ? n_.initial_state : nullptr);
    row.membrane_before = before_.get();
    if (state != nullptr) {
      row.current_before = state + math::kStateCurrent * elements_ + first;
      row.membrane_before = state + math::kStateMembrane * elements_ + first;
    } else if (t == 0) {
      row.current_before = zeros_.get();
      for (std::int64_t n = 0; n < r_.width(); ++n) {
        before_[n] = forward_.coefficients.at(n).leak;
      }
    } else {
      row.current_before = recomputes_ ? current_.get() + (t - 1) % args_.segment_steps * r_.count() + b * r_.width()
                                       : n_.current + at(t - 1, b);
      membrane_row(before_.get(), saved_row(t - 1, b), n_.measured_spikes.row(t - 1, elements_, first),
                   n_.measured_membrane.row(t - 1, elements_, first), forward_.coefficients.from(0), r_.width());
    }
  }

  void step(std::int64_t t, std::int64_t b) {
    const std::int64_t first = at(0, b);
    const std::int64_t next =
        b + kRowsAhead < r_.rows() ? at(t, b + kRowsAhead) : at(t - 1, (b + kRowsAhead) % r_.rows());
    if (!recomputes_) {
      prefetch_ahead(n_.saved, next, r_.width());
    }
    prefetch_ahead(n_.grad_spikes, next, r_.width());
    add_gradients(n_.grad_current, n_.grad_membrane, at(t, b), b);
    T* grad =
        args_.grad_weight == nullptr ? grad_.get() : grad_.get() + (t % partition_.steps * r_.rows() + b) * padded_;
    AdjointStepRow<T> row{saved_row(t, b),
                          n_.grad_spikes == nullptr ? zeros_.get() : n_.grad_spikes + at(t, b),
                          n_.measured_spikes.row(t, elements_, first),
                          n_.measured_membrane.row(t, elements_, first),
                          nullptr,
                          nullptr,
                          grad};
    if (sums_) {
      set_before(t, b, row);
    }
    lif_adjoint_row_any(n_.surrogate, static_cast<T>(n_.alpha), adjoint_, b * r_.width(), forward_.coefficients.from(0),
                        row, r_.width());
    if (n_.grad_input != nullptr) {
      TileState<T>::copy(n_.grad_input + at(t, b), grad, r_.width());
    }
  }

  void finish() {
    if (n_.grad_initial_state != nullptr) {
      rectangle_to(n_.grad_initial_state + math::kStateCurrent * elements_, adjoint_.current.get(), r_, n_.neuron);
      rectangle_to(n_.grad_initial_state + math::kStateMembrane * elements_, adjoint_.membrane.get(), r_, n_.neuron);
      for (std::int64_t b = 0; b < r_.rows(); ++b) {
        TileState<T>::copy(n_.grad_initial_state + math::kStateRefractory * elements_ + at(0, b), zeros_.get(),
                           r_.width());
      }
    }
    if (!sums_) {
      return;
    }
    if (n_.initial_state == nullptr) {
      add_initial_leak(adjoint_);
    }
    for (std::int64_t row = 0; row < math::kNumCoefficientGradients; ++row) {
      rectangle_to(n_.grad_coefficients + row * elements_, adjoint_.sums.get() + row * adjoint_.count, r_, n_.neuron);
    }
  }

  const SynapseLifBackwardArgs<S, Q, T>& args_;
  const LifBackwardArgs<T>& n_;
  Rectangle r_;
  const Partition& partition_;
  std::int64_t elements_;
  std::int64_t padded_;
  bool recomputes_;
  bool sums_;
  SynapseTile<S, Q, T, kUniform> forward_;
  TileAdjoint<T> adjoint_;
  Buffer<T> grad_;  // of a block's rows, [rows][padded]
  Buffer<T> zeros_;
  Buffer<T> before_;
  RawBuffer<T> saved_;
  RawBuffer<T> current_;
};

/// grad_weight from the totals [group][block][pre][kNeuronBlock], the groups in order.
template <class S, class Q, class T>
void write_weight_gradient(const SynapseLifBackwardArgs<S, Q, T>& args, const Partition& partition, T* totals,
                           std::int64_t block) {
  constexpr std::int64_t kSide = 16;
  const std::int64_t in = args.drive.in_features;
  const std::int64_t size = in * kNeuronBlock;
  const std::int64_t begin = block * kNeuronBlock;
  const std::int64_t width = smaller(args.neurons.neuron, begin + kNeuronBlock) - begin;
  const std::int64_t padded = (width + kLanes<T> - 1) / kLanes<T> * kLanes<T>;
  T* __restrict__ total = totals + block * size;
  for (std::int64_t group = 1; group < partition.groups; ++group) {
    const T* __restrict__ other = totals + (group * partition.across + block) * size;
    for (std::int64_t k = 0; k < in * padded; ++k) {
      total[k] = math::add(total[k], other[k]);
    }
  }
  const T factor = static_cast<T>(args.weight_factor);
  for (std::int64_t pre = 0; pre < in; pre += kSide) {
    for (std::int64_t n = 0; n < width; ++n) {
      T* to = args.grad_weight + (begin + n) * in;
      for (std::int64_t k = pre; k < smaller(in, pre + kSide); ++k) {
        to[k] = math::mul(factor, total[k * padded + n]);
      }
    }
  }
}

}  // namespace

template <class S, class Q, class T>
void synapse_lif_backward(const CpuExec& exec, const SynapseLifBackwardArgs<S, Q, T>& args) {
  const LifBackwardArgs<T>& n = args.neurons;
  const bool learns = args.grad_weight != nullptr;
  const Partition partition(n.time, n.batch, n.neuron, args.drive.in_features);
  SynapseDrive<S, Q, T> unused = args.drive;
  unused.in_features = learns ? unused.in_features : 0;
  const SpikeLists<S, Q, T> lists(exec, unused, partition, learns ? n.time : 0, n.batch);
  const PackedWeights<Q> weights =
      args.checkpoints != nullptr ? packed_weights(args.drive, n.neuron) : PackedWeights<Q>(nullptr, 0, 0);
  const bool refractory = has_refractory(n.coefficients, n.initial_state, n.batch * n.neuron);
  const std::int64_t size = args.drive.in_features * kNeuronBlock;
  Buffer<T> totals(learns ? larger(1, partition.groups) * partition.across * size : 0);
  exec.for_each_range(partition.groups * partition.across, 1, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t k = first; k < last; ++k) {
      const std::int64_t group = k / partition.across;
      const std::int64_t begin = k % partition.across * kNeuronBlock;
      const Rectangle r{group * partition.group_rows, smaller(n.batch, (group + 1) * partition.group_rows), begin,
                        smaller(n.neuron, begin + kNeuronBlock)};
      T* total = learns ? totals.get() + k * size : nullptr;
      if (n.coefficients.columns == 1) {
        BackwardTile<S, Q, T, true>(args, weights, r, partition, refractory).run(&lists, group, total);
      } else {
        BackwardTile<S, Q, T, false>(args, weights, r, partition, refractory).run(&lists, group, total);
      }
    }
  });
  exec.for_each_range(learns ? partition.across : 0, 1, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t block = first; block < last; ++block) {
      write_weight_gradient(args, partition, totals.get(), block);
    }
  });
}

#define GRADSPIKE_INSTANTIATE(S, Q, T) \
  template void synapse_lif_backward<S, Q, T>(const CpuExec&, const SynapseLifBackwardArgs<S, Q, T>&);
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
