// What a tensor between keyed operators carries along its neuron axis.
//
// A signal is a sum, from left to right, of terms; a term says for each neuron which entry of which origin it is.
// Adding, concatenating, slicing, indexing and repeating activations are operations on these index lists alone.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "csrc/chip/network.h"

namespace gradspike::ops {

/// Entry `index` of an origin; origin -1: nothing (contributes zero).
struct Entry {
  std::int32_t origin = -1;
  std::int64_t index = 0;

  bool operator==(const Entry& other) const { return origin == other.origin && index == other.index; }
};

using Term = std::vector<Entry>;  // one entry per neuron

struct Signal {
  std::vector<Term> terms;

  std::int64_t size() const { return terms.empty() ? 0 : static_cast<std::int64_t>(terms.front().size()); }
  /// All entries of one origin, in order.
  static Signal of(std::int32_t origin, std::int64_t size);
  /// a + b. Addition of floating-point numbers commutes but does not associate: a sum of two sums has no left-to-right
  /// form, so at least one side must be a single term for every neuron. Throws Error otherwise.
  static Signal sum(const Signal& a, const Signal& b);
  static Signal concatenation(const std::vector<Signal>& parts);
  /// Neuron k of the result is neuron picked[k] of this signal.
  Signal pick(const std::vector<std::int64_t>& picked) const;
};

/// Appends column `index` of `source`, or row `row` for neuron `target`, to run-length coded lists.
void append_column(std::vector<chip::ColumnRun>& runs, const chip::NodeRef& source, std::int64_t index);
void append_row(std::vector<chip::RowRun>& runs, std::int64_t target, std::int64_t row);
bool same_columns(const std::vector<chip::ColumnRun>& a, const std::vector<chip::ColumnRun>& b);

}  // namespace gradspike::ops
