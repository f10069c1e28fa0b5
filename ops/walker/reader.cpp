#include "ops/walker/reader.h"

#include <algorithm>
#include <set>
#include <unordered_set>

#include "csrc/chip/geometry.h"
#include "csrc/chip/names.h"
#include "csrc/core/error.h"
#include "ops/walker/connect.h"
#include "ops/walker/operators.h"
#include "ops/walker/order.h"
#include "ops/walker/projections.h"

namespace gradspike::ops {
namespace {

using torch::jit::Block;
using torch::jit::Node;
using torch::jit::Value;

constexpr const char* kUnused = " reaches no output of the model and is left out";

struct Origin {
  enum class Kind { kInput, kSpikes, kMembrane, kProjection };
  Kind kind;
  std::int32_t index;
};

class Reader {
 public:
  Reader(const ModelGraph& graph, const ReadOptions& options)
      : graph_(graph),
        options_(options),
        resolver_(graph, [this](const Value* value, std::int64_t expected) { return input_signal(value, expected); }) {}

  ReadNetwork read() {
    read_.network.name = options_.name;
    read_.network.model_card = options_.card;
    for (const Node* node : keyed_nodes()) {
      try {
        if (is_projection(node)) {
          resolver_.define(node->output(0), add_input_projection(node));
        } else if (is_fused(node)) {
          add_fused(node);
        } else {
          add_population(node);
        }
      } catch (const c10::Error& error) {  // checks of the operators' own plans
        const std::string text = error.what_without_backtrace();
        throw Error(ModelGraph::place(node) + ": " + text.substr(0, text.find('\n')));
      }
    }
    GRADSPIKE_REQUIRE(!read_.network.populations.empty(),
                      "the model has no neurons on a path to its output, only projections: nothing to put on a chip");
    finish();
    return std::move(read_);
  }

 private:
  // ---- what counts -------------------------------------------------------------------------------------------------

  void collect_needed(const Node* node, std::unordered_set<const Node*>& needed) const {
    std::vector<const Node*> open = {node};
    while (!open.empty()) {
      const Node* next = open.back();
      open.pop_back();
      if (!needed.insert(next).second) {
        continue;
      }
      std::vector<const Value*> operands;
      ModelGraph::add_operands(next, operands);
      for (const Value* operand : operands) {
        open.push_back(operand->node());
      }
    }
  }

  void refuse_inner(const Node* node) const {
    for (const Block* block : node->blocks()) {
      for (const Node* inner : block->nodes()) {
        GRADSPIKE_REQUIRE(
            !is_keyed(inner), ModelGraph::place(inner),
            " is inside a loop or an `if`: a network on the chip has a fixed graph, and the operators run "
            "over all time steps by themselves");
        refuse_unreadable(inner);
        refuse_inner(inner);
      }
    }
  }

  std::vector<const Node*> keyed_nodes() {
    std::unordered_set<const Node*> needed;
    collect_needed(graph_.graph().block()->return_node(), needed);
    for (const std::string& place : graph_.removed()) {
      read_.warnings.push_back(place + kUnused);
    }
    std::vector<const Node*> result;
    for (const Node* node : graph_.graph().nodes()) {
      if (needed.count(node) != 0) {
        refuse_unreadable(node);
      }
      if (is_keyed(node)) {
        if (needed.count(node) != 0) {
          result.push_back(node);
        } else {
          read_.warnings.push_back(ModelGraph::place(node) + " ('" + key_of(graph_, node, key_argument(node)) + "')" +
                                   kUnused);
        }
      }
      refuse_inner(node);
    }
    GRADSPIKE_REQUIRE(!result.empty(),
                      "the model has no gradspike operator on a path to its output: nothing to put on a chip");
    return result;
  }

  // ---- sources -----------------------------------------------------------------------------------------------------

  std::int64_t neurons_of_example(const Value* value) const {
    const std::string name = "input '" + value->debugName().substr(0, value->debugName().find('.')) + "'";
    GRADSPIKE_REQUIRE(!options_.example.empty(), name,
                      " has a number of neurons that does not follow from the weights: give an example input");
    const c10::IValue evaluated = graph_.evaluate({value}, graph_.complete_inputs(options_.example)).at(0);
    GRADSPIKE_REQUIRE(evaluated.isTensor() && evaluated.toTensor().dim() == 3, name,
                      " must be a tensor [time, batch, neuron]");
    return evaluated.toTensor().size(2);
  }

