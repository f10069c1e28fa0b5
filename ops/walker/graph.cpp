#include "ops/walker/graph.h"

#include <ATen/core/grad_mode.h>
#include <torch/csrc/jit/ir/constants.h>
#include <torch/csrc/jit/passes/constant_propagation.h>
#include <torch/csrc/jit/passes/dead_code_elimination.h>
#include <torch/csrc/jit/passes/inliner.h>
#include <torch/csrc/jit/passes/lower_tuples.h>
#include <torch/csrc/jit/passes/remove_mutation.h>
#include <torch/csrc/jit/runtime/interpreter.h>

#include <algorithm>
#include <set>
#include <sstream>
#include <string_view>
#include <unordered_set>

#include "csrc/core/error.h"
#include "ops/walker/move.h"
#include "ops/walker/needed_nodes.h"
#include "ops/walker/operators.h"

namespace gradspike::ops {
namespace {

using torch::jit::Block;
using torch::jit::Graph;
using torch::jit::Node;
using torch::jit::Value;

void collect_attributes(Block* block, std::set<std::string>& read, std::vector<Node*>& assignments) {
  for (Node* node : block->nodes()) {
    if (node->kind() == c10::prim::SetAttr) {
      assignments.push_back(node);
    } else if (node->kind() == c10::prim::GetAttr) {
      read.insert(node->s(c10::attr::name));
    }
    for (Block* inner : node->blocks()) {
      collect_attributes(inner, read, assignments);
    }
  }
}

/// A file is opened to be read: a graph that reads or writes others, which an evaluation of its weights would run, is
/// refused.
void refuse_files(const Block* block) {
  for (const Node* node : block->nodes()) {
    const std::string_view name = node->kind().toQualString();
    GRADSPIKE_REQUIRE(name != "aten::from_file" && name != "aten::save", ModelGraph::place(node),
                      " reads or writes files, which a network must not");
    for (const Block* inner : node->blocks()) {
      refuse_files(inner);
    }
  }
}

/// A model may keep results in attributes, which a run of the graph leaves out. State that it reads again is refused:
/// running, evaluating and reading would each see another value.
void remove_assignments(Graph& graph) {
  std::set<std::string> read;
  std::vector<Node*> assignments;
  collect_attributes(graph.block(), read, assignments);
  for (Node* node : assignments) {
    const std::string& name = node->s(c10::attr::name);
    GRADSPIKE_REQUIRE(read.count(name) == 0, "the model reads and assigns its attribute '", name,
                      "' while it runs: a network that is read has no state from one run to the next");
    node->destroy();
  }
}

/// Attributes that are no tensors, modules or objects become constants, so that `if self.training` can be resolved.
void fold_attributes(Block* block, const torch::jit::Module& module) {
  std::vector<Node*> nodes(block->nodes().begin(), block->nodes().end());
  for (Node* node : nodes) {
    for (Block* inner : node->blocks()) {
      fold_attributes(inner, module);
    }
    if (node->kind() != c10::prim::GetAttr) {
      continue;
    }
    std::vector<std::string> path = {node->s(c10::attr::name)};
    const Value* owner = node->input(0);
    while (owner->node()->kind() == c10::prim::GetAttr) {
      path.push_back(owner->node()->s(c10::attr::name));
      owner = owner->node()->input(0);
    }
    if (owner != block->owningGraph()->inputs().at(0)) {
      continue;
    }
    c10::IValue value = module._ivalue();
    for (auto name = path.rbegin(); name != path.rend(); ++name) {
      value = value.toObject()->getAttr(*name);
    }
    if (value.isBool() || value.isInt() || value.isDouble() || value.isString() || value.isNone()) {
      const torch::jit::WithInsertPoint at(node);
      Value* constant = block->owningGraph()->insertConstant(value);
      if (value.isNone()) {
        constant->setType(node->output()->type());
      }
      node->output()->replaceAllUsesWith(constant);
      node->destroy();
    }
  }
}

/// Replaces the `outputs` of neuron operators. The traces that are not asked for cost nothing, so a model asks for few.
void ask_for_all_traces(Graph& graph) {
  for (Node* node : graph.nodes()) {
    if (is_population(node)) {
      const torch::jit::WithInsertPoint at(node);
      const auto argument = node->schema().argumentIndexWithName("outputs");
      node->replaceInput(static_cast<std::size_t>(argument.value()), graph.insertConstant(all_traces(node)));
    }
  }
}

/// Place and key of every keyed operator, for messages.
std::vector<std::string> keyed_places(const Graph& graph) {
  std::vector<std::string> places;
  for (const Node* node : graph.nodes()) {
    if (!is_keyed(node)) {
      continue;
    }
    const auto key = torch::jit::toIValue(argument_of(node, key_argument(node)));
    places.push_back(ModelGraph::place(node) +
                     (key.has_value() && key->isString() ? " ('" + key->toStringRef() + "')" : ""));
  }
  return places;
}

/// A copy in evaluation mode that shares the parameters; the module itself where it is in evaluation mode already.
torch::jit::Module evaluation_copy(const torch::jit::Module& module) {
  for (const torch::jit::Module& part : module.modules()) {
    if (part.hasattr("training") && part.is_training()) {
      torch::jit::Module copy = module.clone(/*inplace=*/true);  // shares tensors, not the mode
      copy.eval();
      return copy;
    }
  }
  return module;
}

/// Whether a line belongs to PyTorch, to the modules of this package, or to code that a program was turned into.
bool is_library(const std::string& line) {
  for (const char* part :
       {"/torch/", "/gradspike/nn/", "/gradspike/functional/", "<eval_with_key>", "code/gradspike.py"}) {
    if (line.find(part) != std::string::npos) {
      return true;
    }
  }
  return false;
}

/// "file:line" of a place in the source of a model.
std::string line_of(const torch::jit::SourceRange& range) {
  const auto at = range.file_line_col();
  if (!at.has_value()) {
    return "";
  }
  const std::string found = std::get<0>(*at) + ":" + std::to_string(std::get<1>(*at));
  if (!is_library(found)) {
    return found;
  }
  // A traced node lies in PyTorch's own code; its source text is the Python stack, lines of "file(line): function".
  std::istringstream stack(range.source()->text_str().str());
  for (std::string line; std::getline(stack, line);) {
    const std::size_t open = line.rfind('(');
    const std::size_t close = line.find("): ", open == std::string::npos ? 0 : open);
    if (open != std::string::npos && close != std::string::npos && !is_library(line)) {
      return line.substr(0, open) + ":" + line.substr(open + 1, close - open - 1);
    }
  }
  return found;
}

/// Path of the module whose code a node is, "layers.2"; empty for the model itself and where the graph does not say.
std::string module_of(const Node* node) {
  if (const auto calls = node->callstack(); calls.has_value()) {
    std::string path;
    for (const torch::jit::InlinedCallStackEntry& call : (*calls)->vec()) {  // the outermost call first
      const auto& module = std::get<torch::jit::kModuleInstanceInfo>(call);
      if (module.has_value() && !module->instance_name().empty() && module->instance_name() != "SELF" &&
          module->instance_name() != "INSTANCE_NAME_UNKNOWN") {
        path += (path.empty() ? "" : ".") + module->instance_name();
      }
    }
    return path;
  }
  constexpr std::string_view kRoot = "__module.";  // a traced node has the paths of all modules around it
  const std::string scopes = node->scopeName();
  const std::string last = scopes.substr(scopes.rfind('/') + 1);
  return last.rfind(kRoot, 0) == 0 ? last.substr(kRoot.size()) : "";
}

/// The sentence in what the interpreter throws: it wraps the message of an operator in a trace of several lines.
std::string sentence_of(const std::string& text) {
  for (const std::string mark : {"\nRuntimeError: ", "\nbuiltins.RuntimeError: ", "\nbuiltins."}) {
    const std::size_t found = text.find(mark);
    if (found != std::string::npos) {
      const std::size_t start = found + mark.size();
      std::string sentence = text.substr(start, text.find('\n', start) - start);
      sentence.erase(sentence.find_last_not_of(": ") + 1);
      return sentence;  // of `assert` the kind of the exception alone
    }
  }
  return text.substr(0, text.find('\n'));
}

}  // namespace

ModelGraph::ModelGraph(const torch::jit::Module& module) : module_(evaluation_copy(module)) {
  const auto method = module_.find_method("forward");
  GRADSPIKE_REQUIRE(method.has_value(), "the model has no forward method");
  graph_ = method->graph()->copy();
  torch::jit::Inline(*graph_);
  refuse_files(graph_->block());
  remove_assignments(*graph_);
  fold_attributes(graph_->block(), module_);
  std::vector<std::string> keyed = keyed_places(*graph_);
  torch::jit::ConstantPropagationImmutableTypes(graph_);
  torch::jit::LowerSimpleTuples(graph_);
  torch::jit::RemoveTensorMutation(graph_);  // `a += b` is wiring like `a + b`
  outputs_.assign(graph_->outputs().begin(), graph_->outputs().end());
  aliases_ = std::make_unique<torch::jit::AliasDb>(graph_);
  // The passes above remove what no output needs; the user is told which keyed operators that were.
  for (const std::string& kept : keyed_places(*graph_)) {
    const auto found = std::find(keyed.begin(), keyed.end(), kept);
    if (found != keyed.end()) {
      keyed.erase(found);
    }
  }
  removed_ = std::move(keyed);
}

void ModelGraph::add_operands(const Node* node, std::vector<const Value*>& operands) {
  operands.insert(operands.end(), node->inputs().begin(), node->inputs().end());
  for (const Block* block : node->blocks()) {
    operands.insert(operands.end(), block->outputs().begin(), block->outputs().end());
    for (const Node* inner : block->nodes()) {
      add_operands(inner, operands);
    }
  }
}

const Node* ModelGraph::writer(const Value* value, const Node* reader) const {
  if (!aliases_->hasWriters(value)) {
    return nullptr;
  }
  for (Node* node : graph_->nodes()) {
    const torch::jit::ValueSet written = {value};
    if (aliases_->writesToAlias(node, written) && (reader == nullptr || !node->isBefore(reader))) {
      return node;
    }
  }
  return nullptr;
}

std::vector<c10::IValue> ModelGraph::complete_inputs(std::vector<c10::IValue> inputs) const {
  const std::vector<c10::Argument>& arguments = module_.get_method("forward").function().getSchema().arguments();
  const std::size_t expected = graph_->inputs().size() - 1;  // the first is the module
  const std::size_t given = inputs.size();
  while (inputs.size() < expected && arguments.at(inputs.size() + 1).default_value().has_value()) {
    inputs.push_back(*arguments.at(inputs.size() + 1).default_value());
  }
  GRADSPIKE_REQUIRE(inputs.size() == expected, "the model takes ", expected, expected == 1 ? " input" : " inputs",
                    ", got ", given);
  for (std::size_t k = 0; k < inputs.size(); ++k) {
    const c10::TypePtr& type = arguments.at(k + 1).type();
    GRADSPIKE_REQUIRE(inputs[k].type()->isSubtypeOf(*type), "input ", k, " of the model must be ",
                      type->annotation_str(), ", got ", inputs[k].type()->annotation_str());
  }
  for (std::size_t k = 0; k < inputs.size(); ++k) {  // a run evaluates host code twice: the caller's tensors stay
    if (inputs[k].isTensor() && aliases_->hasWriters(graph_->inputs().at(k + 1))) {
      inputs[k] = inputs[k].toTensor().clone();
    }
  }
  return inputs;
}

bool ModelGraph::depends_on_input(const Value* value) const {
  std::vector<const Value*> open = {value};
  std::unordered_set<const Value*> seen;
  while (!open.empty()) {
    const Value* v = open.back();
    open.pop_back();
    if (!seen.insert(v).second) {
      continue;
    }
    if (v->node()->kind() == c10::prim::Param) {  // the inputs of inner blocks come from inputs of their node
      if (v->node()->owningBlock() == graph_->block() && v != graph_->inputs().at(0)) {
        return true;
      }
      continue;
    }
    add_operands(v->node(), open);
  }
  return false;
}

std::vector<c10::IValue> ModelGraph::evaluate(const std::vector<const Value*>& values,
                                              const std::vector<c10::IValue>& inputs,
                                              const std::vector<Injection>& injections, bool all_traces,
                                              std::optional<c10::Device> device) const {
  // Copying a graph keeps the order of its outputs alone: the values of interest are made outputs, and the injected
  // ones too, so that they can be found in the copy.
  std::shared_ptr<Graph> copy;
  const std::size_t original = outputs_.size();
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (const Value* value : values) {
      graph_->registerOutput(const_cast<Value*>(value));
    }
    for (const Injection& injection : injections) {
      graph_->registerOutput(const_cast<Value*>(injection.value));
    }
    copy = graph_->copy();
    while (graph_->outputs().size() > original) {
      graph_->eraseOutput(graph_->outputs().size() - 1);
    }
  }
  std::vector<c10::IValue> stack = {module_._ivalue()};
  for (std::size_t k = 1; k < copy->inputs().size(); ++k) {
    stack.push_back(k <= inputs.size() ? inputs[k - 1] : c10::IValue());
  }
  for (const Injection& injection : injections) {
    const std::size_t at = original + values.size();
    Value* replaced = copy->outputs().at(at);
    copy->eraseOutput(at);
    replaced->replaceAllUsesWith(copy->addInput());
    stack.emplace_back(injection.tensor);
  }
  for (std::size_t k = 0; k < original; ++k) {
    copy->eraseOutput(0);
  }
  if (all_traces) {
    ask_for_all_traces(*copy);
  }
  if (inputs.empty()) {
    keep_what_outputs_need(copy);
  } else {
    torch::jit::EliminateDeadCode(copy);
  }
  const at::NoGradGuard no_grad;
  if (device.has_value()) {
    move_constants(copy->block(), *device);
    for (c10::IValue& value : stack) {
      value = moved(value, *device);
    }
  }
  try {
    const torch::jit::Code code(copy, "gradspike");
    torch::jit::InterpreterState(code).run(stack);
  } catch (const std::exception& error) {
    throw Error(sentence_of(error.what()));
  }
  return stack;
}

c10::IValue ModelGraph::evaluate_constant(const Value* value) const { return evaluate({value}).at(0); }

std::string ModelGraph::place(const Node* node) {
  const std::string kind = node->kind().toQualString();
  std::string line = line_of(node->sourceRange());
  if (const auto calls = node->callstack(); is_library(line) && calls.has_value()) {
    for (const torch::jit::InlinedCallStackEntry& call : (*calls)->vec()) {  // the outermost call first
      const std::string found = line_of(std::get<1>(call));
      line = found.empty() || is_library(found) ? line : found;
    }
  }
  if (!line.empty() && !is_library(line)) {
    return kind + " in " + line;
  }
  const std::string module = module_of(node);
  return module.empty() ? kind : kind + " in module '" + module + "'";
}

}  // namespace gradspike::ops
