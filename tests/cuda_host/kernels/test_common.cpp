// What cuda/common offers to the kernels.
#include <algorithm>
#include <vector>

#include "csrc/core/error.h"
#include "csrc/kernels/weights.h"
#include "tests/cuda_host/kernels/support.h"
#include "tests/cuda_host/kernels/thrust_case.h"

namespace gradspike::testing {
namespace {

void check_compaction(std::int64_t num_values) {
  Numbers numbers(37);
  std::vector<std::int32_t> values(static_cast<std::size_t>(num_values));
  std::vector<std::int64_t> expected;
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<std::int32_t>(numbers.integer(-3, 1));
    if (values[i] > 0) {
      expected.push_back(static_cast<std::int64_t>(i));
    }
  }
  for_each_run([&](const KernelRun& run) {
    DeviceArray<std::int32_t> values_in(values);
    DeviceArray<std::int64_t> out(static_cast<std::int64_t>(expected.size()), run.fill);
    DeviceArray<std::int64_t> count(1, run.fill);
    thrust_compact(run.exec, values_in.get(), num_values, out.get(), count.get());
    expect_same_bits(out.read(), expected, "indices");
    EXPECT_EQ(count.read()[0], static_cast<std::int64_t>(expected.size()));
  });
}

TEST(Thrust, CompactionOnOurPolicy) {
  for (const std::int64_t count : {0, 1, 33, 1000}) {
    check_compaction(count);
  }
}

/// Thrust's scratch memory comes from the workspace; a stable sort needs some on every system.
TEST(Thrust, ScratchMemoryComesFromTheWorkspace) {
  TestWorkspace workspace(0xFF);
  std::vector<std::int32_t> values(1000);
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<std::int32_t>(i * 7919 % 1000);
  }
  DeviceArray<std::int32_t> sorted(values);
  thrust_sort(CudaExec{nullptr, &workspace}, sorted.get(), 1000);
  std::sort(values.begin(), values.end());
  expect_same_bits(sorted.read(), values, "sorted");
  EXPECT_GE(workspace.num_allocations(), 1U);
}

/// Sizes whose grid no device accepts are refused by name, and before anything is read.
TEST(Launch, GridBeyondTheLimit) {
  const std::int64_t count = (std::int64_t{1} << 31) * 256;
  const kernels::LinearSaturatingArgs<float> args{nullptr, nullptr, count, {}};
  TestWorkspace workspace(0);
  try {
    kernels::linear_saturating(CudaExec{nullptr, &workspace}, args);
    FAIL() << "a grid of 2^31 blocks was accepted";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("linear_saturating"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace gradspike::testing
