// torch.classes.gradspike.NativeCode: native code of a `.pt2` file. Making one loads and runs code of the file.
#include "ops/native_code.h"

#include <torch/custom_class.h>

#include <memory>

#include "csrc/core/error.h"
#include "ops/classes/outside_of_graphs.h"

namespace gradspike::ops {
namespace {

class NativeCodeHandle : public torch::CustomClassHolder {
 public:
  NativeCodeHandle(const std::string& path, c10::Device device) {
    require_outside_of_graphs("native code");
    code_ = std::make_unique<NativeCode>(path, device);
  }

  std::vector<at::Tensor> run(const std::vector<at::Tensor>& inputs) const {
    GRADSPIKE_CHECK(code_ != nullptr, "native code that is open");
    return code_->run(inputs);
  }
  /// Unloads the code: Python does not destroy everything when it ends.
  void close() { code_.reset(); }

 private:
  std::unique_ptr<NativeCode> code_;
};

}  // namespace

TORCH_LIBRARY_FRAGMENT(gradspike, m) {
  m.class_<NativeCodeHandle>("NativeCode")
      .def(torch::init<std::string, c10::Device>())
      .def_static("cpu_features", &cpu_features)
      .def("run", &NativeCodeHandle::run)
      .def("close", &NativeCodeHandle::close);
}

}  // namespace gradspike::ops
