#include "gradspike/deploy.h"

#include <fstream>
#include <mutex>
#include <sstream>

#include "csrc/chip/deployment.h"
#include "csrc/chip/names.h"
#include "csrc/core/error.h"

namespace gradspike::deploy {
namespace {

/// A network file: the chip part alone, so the only targets are backends.
class NetworkFile final : public Model {
 public:
  NetworkFile(chip::Network network, chip::Weights weights)
      : weights_(std::move(weights)), deployment_(std::move(network)) {}

  const chip::Network& network() const override { return deployment_.network(); }
  const chip::Weights& weights() const override { return weights_; }
  const std::vector<std::string>& warnings() const override { return warnings_; }

  chip::Report check() const override {
    const std::lock_guard<std::mutex> lock(mutex_);
    return deployment_.check("emulator ideal", {}, 1, &weights_);
  }

  std::string map() const override {
    const std::lock_guard<std::mutex> lock(mutex_);
    return chip::placement_to_json(*deployment_.partition());
  }

  chip::Observables run(const std::vector<chip::SpikeTensor>& inputs, const Options& options) const override {
    GRADSPIKE_REQUIRE(
        !chip::is_device(options.target) && options.target != "native", "target '", options.target,
        "' needs the saved model: a network file holds the chip part alone, use a backend such as 'emulator'");
    const std::lock_guard<std::mutex> lock(mutex_);
    chip::CompileOptions compile;
    compile.preset = options.preset;
    compile.seed = options.seed;
    chip::RunOptions run;
    run.record_membrane = {"*"};
    return deployment_.compile(options.target, compile, weights_)->run(inputs, run);
  }

 private:
  chip::Weights weights_;
  std::vector<std::string> warnings_;
  mutable std::mutex mutex_;
  mutable chip::Deployment deployment_;
};

std::mutex loader_mutex;
ArchiveLoader& archive_loader() {
  static ArchiveLoader loader;
  return loader;
}

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  GRADSPIKE_REQUIRE(file.good(), "cannot open '", path, "'");
  file.peek();
  GRADSPIKE_REQUIRE(!file.bad(), "cannot read '", path, "'");  // a directory
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

}  // namespace

void set_archive_loader(ArchiveLoader loader) {
  const std::lock_guard<std::mutex> lock(loader_mutex);
  archive_loader() = std::move(loader);
}

std::shared_ptr<Model> load(const std::string& path, const LoadOptions& options) {
  const std::string text = read_file(path);
  if (text.rfind("PK", 0) == 0) {  // a zip archive
    ArchiveLoader loader;
    {
      const std::lock_guard<std::mutex> lock(loader_mutex);
      loader = archive_loader();
    }
    GRADSPIKE_REQUIRE(
        loader != nullptr, "'", path,
        "' is a TorchScript archive, which needs libgradspike.so; this program has the chip part alone and "
        "reads network files (.json)");
    return loader(path, options);
  }
  GRADSPIKE_REQUIRE(
      text.find_first_not_of(" \t\r\n") != std::string::npos && text[text.find_first_not_of(" \t\r\n")] == '{', "'",
      path, "' is neither a TorchScript archive nor a network file");
  chip::Network network;
  chip::Weights weights;
  try {
    chip::parse_network_file(text, network, weights);
  } catch (const Error& error) {
    GRADSPIKE_FAIL("'", path, "': ", error.what());
  }
  return std::make_shared<NetworkFile>(std::move(network), std::move(weights));
}

}  // namespace gradspike::deploy
