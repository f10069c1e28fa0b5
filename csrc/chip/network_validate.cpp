// What a network description and its integers must satisfy. Works on the runs, never on their expansion, so that a
// description from a damaged file cannot make it allocate.
#include <algorithm>
#include <cmath>
#include <set>

#include "csrc/chip/geometry.h"
#include "csrc/chip/network.h"
#include "csrc/core/error.h"
#include "csrc/math/lif.h"

namespace gradspike::chip {
namespace {

/// Neurons of a population, features of a projection, elements of an input.
constexpr std::int64_t kMaxSize = std::int64_t{1} << 22;

void require_size(const std::string& where, const char* quantity, std::int64_t size) {
  GRADSPIKE_REQUIRE(size >= 1 && size <= kMaxSize, where, ": ", quantity, " must be in 1..", kMaxSize, ", got ", size);
}

template <class Named>
void require_names(const std::vector<Named>& items, const char* what) {
  std::set<std::string> names;
  for (const Named& item : items) {
    GRADSPIKE_REQUIRE(!item.name.empty(), what, " without a name");
    GRADSPIKE_REQUIRE(names.insert(item.name).second, what, " \"", item.name, "\" occurs twice");
  }
}

void validate_population(const Population& population) {
  const std::string where = "population \"" + population.name + "\"";
  require_size(where, "size", population.size);
  GRADSPIKE_REQUIRE(population.columns == 1 || population.columns == population.size, where,
                    ": coefficients must have 1 or ", population.size, " columns, got ", population.columns);
  const std::int64_t rows = population.kind == NeuronKind::kLif ? math::kNumLifCoefficients : math::kNumLiCoefficients;
  GRADSPIKE_REQUIRE(static_cast<std::int64_t>(population.coefficients.size()) == rows * population.columns, where,
                    ": needs ", rows * population.columns, " coefficients, got ", population.coefficients.size());
  for (std::size_t i = 0; i < population.coefficients.size(); ++i) {
    const float value = population.coefficients[i];
    const auto row = static_cast<std::int64_t>(i) / population.columns;
    const auto column = static_cast<std::int64_t>(i) % population.columns;
    const bool may_be_infinite = row == math::kThreshold;  // a neuron that never fires
    GRADSPIKE_REQUIRE(std::isfinite(value) || (may_be_infinite && std::isinf(value)), where, ": coefficient ", row,
                      " of neuron ", column, " is ", value);
    GRADSPIKE_REQUIRE(row != math::kRefractorySteps || (value >= 0.0F && std::floor(value) == value), where,
                      ": refractory steps of neuron ", column, " must be a whole number >= 0, got ", value);
  }
}

void validate_column_runs(const Network& network, const Projection& projection, const std::string& where) {
  std::int64_t total = 0;
  for (const ColumnRun& run : projection.columns) {
    const std::int64_t size = network.source_size(run.source);
    GRADSPIKE_REQUIRE(run.count >= 1 && run.count <= kMaxSize && std::llabs(run.step) <= kMaxSize, where,
                      ": a column run has count ", run.count, " and step ", run.step);
    GRADSPIKE_REQUIRE(run.first >= 0 && run.first < size, where, ": a column run starts at neuron ", run.first,
                      " of a source of ", size);
    const std::int64_t last = run.first + (run.count - 1) * run.step;
    GRADSPIKE_REQUIRE(last >= 0 && last < size, where, ": a column run ends at neuron ", last, " of a source of ",
                      size);
    total += run.count;
    if (run.source.kind == NodeRef::Kind::kPopulation) {
      const Population& source = network.populations[static_cast<std::size_t>(run.source.index)];
      GRADSPIKE_REQUIRE(source.kind == NeuronKind::kLif, where, ": source population \"", source.name,
                        "\" sends no spikes, it is a leaky integrator");
      GRADSPIKE_REQUIRE(projection.delay_steps > 0 || run.source.index < projection.target, where,
                        ": source population \"", source.name,
                        "\" must come before its target, or delay_steps must be at least 1");
    }
  }
  GRADSPIKE_REQUIRE(total == projection.in_features, where, ": column runs give ", total, " columns, in_features is ",
                    projection.in_features);
}

void validate_row_runs(const Network& network, const Projection& projection, const std::string& where) {
  const std::int64_t size = network.populations[static_cast<std::size_t>(projection.target)].size;
  std::vector<std::pair<std::int64_t, std::int64_t>> ranges;
  GRADSPIKE_REQUIRE(!projection.rows.empty(), where, ": reaches no target neuron");
  for (const RowRun& run : projection.rows) {
    GRADSPIKE_REQUIRE(
        run.count >= 1 && run.count <= size && run.target_first >= 0 && run.target_first <= size - run.count, where,
        ": a row run covers ", run.count, " neurons from ", run.target_first, ", the target population has ", size);
    GRADSPIKE_REQUIRE(
        std::llabs(run.row_step) <= kMaxSize && run.row_first >= 0 && run.row_first < projection.out_features, where,
        ": a row run starts at row ", run.row_first, " with step ", run.row_step, ", out_features is ",
        projection.out_features);
    const std::int64_t last = run.row_first + (run.count - 1) * run.row_step;
    GRADSPIKE_REQUIRE(last >= 0 && last < projection.out_features, where, ": a row run ends at row ", last,
                      ", out_features is ", projection.out_features);
    ranges.emplace_back(run.target_first, run.target_first + run.count);
  }
  std::sort(ranges.begin(), ranges.end());
  for (std::size_t i = 1; i < ranges.size(); ++i) {
    GRADSPIKE_REQUIRE(ranges[i].first >= ranges[i - 1].second, where, ": target neuron ", ranges[i].first,
                      " is reached by two row runs");
  }
}

void validate_bounds(const Projection& projection, const std::string& where) {
  const std::int32_t lo = projection.min_weight;
  const std::int32_t hi = projection.max_weight;
  GRADSPIKE_REQUIRE(lo <= 0 && hi >= 0 && lo >= -math::kMaxIntegerBound && hi <= math::kMaxIntegerBound, where,
                    ": bounds must satisfy -32767 <= min_weight <= 0 <= max_weight <= 32767, got ", lo, " and ", hi);
  GRADSPIKE_REQUIRE(projection.receptor != Receptor::kExcitatory || lo == 0, where,
                    ": receptor excitatory needs min_weight 0, got ", lo);
  GRADSPIKE_REQUIRE(projection.receptor != Receptor::kInhibitory || hi == 0, where,
                    ": receptor inhibitory needs max_weight 0, got ", hi);
}

void validate_plasticity(const Projection& projection, const std::string& where) {
  GRADSPIKE_REQUIRE(std::isfinite(projection.plasticity_period) && projection.plasticity_period >= 0.0, where,
                    ": plasticity_period must be finite and >= 0, got ", projection.plasticity_period);
  GRADSPIKE_REQUIRE(std::isfinite(projection.plasticity_start) && projection.plasticity_start >= 0.0, where,
                    ": plasticity_start must be finite and >= 0, got ", projection.plasticity_start);
  GRADSPIKE_REQUIRE(projection.plasticity_executions >= 0, where, ": plasticity_executions must be >= 0, got ",
                    projection.plasticity_executions);
  GRADSPIKE_REQUIRE(projection.plasticity_rule.empty() || projection.receptor != Receptor::kSigned, where,
                    ": a plasticity rule needs an unsigned projection, since a signed weight is two synapses: set "
                    "receptor to \"excitatory\" or \"inhibitory\", got bounds ",
                    projection.min_weight, "..", projection.max_weight);
  const bool has_timer = projection.plasticity_start != 0.0 || projection.plasticity_period != 0.0 ||
                         projection.plasticity_executions != 0 || !projection.plasticity_recording.empty();
  GRADSPIKE_REQUIRE(!projection.plasticity_rule.empty() || !has_timer, where,
                    ": a timer or a recording of plasticity needs a plasticity_rule");
}

void validate_projection(const Network& network, const Projection& projection) {
  const std::string where = "projection \"" + projection.name + "\"";
  require_size(where, "in_features", projection.in_features);
  require_size(where, "out_features", projection.out_features);
  GRADSPIKE_REQUIRE(projection.target >= 0 && static_cast<std::size_t>(projection.target) < network.populations.size(),
                    where, ": target ", projection.target, " is none of the ", network.populations.size(),
                    " populations");
  GRADSPIKE_REQUIRE(projection.delay_steps >= 0, where, ": delay_steps must be >= 0, got ", projection.delay_steps);
  GRADSPIKE_REQUIRE(std::isfinite(projection.scale) && projection.scale > 0.0F, where,
                    ": scale must be finite and > 0, got ", projection.scale);
  const float factor = projection.units == Units::kModel ? math::inverse_scale(projection.scale) : 1.0F;
  GRADSPIKE_REQUIRE(projection.factor == factor, where, ": factor must be ", factor,
                    projection.units == Units::kModel ? ", the inverse of its scale, got " : " in LSB, got ",
                    projection.factor);
  validate_plasticity(projection, where);
  const std::int32_t circuits = projection.circuits_per_neuron;
  GRADSPIKE_REQUIRE(circuits >= 0 && circuits <= kMaxCircuitsPerNeuron && (circuits <= 1 || circuits % 2 == 0), where,
                    ": circuits_per_neuron must be 1, or even and at most ", kMaxCircuitsPerNeuron,
                    ", or 0 for as few as are needed, got ", circuits);
  validate_bounds(projection, where);
  validate_column_runs(network, projection, where);
  validate_row_runs(network, projection, where);
  const std::int64_t elements = projection.in_features * projection.out_features;
  GRADSPIKE_REQUIRE(projection.mask.empty() || static_cast<std::int64_t>(projection.mask.size()) == elements, where,
                    ": mask needs ", elements, " elements, got ", projection.mask.size());
}

/// Projections that share a target and a position must reach different neurons, else their order would be open.
void validate_positions(const Network& network) {
  struct Range {
    std::int32_t target;
    std::int32_t position;
    std::int64_t first;
    std::int64_t end;
    const Projection* projection;
    bool operator<(const Range& o) const {
      return std::tie(target, position, first) < std::tie(o.target, o.position, o.first);
    }
  };
  std::vector<Range> ranges;
  for (const Projection& projection : network.projections) {
    for (const RowRun& run : projection.rows) {
      ranges.push_back(
          {projection.target, projection.position, run.target_first, run.target_first + run.count, &projection});
    }
  }
  std::sort(ranges.begin(), ranges.end());
  for (std::size_t i = 1; i < ranges.size(); ++i) {
    const Range& a = ranges[i - 1];
    const Range& b = ranges[i];
    GRADSPIKE_REQUIRE(a.target != b.target || a.position != b.position || a.end <= b.first, "projections \"",
                      a.projection->name, "\" and \"", b.projection->name, "\" have position ", a.position,
                      " at the same neurons of population \"",
                      network.populations[static_cast<std::size_t>(a.target)].name, "\"");
  }
}

/// Whether no element needs a closer look: in one pass without a branch, since every upload makes it.
bool within_bounds(const Projection& projection, const std::vector<std::int16_t>& values) {
  std::int32_t lowest = 0;
  std::int32_t highest = 0;
  for (const std::int16_t value : values) {
    lowest = std::min<std::int32_t>(lowest, value);
    highest = std::max<std::int32_t>(highest, value);
  }
  return projection.mask.empty() && lowest >= projection.min_weight && highest <= projection.max_weight;
}

void validate_matrix(const Projection& projection, const IntegerMatrix& matrix) {
  const std::string where = "integers of projection \"" + projection.name + "\"";
  GRADSPIKE_REQUIRE(matrix.out_features == projection.out_features && matrix.in_features == projection.in_features,
                    where, " are [", matrix.out_features, ", ", matrix.in_features, "], the projection is [",
                    projection.out_features, ", ", projection.in_features, "]");
  const std::int64_t elements = projection.out_features * projection.in_features;
  GRADSPIKE_REQUIRE(static_cast<std::int64_t>(matrix.values.size()) == elements, where, ": needs ", elements,
                    " values, got ", matrix.values.size());
  const bool fits_int8 = -projection.min_weight <= math::kMaxInt8Bound && projection.max_weight <= math::kMaxInt8Bound;
  const std::int16_t nan8 = math::nan_weight<std::int8_t>();
  const std::int16_t nan16 = math::nan_weight<std::int16_t>();
  const bool look_closer = !within_bounds(projection, matrix.values);  // NaN lies outside
  for (std::int64_t i = 0; look_closer && i < elements; ++i) {
    const std::int16_t value = matrix.values[static_cast<std::size_t>(i)];
    const std::int64_t row = i / projection.in_features;
    const std::int64_t column = i % projection.in_features;
    GRADSPIKE_REQUIRE(value != nan16 && !(fits_int8 && value == nan8), where, ": weight [", row, ", ", column,
                      "] is NaN");
    GRADSPIKE_REQUIRE(value >= projection.min_weight && value <= projection.max_weight, where, ": weight [", row, ", ",
                      column, "] = ", value, " is outside ", projection.min_weight, "..", projection.max_weight);
    GRADSPIKE_REQUIRE(value == 0 || projection.mask.empty() || projection.mask[static_cast<std::size_t>(i)], where,
                      ": weight [", row, ", ", column, "] = ", value, " belongs to a connection that the mask removes");
  }
  const std::uint64_t hash = content_hash(projection, matrix.values);
  GRADSPIKE_REQUIRE(matrix.hash == hash, where, " do not match their hash: the values give ", hash, ", stored is ",
                    matrix.hash);
}

void validate_permutation(const Network& network) {
  std::set<std::int32_t> seen;
  for (const std::int32_t circuit : network.neuron_permutation) {
    GRADSPIKE_REQUIRE(circuit >= 0 && circuit < kNeuronCircuits, "network \"", network.name,
                      "\": neuron_permutation must list circuits in 0..", kNeuronCircuits - 1, ", got ", circuit);
    GRADSPIKE_REQUIRE(seen.insert(circuit).second, "network \"", network.name, "\": neuron_permutation lists circuit ",
                      circuit, " twice");
  }
}

}  // namespace

void validate(const Network& network) {
  GRADSPIKE_REQUIRE(!network.name.empty() && network.name.find('/') == std::string::npos,
                    "network name must be non-empty and without a slash, got \"", network.name, "\"");
  GRADSPIKE_REQUIRE(std::isfinite(network.dt) && network.dt > 0.0, "network \"", network.name,
                    "\": dt must be finite and > 0, got ", network.dt);
  GRADSPIKE_REQUIRE(network.model_card.steps >= 0, "network \"", network.name,
                    "\": steps of the model card must be >= 0, got ", network.model_card.steps);
  require_names(network.inputs, "input");
  require_names(network.populations, "population");
  require_names(network.projections, "projection");
  for (const Input& input : network.inputs) {
    const std::string where = "input \"" + input.name + "\"";
    require_size(where, "size", input.size);
    const double rate = input.background ? input.background->rate : 1.0;
    GRADSPIKE_REQUIRE(std::isfinite(rate) && rate > 0.0, where,
                      ": the rate of background spikes must be finite and above 0 Hz, got ", rate);
  }
  for (const Population& population : network.populations) {
    validate_population(population);
  }
  for (const Projection& projection : network.projections) {
    validate_projection(network, projection);
  }
  validate_positions(network);
  validate_permutation(network);
}

void validate(const Network& network, const Weights& weights) {
  validate(network);
  validate_changed(network, weights, {});
}

void validate_changed(const Network& network, const Weights& weights,
                      const std::map<std::string, std::uint64_t>& known) {
  for (const Projection& projection : network.projections) {
    const auto found = weights.find(projection.name);
    GRADSPIKE_REQUIRE(found != weights.end(), "network \"", network.name, "\": no integers for projection \"",
                      projection.name, "\"");
    const auto before = known.find(projection.name);
    const bool same_size =
        found->second.values.size() == static_cast<std::size_t>(projection.out_features * projection.in_features);
    if (!same_size || before == known.end() || before->second != found->second.hash) {
      validate_matrix(projection, found->second);
    }
  }
  for (const auto& [name, matrix] : weights) {
    network.projection(name);
  }
}

}  // namespace gradspike::chip