  Signal input_signal(const Value* value, std::int64_t expected) {
    const std::size_t index = read_.network.inputs.size();
    const std::int64_t size = expected >= 0                         ? expected
                              : index < options_.input_sizes.size() ? options_.input_sizes[index]
                                                                    : neurons_of_example(value);
    read_.network.inputs.push_back({"input" + std::to_string(index), size, std::nullopt});
    read_.sources.push_back(value);
    return Signal::of(add_origin(Origin::Kind::kInput, index), size);
  }

  std::int32_t add_origin(Origin::Kind kind, std::size_t index) {
    origins_.push_back({kind, static_cast<std::int32_t>(index)});
    return static_cast<std::int32_t>(origins_.size() - 1);
  }

  // ---- projections -------------------------------------------------------------------------------------------------

  /// The signal of the sums of the projection that reads the first argument of an operator.
  Signal add_input_projection(const Node* node) {
    const ProjectionWeight weight = projection_weight(graph_, node, Role::kInput);
    const std::string name = required_name(node, Role::kInput);
    std::int64_t expected = expected_in_features(graph_, weight);
    if (is_sparse(node) && !(options_.example.empty() && options_.input_sizes.empty())) {
      expected = -1;  // what was given tells more than the module
    }
    resolver_.read_by(node);
    const Signal spikes = resolver_.resolve(node->input(0), expected);
    GRADSPIKE_REQUIRE(is_sparse(node) || spikes.size() == expected, "projection '", name, "' has ", expected,
                      " inputs, but is given ", spikes.size(), " neurons");
    return add_projection(weight, spikes.size(), column_runs(name, spikes));
  }

  std::string required_name(const Node* node, Role role) const {
    std::string name = projection_name(graph_, node, role);
    GRADSPIKE_REQUIRE(!name.empty(), ModelGraph::place(node), " has no name: give it ",
                      role == Role::kInput ? "projection" : "recurrent_projection",
                      "=\"...\", the name of the projection on the chip");
    return name;
  }

  Signal add_projection(const ProjectionWeight& weight, std::int64_t in_features,
                        std::vector<chip::ColumnRun> columns) {
    OpenProjection open;
    open.weight = weight;
    open.description = projection_description(graph_, weight, in_features);
    open.description.columns = std::move(columns);
    for (std::size_t k = 0; k < projections_.size(); ++k) {
      if (projections_[k].description.name == open.description.name) {
        return merge(k, open);
      }
    }
    apply_wish(open.description);
    projections_.push_back(std::move(open));
    const std::size_t index = projections_.size() - 1;
    return Signal::of(add_origin(Origin::Kind::kProjection, index), projections_[index].description.out_features);
  }

  /// A second call with the same name: the same projection where parameter and input are the same.
  Signal merge(std::size_t existing, const OpenProjection& open) {
    const OpenProjection& first = projections_[existing];
    const Node* node = open.weight.node;
    GRADSPIKE_REQUIRE(same_weight(graph_, first.weight, open.weight), ModelGraph::place(node), ": the name '",
                      open.description.name,
                      "' is given to two projections with different weights: names must be unique in a network");
    GRADSPIKE_REQUIRE(same_transform(first.description, open.description), ModelGraph::place(node), ": projection '",
                      open.description.name,
                      "' is used with two scales, bounds, roundings or units: on the chip it has one of each");
    GRADSPIKE_REQUIRE(same_columns(first.description.columns, open.description.columns), ModelGraph::place(node),
                      ": projection '", open.description.name,
                      "' is applied to two different inputs: a projection on the chip has one, use two");
    std::size_t origin = 0;
    while (origins_[origin].kind != Origin::Kind::kProjection ||
           origins_[origin].index != static_cast<std::int32_t>(existing)) {
      ++origin;
    }
    return Signal::of(static_cast<std::int32_t>(origin), open.description.out_features);
  }

  void apply_wish(chip::Projection& p) const {
    const auto wish = options_.projections.find(p.name);
    if (wish == options_.projections.end()) {
      return;
    }
    const std::string derived = p.receptor == chip::Receptor::kSigned       ? "signed"
                                : p.receptor == chip::Receptor::kExcitatory ? "excitatory"
                                                                            : "inhibitory";
    GRADSPIKE_REQUIRE(wish->second.receptor.empty() || wish->second.receptor == derived, "projection '", p.name,
                      "': receptor '", wish->second.receptor, "' does not agree with its bounds ", p.min_weight, "..",
                      p.max_weight, ", which make it ", derived);
    p.chip_coordinate = wish->second.chip_coordinate;
    p.execution_instance = wish->second.execution_instance;
    p.plasticity_rule = wish->second.plasticity_rule;
    p.plasticity_start = wish->second.plasticity_start;
    p.plasticity_period = wish->second.plasticity_period;
    p.plasticity_executions = wish->second.plasticity_executions;
    p.plasticity_recording = wish->second.plasticity_recording;
    GRADSPIKE_REQUIRE(
        wish->second.circuits_per_neuron >= 0 && wish->second.circuits_per_neuron <= chip::kMaxCircuitsPerNeuron,
        "projection '", p.name, "': circuits_per_neuron must lie in 0..", chip::kMaxCircuitsPerNeuron, ", got ",
        wish->second.circuits_per_neuron);
    p.circuits_per_neuron = static_cast<std::int32_t>(wish->second.circuits_per_neuron);
  }

