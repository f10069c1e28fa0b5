// Loads a TorchScript model that uses gradspike operators; no symbol of gradspike is named here.
#include <torch/script.h>

#include <iostream>

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: run_torchscript net.pt\n";
    return 2;
  }
  torch::jit::Module model = torch::jit::load(argv[1]);
  at::Tensor spikes = torch::zeros({38, 2, 5});
  spikes.index_put_({torch::tensor({2, 5, 9}), torch::tensor({0, 1, 1}), torch::tensor({0, 3, 4})}, 1.0);
  const at::Tensor output = model.forward({spikes}).toTensor();
  std::cout << "output " << output.sizes() << " finite " << output.isfinite().all().item<bool>() << '\n';
  return 0;
}
