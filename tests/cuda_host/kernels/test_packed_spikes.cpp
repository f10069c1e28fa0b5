// pack_spikes and unpack_spikes give the bits of the CPU kernels.
#include <vector>

#include "csrc/kernels/packed_spikes.h"
#include "tests/cuda_host/kernels/support.h"

namespace gradspike::testing {
namespace {

template <class S>
void check(std::int64_t rows, std::int64_t neurons) {
  SCOPED_TRACE(std::to_string(rows) + " x " + std::to_string(neurons));
  Numbers numbers(3);
  std::vector<S> spikes(static_cast<std::size_t>(rows * neurons));
  for (S& spike : spikes) {
    spike = numbers.chance(0.4) ? static_cast<S>(numbers.integer(1, 2)) : S{0};
  }
  const std::int64_t bytes = math::packed_bytes(neurons);
  std::vector<std::uint8_t> packed(static_cast<std::size_t>(rows * bytes));
  std::vector<std::int64_t> lost(1);
  kernels::pack_spikes(CpuExec{}, kernels::PackSpikesArgs<S>{spikes.data(), packed.data(), lost.data(), rows, neurons});
  std::vector<S> bits(spikes.size());
  kernels::unpack_spikes(CpuExec{}, kernels::UnpackSpikesArgs<S>{packed.data(), bits.data(), rows, neurons});
  for (std::size_t k = 0; k < bits.size(); ++k) {
    ASSERT_EQ(bits[k], spikes[k] != S{0} ? S{1} : S{0});
  }
  for_each_run([&](const KernelRun& run) {
    DeviceArray<S> spikes_in(spikes);
    DeviceArray<std::uint8_t> out(rows * bytes, run.fill);
    DeviceArray<std::int64_t> lost_out(1, run.fill);
    kernels::pack_spikes(run.exec,
                         kernels::PackSpikesArgs<S>{spikes_in.get(), out.get(), lost_out.get(), rows, neurons});
    expect_same_bits(out.read(), packed, "packed");
    expect_same_bits(lost_out.read(), lost, "lost");
    DeviceArray<S> unpacked(rows * neurons, run.fill);
    kernels::unpack_spikes(run.exec, kernels::UnpackSpikesArgs<S>{out.get(), unpacked.get(), rows, neurons});
    expect_same_bits(unpacked.read(), bits, "spikes");
  });
}

TEST(PackedSpikes, Bits) {
  for (const std::int64_t neurons : {0, 1, 7, 8, 9, 31, 32, 33, 100}) {
    check<float>(3, neurons);
    check<double>(2, neurons);
    check<std::uint8_t>(5, neurons);
  }
  check<float>(0, 5);
}

}  // namespace
}  // namespace gradspike::testing
