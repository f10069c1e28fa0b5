#include "ops/device.h"

#include <dlfcn.h>

#include <ATen/Context.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/detail/CUDAHooksInterface.h>

#include "csrc/core/error.h"

namespace gradspike::ops {
namespace {

constexpr const char* kCudaLibrary = "libgradspike_cuda.so";

bool has_cuda_kernels() {
  const auto lif = c10::Dispatcher::singleton().findSchema({"gradspike::lif", ""});
  return lif.has_value() && lif->hasKernelForDispatchKey(c10::DispatchKey::CUDA);
}

/// Path of the CUDA library in the folder of this one.
std::string cuda_library_path() {
  Dl_info info{};
  if (::dladdr(reinterpret_cast<const void*>(&device_of_target), &info) == 0 || info.dli_fname == nullptr) {
    return kCudaLibrary;
  }
  const std::string own = info.dli_fname;
  const std::size_t slash = own.rfind('/');
  return (slash == std::string::npos ? "" : own.substr(0, slash + 1)) + kCudaLibrary;
}

void require_cuda_kernels(const std::string& target) {
  if (has_cuda_kernels()) {
    return;
  }
  const std::string path = cuda_library_path();
  if (::dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL) == nullptr) {
    const char* const reason = ::dlerror();
    GRADSPIKE_FAIL("target '", target, "' needs ", kCudaLibrary,
                   ", which did not load: ", reason != nullptr ? reason : path.c_str());
  }
}

}  // namespace

c10::Device device_of_target(const std::string& target) {
  if (target == "cpu") {
    return {at::kCPU};
  }
  const std::string number = target.rfind("cuda:", 0) == 0 ? target.substr(5) : "";
  const bool plain = target == "cuda" || (!number.empty() && number.size() < 3 &&
                                          number.find_first_not_of("0123456789") == std::string::npos);
  GRADSPIKE_REQUIRE(plain, "a device must be cpu, cuda or cuda:0, cuda:1, ..., got '", target, "'");
  const int count = at::hasCUDA() ? static_cast<int>(at::detail::getCUDAHooks().deviceCount()) : 0;
  GRADSPIKE_REQUIRE(count > 0, "target '", target, "' needs a GPU that PyTorch can use, and there is none here");
  const int index = number.empty() ? 0 : std::stoi(number);
  GRADSPIKE_REQUIRE(index < count, "target '", target, "' is not here: there ", count == 1 ? "is " : "are ", count,
                    count == 1 ? " GPU" : " GPUs", ", counted from cuda:0");
  require_cuda_kernels(target);
  return {at::kCUDA, static_cast<c10::DeviceIndex>(index)};
}

}  // namespace gradspike::ops
