// The neutral description of a network: what the readers produce and what mapper, emulator and backends take.
//
// It holds no weights: those change with every training step and travel as IntegerMatrix beside it. Everything that
// shapes the dynamics is kept as the bits that the training forward used, so nobody computes a coefficient again.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "csrc/math/weight.h"

namespace gradspike::chip {

/// A source of spikes: an input of the network or a population on the chip.
struct NodeRef {
  enum class Kind { kInput, kPopulation };
  Kind kind = Kind::kInput;
  std::int32_t index = 0;  // into Network::inputs or Network::populations
};

/// Columns [pre neurons] of a projection, run-length coded: `count` columns that read neurons first, first + step, ...
/// of `source`. Concatenation, slicing, indexing and repeating of activations are such runs.
struct ColumnRun {
  NodeRef source;
  std::int64_t first = 0;
  std::int64_t step = 1;
  std::int64_t count = 0;
};

/// Target neurons of a projection, run-length coded: neurons target_first, target_first + 1, ... (`count` of them)
/// receive rows row_first, row_first + row_step, ... of the weight matrix.
struct RowRun {
  std::int64_t target_first = 0;
  std::int64_t row_first = 0;
  std::int64_t row_step = 1;
  std::int64_t count = 0;
};

/// A wish that the chip's own generators make the spikes of an input.
struct Background {
  bool random = true;      // else regular
  double rate = 0.0;       // spikes per second of each source
  std::uint32_t seed = 0;  // of random ones: equal seeds and rates give equal trains
};

struct Input {
  std::string name;  // "input0", ...
  std::int64_t size = 0;
  std::optional<Background> background = std::nullopt;  // none: the host sends its spikes
};

enum class NeuronKind { kLif, kLi };

struct Population {
  std::string name;
  NeuronKind kind = NeuronKind::kLif;
  std::int64_t size = 0;
  /// Table [kNumLifCoefficients or kNumLiCoefficients][columns] in the order of math::LifRow, row after row.
  std::vector<float> coefficients;
  std::int64_t columns = 1;  // 1: the same for all neurons; else size
};

enum class Receptor { kSigned, kExcitatory, kInhibitory };
enum class Units { kModel, kLsb };

struct Projection {
  std::string name;  // local key; the registry key is <network>/<name>
  std::int64_t in_features = 0;
  std::int64_t out_features = 0;
  std::vector<ColumnRun> columns;  // counts sum to in_features
  std::int32_t target = 0;         // population
  std::vector<RowRun> rows;
  std::int32_t position = 0;  // in the target's sum: inputs are added in ascending position, from left to right
  std::int32_t delay_steps = 0;
  Receptor receptor = Receptor::kSigned;
  float scale = 1.0F;
  float factor = 1.0F;  // of the integer sum: inverse_scale in model units, 1 in LSB
  Units units = Units::kModel;
  math::Rounding rounding = math::Rounding::kHalfEven;
  std::int32_t min_weight = -63;
  std::int32_t max_weight = 63;
  /// Connections that exist, row-major [out_features, in_features]; empty: all.
  std::vector<bool> mask;
  /// Wishes of the user, kept as given ("": none).
  std::string chip_coordinate;
  std::string execution_instance;
  std::int32_t circuits_per_neuron = 0;  // of the target; 0: as few as its fan-in needs
  /// A program for the plasticity processors, carried to the backend as it is; "": none.
  std::string plasticity_rule;
  double plasticity_start = 0.0;                  // [s] of the first execution
  double plasticity_period = 0.0;                 // [s] between two executions
  std::int64_t plasticity_executions = 0;         // 0: to the end of the run
  std::vector<std::string> plasticity_recording;  // what the rule records, by name
};

/// What a user or a host program needs to feed the network and to read its answer.
struct ModelCard {
  std::int64_t steps = 0;  // time steps of the example; 0: unknown
  std::string encoder;
  std::string decoder;
  std::vector<std::string> class_names;
};

struct Network {
  std::string name;
  double dt = 1e-6;  // [s]
  std::vector<Input> inputs;
  std::vector<Population> populations;  // in topological order
  std::vector<Projection> projections;  // in topological order, ties by name
  /// A wish: circuits (enum values) in the order in which neurons are given one; only those listed. Empty: none.
  std::vector<std::int32_t> neuron_permutation;
  ModelCard model_card;

  /// Index by name; throws with the nearest names where there is none.
  std::int32_t population(const std::string& population_name) const;
  std::int32_t projection(const std::string& projection_name) const;
  /// Number of neurons of a source.
  std::int64_t source_size(const NodeRef& source) const;
  /// Source and neuron index of column `pre` of a projection, from the runs.
  std::vector<std::pair<NodeRef, std::int64_t>> expanded_columns(const Projection& projection) const;
  /// For each target neuron the row of the weight matrix, or -1.
  std::vector<std::int64_t> expanded_rows(const Projection& projection) const;
};

/// Rows of the state of a population: those of math::LifStateRow or the first two of them and, for the source of a
/// projection with a delay, the spikes of the last step.
std::int64_t num_states(const Network& network, std::size_t population);

/// Integers of one projection, row-major [out_features, in_features], and their content hash (math::finish_hash).
struct IntegerMatrix {
  std::int64_t out_features = 0;
  std::int64_t in_features = 0;
  std::vector<std::int16_t> values;
  std::uint64_t hash = 0;
};

/// A content hash as it is written everywhere: 16 hexadecimal digits.
std::string hash_str(std::uint64_t hash);

/// "signed", "half_even", "model", "lif": as descriptions and reports write them.
const char* name_of(Receptor receptor);
const char* name_of(math::Rounding rounding);
const char* name_of(Units units);
const char* name_of(NeuronKind kind);

/// Integers by local projection name.
using Weights = std::map<std::string, IntegerMatrix>;

/// The content hash of integers under a projection's bounds.
std::uint64_t content_hash(const Projection& projection, const std::vector<std::int16_t>& values);

/// Throws where the description contradicts itself, or integers are missing, NaN, out of bounds or do not match their
/// hash. The message names the projection or population.
void validate(const Network& network);
void validate(const Network& network, const Weights& weights);
/// The same for weights of a valid network of which those with a hash in `known` were looked at before.
void validate_changed(const Network& network, const Weights& weights,
                      const std::map<std::string, std::uint64_t>& known);

/// Canonical JSON (sorted keys, one line, float32 as the unsigned integer of its bits), format version 1.
std::string to_json(const Network& network);
Network network_from_json(const std::string& text);

/// One binary record per projection: little-endian header (magic "GSW1", bits 8 or 16, out, in, hash) and the integers.
std::string to_record(const Projection& projection, const IntegerMatrix& matrix);
IntegerMatrix matrix_from_record(const std::string& record, const std::string& projection_name);

/// The chip part alone in one file: {"format": "gradspike.network", "network": ..., "integers": {name: base64 record}}.
std::string to_network_file(const Network& network, const Weights& weights);
void parse_network_file(const std::string& text, Network& network, Weights& weights);

}  // namespace gradspike::chip
