// What starts programs, loads libraries or opens files must not be called by the graph of a model: a file that is
// opened runs parts of its graph, already while PyTorch loads it.
#pragma once

#include <torch/csrc/jit/runtime/interpreter.h>

#include "csrc/core/error.h"

namespace gradspike::ops {

/// Throws where TorchScript's interpreter calls.
inline void require_outside_of_graphs(const char* what) {
  GRADSPIKE_REQUIRE(torch::jit::currentCallstack().empty(), what, " is for programs: a model must not call it");
}

}  // namespace gradspike::ops
