// Where and how a kernel runs. Threads, streams and scratch memory are handed in by the caller; the kernels own none.
#pragma once

#include <cstddef>
#include <cstdint>

struct CUstream_st;  // the type behind cudaStream_t, so that no CUDA header is needed here

namespace gradspike {

/// Scratch memory that lives until the end of the kernel call (on a device: until the stream has passed it).
class Workspace {
 public:
  Workspace() = default;
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;
  virtual ~Workspace() = default;
  /// At least `bytes` bytes, aligned to 256; never null for bytes > 0.
  virtual void* allocate(std::size_t bytes) = 0;

  template <class T>
  T* allocate_array(std::int64_t count) {
    return static_cast<T*>(allocate(static_cast<std::size_t>(count) * sizeof(T)));
  }
};

/// Execution on the CPU: `parallel_for` splits [0, count) into ranges of at least `grain` and calls `body` on each.
/// The split never changes a result: every output element is computed by one range in a fixed order.
struct CpuExec {
  using Body = void (*)(void* context, std::int64_t begin, std::int64_t end);
  using ParallelFor = void (*)(std::int64_t count, std::int64_t grain, void* context, Body body);

  ParallelFor parallel_for = nullptr;  // null: serial
  std::int64_t num_threads = 1;

  template <class F>
  void for_each_range(std::int64_t count, std::int64_t grain, F&& body) const {
    if (count <= 0) {
      return;
    }
    if (parallel_for == nullptr || count <= grain) {
      body(std::int64_t{0}, count);
      return;
    }
    parallel_for(count, grain, &body, [](void* context, std::int64_t begin, std::int64_t end) {
      (*static_cast<decltype(&body)>(context))(begin, end);
    });
  }
};

/// Execution on a CUDA device: every kernel of the call is queued on `stream`; nothing synchronises.
struct CudaExec {
  CUstream_st* stream = nullptr;
  Workspace* workspace = nullptr;
};

}  // namespace gradspike
