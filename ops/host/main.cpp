// gradspike-run: loads a saved network, runs spikes through it, writes spikes. No Python.
#include <CLI/CLI.hpp>

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <iostream>
#include <new>
#include <optional>

#include "csrc/chip/names.h"
#include "csrc/core/error.h"
#include "gradspike/deploy.h"
#include "ops/host/listing.h"
#include "ops/host/npy.h"
#include "ops/host/outcome.h"
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
  std::string result;
  std::string map;
  std::vector<std::string> verify;
  std::uint64_t seed = 0;
  std::int64_t steps = 0;
  std::int64_t batch = 0;
  bool list = false;
  bool json = false;
  bool check = false;
  bool allow_native_code = false;
};

/// What is wrong with the text of a count, or nothing. CLI11 itself takes -1 for a large number.
std::string whole_number(const std::string& text) {
  const bool digits = !text.empty() && text.size() < 19 && text.find_first_not_of("0123456789") == std::string::npos;
  return digits ? "" : "must be a whole number from 0, got '" + text + "'";
}

/// One line that says what is going on, where someone looks at it.
class Progress {
 public:
  Progress() : terminal_(isatty(STDERR_FILENO) == 1) {}
  ~Progress() { say(""); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void say(const std::string& text) const {
    if (terminal_) {
      std::cerr << "\r\x1b[K" << text << (text.empty() ? "" : " ...") << std::flush;
    }
  }

 private:
  bool terminal_;
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

/// Arrays have their own numbers of steps and batch entries.
std::vector<gradspike::host::DenseSpikes> read_arrays(const Arguments& arguments,
                                                      const gradspike::chip::Network& network) {
  GRADSPIKE_REQUIRE(arguments.steps == 0 && arguments.batch == 0,
                    "--steps and --batch are for CSV files: an array has its own");
  std::vector<gradspike::host::DenseSpikes> inputs;
  for (std::size_t k = 0; k < arguments.spikes.size(); ++k) {
    inputs.push_back(gradspike::host::read_npy(arguments.spikes[k], network.inputs[k].size));
  }
  return inputs;
}

std::vector<gradspike::host::DenseSpikes> read_inputs(const Arguments& arguments,
                                                      const gradspike::chip::Network& network) {
  GRADSPIKE_REQUIRE(arguments.spikes.size() == network.inputs.size(),
                    "--spikes must be given once per input of the network, ", network.inputs.size(), " times, got ",
                    arguments.spikes.size());
  if (std::all_of(arguments.spikes.begin(), arguments.spikes.end(), gradspike::host::is_npy)) {
    return read_arrays(arguments, network);
  }
  std::vector<gradspike::host::SpikeLines> read;
  std::int64_t steps = 0;
  std::int64_t batch = 0;
  for (std::size_t k = 0; k < arguments.spikes.size(); ++k) {
    GRADSPIKE_REQUIRE(!gradspike::host::is_npy(arguments.spikes[k]), "--spikes must be all .npy or all CSV, got both");
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

/// The population of an array of membranes: the only one of leaky integrators.
std::string the_integrator(const gradspike::chip::Observables& observed) {
  std::vector<std::string> names;
  for (const gradspike::chip::PopulationRecord& record : observed.populations) {
    if (record.spikes.empty()) {
      names.push_back(record.name);
    }
  }
  GRADSPIKE_REQUIRE(names.size() == 1,
                    "an array holds the membranes of one population of leaky integrators, this "
                    "network has ",
                    names.size(), ": write CSV");
  return names.front();
}

void write_observed(const Arguments& arguments, const gradspike::chip::Observables& observed,
                    const std::string& population) {
  std::string seen = "membranes";
  if (!population.empty()) {
    const auto write =
        gradspike::host::is_npy(arguments.output) ? gradspike::host::write_spikes_npy : gradspike::host::write_spikes;
    seen = std::to_string(write(arguments.output, observed, population)) + " spikes of population '" + population + "'";
  }
  if (gradspike::host::is_npy(arguments.membrane)) {
    gradspike::host::write_membrane_npy(arguments.membrane, observed, the_integrator(observed));
  } else if (!arguments.membrane.empty()) {
    gradspike::host::write_membranes(arguments.membrane, observed);
  }
  std::cerr << "target " << observed.target << ": " << seen << ", "
            << observed.counters.spikes_lost + observed.counters.events_dropped << " lost\n";
}

gradspike::deploy::Options options_of(const Arguments& arguments, const std::string& target) {
  gradspike::deploy::Options options;
  options.target = target;
  options.preset = gradspike::chip::is_device(target) || target == "native" ? "ideal" : arguments.preset;
  options.seed = arguments.seed;
  return options;
}

void write_text(const std::string& path, const std::string& text) {
  std::ofstream file(path);
  file << text;
  file.close();
  GRADSPIKE_REQUIRE(file.good(), "cannot write '", path, "'");
}

/// Native code gives no membranes of populations that fire: they are no part of a comparison with it.
void leave_out_membranes_of_spiking(gradspike::chip::Observables& observed) {
  for (gradspike::chip::PopulationRecord& record : observed.populations) {
    if (!record.spikes.empty()) {
      record.membrane.clear();
    }
  }
}

/// Runs every target and compares each with the first, spike by spike. 0: all equal, 1: not.
int verify(const Arguments& arguments, const gradspike::deploy::Model& model,
           const std::vector<gradspike::chip::SpikeTensor>& inputs) {
  GRADSPIKE_REQUIRE(arguments.verify.size() > 1, "--verify must name two targets or more, such as cpu,emulator");
  bool equal = true;
  std::optional<gradspike::chip::Observables> first;
  for (const std::string& target : arguments.verify) {
    gradspike::chip::Observables observed = model.run(inputs, options_of(arguments, target));
    if (std::find(arguments.verify.begin(), arguments.verify.end(), "native") != arguments.verify.end()) {
      leave_out_membranes_of_spiking(observed);
    }
    if (first.has_value()) {
      const gradspike::host::Comparison found = gradspike::host::compare(*first, observed);
      std::cout << found.text(first->target, observed.target) << '\n';
      equal = equal && found.equal();
    } else {
      first = std::move(observed);
    }
  }
  return equal ? 0 : 1;
}

int run(const Arguments& arguments) {
  const Progress progress;
  progress.say("loading " + arguments.path);
  const auto model = gradspike::deploy::load(arguments.path, {arguments.allow_native_code});
  for (const std::string& warning : model->warnings()) {
    std::cerr << "warning: " << warning << '\n';
  }
  if (arguments.list || (arguments.json && !arguments.check)) {
    std::cout << (arguments.json ? gradspike::host::listing_json(*model) : gradspike::host::listing_text(*model));
  }
  if (!arguments.map.empty()) {
    write_text(arguments.map, model->map());
  }
  if (arguments.check) {
    const gradspike::chip::Report report = model->check();
    std::cout << (arguments.json ? report.to_json() + "\n" : report.text());
    return report.exit_code();
  }
  if (arguments.spikes.empty()) {
    GRADSPIKE_REQUIRE(arguments.list || arguments.json || !arguments.map.empty(),
                      "nothing to do: give --spikes, --list, --json, --map or --check");
    return 0;
  }
  if (!arguments.population.empty()) {
    require_fires(model->network(), arguments.population);
  }
  const std::string population = arguments.population.empty() ? last_spiking(model->network()) : arguments.population;
  GRADSPIKE_REQUIRE(!population.empty() || !arguments.membrane.empty(), "network '", model->network().name,
                    "' has no population that fires, only leaky integrators: give --membrane");
  const std::vector<gradspike::host::DenseSpikes> inputs = read_inputs(arguments, model->network());
  progress.say("running " + std::to_string(inputs[0].steps) + " steps of " + std::to_string(inputs[0].batch) +
               " batch entries");
  std::vector<gradspike::chip::SpikeTensor> tensors;
  for (const gradspike::host::DenseSpikes& input : inputs) {
    tensors.push_back(input.tensor());
  }
  if (!arguments.verify.empty()) {
    return verify(arguments, *model, tensors);
  }
  const auto start = std::chrono::steady_clock::now();
  const gradspike::chip::Observables observed = model->run(tensors, options_of(arguments, arguments.target));
  const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
  if (!arguments.result.empty()) {
    write_text(arguments.result, gradspike::host::outcome_json(observed, taken.count()) + "\n");
  }
  write_observed(arguments, observed, population);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  Arguments arguments;
  CLI::App app{"Runs a saved gradspike network without Python."};
  app.add_option("network", arguments.path, "saved network: net.pt, net.pt2 or net.json")->required();
  CLI::Option* spikes =
      app.add_option("--spikes", arguments.spikes,
                     "input spikes, CSV step,batch,neuron[,count], or .npy [time, batch, neuron]; once per input");
  CLI::Option* output =
      app.add_option("--output", arguments.output, "where to write spikes, CSV or .npy; default: standard output");
  CLI::Option* membrane =
      app.add_option("--membrane", arguments.membrane, "where to write membranes of leaky integrators, CSV or .npy");
  CLI::Option* result =
      app.add_option("--result", arguments.result, "where to write target, counts, losses and times, JSON");
  CLI::Option* verify =
      app.add_option("--verify", arguments.verify,
                     "targets to compare spike by spike, such as cpu,emulator; exit code 0 equal, 1 different")
          ->delimiter(',');
  for (CLI::Option* of_a_run : {output, membrane, result, verify}) {
    of_a_run->needs(spikes);
  }
  for (CLI::Option* written : {output, membrane, result}) {
    verify->excludes(written);
  }
  app.add_option("--population", arguments.population,
                 "whose spikes to write; default: the last population that fires");
  app.add_option("--target", arguments.target,
                 "cpu, cuda, native or a backend such as emulator; default: GRADSPIKE_BACKEND or emulator");
  CLI::Option* preset = app.add_option("--preset", arguments.preset, "preset of the backend");
  CLI::Option* seed = app.add_option("--seed", arguments.seed, "seed of the backend");
  CLI::Option* steps =
      app.add_option("--steps", arguments.steps, "time steps; default: those of the model card, else of the input");
  CLI::Option* batch =
      app.add_option("--batch", arguments.batch, "batch entries; default: up to the last one with a spike");
  for (CLI::Option* number : {seed, steps, batch}) {
    number->check(whole_number);
  }
  app.add_option("--map", arguments.map, "where to write placement and routing, JSON");
  app.add_flag("--list", arguments.list, "print projections and model card as a table");
  app.add_flag("--json", arguments.json, "print them, or the report of --check, as JSON");
  app.add_flag("--allow-native-code", arguments.allow_native_code,
               "let target native run native code of the file, with all rights of the user");
  app.add_flag("--check", arguments.check,
               "print whether the network fits the chip; exit code 0 fits, 1 with losses, 2 not")
      ->excludes(spikes);
  try {
    app.parse(argc, argv);
    const bool operators = gradspike::chip::is_device(arguments.target) || arguments.target == "native";
    GRADSPIKE_REQUIRE(!operators || (preset->empty() && seed->empty()),
                      "--preset and --seed are for backends, and target '", arguments.target,
                      "' runs the operators of the model");
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
