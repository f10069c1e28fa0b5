// Marks functions that run on the host and on the device, so that each formula exists once.
#pragma once

#if defined(__CUDACC__)
#define GRADSPIKE_HD __host__ __device__ __forceinline__
#else
#define GRADSPIKE_HD inline __attribute__((always_inline))
#endif
