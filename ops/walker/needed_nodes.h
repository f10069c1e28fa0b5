// What a graph computes its outputs from.
#pragma once

#include <torch/csrc/jit/ir/ir.h>

#include <memory>

namespace gradspike::ops {

/// Removes every top-level node that no output needs, those with side effects (checks on the input) included. What
/// changes a needed value in place is needed; throws where that is a parameter or buffer of the model.
void keep_what_outputs_need(const std::shared_ptr<torch::jit::Graph>& graph);

}  // namespace gradspike::ops
