// Which matrix elements the registers of a lane hold in the warp's matrix products of cuda/common/mma.cuh.
//
// The shapes in use, m16n8k32 of bytes and m16n8k16 of halves, have one layout when the inner dimension is counted in
// 32-bit words (four bytes, two halves): 16 x 8 words times 8 words x 8. Source: PTX ISA 9.0, "Matrix Fragments for
// mma.m16n8k32" and "... for mma.m16n8k16".
#pragma once

#include <cstdint>

namespace gradspike::mma {

constexpr std::int32_t kLanes = 32;
constexpr std::int32_t kRows = 16;
constexpr std::int32_t kColumns = 8;
constexpr std::int32_t kWords = 8;  // of the inner dimension
constexpr std::int32_t kLeftRegisters = 4;
constexpr std::int32_t kRightRegisters = 2;
constexpr std::int32_t kSumRegisters = 4;

/// Word `word` of line `line`: a row of the left operand, a column of the right one. The lowest bits come first.
struct OperandWord {
  std::int32_t line;
  std::int32_t word;
};
struct SumElement {
  std::int32_t row;
  std::int32_t column;
};

constexpr OperandWord left_word(std::int32_t lane, std::int32_t index) {
  return {lane / 4 + index % 2 * 8, lane % 4 + index / 2 * 4};
}
constexpr OperandWord right_word(std::int32_t lane, std::int32_t index) { return {lane / 4, lane % 4 + index * 4}; }
constexpr SumElement sum_element(std::int32_t lane, std::int32_t index) {
  return {lane / 4 + index / 2 * 8, lane % 4 * 2 + index % 2};
}

}  // namespace gradspike::mma
