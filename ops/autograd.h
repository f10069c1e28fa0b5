// Attaches a backward to an operator in its Autograd kernel.
//
// torch::autograd::Function refuses functorch transforms; building its node by hand inside the dispatcher's Autograd
// key, as generated code does, works in eager mode, under torch.compile, torch.func, TorchScript and in C++ programs.
#pragma once

#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/autograd/functions/basic_ops.h>
#include <torch/csrc/autograd/functions/utils.h>

namespace gradspike::ops {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// An operator by name, to be called through the dispatcher.
template <class Signature>
auto typed(const char* name) {
  return c10::Dispatcher::singleton().findSchemaOrThrow(name, "").typed<Signature>();
}

/// Whether a backward must be recorded. Refuses forward-mode differentiation, which would silently give zero tangents.
inline bool needs_backward(const char* op, const variable_list& inputs) {
  for (const at::Tensor& input : inputs) {
    TORCH_CHECK_NOT_IMPLEMENTED(!torch::autograd::isFwGradDefined(input), op,
                                ": forward-mode differentiation is not supported, use reverse mode");
  }
  return at::GradMode::is_enabled() && torch::autograd::any_variable_requires_grad(inputs);
}

/// Node whose backward is T::backward(AutogradContext*, variable_list), one gradient per entry of `inputs`.
template <class T>
class BackwardNode {
 public:
  explicit BackwardNode(const variable_list& inputs)
      : node_(new torch::autograd::CppNode<T>(), torch::autograd::deleteNode) {
    node_->set_ctx_grad_fn(node_);
    node_->is_variable_input_.assign(inputs.size(), true);
    node_->set_next_edges(torch::autograd::collect_next_edges(inputs));
    node_->ctx_.set_materialize_grads(false);
  }

  AutogradContext& context() { return node_->ctx_; }

  /// Registers differentiable outputs, in the order in which T::backward receives their gradients.
  void outputs(const variable_list& tensors) {
    for (const at::Tensor& tensor : tensors) {
      torch::autograd::set_history(tensor, node_);
      node_->output_info_.emplace_back(tensor);
    }
  }

  /// After outputs(): an output may be among the saved tensors.
  void save(variable_list tensors) {
    node_->ctx_.save_for_backward(std::move(tensors));
    node_->save_variables_to_ctx();
  }

 private:
  std::shared_ptr<torch::autograd::CppNode<T>> node_;
};

/// Marks the results of a backward operator: differentiating them again raises instead of giving zeros.
inline void refuse_double_backward(const char* op, const variable_list& inputs, const variable_list& results) {
  if (!needs_backward(op, inputs)) {
    return;
  }
  auto node = std::shared_ptr<torch::autograd::NotImplemented>(
      new torch::autograd::NotImplemented(std::string("the second derivative of ") + op), torch::autograd::deleteNode);
  node->set_next_edges(torch::autograd::collect_next_edges(inputs));
  for (const at::Tensor& result : results) {
    if (result.defined()) {
      torch::autograd::set_history(result, node);
    }
  }
}

}  // namespace gradspike::ops
