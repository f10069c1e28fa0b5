// What the kernel tests share: runs in several thread orders, comparison of bits, seeded numbers.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <memory>
#include <random>
#include <sstream>
#include <string>
#include <type_traits>
#include <vector>

#include "csrc/core/execution.h"
#include "csrc/math/lif.h"
#include "tests/cuda_host/kernels/device_memory.h"
#if !defined(GRADSPIKE_TEST_ON_GPU)
#include "tests/cuda_host/executor/executor.h"
#endif

namespace gradspike::testing {

/// One execution of a kernel: where it runs, and the byte that its outputs and its scratch memory start with.
struct KernelRun {
  CudaExec exec;
  int fill;
};

/// Calls `body` for three thread orders with three fills; on a GPU three times with three fills.
inline void for_each_run(const std::function<void(const KernelRun&)>& body) {
  const auto run = [&](const char* name, int fill) {
    SCOPED_TRACE(std::string(name) + ", outputs filled with " + std::to_string(fill));
    TestWorkspace workspace(fill);
    body({CudaExec{nullptr, &workspace}, fill});
  };
#if defined(GRADSPIKE_TEST_ON_GPU)
  run("first run", 0xFF);
  run("second run", 0x00);
  run("third run", 0x55);
#else
  executor::set_options({executor::Order::kForward, 0, false});
  run("forward", 0xFF);
  executor::set_options({executor::Order::kReverse, 0, false});
  run("reverse", 0x00);
  executor::set_options({executor::Order::kRandom, 20240611, false});
  run("random order, seed 20240611", 0x55);
#endif
}

template <class T>
bool is_mark(T value) {
  if constexpr (std::is_floating_point_v<T>) {
    return math::is_refractory_mark(value);
  } else {
    static_cast<void>(value);
    return false;
  }
}

/// The same bits; one NaN of arithmetic is as good as another, since IEEE 754 leaves sign and payload open.
template <class T>
bool same_bits(T a, T b) {
  const bool both_nan = a != a && b != b && is_mark(a) == is_mark(b);
  return both_nan || std::memcmp(&a, &b, sizeof a) == 0;
}

/// Names the first element that differs.
template <class T>
void expect_same_bits(const std::vector<T>& actual, const std::vector<T>& expected, const char* name) {
  ASSERT_EQ(actual.size(), expected.size()) << name;
  for (std::size_t i = 0; i < actual.size(); ++i) {
    if (!same_bits(actual[i], expected[i])) {
      std::ostringstream out;
      out.precision(std::numeric_limits<T>::max_digits10);
      out << name << "[" << i << "] of " << actual.size() << " is " << +actual[i] << ", the CPU kernel gives "
          << +expected[i];
      ADD_FAILURE() << out.str();
      return;
    }
  }
}

/// Seeded numbers; the same on every machine, unlike the distributions of the standard library.
class Numbers {
 public:
  explicit Numbers(std::uint32_t seed) : engine_(seed) {}
  double uniform(double lo, double hi) { return lo + (hi - lo) * (engine_() / 4294967296.0); }
  std::int64_t integer(std::int64_t lo, std::int64_t hi) {
    return lo + static_cast<std::int64_t>(engine_() % static_cast<std::uint64_t>(hi - lo + 1));
  }
  bool chance(double p) { return uniform(0, 1) < p; }

  template <class T>
  std::vector<T> vector(std::int64_t count, double lo, double hi) {
    std::vector<T> values(static_cast<std::size_t>(count));
    for (T& value : values) {
      value = static_cast<T>(uniform(lo, hi));
    }
    return values;
  }

 private:
  std::mt19937 engine_;
};

template <class T>
T* data_or_null(std::vector<T>& values, bool wanted) {
  return wanted ? values.data() : nullptr;
}

/// ThreadSanitizer is a thousand times slower, and needs no large shape to see a race.
#if defined(EXECUTOR_RACE_CHECKER)
constexpr bool kSmallShapes = true;
#else
constexpr bool kSmallShapes = false;
#endif

}  // namespace gradspike::testing
