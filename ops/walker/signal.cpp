#include "ops/walker/signal.h"

#include <algorithm>

#include "csrc/core/error.h"

namespace gradspike::ops {
namespace {

/// Whether no neuron has entries in more than one term.
bool is_single(const Signal& signal) {
  for (std::size_t n = 0; n < static_cast<std::size_t>(signal.size()); ++n) {
    std::int64_t entries = 0;
    for (const Term& term : signal.terms) {
      entries += term[n].origin >= 0 ? 1 : 0;
    }
    if (entries > 1) {
      return false;
    }
  }
  return true;
}

}  // namespace

Signal Signal::of(std::int32_t origin, std::int64_t size) {
  Term term(static_cast<std::size_t>(size));
  for (std::int64_t n = 0; n < size; ++n) {
    term[static_cast<std::size_t>(n)] = {origin, n};
  }
  return {{term}};
}

Signal Signal::sum(const Signal& a, const Signal& b) {
  GRADSPIKE_REQUIRE(a.size() == b.size(), "adds signals of ", a.size(), " and ", b.size(), " neurons");
  const bool append = is_single(b);
  GRADSPIKE_REQUIRE(append || is_single(a),
                    "adds a sum to a sum: write it as a sum from left to right, ((a + b) + c) + d");
  Signal result = append ? a : b;
  const Signal& rest = append ? b : a;
  result.terms.insert(result.terms.end(), rest.terms.begin(), rest.terms.end());
  return result;
}

Signal Signal::concatenation(const std::vector<Signal>& parts) {
  std::size_t depth = 0;
  for (const Signal& part : parts) {
    depth = std::max(depth, part.terms.size());
  }
  Signal result;
  result.terms.resize(depth);
  for (const Signal& part : parts) {
    for (std::size_t k = 0; k < depth; ++k) {
      const Term missing(static_cast<std::size_t>(part.size()));
      const Term& term = k < part.terms.size() ? part.terms[k] : missing;
      result.terms[k].insert(result.terms[k].end(), term.begin(), term.end());
    }
  }
  return result;
}

Signal Signal::pick(const std::vector<std::int64_t>& picked) const {
  Signal result;
  for (const Term& term : terms) {
    Term chosen;
    chosen.reserve(picked.size());
    for (const std::int64_t n : picked) {
      GRADSPIKE_REQUIRE(n >= 0 && n < size(), "picks neuron ", n, " of ", size());
      chosen.push_back(term[static_cast<std::size_t>(n)]);
    }
    result.terms.push_back(std::move(chosen));
  }
  return result;
}

void append_column(std::vector<chip::ColumnRun>& runs, const chip::NodeRef& source, std::int64_t index) {
  if (!runs.empty() && runs.back().source.kind == source.kind && runs.back().source.index == source.index) {
    chip::ColumnRun& run = runs.back();
    if (run.count == 1 && index > run.first) {
      run.step = index - run.first;
    }
    if (index == run.first + run.count * run.step) {
      ++run.count;
      return;
    }
  }
  runs.push_back({source, index, 1, 1});
}

void append_row(std::vector<chip::RowRun>& runs, std::int64_t target, std::int64_t row) {
  if (!runs.empty() && target == runs.back().target_first + runs.back().count) {
    chip::RowRun& run = runs.back();
    if (run.count == 1 && row > run.row_first) {
      run.row_step = row - run.row_first;
    }
    if (row == run.row_first + run.count * run.row_step) {
      ++run.count;
      return;
    }
  }
  runs.push_back({target, row, 1, 1});
}

bool same_columns(const std::vector<chip::ColumnRun>& a, const std::vector<chip::ColumnRun>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const chip::ColumnRun& x, const chip::ColumnRun& y) {
    return x.source.kind == y.source.kind && x.source.index == y.source.index && x.first == y.first &&
           x.step == y.step && x.count == y.count;
  });
}

}  // namespace gradspike::ops
