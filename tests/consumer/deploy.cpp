// Loads a saved network, checks it and runs it on the emulator.
#include <cstdint>
#include <iostream>
#include <vector>

#include "csrc/core/error.h"
#include "gradspike/deploy.h"

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: deploy net.pt|net.json\n";
    return 2;
  }
  try {
    const auto model = gradspike::deploy::load(argv[1]);
    std::vector<std::uint8_t> counts(38 * 5, 0);
    counts[2 * 5 + 0] = counts[3 * 5 + 1] = counts[3 * 5 + 4] = 1;
    gradspike::chip::SpikeTensor spikes;
    spikes.type = gradspike::chip::SpikeTensor::Type::kUint8;
    spikes.data = counts.data();
    spikes.steps = 38;
    spikes.batch = 1;
    spikes.size = 5;
    const auto observed = model->run({spikes});
    std::cout << "target " << observed.target << " exit code of the report " << model->check().exit_code() << '\n';
    for (const auto& population : observed.populations) {
      std::cout << population.name << ' ' << observed.events(population.name).size() << '\n';
    }
  } catch (const gradspike::Error& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
  return 0;
}
