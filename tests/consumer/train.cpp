// Trains a saved network for a few steps, then runs it on the emulator with the weights of now.
#include <torch/torch.h>

#include <iostream>

#include "csrc/core/error.h"
#include "gradspike/module.h"

namespace {

/// Random spikes of 4 samples, [time, batch, neuron].
at::Tensor random_spikes(std::int64_t steps, std::int64_t neurons) {
  return (torch::rand({steps, 4, neurons}) < 0.1).to(torch::kFloat);
}

double train(torch::jit::Module& module, const at::Tensor& spikes, const at::Tensor& classes) {
  std::vector<at::Tensor> parameters;
  for (const at::Tensor& parameter : module.parameters()) {
    parameters.push_back(parameter);
  }
  torch::optim::Adam optimizer(parameters, torch::optim::AdamOptions(1e-2));
  double loss = 0.0;
  for (int step = 0; step < 20; ++step) {
    optimizer.zero_grad();
    const at::Tensor value = torch::cross_entropy_loss(module.forward({spikes}).toTensor(), classes);
    value.backward();
    optimizer.step();
    loss = value.item<double>();
  }
  return loss;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const std::string path = argc > 1 ? argv[1] : "net.pt2";
    torch::manual_seed(0);
    torch::jit::Module module = gradspike::deploy::module_of(path);
    const at::Tensor spikes = random_spikes(38, 5);
    std::cout << "loss " << train(module, spikes, torch::tensor({0, 1, 2, 0})) << '\n';

    const auto model = gradspike::deploy::load(path, module);
    const at::Tensor counts = spikes.to(torch::kByte).contiguous();
    gradspike::chip::SpikeTensor input;
    input.type = gradspike::chip::SpikeTensor::Type::kUint8;
    input.data = counts.data_ptr<std::uint8_t>();
    input.steps = 38, input.batch = 4, input.size = 5;
    for (const char* target : {"cpu", "emulator"}) {
      const auto observed = model->run({input}, {target});
      std::cout << target << ": " << observed.events(observed.populations[0].name).size() << " spikes\n";
    }
  } catch (const gradspike::Error& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
  return 0;
}
