#include "ops/archive.h"

#include <ATen/ops/empty.h>

#include <caffe2/serialize/inline_container.h>
#include <torch/csrc/jit/serialization/import.h>

#include "csrc/core/error.h"

namespace gradspike::ops {
namespace {

constexpr const char* kNetworkEntry = "extra/gradspike/network.json";
constexpr const char* kMappingEntry = "extra/gradspike/mapping.json";

std::string integers_entry(const std::string& projection) { return "extra/gradspike/integers/" + projection + ".bin"; }

std::string record(caffe2::serialize::PyTorchStreamReader& reader, const std::string& name) {
  const auto [data, size] = reader.getRecord(name);
  return std::string(static_cast<const char*>(data.get()), size);
}

class ArchiveModel final : public deploy::Model {
 public:
  ArchiveModel(const std::string& path, const StoredNetwork& stored, const torch::jit::Module& module)
      : graph_(module, options_of(chip::network_from_json(stored.network))),
        weights_(graph_.integers()),
        warnings_(compare_stored(stored, graph_)) {
    if (!stored.mapping.empty()) {
      try {
        graph_.deployment().set_mapping(chip::mapping_from_json(stored.mapping));
      } catch (const Error& error) {
        GRADSPIKE_FAIL("'", path, "': ", error.what());
      }
    }
  }

  const chip::Network& network() const override { return graph_.read().network; }
  const chip::Weights& weights() const override { return weights_; }
  const std::vector<std::string>& warnings() const override { return warnings_; }
  chip::Report check() const override { return graph_.deployment().check("emulator ideal", graph_.losses()); }

  chip::Observables run(const std::vector<chip::SpikeTensor>& inputs, const deploy::Options& options) const override {
    std::vector<c10::IValue> values;
    for (const chip::SpikeTensor& input : inputs) {
      values.emplace_back(tensor_of(input));
    }
    if (options.target == "cpu") {
      return graph_.run_model(values).observables;
    }
    const std::lock_guard<std::mutex> lock(mutex_);
    chip::CompileOptions compile;
    compile.preset = options.preset;
    compile.seed = options.seed;
    graph_.deployment().compile(options.target, compile, weights_);
    chip::RunOptions run;
    run.record_membrane = {"*"};
    return graph_.run_backend(values, run).observables;
  }

 private:
  static at::Tensor tensor_of(const chip::SpikeTensor& input) {
    at::Tensor tensor = at::empty({input.steps, input.batch, input.size},
                                  input.type == chip::SpikeTensor::Type::kUint8 ? at::kByte : at::kFloat);
    std::memcpy(tensor.mutable_data_ptr(), input.data, tensor.nbytes());
    return tensor.to(at::kFloat);
  }

  mutable GraphNetwork graph_;
  chip::Weights weights_;
  std::vector<std::string> warnings_;
  mutable std::mutex mutex_;
};

/// Makes deploy::load open archives as soon as this library is in the process.
const bool kRegistered = [] {
  deploy::set_archive_loader(open_archive);
  return true;
}();

}  // namespace

StoredNetwork read_entries(const std::string& path) {
  StoredNetwork stored;
  try {
    caffe2::serialize::PyTorchStreamReader reader(path);
    GRADSPIKE_REQUIRE(reader.hasRecord("constants.pkl") && reader.hasRecord("data.pkl"), "'", path,
                      "' is a zip archive, but no TorchScript file");
    GRADSPIKE_REQUIRE(
        reader.hasRecord(kNetworkEntry), "'", path,
        "' is a TorchScript file without gradspike/network.json, as torch.jit.save writes it: save it with "
        "gradspike.save, or load it in Python with gradspike.load, which reads it again");
    stored.network = record(reader, kNetworkEntry);
    stored.mapping = reader.hasRecord(kMappingEntry) ? record(reader, kMappingEntry) : "";
    for (const chip::Projection& p : chip::network_from_json(stored.network).projections) {
      GRADSPIKE_REQUIRE(reader.hasRecord(integers_entry(p.name)), "'", path, "' has no integers of projection '",
                        p.name, "'");
      stored.records.push_back(record(reader, integers_entry(p.name)));
    }
  } catch (const c10::Error& error) {
    GRADSPIKE_FAIL("'", path, "' is damaged: ", error.what_without_backtrace());
  }
  return stored;
}

ReadOptions options_of(const chip::Network& stored) {
  ReadOptions options;
  options.name = stored.name;
  options.card = stored.model_card;
  for (const chip::Projection& p : stored.projections) {
    options.projections[p.name] = {"", p.chip_coordinate, p.execution_instance, p.plasticity_rule, p.plasticity_period};
  }
  for (const chip::Input& input : stored.inputs) {
    options.input_sizes.push_back(input.size);
  }
  return options;
}

std::vector<std::string> compare_stored(const StoredNetwork& stored, const GraphNetwork& read) {
  const chip::Network& network = read.read().network;
  GRADSPIKE_REQUIRE(chip::to_json(network) == stored.network,
                    "gradspike/network.json does not describe the model of network '", network.name,
                    "' that stands beside it");
  std::vector<std::string> warnings = read.read().warnings;
  const chip::Weights weights = read.integers();
  for (std::size_t k = 0; k < network.projections.size(); ++k) {
    const std::string& name = network.projections[k].name;
    const chip::IntegerMatrix matrix = chip::matrix_from_record(stored.records.at(k), name);
    if (matrix.hash != weights.at(name).hash) {
      warnings.push_back("projection '" + name +
                         "': the stored integers are not those of the parameters, which changed since the file was "
                         "written; the parameters count");
    }
  }
  return warnings;
}

std::shared_ptr<deploy::Model> open_archive(const std::string& path) {
  const StoredNetwork stored = read_entries(path);
  try {
    const torch::jit::Module module = torch::jit::load(path, c10::Device(at::kCPU));
    return std::make_shared<ArchiveModel>(path, stored, module);
  } catch (const Error&) {
    throw;
  } catch (const c10::Error& error) {
    GRADSPIKE_FAIL("'", path, "' is damaged: ", error.what_without_backtrace());
  } catch (const std::exception& error) {
    const std::string text = error.what();
    GRADSPIKE_FAIL("'", path, "' cannot be loaded: ", text.substr(0, text.find('\n')));
  }
}

}  // namespace gradspike::ops
