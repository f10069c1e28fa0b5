// prepack and prepacked_graded_spikes give the bits of the CPU kernels, and those of graded_spikes.
#include <vector>

#include "csrc/kernels/graded_spikes.h"
#include "csrc/kernels/prepacked.h"
#include "tests/cuda_host/kernels/support.h"

namespace gradspike::testing {
namespace {

using kernels::packed_groups;
using kernels::packed_inputs;
using kernels::packed_posts;

template <class Q>
struct Packed {
  std::vector<Q> rows;
  std::vector<Q> groups;
  std::vector<Q> matrix;
  std::vector<std::uint8_t> nan_posts;
};

constexpr float kFactor = 1.0F / 41.3F;

template <class Q>
Packed<Q> pack_on_cpu(const std::vector<Q>& weights, std::int64_t in, std::int64_t out) {
  const auto size = [](std::int64_t count) { return static_cast<std::size_t>(count); };
  Packed<Q> p{std::vector<Q>(size(in * packed_posts(out)), Q{9}),
              std::vector<Q>(sizeof(Q) == 1 ? size(packed_groups(in) * packed_posts(out) * 4) : 0, Q{9}),
              std::vector<Q>(size(out * packed_inputs(in)), Q{9}), std::vector<std::uint8_t>(size(out))};
  kernels::prepack(CpuExec{},
                   kernels::PrepackArgs<Q>{weights.data(), p.rows.data(), sizeof(Q) == 1 ? p.groups.data() : nullptr,
                                           p.matrix.data(), reinterpret_cast<bool*>(p.nan_posts.data()), in, out});
  return p;
}

template <class S, class Q, class T>
void check(std::int64_t rows, std::int64_t in, std::int64_t out, bool odd, bool wide) {
  SCOPED_TRACE(std::to_string(rows) + " x " + std::to_string(in) + " -> " + std::to_string(out));
  Numbers numbers(23);
  std::vector<Q> weights(static_cast<std::size_t>(out * in));
  for (Q& weight : weights) {
    weight = static_cast<Q>(numbers.integer(-127, 127));
  }
  std::vector<S> spikes(static_cast<std::size_t>(rows * in));
  for (S& spike : spikes) {
    spike = numbers.chance(0.4) ? static_cast<S>(numbers.integer(0, 127)) : S{0};
  }
  if (odd && in > 0 && rows > 0 && out > 0) {
    weights[weights.size() / 2] = math::nan_weight<Q>();
    spikes[spikes.size() / 3] = std::is_floating_point_v<S> ? static_cast<S>(0.5) : static_cast<S>(200);
  }
  std::vector<T> expected(static_cast<std::size_t>(rows * out));
  kernels::graded_spikes(CpuExec{}, kernels::GradedSpikesArgs<S, Q, T>{spikes.data(), weights.data(), expected.data(),
                                                                       rows, in, out, kFactor, wide});
  const Packed<Q> packed = pack_on_cpu(weights, in, out);
  std::vector<T> from_packed(expected.size());
  kernels::prepacked_graded_spikes(CpuExec{}, kernels::PrepackedGradedSpikesArgs<S, Q, T>{
                                                  spikes.data(),
                                                  {packed.rows.data(), packed.groups.data(), packed.matrix.data(),
                                                   reinterpret_cast<const bool*>(packed.nan_posts.data()), 127},
                                                  from_packed.data(),
                                                  rows,
                                                  in,
                                                  out,
                                                  kFactor,
                                                  wide});
  expect_same_bits(from_packed, expected, "from packed weights");
  for_each_run([&](const KernelRun& run) {
    DeviceArray<Q> weights_in(weights);
    DeviceArray<S> spikes_in(spikes);
    DeviceArray<Q> packed_rows(static_cast<std::int64_t>(packed.rows.size()), run.fill);
    DeviceArray<Q> groups(static_cast<std::int64_t>(packed.groups.size()), run.fill);
    DeviceArray<Q> matrix(static_cast<std::int64_t>(packed.matrix.size()), run.fill);
    DeviceArray<std::uint8_t> nan_posts(out, run.fill);
    kernels::prepack(
        run.exec, kernels::PrepackArgs<Q>{weights_in.get(), packed_rows.get(), sizeof(Q) == 1 ? groups.get() : nullptr,
                                          matrix.get(), reinterpret_cast<bool*>(nan_posts.get()), in, out});
    expect_same_bits(packed_rows.read(), packed.rows, "rows");
    expect_same_bits(groups.read(), packed.groups, "groups");
    expect_same_bits(matrix.read(), packed.matrix, "matrix");
    expect_same_bits(nan_posts.read(), packed.nan_posts, "nan_posts");
    DeviceArray<T> result(rows * out, run.fill);
    kernels::prepacked_graded_spikes(
        run.exec, kernels::PrepackedGradedSpikesArgs<S, Q, T>{spikes_in.get(),
                                                              {packed_rows.get(), groups.get(), matrix.get(),
                                                               reinterpret_cast<const bool*>(nan_posts.get()), 127},
                                                              result.get(),
                                                              rows,
                                                              in,
                                                              out,
                                                              kFactor,
                                                              wide});
    expect_same_bits(result.read(), expected, "out");
  });
}

template <class S, class Q, class T>
void check_shapes() {
  check<S, Q, T>(1, 1, 1, false, false);
  check<S, Q, T>(4, 7, 5, true, false);
  check<S, Q, T>(3, 0, 5, false, false);
  check<S, Q, T>(0, 4, 5, false, false);
  check<S, Q, T>(4, 6, 0, false, false);
  if (!kSmallShapes) {
    check<S, Q, T>(66, 130, 70, true, true);
    check<S, Q, T>(64, 64, 64, false, false);
  }
}

TEST(Prepacked, Bits) {
  check_shapes<float, std::int8_t, float>();
  check_shapes<float, std::int16_t, float>();
  check_shapes<double, std::int8_t, double>();
  check_shapes<double, std::int16_t, double>();
  check_shapes<std::uint8_t, std::int8_t, float>();
  check_shapes<std::uint8_t, std::int16_t, float>();
}

}  // namespace
}  // namespace gradspike::testing
