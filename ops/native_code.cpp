#include "ops/native_code.h"

#include <ATen/core/grad_mode.h>
#include <caffe2/serialize/inline_container.h>
#include <dlfcn.h>
#include <torch/csrc/inductor/aoti_package/model_package_loader.h>
#include <torch/version.h>

#include <algorithm>
#include <fstream>
#include <sstream>
#include <unordered_map>

#include "csrc/core/error.h"
#include "ops/program.h"
#include "ops/program_records.h"

namespace gradspike::ops {
namespace {

using nlohmann::json;

constexpr const char* kDescription = "extra/gradspike/native_code.json";
constexpr const char* kFormat = "gradspike.native_code";
constexpr std::int64_t kVersion = 1;
constexpr const char* kFolder = "data/aotinductor/";
constexpr const char* kModel = "model";

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

std::string version_of_torch() {
  return std::to_string(TORCH_VERSION_MAJOR) + "." + std::to_string(TORCH_VERSION_MINOR);
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
                     [&](const std::string& prefix) { return feature.compare(0, prefix.size(), prefix) == 0; });
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
  load_libtorch();
  try {
    loader_ = std::make_unique<torch::inductor::AOTIModelPackageLoader>(path, kModel, /*run_single_threaded=*/false,
                                                                        /*num_runners=*/1, device_.index());
  } catch (const std::exception& error) {
    GRADSPIKE_FAIL("its native code cannot be loaded: ", first_line(error.what()));
  }
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
  const std::vector<std::string> records = reader.getAllRecords();
  GRADSPIKE_REQUIRE(std::any_of(records.begin(), records.end(),
                                [](const std::string& name) {
                                  return name.compare(0, std::string(kFolder).size(), kFolder) == 0 &&
                                         ends_with(name, ".so");
                                }),
                    "its native code is not compiled: there is no shared object in it");
}

/// The parameters of the program are the truth, here too.
void NativeCode::set_constants(caffe2::serialize::PyTorchStreamReader& reader) {
  if (!holds_program(reader)) {
    return;  // those that it was compiled with
  }
  const std::map<std::string, at::Tensor> tensors = program_tensors(reader);
  std::unordered_map<std::string, at::Tensor> constants;
  for (const std::string& name : loader_->get_constant_fqns()) {
    const auto found = tensors.find(name);
    GRADSPIKE_REQUIRE(found != tensors.end(), "its native code reads tensor '", name, "', which its program lacks");
    constants[name] = found->second.detach().to(device_);
  }
  if (!constants.empty()) {
    loader_->load_constants(constants, /*use_inactive=*/false, /*check_full_update=*/true);
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
    outputs = loader_->run(given);
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
