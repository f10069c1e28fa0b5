// Programs of torch.export, the `.pt2` files that gradspike.export writes, as modules that C++ runs, reads and trains.
//
// The graph of a program is a list of operator calls on parameters, constants and inputs. Here it becomes the forward
// of a TorchScript module, so that both kinds of files have one reader and one way to run.
#pragma once

#include <torch/csrc/jit/api/module.h>

#include <string>

namespace caffe2::serialize {
class PyTorchStreamReader;
}

namespace gradspike::ops {

/// Whether an archive holds a program.
bool holds_program(caffe2::serialize::PyTorchStreamReader& reader);

/// The module of a program. Throws with one sentence for native code, for what is no operator call, and for a file that
/// contradicts itself.
torch::jit::Module module_of_program(caffe2::serialize::PyTorchStreamReader& reader);

}  // namespace gradspike::ops
