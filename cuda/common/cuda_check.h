// Checks of CUDA calls. Only the nvcc build makes any.
#pragma once

#include <cuda_runtime_api.h>

#include "csrc/core/error.h"

/// Throws gradspike::Error with the call, the name of the error and its text.
#define GRADSPIKE_CUDA_TRY(call)                                                                                  \
  do {                                                                                                            \
    const cudaError_t gradspike_status = (call);                                                                  \
    if (gradspike_status != cudaSuccess) {                                                                        \
      GRADSPIKE_FAIL(__FILE__, ":", __LINE__, ": `", #call, "` failed with ", cudaGetErrorName(gradspike_status), \
                     " (", cudaGetErrorString(gradspike_status), ")");                                            \
    }                                                                                                             \
  } while (false)

/// For destructors, which must not throw: clears the error and goes on.
#define GRADSPIKE_CUDA_IGNORE(call)          \
  do {                                       \
    if ((call) != cudaSuccess) {             \
      static_cast<void>(cudaGetLastError()); \
    }                                        \
  } while (false)
