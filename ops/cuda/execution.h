// Binds CUDA kernels to PyTorch's device, stream and caching allocator.
#pragma once

#include <ATen/ops/empty.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include <vector>

#include "ops/execution.h"

namespace gradspike::ops {

/// Scratch memory from PyTorch's caching allocator, which reuses it only after the stream has passed its last use.
class TorchWorkspace final : public Workspace {
 public:
  explicit TorchWorkspace(const at::TensorOptions& options) : options_(options.dtype(at::kByte)) {}

  void* allocate(std::size_t bytes) override {
    blocks_.push_back(at::empty({static_cast<std::int64_t>(bytes)}, options_));
    return blocks_.back().mutable_data_ptr();
  }

 private:
  at::TensorOptions options_;
  std::vector<at::Tensor> blocks_;
};

template <>
class Scope<CudaExec> {
 public:
  explicit Scope(const at::Tensor& tensor) : guard_(tensor.device()), workspace_(tensor.options()) {
    exec_.stream = c10::cuda::getCurrentCUDAStream().stream();
    exec_.workspace = &workspace_;
  }
  const CudaExec& exec() const { return exec_; }

 private:
  c10::cuda::CUDAGuard guard_;
  TorchWorkspace workspace_;
  CudaExec exec_;
};

}  // namespace gradspike::ops
