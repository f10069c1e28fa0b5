#include "ops/native_code.h"

#include <ATen/core/grad_mode.h>
#include <caffe2/serialize/inline_container.h>
#include <dlfcn.h>
#include <torch/csrc/inductor/aoti_runner/model_container_runner.h>
#include <torch/version.h>

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <unordered_map>

#include "csrc/core/error.h"
#include "ops/program.h"
#include "ops/program_records.h"
#include "ops/text.h"

namespace gradspike::ops {
namespace {

using nlohmann::json;

constexpr const char* kDescription = "extra/gradspike/native_code.json";
constexpr const char* kFormat = "gradspike.native_code";
constexpr std::int64_t kVersion = 1;
constexpr const char* kFolder = "data/aotinductor/";
constexpr const char* kModel = "data/aotinductor/model/";

std::string version_of_torch() {
  return std::to_string(TORCH_VERSION_MAJOR) + "." + std::to_string(TORCH_VERSION_MINOR);
}

bool begins_with(const std::string& text, const std::string& begin) {
  return text.compare(0, begin.size(), begin) == 0;
}

bool ends_with(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

std::string shape_text(const std::vector<std::int64_t>& sizes) {
  std::string text;
  for (const std::int64_t size : sizes) {
    text += (text.empty() ? "" : ", ") + (size < 0 ? std::string("any") : std::to_string(size));
  }
  return "[" + text + "]";
}

at::ScalarType dtype_named(const std::string& name) {
  const auto& names = c10::getStringToDtypeMap();
  const auto found = names.find(name);
  GRADSPIKE_REQUIRE(found != names.end(), "gradspike/native_code.json names the unknown dtype '", name, "'");
  return found->second;
}

/// What a compiler that is told to use this machine's instructions chooses by itself; the others need an intrinsic.
bool is_chosen_by_compilers(const std::string& feature) {
  static const std::vector<std::string> kPrefixes = {"sse",    "ssse3", "pni",   "avx", "fma", "f16c",    "bmi", "abm",
                                                     "popcnt", "movbe", "asimd", "sve", "sme", "atomics", "bf16"};
  return std::any_of(kPrefixes.begin(), kPrefixes.end(),
                     [&](const std::string& prefix) { return begins_with(feature, prefix); });
}

/// The shared object names libtorch.so, which a program need not have loaded. Found from here by the path of this
/// library.
void load_libtorch() {
  if (dlopen("libtorch.so", RTLD_NOW | RTLD_LOCAL) == nullptr) {
    const char* reason = dlerror();
    GRADSPIKE_FAIL("native code needs libtorch.so of PyTorch: ", reason == nullptr ? "it cannot be opened" : reason);
  }
}

}  // namespace

/// Files in a folder of this user alone, in TMPDIR or /tmp. std::filesystem is not used: libtorch.so exports functions
/// of it from another compiler.
class NativeCode::Folder {
 public:
  Folder() {
    const char* where = std::getenv("TMPDIR");
    path_ = std::string(where == nullptr || *where == '\0' ? "/tmp" : where) + "/gradspike-XXXXXX";
    GRADSPIKE_REQUIRE(mkdtemp(path_.data()) != nullptr, "native code needs a temporary folder, and '", path_,
                      "' cannot be made: set TMPDIR");
  }
  ~Folder() {
    for (const std::string& file : files_) {
      std::remove(file.c_str());
    }
    rmdir(path_.c_str());
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  const std::string& path() const { return path_; }

  std::string write(const std::string& name, const std::string& content) {
    files_.push_back(path_ + "/" + name);
    std::ofstream file(files_.back(), std::ios::binary);
    file.write(content.data(), static_cast<std::streamsize>(content.size()));
    file.close();
    GRADSPIKE_REQUIRE(file.good(), "its native code cannot be loaded: '", files_.back(), "' cannot be written");
    return files_.back();
  }

 private:
  std::string path_;
  std::vector<std::string> files_;
};

bool holds_native_code(caffe2::serialize::PyTorchStreamReader& reader) {
  const std::vector<std::string> records = reader.getAllRecords();
  return std::any_of(records.begin(), records.end(), [](const std::string& name) {
    return name.compare(0, std::string(kFolder).size(), kFolder) == 0;
  });
}

std::vector<std::string> cpu_features() {
  std::ifstream file("/proc/cpuinfo");
  std::vector<std::string> features;
  for (std::string line; features.empty() && std::getline(file, line);) {
    if (line.compare(0, 5, "flags") == 0 || line.compare(0, 8, "Features") == 0) {
      std::istringstream words(line.substr(line.find(':') + 1));
      for (std::string word; words >> word;) {
        if (is_chosen_by_compilers(word)) {
          features.push_back(word);
        }
      }
    }
  }
  std::sort(features.begin(), features.end());
  return features;
}

NativeCode::NativeCode(const std::string& path, c10::Device device) : device_(device) {
  caffe2::serialize::PyTorchStreamReader reader(path);
  GRADSPIKE_REQUIRE(holds_native_code(reader),
                    "it holds no native code: gradspike.export writes it with native_code=True");
  GRADSPIKE_REQUIRE(reader.hasRecord(kDescription),
                    "it holds native code that gradspike.export did not write, since it has no "
                    "gradspike/native_code.json: torch._inductor.aoti_load_package runs it");
  try {
    read(reader);
  } catch (const json::exception&) {
    GRADSPIKE_FAIL("gradspike/native_code.json is damaged");
  }
  load(reader);
  set_constants(reader);
}

NativeCode::~NativeCode() = default;

void NativeCode::read(caffe2::serialize::PyTorchStreamReader& reader) {
  const json about = document(reader, kDescription);
  GRADSPIKE_REQUIRE(about.at("format") == kFormat, "gradspike/native_code.json is no file of format \"", kFormat, "\"");
  const std::int64_t version = about.at("version").get<std::int64_t>();
  GRADSPIKE_REQUIRE(version == kVersion, "gradspike/native_code.json has format version ", version,
                    ", this library reads version ", kVersion);
  const std::string torch = about.at("torch").get<std::string>();
  GRADSPIKE_REQUIRE(torch == version_of_torch(), "its native code was compiled for PyTorch ", torch, ", but PyTorch ",
                    version_of_torch(), " is running: export it again with native_code=True");
  const std::string compiled_for = about.at("device").get<std::string>();
  GRADSPIKE_REQUIRE(compiled_for == c10::DeviceTypeName(device_.type(), /*lower_case=*/true),
                    "its native code was compiled for the device '", compiled_for, "', not for '", device_.str(), "'");
  const std::vector<std::string> here = cpu_features();
  for (const json& feature : about.at("cpu_features")) {
    GRADSPIKE_REQUIRE(std::binary_search(here.begin(), here.end(), feature.get<std::string>()),
                      "its native code was compiled for a processor with ", feature.get<std::string>(),
                      ", which this one lacks: export it with native_code=True on a machine of this kind");
  }
  for (const json& input : about.at("inputs")) {
    inputs_.push_back({input.at("name").get<std::string>(), dtype_named(input.at("dtype").get<std::string>()),
                       input.at("sizes").get<std::vector<std::int64_t>>()});
  }
  num_outputs_ = about.at("num_outputs").get<std::size_t>();
  populations_ = about.at("populations").get<std::vector<std::string>>();
}

/// As AOTIModelPackageLoader does, which leaves what it extracted behind where loading fails, takes no other folder
/// than /tmp, and compiles and runs sources where there is no shared object.
void NativeCode::load(caffe2::serialize::PyTorchStreamReader& reader) {
  GRADSPIKE_REQUIRE(device_.is_cpu(), "native code runs on the CPU alone, not on '", device_.str(), "'");
  load_libtorch();
  Folder folder;  // all is in memory once the code is loaded
  std::string library;
  for (const std::string& name : reader.getAllRecords()) {
    const std::string file = begins_with(name, kModel) ? name.substr(std::string(kModel).size()) : "";
    if (file.empty() || file.find('/') != std::string::npos) {
      continue;
    }
    const std::string path = folder.write(file, record(reader, name));
    library = ends_with(file, ".so") ? path : library;
  }
  GRADSPIKE_REQUIRE(!library.empty(), "its native code is not compiled: there is no shared object in it");
  const std::string type = c10::DeviceTypeName(device_.type(), /*lower_case=*/true);
  const auto& runners = torch::inductor::getAOTIModelRunnerRegistry();
  const auto create = runners.find(type);
  GRADSPIKE_REQUIRE(create != runners.end(), "its native code cannot be loaded: this PyTorch runs none for ", type);
  try {
    runner_ = create->second(library, /*num_models=*/1, device_.str(), folder.path(), /*run_single_threaded=*/false);
  } catch (const std::exception& error) {
    GRADSPIKE_FAIL("its native code cannot be loaded: ", first_line(error.what()));
  }
}

/// The parameters of the program are the truth, here too.
void NativeCode::set_constants(caffe2::serialize::PyTorchStreamReader& reader) {
  if (!holds_program(reader)) {
    return;  // those that it was compiled with
  }
  const std::map<std::string, at::Tensor> tensors = program_tensors(reader);
  std::unordered_map<std::string, at::Tensor> constants;
  for (const auto& [inner, name] : runner_->getConstantNamesToOriginalFQNs()) {
    const auto found = tensors.find(name);
    GRADSPIKE_REQUIRE(found != tensors.end(), "its native code reads tensor '", name, "', which its program lacks");
    constants[inner] = found->second.detach().to(device_);
  }
  if (!constants.empty()) {
    runner_->update_constant_buffer(constants, /*use_inactive=*/false, /*validate_full_updates=*/true);
  }
}

/// Native code takes addresses and sizes as they come: everything else is checked here.
at::Tensor NativeCode::checked(const at::Tensor& input, const Input& expected) const {
  const bool right_device = input.device().type() == device_.type() &&
                            (!device_.has_index() || device_.is_cpu() || input.device() == device_);
  GRADSPIKE_REQUIRE(right_device, "input '", expected.name, "' of native code must be on '", device_.str(), "', got '",
                    input.device().str(), "'");
  GRADSPIKE_REQUIRE(input.scalar_type() == expected.type, "input '", expected.name, "' of native code must be ",
                    c10::toString(expected.type), ", as the example of the export was, got ",
                    c10::toString(input.scalar_type()));
  bool fits = input.sizes().size() == expected.sizes.size();
  for (std::size_t d = 0; fits && d < expected.sizes.size(); ++d) {
    fits = expected.sizes[d] < 0 || expected.sizes[d] == input.size(static_cast<std::int64_t>(d));
  }
  GRADSPIKE_REQUIRE(fits, "input '", expected.name, "' of native code must have shape ", shape_text(expected.sizes),
                    ", got ", shape_text(input.sizes().vec()));
  GRADSPIKE_REQUIRE(!(at::GradMode::is_enabled() && input.requires_grad()),
                    "native code runs forward alone, but input '", expected.name,
                    "' requires a gradient: load the file without allow_native_code to train");
  return input.contiguous();
}

std::vector<at::Tensor> NativeCode::run_all(const std::vector<at::Tensor>& inputs) const {
  GRADSPIKE_REQUIRE(inputs.size() == inputs_.size(), "the native code takes ", inputs_.size(),
                    inputs_.size() == 1 ? " input" : " inputs", ", got ", inputs.size());
  std::vector<at::Tensor> given;
  for (std::size_t k = 0; k < inputs.size(); ++k) {
    given.push_back(checked(inputs[k], inputs_[k]));
    for (const std::int64_t free : {0, 1}) {  // one number of steps and one of batch entries for all inputs
      const std::vector<std::int64_t>& sizes = inputs_[k].sizes;
      const bool both = sizes.size() == 3 && inputs_[0].sizes.size() == 3;
      GRADSPIKE_REQUIRE(!both || given[k].size(free) == given[0].size(free), "input '", inputs_[k].name,
                        "' of native code must have the ", free == 0 ? "time steps" : "batch entries",
                        " of the first input, ", given[0].size(free), ", got ", given[k].size(free));
    }
  }
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> outputs;
  try {
    outputs = runner_->run(given);
  } catch (const std::exception& error) {
    GRADSPIKE_FAIL("native code failed: ", first_line(error.what()));
  }
  // An operator that refuses its arguments is written to standard error by PyTorch, and gives a tensor that is none.
  const bool whole = std::all_of(outputs.begin(), outputs.end(), [](const at::Tensor& t) { return t.defined(); });
  GRADSPIKE_REQUIRE(whole && outputs.size() == num_outputs_ + populations_.size(),
                    "native code failed: an operator in it refused its arguments, PyTorch wrote why to standard error");
  return outputs;
}

std::vector<at::Tensor> NativeCode::run(const std::vector<at::Tensor>& inputs) const {
  std::vector<at::Tensor> outputs = run_all(inputs);
  outputs.resize(num_outputs_);
  return outputs;
}

std::map<std::string, at::Tensor> NativeCode::run_populations(const std::vector<at::Tensor>& inputs) const {
  const std::vector<at::Tensor> outputs = run_all(inputs);
  std::map<std::string, at::Tensor> signals;
  for (std::size_t k = 0; k < populations_.size(); ++k) {
    signals[populations_[k]] = outputs[num_outputs_ + k];
  }
  return signals;
}

}  // namespace gradspike::ops
