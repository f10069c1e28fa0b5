// A scripted model as a graph whose values can be evaluated and replaced: what reading and running on a backend need.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/ir/ir.h>

namespace gradspike::ops {

/// Values of keyed operators that measured tensors replace.
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
  std::size_t num_inputs() const { return graph_->inputs().size() - 1; }
  /// Input k of the model, without the module itself.
  const torch::jit::Value* input(std::size_t k) const { return graph_->inputs().at(k + 1); }

  /// Whether `value` depends on an input of the model.
  bool depends_on_input(const torch::jit::Value* value) const;
  /// Values that depend on inputs are evaluated on `inputs`; pass none to evaluate values that depend on none. With
  /// `all_traces` the neuron operators give every trace, also those that the model does not ask for.
  std::vector<c10::IValue> evaluate(const std::vector<const torch::jit::Value*>& values,
                                    const std::vector<c10::IValue>& inputs = {},
                                    const std::vector<Injection>& injections = {}, bool all_traces = false) const;
  c10::IValue evaluate_constant(const torch::jit::Value* value) const;
  /// What the model returns, with measured tensors in the place of the injected values.
  std::vector<const torch::jit::Value*> outputs() const;

  /// "gradspike::lif in model.py:12" for messages.
  static std::string place(const torch::jit::Node* node);

 private:
  torch::jit::Module module_;
  std::shared_ptr<torch::jit::Graph> graph_;
};

}  // namespace gradspike::ops
