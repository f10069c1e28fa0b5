// CPU kernels of prepack and prepacked_graded_spikes.
#include <algorithm>

#include "csrc/kernels/prepacked.h"

#include "csrc/cpu/graded_spikes_rows.h"

namespace gradspike::kernels::GRADSPIKE_CPU_ISA {
namespace {

constexpr std::int64_t kRowGrain = 64;  // rows per range, as graded_spikes

template <class Q>
void fill_zero(Q* data, std::int64_t count) {
  std::fill(data, data + count, Q{0});  // also of no element, where the pointer may be null
}

}  // namespace

template <class Q>
void prepack(const CpuExec& exec, const PrepackArgs<Q>& args) {
  (void)exec;  // once per set of weights
  const std::int64_t padded = packed_posts(args.out_features);
  const std::int64_t inputs = packed_inputs(args.in_features);
  fill_zero(args.rows, args.in_features * padded);
  if (args.groups != nullptr) {
    fill_zero(args.groups, packed_groups(args.in_features) * padded * 4);
  }
  pack_weights(args.weights, args.in_features, args.out_features, args.rows, args.groups, args.nan_posts);
  fill_zero(args.matrix, args.out_features * inputs);
  for (std::int64_t post = 0; post < args.out_features; ++post) {
    for (std::int64_t pre = 0; pre < args.in_features; ++pre) {
      args.matrix[post * inputs + pre] = args.rows[pre * padded + post];
    }
  }
}

template <class S, class Q, class T>
void prepacked_graded_spikes(const CpuExec& exec, const PrepackedGradedSpikesArgs<S, Q, T>& args) {
  const PackedWeights<Q> weights(args.weights, args.in_features, args.out_features);
  exec.for_each_range(args.rows, kRowGrain, [&](std::int64_t begin, std::int64_t end) {
    RowSummer<S, Q, T> summer(weights, args.in_features, args.out_features, args.factor, args.wide);
    for (std::int64_t r = begin; r < end; ++r) {
      summer.row(args.spikes + r * args.in_features, args.out + r * args.out_features);
    }
  });
}

template void prepack<std::int8_t>(const CpuExec&, const PrepackArgs<std::int8_t>&);
template void prepack<std::int16_t>(const CpuExec&, const PrepackArgs<std::int16_t>&);
#define GRADSPIKE_INSTANTIATE(S, Q, T) \
  template void prepacked_graded_spikes<S, Q, T>(const CpuExec&, const PrepackedGradedSpikesArgs<S, Q, T>&);
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
