// Binds CUDA kernels to PyTorch's device, stream and caching allocator.
#pragma once

#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include <cstddef>
#include <vector>

#include "ops/execution.h"

namespace gradspike::ops {

/// Scratch memory from PyTorch's caching allocator, which reuses it only after the stream has passed its last use.
/// Small pieces share a block, since asking for one takes the host longer than a launch.
class TorchWorkspace final : public Workspace {
 public:
  void* allocate(std::size_t bytes) override {
    const std::size_t size = (bytes + kAlignment - 1) / kAlignment * kAlignment;
    if (size > left_) {
      if (size > kBlock / 4) {
        return add_block(size);
      }
      next_ = static_cast<std::byte*>(add_block(kBlock));
      left_ = kBlock;
    }
    void* const result = next_;
    next_ += size;
    left_ -= size;
    return result;
  }

 private:
  static constexpr std::size_t kAlignment = 256;
  static constexpr std::size_t kBlock = std::size_t{1} << 19;  // the allocator's small blocks end at 1 MiB

  void* add_block(std::size_t bytes) {
    blocks_.push_back(c10::cuda::CUDACachingAllocator::get()->allocate(bytes));
    return blocks_.back().get();
  }

  std::vector<c10::DataPtr> blocks_;
  std::byte* next_ = nullptr;
  std::size_t left_ = 0;
};

template <>
class Scope<CudaExec> {
 public:
  explicit Scope(const at::Tensor& tensor) : guard_(tensor.device()) {
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
