// Matrix products of a warp, computed by the lane that arrives last from what all lanes brought.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "cuda/common/mma_layout.h"
#include "executor/block.h"

namespace executor {
namespace {

namespace layout = gradspike::mma;

using Left = std::uint32_t[layout::kRows][layout::kWords];
using Right = std::uint32_t[layout::kColumns][layout::kWords];

void gather(const std::array<ProductRegisters*, kWarpLanes>& lanes, Left& left, Right& right) {
  for (std::int32_t lane = 0; lane < kWarpLanes; ++lane) {
    const ProductRegisters& registers = *lanes[static_cast<std::size_t>(lane)];
    for (std::int32_t i = 0; i < layout::kLeftRegisters; ++i) {
      const layout::OperandWord at = layout::left_word(lane, i);
      left[at.line][at.word] = registers.left[static_cast<std::size_t>(i)];
    }
    for (std::int32_t i = 0; i < layout::kRightRegisters; ++i) {
      const layout::OperandWord at = layout::right_word(lane, i);
      right[at.line][at.word] = registers.right[static_cast<std::size_t>(i)];
    }
  }
}

/// Calls f(sum bits, row, column) for every sum.
template <class F>
void for_each_sum(const std::array<ProductRegisters*, kWarpLanes>& lanes, F&& f) {
  for (std::int32_t lane = 0; lane < kWarpLanes; ++lane) {
    for (std::int32_t i = 0; i < layout::kSumRegisters; ++i) {
      const layout::SumElement at = layout::sum_element(lane, i);
      f(lanes[static_cast<std::size_t>(lane)]->sums[static_cast<std::size_t>(i)], at.row, at.column);
    }
  }
}

template <class RightByte>
void multiply_bytes(const std::array<ProductRegisters*, kWarpLanes>& lanes) {
  constexpr std::int32_t kInner = 4 * layout::kWords;
  Left left_words;
  Right right_words;
  gather(lanes, left_words, right_words);
  std::int8_t left[layout::kRows][kInner];
  RightByte right[layout::kColumns][kInner];
  std::memcpy(left, left_words, sizeof left);
  std::memcpy(right, right_words, sizeof right);
  std::int32_t right_of[kInner][layout::kColumns];
  for (std::int32_t k = 0; k < kInner; ++k) {
    for (std::int32_t column = 0; column < layout::kColumns; ++column) {
      right_of[k][column] = right[column][k];
    }
  }
  std::int32_t products[layout::kRows][layout::kColumns] = {};  // at most 32 * 128 * 255
  for (std::int32_t row = 0; row < layout::kRows; ++row) {
    for (std::int32_t k = 0; k < kInner; ++k) {
      const std::int32_t factor = left[row][k];
      if (factor == 0) {
        continue;
      }
      for (std::int32_t column = 0; column < layout::kColumns; ++column) {
        products[row][column] += factor * right_of[k][column];
      }
    }
  }
  for_each_sum(lanes, [&](std::uint32_t& sum, std::int32_t row, std::int32_t column) {
    sum += static_cast<std::uint32_t>(products[row][column]);
  });
}

double half_value(std::uint16_t bits) {
  const std::int32_t exponent = bits >> 10 & 31;
  const std::int32_t fraction = bits & 1023;
  double magnitude = exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25);
  if (exponent == 31) {
    magnitude = fraction == 0 ? HUGE_VAL : std::nan("");
  }
  return (bits & 0x8000) != 0 ? -magnitude : magnitude;
}

/// All halves; decoding them one by one would take longer than the products.
const std::vector<double>& half_values() {
  static const std::vector<double> values = [] {
    std::vector<double> all(65536);
    for (std::size_t bits = 0; bits < all.size(); ++bits) {
      all[bits] = half_value(static_cast<std::uint16_t>(bits));
    }
    return all;
  }();
  return values;
}

/// The next float towards zero, on the bits; NaN and the infinities stay.
float truncated(double x) {
  const float nearest = static_cast<float>(x);
  if (!(std::abs(static_cast<double>(nearest)) > std::abs(x))) {
    return nearest;
  }
  std::uint32_t bits;
  std::memcpy(&bits, &nearest, sizeof bits);
  bits -= 1;
  float result;
  std::memcpy(&result, &bits, sizeof result);
  return result;
}

/// Eight products in the order of the inner dimension and the sum are added in double and truncated to float, twice.
void multiply_halves(const std::array<ProductRegisters*, kWarpLanes>& lanes) {
  constexpr std::int32_t kInner = 2 * layout::kWords;
  constexpr std::int32_t kGroup = 8;
  Left left_words;
  Right right_words;
  gather(lanes, left_words, right_words);
  const std::vector<double>& values = half_values();
  double left[layout::kRows][kInner];
  double right[kInner][layout::kColumns];
  for (std::int32_t k = 0; k < kInner; ++k) {
    for (std::int32_t row = 0; row < layout::kRows; ++row) {
      left[row][k] = values[left_words[row][k / 2] >> (16 * (k % 2)) & 0xFFFFU];
    }
    for (std::int32_t column = 0; column < layout::kColumns; ++column) {
      right[k][column] = values[right_words[column][k / 2] >> (16 * (k % 2)) & 0xFFFFU];
    }
  }
  float sums[layout::kRows][layout::kColumns];
  for_each_sum(lanes, [&](std::uint32_t& bits, std::int32_t row, std::int32_t column) {
    std::memcpy(&sums[row][column], &bits, sizeof bits);
  });
  for (std::int32_t row = 0; row < layout::kRows; ++row) {
    for (std::int32_t first = 0; first < kInner; first += kGroup) {
      double totals[layout::kColumns];
      for (std::int32_t column = 0; column < layout::kColumns; ++column) {
        totals[column] = sums[row][column];
      }
      for (std::int32_t k = first; k < first + kGroup; ++k) {
        for (std::int32_t column = 0; column < layout::kColumns; ++column) {
          totals[column] += left[row][k] * right[k][column];
        }
      }
      for (std::int32_t column = 0; column < layout::kColumns; ++column) {
        sums[row][column] = truncated(totals[column]);
      }
    }
  }
  for_each_sum(lanes, [&](std::uint32_t& bits, std::int32_t row, std::int32_t column) {
    std::memcpy(&bits, &sums[row][column], sizeof bits);
  });
}

Collective collective_of(Product product) {
  switch (product) {
    case Product::kSigned:
      return Collective::kSignedProduct;
    case Product::kSignedUnsigned:
      return Collective::kSignedUnsignedProduct;
    case Product::kHalf:
      break;
  }
  return Collective::kHalfProduct;
}

template <class Sum>
void meet_for_product(Product product, Sum (&sums)[4], const std::uint32_t (&left)[4], const std::uint32_t (&right)[2],
                      Position position) {
  ProductRegisters& registers = current_thread->registers;
  std::copy(left, left + 4, registers.left.begin());
  std::copy(right, right + 2, registers.right.begin());
  std::memcpy(registers.sums.data(), sums, sizeof sums);
  Thread* const self = current_thread;
  current_block->meet(collective_of(product), 0xFFFFFFFFU, 0, 0, position);
  std::memcpy(sums, self->registers.sums.data(), sizeof sums);
}

}  // namespace

void multiply(Product product, const std::array<ProductRegisters*, kWarpLanes>& lanes) {
  switch (product) {
    case Product::kSigned:
      return multiply_bytes<std::int8_t>(lanes);
    case Product::kSignedUnsigned:
      return multiply_bytes<std::uint8_t>(lanes);
    case Product::kHalf:
      return multiply_halves(lanes);
  }
}

void warp_product(Product product, std::int32_t (&sums)[4], const std::uint32_t (&left)[4],
                  const std::uint32_t (&right)[2], Position position) {
  meet_for_product(product, sums, left, right, position);
}

void warp_product(Product product, float (&sums)[4], const std::uint32_t (&left)[4], const std::uint32_t (&right)[2],
                  Position position) {
  meet_for_product(product, sums, left, right, position);
}

}  // namespace executor
