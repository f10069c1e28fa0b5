// torch.classes.gradspike.NativeCode: native code of a `.pt2` file. Making one loads and runs code of the file.
#include "ops/native_code.h"

#include <torch/custom_class.h>

namespace gradspike::ops {
namespace {

class NativeCodeHandle : public torch::CustomClassHolder {
 public:
  NativeCodeHandle(const std::string& path, c10::Device device) : code_(path, device) {}
  std::vector<at::Tensor> run(const std::vector<at::Tensor>& inputs) const { return code_.run(inputs); }

 private:
  NativeCode code_;
};

}  // namespace

TORCH_LIBRARY_FRAGMENT(gradspike, m) {
  m.class_<NativeCodeHandle>("NativeCode")
      .def(torch::init<std::string, c10::Device>())
      .def("run", &NativeCodeHandle::run);
  m.def("_cpu_features() -> str[]", cpu_features);
}

}  // namespace gradspike::ops