  std::vector<chip::ColumnRun> column_runs(const std::string& name, const Signal& spikes) const {
    GRADSPIKE_REQUIRE(spikes.terms.size() == 1, "projection '", name,
                      "' reads a sum of spikes: use one projection per source and add the projections");
    std::vector<chip::ColumnRun> runs;
    for (const Entry& entry : spikes.terms.front()) {
      const Origin& origin = origins_[static_cast<std::size_t>(entry.origin)];
      GRADSPIKE_REQUIRE(
          origin.kind != Origin::Kind::kMembrane, "projection '", name, "' reads a membrane of population '",
          read_.network.populations[static_cast<std::size_t>(origin.index)].name, "': synapses take spikes");
      GRADSPIKE_REQUIRE(origin.kind != Origin::Kind::kProjection, "projection '", name,
                        "' reads another projection: a population of neurons must lie between them");
      const chip::NodeRef source{
          origin.kind == Origin::Kind::kInput ? chip::NodeRef::Kind::kInput : chip::NodeRef::Kind::kPopulation,
          origin.index};
      append_column(runs, source, entry.index);
    }
    return runs;
  }

  // ---- populations -------------------------------------------------------------------------------------------------

  void add_population(const Node* node) {
    std::string name = key_of(graph_, node, "population");
    GRADSPIKE_REQUIRE(resolver_.depends_on_keyed(node->input(0)), ModelGraph::place(node), ": population '", name,
                      "' is driven by an input without a projection between them: neurons on the chip are driven by "
                      "synapses");
    resolver_.read_by(node);
    add_population(node, std::move(name), resolver_.resolve(node->input(0), -1));
  }

  /// Projections and their population. The recurrent one reads the population that is added next.
  void add_fused(const Node* node) {
    Signal input = add_input_projection(node);
    if (is_recurrent(node)) {
      required_name(node, Role::kRecurrent);
      const chip::NodeRef self{chip::NodeRef::Kind::kPopulation,
                               static_cast<std::int32_t>(read_.network.populations.size())};
      input = Signal::sum(input, add_projection(projection_weight(graph_, node, Role::kRecurrent), input.size(),
                                                {{self, 0, 1, input.size()}}));
    }
    add_population(node, key_of(graph_, node, "population"), input);
  }

  void add_population(const Node* node, std::string name, const Signal& input) {
    std::set<std::int32_t> seen;
    const std::size_t index = read_.network.populations.size();
    for (std::size_t position = 0; position < input.terms.size(); ++position) {
      connect_term(input.terms[position], position, index, name, seen, node);
    }
    GRADSPIKE_REQUIRE(!seen.empty(), ModelGraph::place(node), ": population '", name,
                      "' receives no projection: neurons on the chip are driven by synapses");
    for (const chip::Population& other : read_.network.populations) {
      GRADSPIKE_REQUIRE(other.name != name, ModelGraph::place(node), ": the name '", name,
                        "' is given to two populations: names must be unique in a network");
    }
    double dt = 0.0;
    chip::Population population = population_description(graph_, node, input.size(), name, dt);
    GRADSPIKE_REQUIRE(index == 0 || dt == read_.network.dt, ModelGraph::place(node), ": population '", name,
                      "' has dt ", dt, " s, the populations before it ", read_.network.dt, " s: a network has one");
    read_.network.dt = dt;
    read_.network.populations.push_back(std::move(population));
    PopulationValues values;
    const bool spikes = fires(node);
    const std::size_t first = spikes ? 1 : 0;
    values.spikes = spikes ? node->output(0) : nullptr;
    values.membrane = node->output(first);
    values.current = node->output(first + 1);
    values.final_state = node->outputs().back();
    values.num_states = num_states(node);
    values.num_unused_states = num_unused_states(node);
    values.initial_state = initial_state_of(graph_, node);
    values.reads_membrane = !spikes || values.membrane->hasUses();
    values.reads_current = values.current->hasUses();
    values.reads_state = values.final_state->hasUses();
    if (spikes) {
      resolver_.define(values.spikes, Signal::of(add_origin(Origin::Kind::kSpikes, index), input.size()));
    }
    resolver_.define(values.membrane, Signal::of(add_origin(Origin::Kind::kMembrane, index), input.size()));
    read_.populations.push_back(values);
  }

