// CPU kernel of graded_spikes, forward: event-driven integer sums, dense dot products for rows with many spikes.
//
// The weights are transposed once into [pre][post], so that a spike adds one contiguous row of integers. int8 rows are
// summed in int16 (which holds at least 258 rows of 127) and flushed into wider sums before that could overflow.
#include "csrc/kernels/graded_spikes.h"

#include "csrc/cpu/graded_spikes_rows.h"

namespace gradspike::kernels::GRADSPIKE_CPU_ISA {
namespace {

constexpr std::int64_t kRowGrain = 64;  // rows per range: some 5 us at chip size

}  // namespace

template <class S, class Q, class T>
void graded_spikes(const CpuExec& exec, const GradedSpikesArgs<S, Q, T>& args) {
  const PackedWeights<Q> weights(args.weights, args.in_features, args.out_features);
  exec.for_each_range(args.rows, kRowGrain, [&](std::int64_t begin, std::int64_t end) {
    RowSummer<S, Q, T> summer(weights, args.in_features, args.out_features, args.factor, args.wide);
    const bool streamed = args.rows * args.out_features * static_cast<std::int64_t>(sizeof(T)) >= kStreamedBytes;
    Buffer<T> sums(streamed ? args.out_features : 0);
    for (std::int64_t r = begin; r < end; ++r) {
      T* out = args.out + r * args.out_features;
      prefetch_ahead(args.spikes + r * args.in_features, kRowsAhead * args.in_features, args.in_features);
      summer.row(args.spikes + r * args.in_features, streamed ? sums.get() : out);
      if (streamed) {
        store_row(out, sums.get(), args.out_features, true);
      }
    }
    finish_streams();
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
