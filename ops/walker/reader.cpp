#include "ops/walker/reader.h"

#include <algorithm>
#include <set>
#include <unordered_set>

#include "csrc/chip/names.h"
#include "csrc/core/error.h"
#include "ops/walker/connect.h"
#include "ops/walker/operators.h"

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

/// A projection before its target is known.
struct OpenProjection {
  chip::Projection description;
  const Value* weight = nullptr;
  bool has_target = false;
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
        if (is_graded_spikes(node)) {
          add_projection(node);
        } else {
          add_population(node);
        }
      } catch (const c10::Error& error) {  // checks of the operators' own plans
        const std::string text = error.what_without_backtrace();
        throw Error(ModelGraph::place(node) + ": " + text.substr(0, text.find('\n')));
      }
    }
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
            !is_keyed(inner) && !is_recurrent(inner), ModelGraph::place(inner),
            " is inside a loop or an `if`: a network on the chip has a fixed graph, and the operators run "
            "over all time steps by themselves");
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
      GRADSPIKE_REQUIRE(!is_recurrent(node) || needed.count(node) == 0, ModelGraph::place(node),
                        ": a recurrent population cannot be put on a chip yet");
      if (is_keyed(node)) {
        if (needed.count(node) != 0) {
          result.push_back(node);
        } else {
          read_.warnings.push_back(ModelGraph::place(node) + " ('" + key_of(graph_, node) + "')" + kUnused);
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
    read_.network.inputs.push_back({"input" + std::to_string(index), size});
    read_.sources.push_back(value);
    return Signal::of(add_origin(Origin::Kind::kInput, index), size);
  }

  std::int32_t add_origin(Origin::Kind kind, std::size_t index) {
    origins_.push_back({kind, static_cast<std::int32_t>(index)});
    return static_cast<std::int32_t>(origins_.size() - 1);
  }

  // ---- projections -------------------------------------------------------------------------------------------------

  void add_projection(const Node* node) {
    OpenProjection open;
    open.description = projection_description(graph_, node);
    open.weight = node->input(1);
    chip::Projection& p = open.description;
    GRADSPIKE_REQUIRE(!p.name.empty(), ModelGraph::place(node),
                      " has no name: give it projection=\"...\", the name of the projection on the chip");
    resolver_.read_by(node);
    const Signal spikes = resolver_.resolve(node->input(0), p.in_features);
    GRADSPIKE_REQUIRE(spikes.size() == p.in_features, "projection '", p.name, "' has ", p.in_features,
                      " inputs, but is given ", spikes.size(), " neurons");
    p.columns = column_runs(p.name, spikes);
    for (std::size_t k = 0; k < projections_.size(); ++k) {
      if (projections_[k].description.name == p.name) {
        merge(k, open, node);
        return;
      }
    }
    apply_wish(p);
    projections_.push_back(std::move(open));
    const std::size_t index = projections_.size() - 1;
    resolver_.define(node->output(), Signal::of(add_origin(Origin::Kind::kProjection, index),
                                                projections_[index].description.out_features));
  }

  /// A second call with the same name: the same projection where parameter and input are the same.
  void merge(std::size_t existing, const OpenProjection& open, const Node* node) {
    const OpenProjection& first = projections_[existing];
    GRADSPIKE_REQUIRE(same_weight(graph_, first.weight, open.weight), ModelGraph::place(node), ": the name '",
                      open.description.name,
                      "' is given to two projections with different weights: names must be unique in a network");
    GRADSPIKE_REQUIRE(same_transform(first.description, open.description), ModelGraph::place(node), ": projection '",
                      open.description.name,
                      "' is used with two scales, bounds, roundings or units: on the chip it has one of each");
    GRADSPIKE_REQUIRE(same_columns(first.description.columns, open.description.columns), ModelGraph::place(node),
                      ": projection '", open.description.name,
                      "' is applied to two different inputs: a projection on the chip has one, use two");
    for (std::size_t k = 0; k < origins_.size(); ++k) {
      if (origins_[k].kind == Origin::Kind::kProjection && origins_[k].index == static_cast<std::int32_t>(existing)) {
        resolver_.define(node->output(), Signal::of(static_cast<std::int32_t>(k), open.description.out_features));
      }
    }
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
    p.plasticity_period = wish->second.plasticity_period;
    GRADSPIKE_REQUIRE(p.plasticity_rule.empty() || p.receptor != chip::Receptor::kSigned, "projection '", p.name,
                      "': a plasticity rule needs an unsigned projection, got bounds ", p.min_weight, "..",
                      p.max_weight);
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
    std::string name = key_of(graph_, node);
    GRADSPIKE_REQUIRE(resolver_.depends_on_keyed(node->input(0)), ModelGraph::place(node), ": population '", name,
                      "' is driven by an input without a projection between them: neurons on the chip are driven by "
                      "synapses");
    resolver_.read_by(node);
    const Signal input = resolver_.resolve(node->input(0), -1);
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
    const bool fires = population.kind == chip::NeuronKind::kLif;
    read_.network.populations.push_back(std::move(population));
    PopulationValues values;
    const std::size_t first = fires ? 1 : 0;
    values.spikes = fires ? node->output(0) : nullptr;
    values.membrane = node->output(first);
    values.current = node->output(first + 1);
    values.final_state = node->output(first + 2);
    values.reads_membrane = !fires || values.membrane->hasUses();
    values.reads_current = values.current->hasUses();
    values.reads_state = values.final_state->hasUses();
    if (fires) {
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

  // ---- canonical order ---------------------------------------------------------------------------------------------

  /// Topological order of populations, ties by name.
  std::vector<std::int32_t> population_order() const {
    const std::size_t count = read_.network.populations.size();
    std::vector<std::set<std::int32_t>> before(count);
    for (const OpenProjection& p : projections_) {
      for (const chip::ColumnRun& run : p.description.columns) {
        if (run.source.kind == chip::NodeRef::Kind::kPopulation) {
          before[static_cast<std::size_t>(p.description.target)].insert(run.source.index);
        }
      }
    }
    std::vector<std::int32_t> order;
    std::set<std::int32_t> done;
    while (order.size() < count) {
      std::int32_t next = -1;
      for (std::size_t p = 0; p < count; ++p) {
        const bool ready = done.count(static_cast<std::int32_t>(p)) == 0 &&
                           std::includes(done.begin(), done.end(), before[p].begin(), before[p].end());
        if (ready && (next < 0 || read_.network.populations[p].name <
                                      read_.network.populations[static_cast<std::size_t>(next)].name)) {
          next = static_cast<std::int32_t>(p);
        }
      }
      GRADSPIKE_CHECK(next >= 0, "cycle between populations");
      done.insert(next);
      order.push_back(next);
    }
    return order;
  }

  std::vector<std::string> projection_names() const {
    std::vector<std::string> names;
    for (const OpenProjection& p : projections_) {
      names.push_back(p.description.name);
    }
    return names;
  }

  void finish() {
    for (const auto& [name, wish] : options_.projections) {
      const bool found = std::any_of(projections_.begin(), projections_.end(),
                                     [&, n = name](const OpenProjection& p) { return p.description.name == n; });
      GRADSPIKE_REQUIRE(found, "projections: the network has no projection '", name, "'",
                        chip::nearest_text(name, projection_names()));
    }
    const std::vector<std::int32_t> order = population_order();
    std::vector<std::int32_t> place(order.size());
    std::vector<chip::Population> populations;
    std::vector<PopulationValues> values;
    for (std::size_t k = 0; k < order.size(); ++k) {
      place[static_cast<std::size_t>(order[k])] = static_cast<std::int32_t>(k);
      populations.push_back(read_.network.populations[static_cast<std::size_t>(order[k])]);
      values.push_back(read_.populations[static_cast<std::size_t>(order[k])]);
    }
    read_.network.populations = std::move(populations);
    read_.populations = std::move(values);
    for (OpenProjection& p : projections_) {
      if (!p.has_target) {
        read_.warnings.push_back("projection '" + p.description.name +
                                 "' reaches no population and is left out: only host code reads it");
        continue;
      }
      p.description.target = place[static_cast<std::size_t>(p.description.target)];
      for (chip::ColumnRun& run : p.description.columns) {
        if (run.source.kind == chip::NodeRef::Kind::kPopulation) {
          run.source.index = place[static_cast<std::size_t>(run.source.index)];
        }
      }
    }
    std::sort(projections_.begin(), projections_.end(), [](const OpenProjection& a, const OpenProjection& b) {
      return std::pair(a.description.target, a.description.name) < std::pair(b.description.target, b.description.name);
    });
    for (OpenProjection& p : projections_) {
      if (p.has_target) {
        read_.network.projections.push_back(std::move(p.description));
        read_.weights.push_back(p.weight);
      }
    }
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

ReadNetwork read_network(const ModelGraph& graph, const ReadOptions& options) { return Reader(graph, options).read(); }

}  // namespace gradspike::ops
