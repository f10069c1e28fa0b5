// The PyTorch module of a saved network, for C++ programs that train it or run it with PyTorch.
//
//   torch::jit::Module module = gradspike::deploy::module_of("net.pt2");      // or "net.pt"
//   ... module.forward({spikes}), loss.backward(), module.parameters() ...
//   auto model = gradspike::deploy::load("net.pt2", module);                  // with the parameters of now
//
// Needs libgradspike.so; link gradspike::gradspike.
#pragma once

#include <torch/csrc/jit/api/module.h>

#include <memory>
#include <string>

#include "gradspike/deploy.h"

namespace gradspike::deploy {

/// The module of a TorchScript archive or of a program of torch.export, on the CPU. Throws gradspike::Error with one
/// sentence for a damaged or foreign file.
torch::jit::Module module_of(const std::string& path);

/// The network of a file with the present parameters of its module. Integers that differ from the stored ones are among
/// its warnings.
std::shared_ptr<Model> load(const std::string& path, const torch::jit::Module& module);

}  // namespace gradspike::deploy
