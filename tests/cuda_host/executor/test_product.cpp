// The warp's matrix products: the register layout against the published one, products against plain loops, misuse.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <set>
#include <vector>

#include "executor/sample_kernels.h"

namespace executor {
namespace {

namespace device = gradspike::device;
namespace mma = gradspike::mma;

/// Layouts as offsets in column-major matrices, written from the strides that CUTLASS gives for these instructions
/// (mma_traits_sm80.hpp): offset = lane % 4 * s0 + lane / 4 * s1 + sum of the value's digits times their strides.
struct Strides {
  int quad;
  int row;
  std::vector<int> radices;
  std::vector<int> digits;

  int offset(int lane, int value) const {
    int result = lane % 4 * quad + lane / 4 * row;
    for (std::size_t i = 0; i < radices.size(); ++i) {
      result += value % radices[i] * digits[i];
      value /= radices[i];
    }
    return result;
  }
};
const Strides kLeftBytes{64, 1, {4, 2, 2}, {16, 8, 256}};
const Strides kRightBytes{32, 1, {4, 2}, {8, 128}};
const Strides kLeftHalves{32, 1, {2, 2, 2}, {16, 8, 128}};
const Strides kRightHalves{16, 1, {2, 2}, {8, 64}};
const Strides kSums{32, 1, {2, 2}, {16, 8}};

TEST(ProductLayout, IsThePublishedOne) {
  for (const int per_word : {4, 2}) {
    const Strides& left = per_word == 4 ? kLeftBytes : kLeftHalves;
    const Strides& right = per_word == 4 ? kRightBytes : kRightHalves;
    for (int lane = 0; lane < 32; ++lane) {
      for (int value = 0; value < 4 * per_word; ++value) {
        const mma::OperandWord at = mma::left_word(lane, value / per_word);
        EXPECT_EQ(at.line + 16 * (at.word * per_word + value % per_word), left.offset(lane, value));
      }
      for (int value = 0; value < 2 * per_word; ++value) {
        const mma::OperandWord at = mma::right_word(lane, value / per_word);
        EXPECT_EQ(at.line + 8 * (at.word * per_word + value % per_word), right.offset(lane, value));
      }
      for (int value = 0; value < 4; ++value) {
        const mma::SumElement at = mma::sum_element(lane, value);
        EXPECT_EQ(at.row + 16 * at.column, kSums.offset(lane, value));
      }
    }
  }
}

TEST(ProductLayout, EveryElementHasOneRegister) {
  std::set<int> left;
  std::set<int> right;
  std::set<int> sums;
  for (int lane = 0; lane < 32; ++lane) {
    for (int i = 0; i < 4; ++i) {
      left.insert(mma::left_word(lane, i).line * mma::kWords + mma::left_word(lane, i).word);
      sums.insert(mma::sum_element(lane, i).row * mma::kColumns + mma::sum_element(lane, i).column);
    }
    for (int i = 0; i < 2; ++i) {
      right.insert(mma::right_word(lane, i).line * mma::kWords + mma::right_word(lane, i).word);
    }
  }
  for (const auto& [elements, count] : {std::pair(left, 16 * 8), std::pair(right, 8 * 8), std::pair(sums, 16 * 8)}) {
    EXPECT_EQ(elements.size(), static_cast<std::size_t>(count));
    EXPECT_EQ(*elements.begin(), 0);
    EXPECT_EQ(*elements.rbegin(), count - 1);
  }
}

template <class Right>
void check_bytes() {
  std::mt19937 random(3);
  std::vector<std::int8_t> left(16 * 32);
  std::vector<Right> right(8 * 32);  // [column][k]
  std::vector<std::int32_t> sums(16 * 8);
  for (std::int8_t& x : left) {
    x = static_cast<std::int8_t>(random());
  }
  for (Right& x : right) {
    x = static_cast<Right>(random());
  }
  left[7] = -128;
  for (std::int32_t& x : sums) {
    x = static_cast<std::int32_t>(random());  // near the limits too: sums wrap
  }
  std::vector<std::int32_t> actual(sums.size());
  launch("bytes", {1, 1, 1}, {32, 1, 1}, 0, [&] {
    const int lane = static_cast<int>(threadIdx.x);
    std::uint32_t a[4];
    std::uint32_t b[2];
    std::int32_t c[4];
    for (int i = 0; i < 4; ++i) {
      std::memcpy(&a[i], &left[static_cast<std::size_t>((lane / 4 + i % 2 * 8) * 32 + lane % 4 * 4 + i / 2 * 16)], 4);
      c[i] = sums[static_cast<std::size_t>((lane / 4 + i / 2 * 8) * 8 + lane % 4 * 2 + i % 2)];
    }
    for (int i = 0; i < 2; ++i) {
      std::memcpy(&b[i], &right[static_cast<std::size_t>(lane / 4 * 32 + lane % 4 * 4 + i * 16)], 4);
    }
    device::mma_bytes<std::is_unsigned_v<Right>>(c, a, b);
    for (int i = 0; i < 4; ++i) {
      actual[static_cast<std::size_t>((lane / 4 + i / 2 * 8) * 8 + lane % 4 * 2 + i % 2)] = c[i];
    }
  });
  for (int row = 0; row < 16; ++row) {
    for (int column = 0; column < 8; ++column) {
      std::uint32_t expected = static_cast<std::uint32_t>(sums[static_cast<std::size_t>(row * 8 + column)]);
      for (int k = 0; k < 32; ++k) {
        expected += static_cast<std::uint32_t>(left[static_cast<std::size_t>(row * 32 + k)] *
                                               right[static_cast<std::size_t>(column * 32 + k)]);
      }
      EXPECT_EQ(actual[static_cast<std::size_t>(row * 8 + column)], static_cast<std::int32_t>(expected));
    }
  }
}

TEST(Product, SignedBytes) { check_bytes<std::int8_t>(); }
TEST(Product, SignedTimesUnsignedBytes) { check_bytes<std::uint8_t>(); }

/// Halves that are whole numbers up to 2048: all sums are exact, so truncation plays no part.
TEST(Product, HalvesThatAreWholeNumbers) {
  std::mt19937 random(4);
  std::vector<int> left(16 * 16);
  std::vector<int> right(8 * 16);
  for (int& x : left) {
    x = static_cast<int>(random() % 4097) - 2048;
  }
  for (int& x : right) {
    x = static_cast<int>(random() % 7) - 3;
  }
  const auto pair = [](int low, int high) {
    return device::pack_halves(static_cast<float>(low), static_cast<float>(high));
  };
  std::vector<float> actual(16 * 8);
  launch("halves", {1, 1, 1}, {32, 1, 1}, 0, [&] {
    const int lane = static_cast<int>(threadIdx.x);
    std::uint32_t a[4];
    std::uint32_t b[2];
    float c[4];
    for (int i = 0; i < 4; ++i) {
      const std::size_t at = static_cast<std::size_t>((lane / 4 + i % 2 * 8) * 16 + lane % 4 * 2 + i / 2 * 8);
      a[i] = pair(left[at], left[at + 1]);
      c[i] = static_cast<float>(100 * (lane / 4 + i / 2 * 8) + lane % 4 * 2 + i % 2);
    }
    for (int i = 0; i < 2; ++i) {
      const std::size_t at = static_cast<std::size_t>(lane / 4 * 16 + lane % 4 * 2 + i * 8);
      b[i] = pair(right[at], right[at + 1]);
    }
    device::mma_halves(c, a, b);
    for (int i = 0; i < 4; ++i) {
      actual[static_cast<std::size_t>((lane / 4 + i / 2 * 8) * 8 + lane % 4 * 2 + i % 2)] = c[i];
    }
  });
  for (int row = 0; row < 16; ++row) {
    for (int column = 0; column < 8; ++column) {
      int expected = 100 * row + column;
      for (int k = 0; k < 16; ++k) {
        expected += left[static_cast<std::size_t>(row * 16 + k)] * right[static_cast<std::size_t>(column * 16 + k)];
      }
      EXPECT_EQ(actual[static_cast<std::size_t>(row * 8 + column)], static_cast<float>(expected));
    }
  }
}

/// One product of a warp of equal lanes: left and right are 1 in their first element of each row and column.
float one_sum(float start, float left, float right) {
  float result = 0.0F;
  launch("one_sum", {1, 1, 1}, {32, 1, 1}, 0, [&] {
    const bool first = threadIdx.x % 4 == 0;
    const std::uint32_t a[4] = {first ? device::pack_halves(left, 0.0F) : 0U, 0U, 0U, 0U};
    const std::uint32_t b[2] = {first ? device::pack_halves(right, 0.0F) : 0U, 0U};
    float c[4] = {start, start, start, start};
    device::mma_halves(c, a, b);
    if (threadIdx.x == 0) {
      result = c[0];
    }
  });
  return result;
}

TEST(Product, SumsOfHalvesAreTruncated) {
  EXPECT_EQ(one_sum(0.0F, 0.5F, 3.0F), 1.5F);
  EXPECT_EQ(one_sum(16777216.0F, 1.0F, 1.0F), 16777216.0F);
  EXPECT_EQ(one_sum(16777216.0F, 1.0F, 1.5F), 16777216.0F);  // to nearest it would be 16777218
  EXPECT_EQ(one_sum(-16777216.0F, -1.0F, 1.5F), -16777216.0F);
  EXPECT_EQ(one_sum(16777216.0F, -1.0F, 0.5F), 16777215.0F);
  EXPECT_EQ(one_sum(1.0F, 5.9604645e-08F, 1.0F), 1.0F);  // the smallest half
  EXPECT_TRUE(std::isnan(one_sum(1.0F, HUGE_VALF, 0.0F)));
}

TEST(Halves, PackingRoundsToNearestEven) {
  EXPECT_EQ(device::pack_halves(1.0F, -2.0F), 0xC0003C00U);
  EXPECT_EQ(device::pack_halves(2049.0F, 2051.0F), 0x68026800U);  // 2048 and 2052
  EXPECT_EQ(device::low_half(0xC0003C00U), 1.0F);
  EXPECT_EQ(device::high_half(0xC0003C00U), -2.0F);
  EXPECT_EQ(device::low_half(device::pack_halves(65504.0F, 0.0F)), 65504.0F);
  EXPECT_TRUE(std::isinf(device::low_half(device::pack_halves(65520.0F, 0.0F))));
}

struct Caught {
  bool any = false;
  Fault fault{};
  std::string message;
};

Caught caught(const std::function<void()>& body) {
  try {
    launch("faulty", {1, 1, 1}, {32, 1, 1}, 0, body);
  } catch (const Error& error) {
    return {true, error.fault(), error.what()};
  }
  return {};
}

const std::uint32_t kLeft[4] = {};
const std::uint32_t kRight[2] = {};

TEST(ProductFaults, PartOfAWarp) {
  const Caught result = caught([] {
    std::int32_t sums[4] = {};
    if (threadIdx.x < 31) {
      device::mma_bytes<false>(sums, kLeft, kRight);
    }
  });
  ASSERT_TRUE(result.any);
  EXPECT_EQ(static_cast<int>(result.fault), static_cast<int>(Fault::kMissingLane)) << result.message;
  EXPECT_NE(result.message.find("test_product.cpp"), std::string::npos) << result.message;
}

TEST(ProductFaults, LanesInDifferentProducts) {
  const Caught result = caught([] {
    std::int32_t sums[4] = {};
    if (threadIdx.x < 16) {
      device::mma_bytes<false>(sums, kLeft, kRight);
    } else {
      device::mma_bytes<false>(sums, kLeft, kRight);
    }
  });
  ASSERT_TRUE(result.any);
  EXPECT_EQ(static_cast<int>(result.fault), static_cast<int>(Fault::kDivergentWarp)) << result.message;
}

TEST(ProductFaults, ProductAndBarrier) {
  const Caught result = caught([] {
    float sums[4] = {};
    if (threadIdx.x < 16) {
      device::mma_halves(sums, kLeft, kRight);
    } else {
      __syncwarp();
    }
  });
  ASSERT_TRUE(result.any);
  EXPECT_EQ(static_cast<int>(result.fault), static_cast<int>(Fault::kDivergentWarp)) << result.message;
}

/// Bytes of zeros where there is nothing to copy, and only after the wait.
TEST(AsyncCopy, WritesZerosOutside) {
  static const std::int32_t source[4] = {1, 2, 3, 4};
  std::vector<std::int32_t> before(4);
  std::vector<std::int32_t> after(4);
  launch("copy", {1, 1, 1}, {4, 1, 1}, 0, [&] {
    GRADSPIKE_SHARED(std::int32_t, tile, [4]);
    const std::size_t thread = threadIdx.x;
    device::async_copy<4>(&tile[thread], &source[thread], thread != 2);
    device::async_copy_commit();
    before[thread] = tile[thread];
    device::async_copy_wait<0>();
    after[thread] = tile[thread];
  });
  EXPECT_EQ(before, (std::vector<std::int32_t>{-1, -1, -1, -1}));
  EXPECT_EQ(after, (std::vector<std::int32_t>{1, 2, 0, 4}));
}

}  // namespace
}  // namespace executor
