#include "cuda/common/thrust_exec.h"

#include <thrust/iterator/counting_iterator.h>
#include <thrust/iterator/transform_iterator.h>
#include <thrust/scan.h>
#include <thrust/scatter.h>
#include <thrust/sort.h>

#include "tests/cuda_host/kernels/thrust_case.h"

namespace gradspike::testing {
namespace {

struct IsPositive {
  __host__ __device__ std::int64_t operator()(std::int32_t value) const { return value > 0 ? 1 : 0; }
};

__global__ void last_position_kernel(const std::int32_t* values, const std::int64_t* positions, std::int64_t num_values,
                                     std::int64_t* count) {
  *count = positions[num_values - 1] + IsPositive{}(values[num_values - 1]);
}

}  // namespace

void thrust_compact(const CudaExec& exec, const std::int32_t* values, std::int64_t num_values, std::int64_t* out,
                    std::int64_t* count) {
  if (num_values == 0) {
    device::fill_zero(exec, count, sizeof(std::int64_t));
    return;
  }
  device::ThrustAllocator allocator(exec.workspace);
  std::int64_t* const positions = exec.workspace->allocate_array<std::int64_t>(num_values);
  const auto flags = thrust::make_transform_iterator(values, IsPositive{});
  thrust::exclusive_scan(device::thrust_policy(allocator, exec), flags, flags + num_values, positions, std::int64_t{0});
  const thrust::counting_iterator<std::int64_t> indices(0);
  thrust::scatter_if(device::thrust_policy(allocator, exec), indices, indices + num_values, positions, flags, out);
  device::launch("last_position", &last_position_kernel, {1, 1}, exec, values, positions, num_values, count);
}

void thrust_sort(const CudaExec& exec, std::int32_t* values, std::int64_t num_values) {
  device::ThrustAllocator allocator(exec.workspace);
  thrust::stable_sort(device::thrust_policy(allocator, exec), values, values + num_values);
}

}  // namespace gradspike::testing
