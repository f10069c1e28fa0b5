#include "ops/archive.h"

#include <ATen/ops/empty.h>

#include <caffe2/serialize/inline_container.h>
#include <torch/csrc/jit/serialization/import.h>
#include <torch/version.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <fstream>
#include <iterator>

#include "csrc/chip/codec.h"
#include "csrc/chip/names.h"
#include "csrc/core/error.h"
#include "gradspike/module.h"
#include "ops/device.h"
#include "ops/native_code.h"
#include "ops/program.h"
#include "ops/program_records.h"
#include "ops/text.h"

namespace gradspike::ops {
namespace {

constexpr const char* kNetworkEntry = "extra/gradspike/network.json";
constexpr const char* kMappingEntry = "extra/gradspike/mapping.json";

std::string integers_entry(const std::string& projection) { return "extra/gradspike/integers/" + projection + ".bin"; }

/// Programs keep entries as text.
constexpr const char* kBase64 = ".base64";

/// The path of a file that exists, whatever the working folder will be.
std::string absolute(const std::string& path) {
  char* const resolved = ::realpath(path.c_str(), nullptr);
  GRADSPIKE_REQUIRE(resolved != nullptr, "its path cannot be resolved");
  std::string result = resolved;
  std::free(resolved);
  return result;
}

/// What stands between two marks, the second not included; empty where the first is missing.
std::string between(const std::string& text, const std::string& first, const char* second) {
  const std::size_t found = text.find(first);
  if (found == std::string::npos) {
    return "";
  }
  const std::size_t start = found + first.size();
  return text.substr(start, text.find_first_of(second, start) - start);
}

// ---- check sums of a zip archive (APPNOTE 6.3.10, sections 4.3.12 and 4.3.16) --------------------------------------

/// CRC-32 of ISO 3309, reflected polynomial 0xEDB88320.
std::uint32_t crc32(const std::string& bytes) {
  static const std::array<std::uint32_t, 256> table = [] {
    std::array<std::uint32_t, 256> result{};
    for (std::uint32_t n = 0; n < 256; ++n) {
      std::uint32_t value = n;
      for (int bit = 0; bit < 8; ++bit) {
        value = (value & 1U) != 0 ? 0xEDB88320U ^ (value >> 1U) : value >> 1U;
      }
      result[n] = value;
    }
    return result;
  }();
  std::uint32_t crc = 0xFFFFFFFFU;
  for (const char byte : bytes) {
    crc = table[(crc ^ static_cast<unsigned char>(byte)) & 0xFFU] ^ (crc >> 8U);
  }
  return crc ^ 0xFFFFFFFFU;
}

std::uint32_t little_endian(const std::string& bytes, std::size_t at, std::size_t count) {
  std::uint32_t value = 0;
  for (std::size_t k = 0; k < count; ++k) {
    value |= static_cast<std::uint32_t>(static_cast<unsigned char>(bytes.at(at + k))) << (8 * k);
  }
  return value;
}

/// Check sums of the entries by name, from the central directory at the end of the file.
std::map<std::string, std::uint32_t> stored_checksums(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  const std::size_t end = bytes.rfind("PK\x05\x06");
  GRADSPIKE_REQUIRE(end != std::string::npos && end + 22 <= bytes.size(),
                    "the zip archive has no end: the file was cut short");
  std::size_t at = bytes.rfind("PK\x06\x06");  // the 64-bit record of large archives, where there is one
  at = at != std::string::npos && at + 56 <= end ? little_endian(bytes, at + 48, 4) : little_endian(bytes, end + 16, 4);
  std::map<std::string, std::uint32_t> sums;
  while (at + 46 <= end && bytes.compare(at, 4, "PK\x01\x02") == 0) {
    const std::size_t name = little_endian(bytes, at + 28, 2);
    const std::size_t rest = little_endian(bytes, at + 30, 2) + little_endian(bytes, at + 32, 2);
    GRADSPIKE_REQUIRE(at + 46 + name + rest <= end, "the directory of the zip archive is cut");
    sums[bytes.substr(at + 46, name)] = little_endian(bytes, at + 16, 4);
    at += 46 + name + rest;
  }
  return sums;
}

void verify_checksums(const std::map<std::string, std::uint32_t>& stored,
                      caffe2::serialize::PyTorchStreamReader& reader) {
  for (const auto& [name, sum] : stored) {
    const std::string entry = name.substr(name.find('/') + 1);  // below the folder of the archive
    GRADSPIKE_REQUIRE(reader.hasRecord(entry), "entry '", first_line(entry), "' cannot be found");
    GRADSPIKE_REQUIRE(crc32(record(reader, entry)) == sum, "entry '", first_line(entry),
                      "' does not match its check sum");
  }
}

// ---- comparison ----------------------------------------------------------------------------------------------------

/// Throws where the archive belongs to another network; returns what differs, one sentence each.
std::vector<std::string> compare(const StoredNetwork& stored, const ModelGraph& graph, const ReadNetwork& read) {
  const chip::Network& network = read.network;
  GRADSPIKE_REQUIRE(chip::to_json(network) == stored.network,
                    "gradspike/network.json does not describe the model of network '", network.name,
                    "' that stands beside it");
  if (!stored.mapping.empty()) {
    chip::require_right(chip::placement_from_json(stored.mapping, network), network);
  }
  chip::Weights kept;
  for (const chip::Projection& p : network.projections) {
    const auto found = stored.records.find(p.name);
    GRADSPIKE_REQUIRE(found != stored.records.end(), "the integers of projection '", p.name, "' are missing");
    kept[p.name] = chip::matrix_from_record(found->second, p.name);
  }
  chip::validate(network, kept);  // of each record its bounds and its own hash
  std::vector<std::string> warnings = read.warnings;
  for (const auto& [name, matrix] : integer_weights(graph, read)) {
    if (matrix.hash != kept.at(name).hash) {
      warnings.push_back("projection '" + name +
                         "': the stored integers are not those of the parameters, which changed since the file was "
                         "written; the parameters count");
    }
  }
  return warnings;
}

/// What is wrong with a file, in one sentence that names it.
template <class Open>
auto refusing(const std::string& path, const Open& open) {
  try {
    return open();
  } catch (const Error& error) {
    GRADSPIKE_FAIL("'", path, "' cannot be loaded: ", first_line(error.what()));
  } catch (const c10::Error& error) {
    GRADSPIKE_FAIL("'", path, "' cannot be loaded: ", load_sentence(error.what_without_backtrace()));
  } catch (const std::exception& error) {
    GRADSPIKE_FAIL("'", path, "' cannot be loaded: ", load_sentence(error.what()));
  }
}

// ---- the model that the C++ program runs ---------------------------------------------------------------------------

class ArchiveModel final : public deploy::Model {
 public:
  /// `native_path` is the file whose native code the user allows; "" is none.
  explicit ArchiveModel(OpenedNetwork opened, std::string native_path = "")
      : graph_(std::move(opened.graph)),
        weights_(graph_->integers()),
        warnings_(std::move(opened.warnings)),
        native_path_(std::move(native_path)) {}

