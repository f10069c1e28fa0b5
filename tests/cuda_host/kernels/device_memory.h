// Memory that the kernels under test run on: the heap for the executor, cudaMalloc on a GPU. One allocation of exactly
// the size of each array, so that AddressSanitizer and compute-sanitizer see any access beyond it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <vector>

#include "csrc/core/execution.h"
#if defined(GRADSPIKE_TEST_ON_GPU)
#include "cuda/common/cuda_check.h"
#endif

namespace gradspike::testing {

inline void* device_allocate(std::size_t bytes, int fill) {
#if defined(GRADSPIKE_TEST_ON_GPU)
  void* memory = nullptr;
  GRADSPIKE_CUDA_TRY(cudaMalloc(&memory, bytes == 0 ? 1 : bytes));
  GRADSPIKE_CUDA_TRY(cudaMemset(memory, fill, bytes));
#else
  void* memory = nullptr;
  if (posix_memalign(&memory, 256, bytes) != 0) {
    throw std::bad_alloc();
  }
  std::memset(memory, fill, bytes);
#endif
  return memory;
}

inline void device_free(void* memory) {
#if defined(GRADSPIKE_TEST_ON_GPU)
  GRADSPIKE_CUDA_IGNORE(cudaFree(memory));
#else
  std::free(memory);
#endif
}

/// An array that kernels read or write.
template <class T>
class DeviceArray {
 public:
  /// Every byte is `fill`: what a kernel leaves unwritten differs between two fills.
  DeviceArray(std::int64_t count, int fill)
      : count_(static_cast<std::size_t>(count)), data_(static_cast<T*>(device_allocate(count_ * sizeof(T), fill))) {}
  explicit DeviceArray(const std::vector<T>& values) : DeviceArray(static_cast<std::int64_t>(values.size()), 0) {
    if (values.empty()) {
      return;
    }
#if defined(GRADSPIKE_TEST_ON_GPU)
    GRADSPIKE_CUDA_TRY(cudaMemcpy(data_, values.data(), count_ * sizeof(T), cudaMemcpyHostToDevice));
#else
    std::memcpy(data_, values.data(), count_ * sizeof(T));
#endif
  }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;
  ~DeviceArray() { device_free(data_); }

  T* get() { return data_; }
  std::vector<T> read() const {
    std::vector<T> values(count_);
    if (values.empty()) {
      return values;
    }
#if defined(GRADSPIKE_TEST_ON_GPU)
    GRADSPIKE_CUDA_TRY(cudaDeviceSynchronize());
    GRADSPIKE_CUDA_TRY(cudaMemcpy(values.data(), data_, count_ * sizeof(T), cudaMemcpyDeviceToHost));
#else
    std::memcpy(values.data(), data_, count_ * sizeof(T));
#endif
    return values;
  }

 private:
  std::size_t count_;
  T* data_;
};

/// Scratch memory full of `fill`, freed with the object.
class TestWorkspace : public Workspace {
 public:
  explicit TestWorkspace(int fill) : fill_(fill) {}
  ~TestWorkspace() override {
#if defined(GRADSPIKE_TEST_ON_GPU)
    GRADSPIKE_CUDA_IGNORE(cudaDeviceSynchronize());
#endif
    for (void* const memory : allocated_) {
      device_free(memory);
    }
  }
  void* allocate(std::size_t bytes) override {
    allocated_.push_back(device_allocate(bytes, fill_));
    return allocated_.back();
  }
  std::size_t num_allocations() const { return allocated_.size(); }

 private:
  int fill_;
  std::vector<void*> allocated_;
};

}  // namespace gradspike::testing
