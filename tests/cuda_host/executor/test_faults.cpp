// Misuse that the executor itself reports, with the lines of both sides.
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <string>

#include "executor/sample_kernels.h"

namespace executor {
namespace {

constexpr unsigned kFull = 0xFFFFFFFFU;

struct Caught {
  bool any = false;
  Fault fault{};
  std::string message;
};

Caught run(unsigned threads, const std::function<void()>& body) {
  try {
    launch("faulty", {1, 1, 1}, {threads, 1, 1}, 0, body);
  } catch (const Error& error) {
    return {true, error.fault(), error.what()};
  }
  return {};
}

/// The same fault in all orders; the message names each of the given lines of this file.
void expect_fault(Fault fault, unsigned threads, std::initializer_list<int> lines, const std::function<void()>& body) {
  for (const Options& order : {Options{Order::kForward, 0, false}, Options{Order::kReverse, 0, false},
                               Options{Order::kRandom, 3, false}, Options{Order::kRandom, 4, false}}) {
    set_options(order);
    const Caught caught = run(threads, body);
    ASSERT_TRUE(caught.any);
    EXPECT_EQ(static_cast<int>(caught.fault), static_cast<int>(fault)) << caught.message;
    for (const int line : lines) {
      EXPECT_NE(caught.message.find("test_faults.cpp:" + std::to_string(line)), std::string::npos)
          << "line " << line << " is not in: " << caught.message;
    }
    EXPECT_NE(caught.message.find("faulty"), std::string::npos) << caught.message;
  }
  set_options({});
  EXPECT_TRUE(sample::product_is_right<sample::Bug::kNone>());  // the next launch is not harmed
}

TEST(Faults, DivergentBarrier) {
  const int line = __LINE__;
  expect_fault(Fault::kDivergentBarrier, 64, {line + 3, line + 5}, [] {
    if (threadIdx.x < 32) {
      __syncthreads();
    } else {
      __syncthreads();
    }
  });
}

TEST(Faults, ExitedThreadAtABarrier) {
  const int line = __LINE__;
  expect_fault(Fault::kExitedThread, 40, {line + 2, line + 6}, [] {
    __syncthreads();
    if (threadIdx.x == 39) {
      return;
    }
    __syncthreads();
  });
}

TEST(Faults, ExitedThreadsMayBeAllowed) {
  set_options({Order::kForward, 0, true});
  std::atomic<int> passed{0};
  EXPECT_FALSE(run(40, [&] {
                 if (threadIdx.x < 39) {
                   __syncthreads();
                   ++passed;
                 }
               }).any);
  EXPECT_EQ(passed, 39);
  set_options({});
}

TEST(Faults, MaskedLaneExited) {
  const int line = __LINE__;
  expect_fault(Fault::kMissingLane, 32, {line + 3}, [] {
    if (threadIdx.x != 7) {
      __syncwarp(kFull);
    }
  });
}

TEST(Faults, MaskedLaneDoesNotExist) {
  const int line = __LINE__;
  expect_fault(Fault::kMissingLane, 20, {line + 1}, [] { __syncwarp(kFull); });
}

TEST(Faults, LaneNotInItsOwnMask) {
  const int line = __LINE__;
  expect_fault(Fault::kMaskMismatch, 32, {line + 1}, [] { __syncwarp(0xFFFFU); });
}

TEST(Faults, LanesGiveDifferentMasks) {
  const int line = __LINE__;
  expect_fault(Fault::kMaskMismatch, 32, {line + 1}, [] { __syncwarp(threadIdx.x < 16 ? 0x0001FFFFU : kFull); });
}

TEST(Faults, LanesWaitAtDifferentLines) {
  const int line = __LINE__;
  expect_fault(Fault::kDivergentWarp, 32, {line + 3, line + 5}, [] {
    if (threadIdx.x < 16) {
      __ballot_sync(kFull, 1);
    } else {
      __ballot_sync(kFull, 0);
    }
  });
}

TEST(Faults, ShuffleFromOutsideTheMask) {
  const int line = __LINE__;
  expect_fault(Fault::kBadShuffle, 32, {line + 3}, [] {
    if (threadIdx.x < 16) {
      __shfl_sync(0xFFFFU, 1, 20);
    }
  });
}

/// Half a warp waits for the block, the other half for the warp.
TEST(Faults, DeadlockListsWhoWaitsWhere) {
  const int line = __LINE__;
  expect_fault(Fault::kDeadlock, 32, {line + 3, line + 5}, [] {
    if (threadIdx.x < 16) {
      __syncwarp(kFull);
    } else {
      __syncthreads();
    }
  });
}

TEST(Faults, GridBarrierNeedsACooperativeLaunch) {
  const Caught caught = run(32, [] { grid_barrier({__FILE__, __LINE__}); });
  ASSERT_TRUE(caught.any);
  EXPECT_EQ(static_cast<int>(caught.fault), static_cast<int>(Fault::kDeadlock));
}

TEST(Faults, SomeBlocksLeaveBeforeTheGridBarrier) {
  try {
    launch_cooperative("grid", {3, 1, 1}, {32, 1, 1}, 0, [] {
      if (blockIdx.x != 1) {
        grid_barrier({__FILE__, __LINE__});
      }
    });
    FAIL() << "not reported";
  } catch (const Error& error) {
    EXPECT_EQ(static_cast<int>(error.fault()), static_cast<int>(Fault::kDeadlock));
  }
}

TEST(Faults, MisalignedAsynchronousCopy) {
  const Caught caught = run(1, [] {
    GRADSPIKE_SHARED(std::int32_t, tile, [8]);
    static std::int32_t source[8];
    async_copy(&tile[1], &source[0], 16, {__FILE__, __LINE__});
  });
  ASSERT_TRUE(caught.any);
  EXPECT_NE(caught.message.find("misaligned"), std::string::npos) << caught.message;
}

// ---- limits that the driver would check --------------------------------------------------------------------------

void expect_refused(Extent grid, Extent block, std::size_t dynamic_shared_bytes) {
  std::atomic<bool> ran{false};
  try {
    launch("too_large", grid, block, dynamic_shared_bytes, [&] { ran = true; });
    ADD_FAILURE() << "not refused";
  } catch (const Error& error) {
    EXPECT_EQ(static_cast<int>(error.fault()), static_cast<int>(Fault::kLaunchLimit));
    EXPECT_NE(std::string(error.what()).find("too_large"), std::string::npos) << error.what();
  }
  EXPECT_FALSE(ran);
}

TEST(Limits, GridAndBlock) {
  expect_refused({0, 1, 1}, {32, 1, 1}, 0);
  expect_refused({2147483648U, 1, 1}, {32, 1, 1}, 0);
  expect_refused({1, 65536, 1}, {32, 1, 1}, 0);
  expect_refused({1, 1, 65536}, {32, 1, 1}, 0);
  expect_refused({1, 1, 1}, {0, 1, 1}, 0);
  expect_refused({1, 1, 1}, {1025, 1, 1}, 0);
  expect_refused({1, 1, 1}, {33, 32, 1}, 0);
  expect_refused({1, 1, 1}, {1, 1, 65}, 0);
  expect_refused({1, 1, 1}, {32, 1, 1}, 49153);
}

/// A pool of fibers for the largest block.
TEST(Limits, LargestBlockRuns) {
  std::atomic<int> count{0};
  launch("largest", {1, 1, 1}, {32, 32, 1}, 49152, [&] { ++count; });
  EXPECT_EQ(count, 1024);
}

TEST(Limits, StaticSharedMemory) {
  const Caught caught = run(2, [] {
    GRADSPIKE_SHARED(float, first, [8192]);
    GRADSPIKE_SHARED(float, second, [4097]);
    first[threadIdx.x] = second[threadIdx.x];
  });
  ASSERT_TRUE(caught.any);
  EXPECT_EQ(static_cast<int>(caught.fault), static_cast<int>(Fault::kSharedLimit));
  EXPECT_NE(caught.message.find("second"), std::string::npos) << caught.message;
}

TEST(Limits, LaunchFromInsideAKernel) {
  const Caught caught = run(1, [] { launch("inner", {1, 1, 1}, {1, 1, 1}, 0, [] {}); });
  ASSERT_TRUE(caught.any);
  EXPECT_EQ(static_cast<int>(caught.fault), static_cast<int>(Fault::kLaunchLimit));
}

/// The launcher checks its own limits in 64 bits before any conversion.
TEST(Limits, Launcher) {
  bool ran = false;
  const auto attempt = [&](gradspike::device::LaunchShape shape) {
    static bool* flag;
    flag = &ran;
    gradspike::device::launch(
        "kernel_name", +[] { *flag = true; }, shape, gradspike::CudaExec{});
  };
  EXPECT_THROW(attempt({std::int64_t{1} << 31, 32}), gradspike::Error);
  EXPECT_THROW(attempt({std::int64_t{1} << 33, 32}), gradspike::Error);
  EXPECT_THROW(attempt({-1, 32}), gradspike::Error);
  EXPECT_THROW(attempt({1, 1025}), gradspike::Error);
  EXPECT_THROW(attempt({1, 0}), gradspike::Error);
  EXPECT_THROW(attempt({1, 32, 50000}), gradspike::Error);
  attempt({0, 32});
  EXPECT_FALSE(ran);
  attempt({1, 32});
  EXPECT_TRUE(ran);
}

}  // namespace
}  // namespace executor
