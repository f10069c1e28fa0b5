// What this build is and what it runs on, as JSON.
#include <torch/library.h>
#include <torch/version.h>

#include "csrc/cpu/isa.h"

namespace gradspike::ops {
namespace {

std::string version_info() {
  return std::string("{\"version\":\"") + GRADSPIKE_VERSION + "\",\"torch\":\"" + TORCH_VERSION + "\",\"cpu_isa\":\"" +
         cpu::to_string(cpu::active_isa()) + "\",\"cuda_built\":" + GRADSPIKE_CUDA_BUILT + "}";
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(gradspike, m) { m.def("_version_info() -> str", version_info); }

}  // namespace gradspike::ops
