// Mistakes that only a sanitizer sees: each is reported in the build that has it, and correct kernels are not.
#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

#include "executor/sample_kernels.h"

namespace executor {
namespace {

using sample::Bug;

#if defined(__SANITIZE_ADDRESS__)

TEST(AddressSanitizer, SharedArrayOverrun) {
  EXPECT_DEATH(sample::transpose_is_right<Bug::kSharedOverrun>(), "out of bounds|heap-buffer-overflow");
}

TEST(AddressSanitizer, GlobalReadOverrun) {
  EXPECT_DEATH(sample::transpose_is_right<Bug::kGlobalOverrun>(), "heap-buffer-overflow");
}

TEST(AddressSanitizer, DynamicSharedMemoryOverrun) {
  EXPECT_DEATH(launch("overrun", {1, 1, 1}, {9, 1, 1}, 32,
                      [] {
                        GRADSPIKE_DYNAMIC_SHARED(float, values);
                        values[threadIdx.x] = 1.0F;
                      }),
               "heap-buffer-overflow");
}

/// A block must not use the shared memory of the block before.
TEST(AddressSanitizer, SharedMemoryOfAnotherBlock) {
  static float* kept = nullptr;
  EXPECT_DEATH(launch("stale", {2, 1, 1}, {1, 1, 1}, 0,
                      [] {
                        GRADSPIKE_SHARED(float, value, [64]);
                        if (blockIdx.x == 0) {
                          kept = value;
                        } else {
                          kept[0] = 1.0F;
                        }
                      }),
               "heap-use-after-free");
}

/// A stack frame of one fiber is checked as on any thread.
TEST(AddressSanitizer, LocalArrayOverrun) {
  EXPECT_DEATH(launch("local", {1, 1, 1}, {33, 1, 1}, 0,
                      [] {
                        volatile int values[4] = {};
                        volatile int* const first = values;
                        __syncthreads();
                        first[threadIdx.x / 8] = 1;
                      }),
               "stack-buffer-overflow|insufficient space");
}

TEST(UndefinedBehaviour, FloatToIntegerOverflow) {
  EXPECT_DEATH(launch("overflow", {1, 1, 1}, {1, 1, 1}, 0,
                      [] {
                        volatile float large = 3e9F;
                        volatile std::int32_t result = static_cast<std::int32_t>(large);
                        static_cast<void>(result);
                      }),
               "outside the range of representable values");
}

TEST(UndefinedBehaviour, ShiftByTheWidth) {
  EXPECT_DEATH(launch("shift", {1, 1, 1}, {33, 1, 1}, 0,
                      [] {
                        volatile unsigned result = 1U << threadIdx.x;
                        static_cast<void>(result);
                      }),
               "shift exponent 32 is too large");
}

TEST(UndefinedBehaviour, MisalignedWideLoad) {
  EXPECT_DEATH(launch("misaligned", {1, 1, 1}, {1, 1, 1}, 64,
                      [] {
                        GRADSPIKE_DYNAMIC_SHARED(float, values);
                        const int4 loaded = *reinterpret_cast<const int4*>(values + 1);
                        values[0] = static_cast<float>(loaded.x);
                      }),
               "misaligned address");
}

#endif

#if defined(EXECUTOR_RACE_CHECKER)

volatile int num_reports = 0;

/// Number of races reported while `body` runs.
__attribute__((no_sanitize("thread"))) int races(bool (*body)()) {
  num_reports = 0;
  body();
  return num_reports;
}

TEST(ThreadSanitizer, CorrectKernelsHaveNoRaces) {
  EXPECT_EQ(races(&sample::product_is_right<Bug::kNone>), 0);
  EXPECT_EQ(races(&sample::compact_is_right<Bug::kNone>), 0);
  EXPECT_EQ(races(&sample::transpose_is_right<Bug::kNone>), 0);
  EXPECT_EQ(races(&sample::last_block_sum_is_right<Bug::kNone>), 0);
  EXPECT_EQ(races(&sample::count_is_right<Bug::kNone>), 0);
  EXPECT_EQ(races(&sample::rotate_is_right<Bug::kNone>), 0);
  EXPECT_EQ(races(&sample::grid_sum_is_right<Bug::kNone>), 0);
  EXPECT_EQ(races(&sample::copy_is_right<Bug::kNone>), 0);
}

TEST(ThreadSanitizer, MissingBarrierAtTheEndOfALoop) {
  EXPECT_GT(races(&sample::product_is_right<Bug::kNoBarrier>), 0);
}
TEST(ThreadSanitizer, MissingBarrierBeforeReadingOtherWarps) {
  EXPECT_GT(races(&sample::compact_is_right<Bug::kNoBarrier>), 0);
}
TEST(ThreadSanitizer, CounterWithoutAtomic) { EXPECT_GT(races(&sample::count_is_right<Bug::kNoAtomic>), 0); }
TEST(ThreadSanitizer, MissingFence) { EXPECT_GT(races(&sample::last_block_sum_is_right<Bug::kNoFence>), 0); }
TEST(ThreadSanitizer, MissingSyncwarp) { EXPECT_GT(races(&sample::rotate_is_right<Bug::kNoSyncwarp>), 0); }
TEST(ThreadSanitizer, GridBarrierReplacedByTheBlocks) {
  EXPECT_GT(races(&sample::grid_sum_is_right<Bug::kNoGridBarrier>), 0);
}

#endif

}  // namespace
}  // namespace executor

#if defined(EXECUTOR_RACE_CHECKER)
// Called by ThreadSanitizer. Reports are counted here, so they must not fail the program.
// The hook itself must not be watched: a race on the counter would be reported from within the report.
extern "C" __attribute__((no_sanitize("thread"))) void __tsan_on_report(void*) {
  executor::num_reports = executor::num_reports + 1;
}
extern "C" const char* __tsan_default_options() { return "exitcode=0:symbolize=0:suppress_equal_addresses=0"; }
#endif
