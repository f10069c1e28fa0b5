// Native code of AOTInductor in a `.pt2` file: its program, compiled for one device by gradspike.export.
//
// Native code runs with all rights of the user. Nothing here extracts or loads it before a NativeCode is made, which
// callers do where the user has said so.
//
//   data/aotinductor/model/...           the package of AOTInductor, with its shared object
//   extra/gradspike/native_code.json     what it was compiled for, what it takes and what it returns
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace caffe2::serialize {
class PyTorchStreamReader;
}
namespace torch::inductor {
class AOTIModelContainerRunner;
}

namespace gradspike::ops {

/// Whether an archive holds native code. Loads none of it.
bool holds_native_code(caffe2::serialize::PyTorchStreamReader& reader);

/// Instructions of this machine that a compiler may choose by itself, by the names of the kernel.
std::vector<std::string> cpu_features();

class NativeCode {
 public:
  /// Loads the native code of a file into the process. The parameters are those of the program beside it. Throws with
  /// one sentence where there is none, or where it was compiled for another device, processor or PyTorch.
  NativeCode(const std::string& path, c10::Device device);
  ~NativeCode();
  NativeCode(const NativeCode&) = delete;
  NativeCode& operator=(const NativeCode&) = delete;

  /// What the model returns. Thread-safe; forward alone.
  std::vector<at::Tensor> run(const std::vector<at::Tensor>& inputs) const;

  /// What the populations send, by name: spikes, of leaky integrators the membrane.
  std::map<std::string, at::Tensor> run_populations(const std::vector<at::Tensor>& inputs) const;

 private:
  struct Input {
    std::string name;
    at::ScalarType type;
    std::vector<std::int64_t> sizes;  // -1: any
  };

  void read(caffe2::serialize::PyTorchStreamReader& reader);
  void load(caffe2::serialize::PyTorchStreamReader& reader);
  void set_constants(caffe2::serialize::PyTorchStreamReader& reader);
  at::Tensor checked(const at::Tensor& input, const Input& expected) const;
  std::vector<at::Tensor> run_all(const std::vector<at::Tensor>& inputs) const;

  c10::Device device_;
  std::vector<Input> inputs_;
  std::size_t num_outputs_ = 0;
  std::vector<std::string> populations_;
  class Folder;
  std::unique_ptr<Folder> folder_;  // what the runner may still read
  std::unique_ptr<torch::inductor::AOTIModelContainerRunner> runner_;
};

}  // namespace gradspike::ops
