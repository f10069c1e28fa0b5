// A graph and its values on another device.
#pragma once

#include <ATen/core/ivalue.h>
#include <torch/csrc/jit/ir/ir.h>

namespace gradspike::ops {

/// A value on a device: tensors copied where they are elsewhere, of a module all that it holds. Neurons take a 0-dim
/// float64 tensor on the CPU for a number: it stays one.
c10::IValue moved(const c10::IValue& value, c10::Device device);

/// Tensors and devices that the source or an export has fixed, except where they belong to numbers.
void move_constants(torch::jit::Block* block, c10::Device device);

}  // namespace gradspike::ops
