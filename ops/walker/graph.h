// A scripted model as a graph whose values can be evaluated and replaced: what reading and running on a backend need.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/ir/alias_analysis.h>
#include <torch/csrc/jit/ir/ir.h>

namespace gradspike::ops {

/// A value of the graph that a given tensor replaces: a measured observable, or spikes of an input of the network.
struct Injection {
  const torch::jit::Value* value;
  at::Tensor tensor;
};

/// The inlined graph of a model's forward. `if`s on constants of the model (such as `self.training`) are resolved.
/// Parameters stay those of the module: evaluating sees what training has changed since.
class ModelGraph {
 public:
  explicit ModelGraph(const torch::jit::Module& module);

  const torch::jit::Graph& graph() const { return *graph_; }

  /// Keyed operators that reach no output of the model, with place and key.
  const std::vector<std::string>& removed() const { return removed_; }
  /// Whether `value` depends on an input of the model.
  bool depends_on_input(const torch::jit::Value* value) const;
  /// The first node that changes `value` in place, or null. Wiring and injection take a value to be one tensor for the
  /// whole run. With `reader`, nodes that come before it do not count.
  const torch::jit::Node* writer(const torch::jit::Value* value, const torch::jit::Node* reader = nullptr) const;
  /// Inputs of the model, those that were left out with their defaults. Throws where their number is wrong.
  std::vector<c10::IValue> complete_inputs(std::vector<c10::IValue> inputs) const;
  /// Values that depend on inputs are evaluated on `inputs`, all of them; pass none to evaluate values that depend on
  /// none, or on injected values alone. With `all_traces` the neuron operators give every trace, also those that the
  /// model does not ask for. With `device`, inputs, injected values, parameters and constants are copied there. Throws
  /// Error with one sentence where an operator refuses its arguments. Thread-safe.
  std::vector<c10::IValue> evaluate(const std::vector<const torch::jit::Value*>& values,
                                    const std::vector<c10::IValue>& inputs = {},
                                    const std::vector<Injection>& injections = {}, bool all_traces = false,
                                    std::optional<c10::Device> device = std::nullopt) const;
  c10::IValue evaluate_constant(const torch::jit::Value* value) const;
  /// What the model returns, with measured tensors in the place of the injected values.
  const std::vector<const torch::jit::Value*>& outputs() const { return outputs_; }

  /// Adds what a node reads: its inputs, and what its inner blocks capture and give.
  static void add_operands(const torch::jit::Node* node, std::vector<const torch::jit::Value*>& operands);

  /// "gradspike::lif in model.py:12" for messages: the innermost line that is neither PyTorch's nor of this package.
  static std::string place(const torch::jit::Node* node);

 private:
  torch::jit::Module module_;
  std::shared_ptr<torch::jit::Graph> graph_;
  std::vector<const torch::jit::Value*> outputs_;
  std::unique_ptr<torch::jit::AliasDb> aliases_;
  std::vector<std::string> removed_;
  mutable std::mutex mutex_;  // copying makes values of interest outputs of the graph for a moment
};

}  // namespace gradspike::ops