  const chip::Network& network() const override { return graph_->read().network; }
  const chip::Weights& weights() const override { return weights_; }
  const std::vector<std::string>& warnings() const override { return warnings_; }
  chip::Report check() const override {
    const std::lock_guard<std::mutex> lock(mutex_);
    return graph_->deployment().check("emulator ideal", graph_->losses(), 1, &weights_);
  }

  std::string map() const override {
    const std::lock_guard<std::mutex> lock(mutex_);
    return chip::placement_to_json(*graph_->deployment().partition());
  }

  chip::Observables run(const std::vector<chip::SpikeTensor>& inputs, const deploy::Options& options) const override {
    require_sizes(inputs);
    if (chip::is_device(options.target)) {
      return graph_->run_operators(tensors_of(inputs), device_of_target(options.target));
    }
    if (options.target == "native") {
      return graph_->observed_signals("native", native_code().run_populations(tensors_of(inputs)));
    }
    const std::lock_guard<std::mutex> lock(mutex_);
    chip::CompileOptions compile;
    compile.preset = options.preset;
    compile.seed = options.seed;
    chip::RunOptions run;
    run.record_membrane = {"*"};
    run.initial_states = graph_->initial_states({});
    return graph_->deployment().compile(options.target, compile, weights_)->run(inputs, run);
  }

