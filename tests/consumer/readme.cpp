// The C++ lines of README.md in a program.
#include <cstdint>
#include <iostream>
#include <vector>

#include "gradspike/deploy.h"

int main() {
  std::vector<std::uint8_t> counts(38 * 5, 0);
  counts[2 * 5] = counts[3 * 5 + 1] = 1;
  gradspike::chip::SpikeTensor spikes;
  spikes.type = gradspike::chip::SpikeTensor::Type::kUint8;
  spikes.data = counts.data();
  spikes.steps = 38;
  spikes.batch = 1;
  spikes.size = 5;

  // --8<-- [start:run]
  const auto model = gradspike::deploy::load("net.pt");  // or net.json, which needs no PyTorch
  std::cout << model->check().text();
  const auto observed = model->run({spikes});  // on GRADSPIKE_BACKEND, else on the emulator
  for (const auto& event : observed.events("hidden")) {
    std::cout << event.step << ' ' << event.batch << ' ' << event.neuron << '\n';
  }
  // --8<-- [end:run]
}
