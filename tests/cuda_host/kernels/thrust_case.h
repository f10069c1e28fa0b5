// A stream compaction and a sort through Thrust, to test the policy of cuda/common/thrust_exec.h.
#pragma once

#include <cstdint>

#include "csrc/core/execution.h"

namespace gradspike::testing {

/// Writes the indices of the positive values to `out` in order, and their number to `count`; nothing synchronises.
void thrust_compact(const CudaExec& exec, const std::int32_t* values, std::int64_t num_values, std::int64_t* out,
                    std::int64_t* count);

/// Sorts `values` in place.
void thrust_sort(const CudaExec& exec, std::int32_t* values, std::int64_t num_values);

}  // namespace gradspike::testing