  /// Gives the projections of one term their target, position and rows. An unnamed population takes the name of the
  /// first projection that drives it.
  void connect_term(const Term& term, std::size_t position, std::size_t population, std::string& name,
                    std::set<std::int32_t>& seen, const Node* node) {
    std::set<std::int32_t> in_term;
    for (std::size_t n = 0; n < term.size(); ++n) {
      if (term[n].origin < 0) {
        continue;
      }
      const Origin& origin = origins_[static_cast<std::size_t>(term[n].origin)];
      GRADSPIKE_REQUIRE(origin.kind == Origin::Kind::kProjection, ModelGraph::place(node), ": population '", name,
                        "' is driven by ", origin.kind == Origin::Kind::kInput ? "an input" : "another population",
                        " without a projection between them: neurons on the chip are driven by synapses");
      OpenProjection& projection = projections_[static_cast<std::size_t>(origin.index)];
      if (in_term.insert(origin.index).second) {
        GRADSPIKE_REQUIRE(seen.insert(origin.index).second && !projection.has_target, ModelGraph::place(node),
                          ": projection '", projection.description.name,
                          "' is used twice: on the chip a projection has one target, use two");
        projection.description.target = static_cast<std::int32_t>(population);
        projection.description.position = static_cast<std::int32_t>(position);
        if (name.empty()) {
          name = projection.description.name;
        }
      }
      append_row(projection.description.rows, static_cast<std::int64_t>(n), term[n].index);
    }
    for (const std::int32_t index : in_term) {
      projections_[static_cast<std::size_t>(index)].has_target = true;
    }
  }

  // ---- the whole ---------------------------------------------------------------------------------------------------

  std::vector<std::string> projection_names() const {
    std::vector<std::string> names;
    for (const OpenProjection& p : projections_) {
      names.push_back(p.description.name);
    }
    return names;
  }

  void apply_backgrounds() {
    std::vector<std::string> names;
    for (chip::Input& input : read_.network.inputs) {
      names.push_back(input.name);
      const auto wish = options_.backgrounds.find(input.name);
      if (wish != options_.backgrounds.end()) {
        input.background = wish->second;
      }
    }
    for (const auto& [name, wish] : options_.backgrounds) {
      GRADSPIKE_REQUIRE(std::find(names.begin(), names.end(), name) != names.end(),
                        "inputs: the network has no input '", name, "'", chip::nearest_text(name, names));
    }
  }

  void finish() {
    const std::vector<std::string> names = projection_names();
    for (const auto& [name, wish] : options_.projections) {
      GRADSPIKE_REQUIRE(std::find(names.begin(), names.end(), name) != names.end(),
                        "projections: the network has no projection '", name, "'", chip::nearest_text(name, names));
    }
    apply_backgrounds();
    for (const std::int64_t circuit : options_.neuron_permutation) {
      GRADSPIKE_REQUIRE(circuit >= 0 && circuit < chip::kNeuronCircuits, "neuron_permutation must list circuits in 0..",
                        chip::kNeuronCircuits - 1, ", got ", circuit);
      read_.network.neuron_permutation.push_back(static_cast<std::int32_t>(circuit));
    }
    put_in_order(read_, std::move(projections_));
    chip::validate(read_.network);
  }

  const ModelGraph& graph_;
  const ReadOptions& options_;
  SignalResolver resolver_;
  std::vector<Origin> origins_;
  std::vector<OpenProjection> projections_;
  ReadNetwork read_;
};

}  // namespace

std::map<std::string, at::Tensor> float_weights(const ModelGraph& graph, const ReadNetwork& read) {
  std::map<std::string, at::Tensor> result;
  const std::vector<at::Tensor> matrices = weight_matrices(graph, read.network.projections, read.weights);
  for (std::size_t k = 0; k < matrices.size(); ++k) {
    result[read.network.projections[k].name] = matrices[k];
  }
  return result;
}

chip::Weights integer_weights(const ModelGraph& graph, const ReadNetwork& read) {
  chip::Weights result;
  const std::map<std::string, at::Tensor> weights = float_weights(graph, read);
  for (const chip::Projection& p : read.network.projections) {
    result[p.name] = integers_of(p, weights.at(p.name));
  }
  return result;
}

ReadNetwork read_network(const ModelGraph& graph, const ReadOptions& options) { return Reader(graph, options).read(); }

}  // namespace gradspike::ops
