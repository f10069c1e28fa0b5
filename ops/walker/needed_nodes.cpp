#include "ops/walker/needed_nodes.h"

#include <torch/csrc/jit/ir/alias_analysis.h>

#include <algorithm>
#include <iterator>
#include <unordered_set>
#include <vector>

#include "csrc/core/error.h"
#include "ops/walker/graph.h"

namespace gradspike::ops {
namespace {

using torch::jit::Block;
using torch::jit::Graph;
using torch::jit::Node;
using torch::jit::Value;

/// Whether a node, or one in its blocks, changes anything in place.
bool writes(const Node* node) {
  for (const Block* block : node->blocks()) {
    for (const Node* inner : block->nodes()) {
      if (writes(inner)) {
        return true;
      }
    }
  }
  const c10::FunctionSchema* schema = node->maybeSchema();
  return schema != nullptr && schema->is_mutable();
}

/// Nodes that values are computed from.
class NeededNodes {
 public:
  explicit NeededNodes(const std::shared_ptr<Graph>& graph) : graph_(graph) {
    add({graph->outputs().begin(), graph->outputs().end()});
    add_writers();
  }
  bool contains(const Node* node) const { return nodes_.count(node) > 0; }

 private:
  void add(std::vector<const Value*> open) {
    while (!open.empty()) {
      const Node* node = open.back()->node();
      open.pop_back();
      if (nodes_.insert(node).second) {
        ModelGraph::add_operands(node, open);
      }
    }
  }

  /// What changes a needed value in place, through a view or a list too.
  void add_writers() {
    std::vector<Node*> open;
    std::copy_if(graph_->nodes().begin(), graph_->nodes().end(), std::back_inserter(open),
                 [this](const Node* node) { return !contains(node) && writes(node) && !reads_input(node); });
    if (open.empty()) {
      return;
    }
    const torch::jit::AliasDb aliases(graph_);
    for (bool found = true; found;) {
      found = false;
      for (Node* node : open) {
        if (!contains(node) && aliases.writesToAlias(node, values(/*attributes=*/false))) {
          GRADSPIKE_REQUIRE(!aliases.writesToAlias(node, values(/*attributes=*/true)), ModelGraph::place(node),
                            " changes a parameter or buffer of the model in place while it runs: a network that is "
                            "read has no state from one run to the next");
          std::vector<const Value*> operands;
          ModelGraph::add_operands(node, operands);
          nodes_.insert(node);
          add(std::move(operands));
          found = true;
        }
      }
    }
  }

  /// What needed values are computed from does not depend on the input; alias analysis takes inputs and parameters for
  /// the same memory.
  bool reads_input(const Node* node) const {
    std::vector<const Value*> open;
    ModelGraph::add_operands(node, open);
    std::unordered_set<const Value*> seen;
    while (!open.empty()) {
      const Value* value = open.back();
      open.pop_back();
      if (value->node() == graph_->param_node()) {
        if (value != graph_->inputs().at(0)) {
          return true;
        }
      } else if (seen.insert(value).second) {
        ModelGraph::add_operands(value->node(), open);
      }
    }
    return false;
  }

  torch::jit::ValueSet values(bool attributes) const {
    torch::jit::ValueSet result;
    for (const Node* node : nodes_) {
      if (node->kind() != c10::prim::Param && (!attributes || node->kind() == c10::prim::GetAttr)) {
        for (const Value* output : node->outputs()) {
          if (output->type()->kind() != c10::TypeKind::ClassType) {
            result.insert(output);
          }
        }
      }
    }
    return result;
  }

  std::shared_ptr<Graph> graph_;
  std::unordered_set<const Node*> nodes_;
};

}  // namespace

void keep_what_outputs_need(const std::shared_ptr<Graph>& graph) {
  const NeededNodes needed(graph);
  std::vector<Node*> nodes(graph->nodes().begin(), graph->nodes().end());
  for (auto node = nodes.rbegin(); node != nodes.rend(); ++node) {
    if (!needed.contains(*node)) {
      (*node)->destroy();
    }
  }
}

}  // namespace gradspike::ops
