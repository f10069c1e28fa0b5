#include "ops/walker/move.h"

#include <ATen/core/grad_mode.h>
#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/ir/constants.h>

namespace gradspike::ops {
namespace {

using torch::jit::Block;
using torch::jit::Node;
using torch::jit::Value;

bool is_number(const at::Tensor& tensor) { return tensor.dim() == 0 && tensor.scalar_type() == at::kDouble; }

/// Whether a node makes a tensor without dimensions, which works on every device from the CPU, and counts there alone
/// as a number.
bool makes_number(const Node* node) {
  if (node->kind() == c10::aten::scalar_tensor || node->kind() == c10::aten::tensor) {
    return true;
  }
  const torch::jit::FunctionSchema* const schema = node->maybeSchema();
  const std::optional<int> size = schema != nullptr ? schema->argumentIndexWithName("size") : std::nullopt;
  if (!size.has_value()) {
    return false;
  }
  const Value* const sizes = node->input(static_cast<std::size_t>(*size));
  const std::optional<c10::IValue> known = torch::jit::toIValue(sizes);
  return known.has_value() ? known->isIntList() && known->toIntVector().empty()
                           : sizes->node()->kind() == c10::prim::ListConstruct && sizes->node()->inputs().empty();
}

}  // namespace

c10::IValue moved(const c10::IValue& value, c10::Device device) {
  if (value.isTensor()) {
    return is_number(value.toTensor()) ? value : value.toTensor().to(device);
  }
  if (value.isModule()) {
    const at::NoGradGuard no_grad;
    torch::jit::Module copy = value.toModule().deepcopy();
    const auto move = [&](at::Tensor tensor) {
      if (!is_number(tensor)) {
        tensor.set_data(tensor.to(device));
      }
    };
    for (const at::Tensor& tensor : copy.parameters()) {
      move(tensor);
    }
    for (const at::Tensor& tensor : copy.buffers()) {
      move(tensor);
    }
    return copy._ivalue();
  }
  return value;
}

void move_constants(Block* block, c10::Device device) {
  const std::vector<Node*> nodes(block->nodes().begin(), block->nodes().end());
  for (Node* node : nodes) {
    for (Block* inner : node->blocks()) {
      move_constants(inner, device);
    }
    if (node->kind() != c10::prim::Constant || node->mustBeNone()) {
      continue;
    }
    const std::optional<c10::IValue> value = torch::jit::toIValue(node->output());
    const bool is_tensor = value.has_value() && value->isTensor() && value->toTensor().dim() > 0;
    if (!is_tensor && !(value.has_value() && value->isDevice())) {
      continue;
    }
    const torch::jit::WithInsertPoint at(node);
    Value* const there = block->owningGraph()->insertConstant(is_tensor ? moved(*value, device) : c10::IValue(device));
    const torch::jit::use_list uses = node->output()->uses();
    for (const torch::jit::Use& use : uses) {
      if (!makes_number(use.user)) {
        use.user->replaceInput(use.offset, there);
      }
    }
  }
}

}  // namespace gradspike::ops
