// Correct kernels are right in every thread order; each planted mistake gives a wrong result in at least one.
#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "executor/sample_kernels.h"

namespace executor {
namespace {

using sample::Bug;

std::vector<Options> orders() {
  std::vector<Options> result = {{Order::kForward, 0, false}, {Order::kReverse, 0, false}};
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    result.push_back({Order::kRandom, seed, false});
  }
  return result;
}

/// In how many of the ten orders the check fails.
int num_wrong(bool (*is_right)()) {
  int wrong = 0;
  for (const Options& order : orders()) {
    set_options(order);
    wrong += is_right() ? 0 : 1;
  }
  set_options({});
  return wrong;
}

TEST(CorrectKernels, RightInEveryOrder) {
  EXPECT_EQ(num_wrong(&sample::product_is_right<Bug::kNone>), 0);
  EXPECT_EQ(num_wrong(&sample::compact_is_right<Bug::kNone>), 0);
  EXPECT_EQ(num_wrong(&sample::transpose_is_right<Bug::kNone>), 0);
  EXPECT_EQ(num_wrong(&sample::last_block_sum_is_right<Bug::kNone>), 0);
  EXPECT_EQ(num_wrong(&sample::count_is_right<Bug::kNone>), 0);
  EXPECT_EQ(num_wrong(&sample::rotate_is_right<Bug::kNone>), 0);
  EXPECT_EQ(num_wrong(&sample::grid_sum_is_right<Bug::kNone>), 0);
  EXPECT_EQ(num_wrong(&sample::copy_is_right<Bug::kNone>), 0);
}

// ThreadSanitizer would report each of these once per element; what it finds is in test_sanitizers.cpp.
#if !defined(EXECUTOR_RACE_CHECKER)

/// One warp runs up to the barrier before the next starts, so a warp always gets ahead of the others.
TEST(PlantedBugs, MissingBarrierAtTheEndOfALoop) {
  EXPECT_EQ(num_wrong(&sample::product_is_right<Bug::kNoBarrier>), 10);
}

TEST(PlantedBugs, MissingBarrierBeforeReadingOtherWarps) {
  EXPECT_GE(num_wrong(&sample::compact_is_right<Bug::kNoBarrier>), 8);
}

TEST(PlantedBugs, WrongIndexMap) { EXPECT_EQ(num_wrong(&sample::transpose_is_right<Bug::kWrongIndex>), 10); }

TEST(PlantedBugs, SharedMemoryReadBeforeWrite) {
  EXPECT_EQ(num_wrong(&sample::transpose_is_right<Bug::kReadBeforeWrite>), 10);
  int nans = 0;
  for (const float value : sample::transposed<Bug::kReadBeforeWrite>(0.0F)) {
    nans += std::isnan(value) ? 1 : 0;
  }
  EXPECT_EQ(nans, 4 * 32);  // the poison of one row in each of four blocks
}

/// With one fill an unwritten element may look right; with two it differs.
TEST(PlantedBugs, OutputElementNeverWritten) {
  EXPECT_NE(sample::transposed<Bug::kUnwrittenOutput>(1.0F), sample::transposed<Bug::kUnwrittenOutput>(2.0F));
  EXPECT_EQ(sample::transposed<Bug::kNone>(1.0F), sample::transposed<Bug::kNone>(2.0F));
}

TEST(PlantedBugs, MissingSyncwarp) { EXPECT_GE(num_wrong(&sample::rotate_is_right<Bug::kNoSyncwarp>), 1); }

TEST(PlantedBugs, GridBarrierReplacedByTheBlocks) {
  EXPECT_EQ(num_wrong(&sample::grid_sum_is_right<Bug::kNoGridBarrier>), 10);
}

TEST(PlantedBugs, AsynchronousCopyNotWaitedFor) { EXPECT_EQ(num_wrong(&sample::copy_is_right<Bug::kNoWait>), 10); }

#endif

// ---- the functions under their CUDA names ------------------------------------------------------------------------

TEST(DeviceFunctions, WarpOperationsMatchTheirDefinition) {
  std::vector<int> mismatches(32, 0);
  launch("warp_operations", {1, 1, 1}, {32, 1, 1}, 0, [&] {
    const int lane = static_cast<int>(threadIdx.x);
    const unsigned full = 0xFFFFFFFFU;
    const double value = lane * 1.5;
    int& wrong = mismatches[static_cast<std::size_t>(lane)];
    wrong += __shfl_sync(full, value, 5) == 7.5 ? 0 : 1;
    wrong += __shfl_sync(full, lane, 3, 8) == lane / 8 * 8 + 3 ? 0 : 1;
    wrong += __shfl_down_sync(full, lane, 4) == (lane + 4 < 32 ? lane + 4 : lane) ? 0 : 1;
    wrong += __shfl_down_sync(full, lane, 4, 16) == (lane % 16 + 4 < 16 ? lane + 4 : lane) ? 0 : 1;
    wrong += __shfl_up_sync(full, lane, 4) == (lane >= 4 ? lane - 4 : lane) ? 0 : 1;
    wrong += __shfl_xor_sync(full, lane, 9) == (lane ^ 9) ? 0 : 1;
    wrong += __ballot_sync(full, lane % 3 == 0 ? 1 : 0) == 0x49249249U ? 0 : 1;
    wrong += __any_sync(full, lane == 31 ? 1 : 0) == 1 ? 0 : 1;
    wrong += __any_sync(full, 0) == 0 ? 0 : 1;
    wrong += __all_sync(full, lane < 32 ? 1 : 0) == 1 ? 0 : 1;
    wrong += __all_sync(full, lane < 31 ? 1 : 0) == 0 ? 0 : 1;
    if (lane < 8) {  // part of a warp under its own mask
      wrong += __shfl_sync(0xFFU, lane, 7) == 7 ? 0 : 1;
      wrong += __ballot_sync(0xFFU, lane % 2) == 0xAAU ? 0 : 1;
    }
    wrong += gradspike::device::warp_sum(static_cast<std::uint64_t>(lane)) == 496 || lane != 0 ? 0 : 1;
    wrong += gradspike::device::warp_max(static_cast<std::uint64_t>(lane * 7 % 32)) == 31 || lane != 0 ? 0 : 1;
  });
  EXPECT_EQ(mismatches, std::vector<int>(32, 0));
}

TEST(DeviceFunctions, BarriersReducePredicates) {
  std::atomic<int> wrong{0};
  launch("predicates", {1, 1, 1}, {70, 1, 1}, 0, [&] {
    const int thread = static_cast<int>(threadIdx.x);
    const int count = __syncthreads_count(thread % 7 == 0 ? 1 : 0);
    const int any = __syncthreads_or(thread == 69 ? 1 : 0);
    const int none = __syncthreads_or(0);
    const int all = __syncthreads_and(thread < 70 ? 1 : 0);
    const int most = __syncthreads_and(thread < 69 ? 1 : 0);
    wrong += count == 10 && any == 1 && none == 0 && all == 1 && most == 0 ? 0 : 1;
  });
  EXPECT_EQ(wrong, 0);
}

TEST(DeviceFunctions, IndicesCoverTheLaunch) {
  const Extent grid{3, 2, 2};
  const Extent block{5, 3, 2};
  std::vector<int> visits(3 * 2 * 2 * 5 * 3 * 2, 0);
  launch("indices", grid, block, 0, [&] {
    EXPECT_EQ(gridDim.x, 3U);
    EXPECT_EQ(blockDim.z, 2U);
    const unsigned b = (blockIdx.z * 2 + blockIdx.y) * 3 + blockIdx.x;
    const unsigned t = (threadIdx.z * 3 + threadIdx.y) * 5 + threadIdx.x;
    ++visits[b * 30 + t];
  });
  EXPECT_EQ(visits, std::vector<int>(visits.size(), 1));
}

TEST(DeviceFunctions, SharedMemoryIsFreshAndPoisonedInEachBlock) {
  std::atomic<int> wrong{0};
  launch("shared", {3, 1, 1}, {4, 1, 1}, 64, [&] {
    GRADSPIKE_SHARED(std::int32_t, values, [4][2]);
    GRADSPIKE_DYNAMIC_SHARED(std::int32_t, dynamic);
    const int thread = static_cast<int>(threadIdx.x);
    wrong += values[thread][1] == -1 && dynamic[thread * 4 + 3] == -1 ? 0 : 1;
    __syncthreads();
    values[thread][1] = thread;
    dynamic[thread * 4 + 3] = thread;
    __syncthreads();
    wrong += values[3 - thread][1] == 3 - thread && dynamic[(3 - thread) * 4 + 3] == 3 - thread ? 0 : 1;
  });
  EXPECT_EQ(wrong, 0);
}

TEST(DeviceFunctions, ExceptionsOfAKernelReachTheCaller) {
  EXPECT_THROW(launch("throws", {1, 1, 1}, {33, 1, 1}, 0,
                      [] {
                        if (threadIdx.x == 32) {
                          throw std::out_of_range("from a kernel");
                        }
                        __syncthreads();
                      }),
               std::out_of_range);
  // The fibers that were left behind serve the next launch.
  EXPECT_TRUE(sample::product_is_right<Bug::kNone>());
}

}  // namespace
}  // namespace executor
