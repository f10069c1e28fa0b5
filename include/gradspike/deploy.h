// Load, check and run a saved network from C++, without Python.
//
//   auto model = gradspike::deploy::load("net.pt");              // or "net.json", which needs no PyTorch
//   std::cout << model->check().text();
//   auto observed = model->run({spikes}, {.target = "emulator"});
//   observed.spikes_as_float("hidden");                          // [time, batch, neuron]
//
// TorchScript archives can be opened where libgradspike.so is in the process (link gradspike::gradspike); network files
// need libgradspike_core.so alone. Everything that goes wrong is thrown as gradspike::Error with one sentence.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "csrc/chip/backend.h"
#include "csrc/chip/network.h"
#include "csrc/chip/report.h"

namespace gradspike::deploy {

struct Options {
  /// "cpu", "cuda" or "cuda:1": the operators of the saved model on that device; "native": its native code, see
  /// LoadOptions; any other: the backend of that name. "" is the default backend: GRADSPIKE_BACKEND, else "emulator".
  std::string target;
  std::string preset = "ideal";
  std::uint64_t seed = 0;
};

struct LoadOptions {
  /// Target "native" loads and runs the native code of a file that gradspike.export wrote with native_code=True. Native
  /// code runs with all rights of the user: say so only for files whose origin you trust. Without it nothing of the
  /// native code is extracted, loaded or run; everything else works as in a file that has none.
  bool allow_native_code = false;
};

class Model {
 public:
  Model() = default;
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;
  virtual ~Model() = default;

  virtual const chip::Network& network() const = 0;
  virtual const chip::Weights& weights() const = 0;
  /// What was noticed while loading, one sentence each.
  virtual const std::vector<std::string>& warnings() const = 0;
  /// Whether the network fits the chip, what it uses and what is lost.
  virtual chip::Report check() const = 0;
  /// Placement and routing, JSON of the format "gradspike.mapping", or "gradspike.partition" where the network takes
  /// several execution instances. Throws with every misfit where it fits none.
  virtual std::string map() const = 0;
  /// Spikes and membranes of all populations. `inputs` are those of the network as `network()` lists them, [time,
  /// batch, neuron]; host code of a saved model, before the first projection and after the last population, is not run.
  virtual chip::Observables run(const std::vector<chip::SpikeTensor>& inputs, const Options& options = {}) const = 0;
};

/// Opens a network file or, where libgradspike.so is in the process, a TorchScript archive. The projections and
/// populations of the network are registered under its name.
std::shared_ptr<Model> load(const std::string& path, const LoadOptions& options = {});

/// Opens archives. libgradspike.so adds one when it is loaded.
using ArchiveLoader = std::function<std::shared_ptr<Model>(const std::string& path, const LoadOptions& options)>;
void set_archive_loader(ArchiveLoader loader);

}  // namespace gradspike::deploy