 private:
  /// Every target gets the same inputs, also the operators, which would take other sizes of time and batch apart.
  void require_sizes(const std::vector<chip::SpikeTensor>& inputs) const {
    const std::vector<chip::Input>& expected = network().inputs;
    GRADSPIKE_REQUIRE(inputs.size() == expected.size(), "the network takes ", expected.size(), " inputs, got ",
                      inputs.size());
    for (std::size_t k = 0; k < inputs.size(); ++k) {
      GRADSPIKE_REQUIRE(inputs[k].size == expected[k].size, "input '", expected[k].name, "' has ", expected[k].size,
                        " neurons, got ", inputs[k].size);
      GRADSPIKE_REQUIRE(inputs[k].steps == inputs[0].steps && inputs[k].batch == inputs[0].batch, "input '",
                        expected[k].name, "' must be [", inputs[0].steps, ", ", inputs[0].batch, ", ", expected[k].size,
                        "] as the first input, got [", inputs[k].steps, ", ", inputs[k].batch, ", ", inputs[k].size,
                        "]");
    }
  }

  /// Loaded on the first run that asks for it.
  const NativeCode& native_code() const {
    GRADSPIKE_REQUIRE(!native_path_.empty(),
                      "target 'native' runs native code of the file with all rights of the user: allow it with "
                      "--allow-native-code (in C++ LoadOptions::allow_native_code)");
    GRADSPIKE_REQUIRE(graph_->takes_network_inputs(),
                      "target 'native' takes the inputs of the model, which computes those of the network from them: "
                      "run the native code from Python, or use target 'cpu'");
    const std::lock_guard<std::mutex> lock(mutex_);
    if (native_ == nullptr) {
      const StoredNetwork stored = refusing(native_path_, [&] { return read_entries(native_path_); });  // check sums
      GRADSPIKE_REQUIRE(stored.network == chip::to_json(network()), "'", native_path_,
                        "' has changed since it was opened: open it again");
      native_ = refusing(native_path_, [&] { return std::make_unique<NativeCode>(native_path_, at::kCPU); });
    }
    return *native_;
  }

  static std::vector<at::Tensor> tensors_of(const std::vector<chip::SpikeTensor>& inputs) {
    std::vector<at::Tensor> tensors;
    for (const chip::SpikeTensor& input : inputs) {
      tensors.push_back(tensor_of(input));
    }
    return tensors;
  }

  static at::Tensor tensor_of(const chip::SpikeTensor& input) {
    at::Tensor tensor = at::empty({input.steps, input.batch, input.size},
                                  input.type == chip::SpikeTensor::Type::kUint8 ? at::kByte : at::kFloat);
    if (tensor.numel() > 0) {
      std::memcpy(tensor.mutable_data_ptr(), input.data, tensor.nbytes());
    }
    return tensor.to(at::kFloat);
  }

