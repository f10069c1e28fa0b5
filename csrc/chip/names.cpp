#include "csrc/chip/names.h"

#include <algorithm>
#include <numeric>

namespace gradspike::chip {
namespace {

/// Levenshtein distance (V. I. Levenshtein, Soviet Physics Doklady 10, 1966), one row of the table at a time.
std::size_t edit_distance(const std::string& a, const std::string& b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t substitution = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, substitution});
    }
  }
  return row[b.size()];
}

}  // namespace

bool is_device(const std::string& target) {
  return target == "cpu" || target == "cuda" || target.rfind("cuda:", 0) == 0;
}

std::vector<std::string> nearest_names(const std::string& name, std::vector<std::string> candidates,
                                       std::size_t count) {
  constexpr std::size_t kLongestCompared = 256;  // keeps the table small for names from a damaged file
  const std::string shortened = name.substr(0, kLongestCompared);
  std::vector<std::pair<std::size_t, std::string>> ranked;
  ranked.reserve(candidates.size());
  for (std::string& candidate : candidates) {
    ranked.emplace_back(edit_distance(shortened, candidate.substr(0, kLongestCompared)), std::move(candidate));
  }
  std::sort(ranked.begin(), ranked.end());
  std::vector<std::string> names;
  for (std::size_t i = 0; i < std::min(count, ranked.size()); ++i) {
    names.push_back(ranked[i].second);
  }
  return names;
}

std::string nearest_text(const std::string& name, const std::vector<std::string>& candidates) {
  if (candidates.empty()) {
    return "; there are none";
  }
  std::string text = "; nearest: ";
  const std::vector<std::string> names = nearest_names(name, candidates);
  for (std::size_t i = 0; i < names.size(); ++i) {
    text += (i == 0 ? "\"" : ", \"") + names[i] + "\"";
  }
  return text;
}

}  // namespace gradspike::chip
