#include "csrc/chip/network.h"

#include <algorithm>
#include <cstdio>

#include "csrc/chip/names.h"
#include "csrc/core/error.h"
#include "csrc/math/hash.h"
#include "csrc/math/lif.h"

namespace gradspike::chip {
namespace {

template <class Named>
std::int32_t index_of(const std::vector<Named>& items, const std::string& name, const char* what,
                      const std::string& network) {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (items[i].name == name) {
      return static_cast<std::int32_t>(i);
    }
    names.push_back(items[i].name);
  }
  GRADSPIKE_FAIL("network \"", network, "\" has no ", what, " \"", name, "\"", nearest_text(name, names));
}

}  // namespace

std::int32_t Network::population(const std::string& population_name) const {
  return index_of(populations, population_name, "population", name);
}

std::int32_t Network::projection(const std::string& projection_name) const {
  return index_of(projections, projection_name, "projection", name);
}

std::int64_t Network::source_size(const NodeRef& source) const {
  const bool is_input = source.kind == NodeRef::Kind::kInput;
  const std::size_t count = is_input ? inputs.size() : populations.size();
  GRADSPIKE_REQUIRE(source.index >= 0 && static_cast<std::size_t>(source.index) < count, "network \"", name, "\" has ",
                    count, is_input ? " inputs" : " populations", ", index ", source.index, " is none of them");
  const auto index = static_cast<std::size_t>(source.index);
  return is_input ? inputs[index].size : populations[index].size;
}

std::vector<std::pair<NodeRef, std::int64_t>> Network::expanded_columns(const Projection& projection) const {
  std::vector<std::pair<NodeRef, std::int64_t>> columns;
  columns.reserve(static_cast<std::size_t>(projection.in_features));
  for (const ColumnRun& run : projection.columns) {
    for (std::int64_t i = 0; i < run.count; ++i) {
      columns.emplace_back(run.source, run.first + i * run.step);
    }
  }
  GRADSPIKE_REQUIRE(static_cast<std::int64_t>(columns.size()) == projection.in_features, "projection \"",
                    projection.name, "\": column runs give ", columns.size(), " columns, in_features is ",
                    projection.in_features);
  return columns;
}

std::vector<std::int64_t> Network::expanded_rows(const Projection& projection) const {
  const std::int64_t size = source_size({NodeRef::Kind::kPopulation, projection.target});
  std::vector<std::int64_t> rows(static_cast<std::size_t>(size), -1);
  for (const RowRun& run : projection.rows) {
    for (std::int64_t i = 0; i < run.count; ++i) {
      const std::int64_t neuron = run.target_first + i;
      GRADSPIKE_REQUIRE(neuron >= 0 && neuron < size, "projection \"", projection.name, "\": target neuron ", neuron,
                        " is outside its population of ", size);
      rows[static_cast<std::size_t>(neuron)] = run.row_first + i * run.row_step;
    }
  }
  return rows;
}

std::string hash_str(std::uint64_t hash) {
  char text[17];
  std::snprintf(text, sizeof(text), "%016llx", static_cast<unsigned long long>(hash));
  return text;
}

const char* name_of(Receptor receptor) {
  return receptor == Receptor::kSigned ? "signed" : (receptor == Receptor::kExcitatory ? "excitatory" : "inhibitory");
}

const char* name_of(math::Rounding rounding) {
  return rounding == math::Rounding::kNone ? "none"
                                           : (rounding == math::Rounding::kHalfEven ? "half_even" : "half_away");
}

const char* name_of(Units units) { return units == Units::kModel ? "model" : "lsb"; }

const char* name_of(NeuronKind kind) { return kind == NeuronKind::kLif ? "lif" : "li"; }

std::uint64_t content_hash(const Projection& projection, const std::vector<std::int16_t>& values) {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    sum += math::hash_element(static_cast<std::int64_t>(i), values[i]);
  }
  return math::finish_hash(sum, projection.out_features, projection.in_features, projection.min_weight,
                           projection.max_weight);
}

std::int64_t num_states(const Network& network, std::size_t population) {
  if (network.populations[population].kind != NeuronKind::kLif) {
    return math::kNumLiStates;
  }
  const auto delays = [&](const Projection& p) {
    return p.delay_steps > 0 && std::any_of(p.columns.begin(), p.columns.end(), [&](const ColumnRun& run) {
             return run.source.kind == NodeRef::Kind::kPopulation &&
                    static_cast<std::size_t>(run.source.index) == population;
           });
  };
  const bool sends_later = std::any_of(network.projections.begin(), network.projections.end(), delays);
  return sends_later ? math::kNumRecurrentLifStates : math::kNumLifStates;
}

}  // namespace gradspike::chip