  std::unique_ptr<GraphNetwork> graph_;
  chip::Weights weights_;
  std::vector<std::string> warnings_;
  std::string native_path_;
  mutable std::unique_ptr<NativeCode> native_;
  mutable std::mutex mutex_;
};

/// Makes deploy::load open archives as soon as this library is in the process.
const bool kRegistered = [] {
  deploy::set_archive_loader(open_archive);
  return true;
}();

}  // namespace

std::string load_sentence(const std::string& text) {
  std::string op = between(text, "Unknown builtin op: ", ".\n");
  if (op.empty() && text.find("Arguments for call are not valid") != std::string::npos) {
    op = "gradspike::" + between(text, "gradspike::", "(");  // of the variants that are listed
  }
  if (op.rfind("gradspike::", 0) == 0) {
    return "it calls " + op + " in a way that this library does not know: it is of another version of gradspike";
  }
  const std::string version = between(text, "Attempted to read a PyTorch file with version ", ",. \n");
  if (!version.empty()) {
    return "it has version " + version + " of the files of PyTorch, which PyTorch " + TORCH_VERSION + " does not read";
  }
  std::string line = first_line(text.substr(std::min(text.size(), text.find_first_not_of(" \n"))));
  if (line.rfind("[enforce fail at ", 0) == 0) {  // the place in the sources of PyTorch
    const std::size_t end = line.find("] ");
    line = end == std::string::npos ? line : line.substr(end + 2);
    line = line.rfind(". ", 0) == 0 ? line.substr(2) : line;
  }
  return line.substr(0, line.find(". "));  // advice of PyTorch follows
}

torch::jit::Module module_of(const std::string& path) {
  caffe2::serialize::PyTorchStreamReader reader(path);
  return holds_program(reader) ? module_of_program(reader) : torch::jit::load(path, c10::Device(at::kCPU));
}

StoredNetwork read_entries(const std::string& path) {
  const std::map<std::string, std::uint32_t> checksums = stored_checksums(path);
  caffe2::serialize::PyTorchStreamReader reader(path);
  GRADSPIKE_REQUIRE(holds_program(reader) || (reader.hasRecord("constants.pkl") && reader.hasRecord("data.pkl")),
                    "it is a zip archive, but neither a TorchScript file nor a program of torch.export");
  verify_checksums(checksums, reader);
  GRADSPIKE_REQUIRE(reader.hasRecord(kNetworkEntry),
                    "it has no gradspike/network.json, as torch.jit.save and torch.export.save write it: save it with "
                    "gradspike.save or gradspike.export, or load it in Python with gradspike.load, which reads it "
                    "again");
  StoredNetwork stored;
  stored.network = record(reader, kNetworkEntry);
  stored.mapping = reader.hasRecord(kMappingEntry) ? record(reader, kMappingEntry) : "";
  for (const chip::Projection& p : chip::network_from_json(stored.network).projections) {
    const std::string entry = integers_entry(p.name);
    if (reader.hasRecord(entry)) {
      stored.records[p.name] = record(reader, entry);
    } else if (reader.hasRecord(entry + kBase64)) {
      stored.records[p.name] = chip::base64_decode(record(reader, entry + kBase64), entry);
    }
  }
  return stored;
}

ReadOptions options_of(const chip::Network& stored) {
  ReadOptions options;
  options.name = stored.name;
  options.card = stored.model_card;
  options.neuron_permutation.assign(stored.neuron_permutation.begin(), stored.neuron_permutation.end());
  for (const chip::Projection& p : stored.projections) {
    options.projections[p.name] = {"",
                                   p.chip_coordinate,
                                   p.execution_instance,
                                   p.plasticity_rule,
                                   p.plasticity_start,
                                   p.plasticity_period,
                                   p.plasticity_executions,
                                   p.plasticity_recording,
                                   p.circuits_per_neuron};
  }
  for (const chip::Input& input : stored.inputs) {
    options.input_sizes.push_back(input.size);
    if (input.background) {
      options.backgrounds[input.name] = *input.background;
    }
  }
  return options;
}

OpenedNetwork open_stored(const torch::jit::Module& module, const StoredNetwork& stored) {
  OpenedNetwork opened;
  const auto accept = [&](const ModelGraph& graph, const ReadNetwork& read) {
    opened.warnings = compare(stored, graph, read);
  };
  opened.graph = std::make_unique<GraphNetwork>(module, options_of(chip::network_from_json(stored.network)), accept);
  if (!stored.mapping.empty()) {
    chip::Deployment& deployment = opened.graph->deployment();
    deployment.set_partition(chip::placement_from_json(stored.mapping, deployment.network()));
  }
  return opened;
}

std::shared_ptr<deploy::Model> open_archive(const std::string& path, const deploy::LoadOptions& options) {
  return refusing(path, [&]() -> std::shared_ptr<deploy::Model> {
    const StoredNetwork stored = read_entries(path);  // compares the check sums before PyTorch sees the file
    return std::make_shared<ArchiveModel>(open_stored(module_of(path), stored),
                                          options.allow_native_code ? absolute(path) : "");
  });
}

}  // namespace gradspike::ops

namespace gradspike::deploy {

torch::jit::Module module_of(const std::string& path) {
  return ops::refusing(path, [&] {
    ops::read_entries(path);  // compares the check sums
    return ops::module_of(path);
  });
}

std::shared_ptr<Model> load(const std::string& path, const torch::jit::Module& module) {
  return ops::refusing(path, [&]() -> std::shared_ptr<Model> {
    return std::make_shared<ops::ArchiveModel>(ops::open_stored(module, ops::read_entries(path)));
  });
}

}  // namespace gradspike::deploy
