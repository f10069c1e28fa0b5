// gradspike-run: loads a saved network, runs spikes through it, writes spikes. No Python.
#include <CLI/CLI.hpp>

#include <algorithm>
#include <iostream>
#include <new>

#include "csrc/core/error.h"
#include "gradspike/deploy.h"
#include "ops/host/listing.h"
#include "ops/host/spike_csv.h"

namespace {

struct Arguments {
  std::string path;
  std::vector<std::string> spikes;
  std::string output;
  std::string membrane;
  std::string population;
  std::string target;
  std::string preset = "ideal";
  std::uint64_t seed = 0;
  std::int64_t steps = 0;
  std::int64_t batch = 0;
  bool list = false;
  bool json = false;
  bool check = false;
};

/// The population that is written where none is named: the last that fires; "" where none does.
std::string last_spiking(const gradspike::chip::Network& network) {
  for (auto population = network.populations.rbegin(); population != network.populations.rend(); ++population) {
    if (population->kind == gradspike::chip::NeuronKind::kLif) {
      return population->name;
    }
  }
  return "";
}

std::vector<gradspike::host::DenseSpikes> read_inputs(const Arguments& arguments,
                                                      const gradspike::chip::Network& network) {
  GRADSPIKE_REQUIRE(arguments.spikes.size() == network.inputs.size(),
                    "--spikes must be given once per input of the network, ", network.inputs.size(), " times, got ",
                    arguments.spikes.size());
  std::vector<gradspike::host::SpikeLines> read;
  std::int64_t steps = 0;
  std::int64_t batch = 0;
  for (std::size_t k = 0; k < arguments.spikes.size(); ++k) {
    read.push_back(gradspike::host::read_spikes(arguments.spikes[k], network.inputs[k].size));
    steps = std::max(steps, read.back().steps());
    batch = std::max(batch, read.back().batch());
  }
  const std::int64_t of_card = network.model_card.steps;
  steps = arguments.steps > 0 ? arguments.steps : (of_card > 0 ? of_card : steps);
  batch = arguments.batch > 0 ? arguments.batch : batch;
  std::vector<gradspike::host::DenseSpikes> inputs;
  inputs.reserve(read.size());
  for (const gradspike::host::SpikeLines& lines : read) {
    inputs.emplace_back(lines, steps, batch);
  }
  return inputs;
}

/// Only what fires has spikes to write.
void require_fires(const gradspike::chip::Network& network, const std::string& name) {
  const auto index = static_cast<std::size_t>(network.population(name));
  GRADSPIKE_REQUIRE(network.populations[index].kind == gradspike::chip::NeuronKind::kLif, "population '", name,
                    "' is a leaky integrator and sends no spikes: use --membrane");
}

void write_observed(const Arguments& arguments, const gradspike::chip::Observables& observed,
                    const std::string& population) {
  std::string seen = "membranes";
  if (!population.empty()) {
    const std::int64_t written = gradspike::host::write_spikes(arguments.output, observed, population);
    seen = std::to_string(written) + " spikes of population '" + population + "'";
  }
  if (!arguments.membrane.empty()) {
    gradspike::host::write_membranes(arguments.membrane, observed);
  }
  std::cerr << "target " << observed.target << ": " << seen << ", "
            << observed.counters.spikes_lost + observed.counters.events_dropped << " lost\n";
}

int run(const Arguments& arguments) {
  const auto model = gradspike::deploy::load(arguments.path);
  for (const std::string& warning : model->warnings()) {
    std::cerr << "warning: " << warning << '\n';
  }
  if (arguments.list || (arguments.json && !arguments.check)) {
    std::cout << (arguments.json ? gradspike::host::listing_json(*model) : gradspike::host::listing_text(*model));
  }
  if (arguments.check) {
    const gradspike::chip::Report report = model->check();
    std::cout << (arguments.json ? report.to_json() + "\n" : report.text());
    return report.exit_code();
  }
  if (arguments.spikes.empty()) {
    GRADSPIKE_REQUIRE(arguments.list || arguments.json, "nothing to do: give --spikes, --list, --json or --check");
    return 0;
  }
  if (!arguments.population.empty()) {
    require_fires(model->network(), arguments.population);
  }
  const std::string population = arguments.population.empty() ? last_spiking(model->network()) : arguments.population;
  GRADSPIKE_REQUIRE(!population.empty() || !arguments.membrane.empty(), "network '", model->network().name,
                    "' has no population that fires, only leaky integrators: give --membrane");
  const std::vector<gradspike::host::DenseSpikes> inputs = read_inputs(arguments, model->network());
  std::vector<gradspike::chip::SpikeTensor> tensors;
  for (const gradspike::host::DenseSpikes& input : inputs) {
    tensors.push_back(input.tensor());
  }
  gradspike::deploy::Options options;
  options.target = arguments.target;
  options.preset = arguments.preset;
  options.seed = arguments.seed;
  const gradspike::chip::Observables observed = model->run(tensors, options);
  write_observed(arguments, observed, population);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  Arguments arguments;
  CLI::App app{"Runs a saved gradspike network without Python."};
  app.add_option("network", arguments.path, "saved network: net.pt, net.pt2 or net.json")->required();
  app.add_option("--spikes", arguments.spikes, "input spikes, CSV step,batch,neuron[,count]; once per input");
  app.add_option("--output", arguments.output, "where to write spikes, CSV; default: standard output");
  app.add_option("--membrane", arguments.membrane, "where to write membranes of leaky integrators, CSV");
  app.add_option("--population", arguments.population,
                 "whose spikes to write; default: the last population that fires");
  app.add_option("--target", arguments.target,
                 "cpu, or a backend such as emulator; default: GRADSPIKE_BACKEND or emulator");
  app.add_option("--preset", arguments.preset, "preset of the backend");
  app.add_option("--seed", arguments.seed, "seed of the backend");
  app.add_option("--steps", arguments.steps, "time steps; default: those of the model card, else of the input");
  app.add_option("--batch", arguments.batch, "batch entries; default: up to the last one with a spike");
  app.add_flag("--list", arguments.list, "print projections and model card as a table");
  app.add_flag("--json", arguments.json, "print them, or the report of --check, as JSON");
  app.add_flag("--check", arguments.check,
               "print whether the network fits the chip; exit code 0 fits, 1 with losses, 2 not");
  try {
    app.parse(argc, argv);
    return run(arguments);
  } catch (const CLI::CallForHelp& help) {
    return app.exit(help);
  } catch (const std::bad_alloc&) {
    std::cerr << "gradspike-run: there is not enough memory for these spikes\n";
  } catch (const std::exception& error) {
    std::cerr << "gradspike-run: " << error.what() << '\n';
  }
  return 3;
}
