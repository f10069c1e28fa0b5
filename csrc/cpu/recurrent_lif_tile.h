// What the kernels of recurrent_lif share: tiles of whole batch rows, since a row's neurons depend on each other.
#pragma once

#include "csrc/cpu/lif_tile.h"
#include "csrc/kernels/recurrent_lif.h"

namespace gradspike::kernels::GRADSPIKE_CPU_ISA {

/// Calls body(first row, last row) for every tile, in one parallel region; for no tile where there is no neuron.
template <class F>
inline void for_each_row_tile(const CpuExec& exec, std::int64_t batch, std::int64_t neurons, F&& body) {
  constexpr std::int64_t kRowGroup = 8;  // rows that the product with the transposed weights takes at once
  const std::int64_t share = (batch + exec.num_threads - 1) / larger(1, exec.num_threads);
  const std::int64_t fitting = kUniformTile / larger(1, neurons);
  const std::int64_t wanted = (larger(1, smaller(share, fitting)) + kRowGroup - 1) / kRowGroup * kRowGroup;
  const std::int64_t rows = larger(1, smaller(batch, wanted));
  exec.for_each_range(neurons == 0 ? 0 : (batch + rows - 1) / rows, 1, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t k = first; k < last; ++k) {
      body(k * rows, smaller(batch, (k + 1) * rows));
    }
  });
}

}  // namespace gradspike::kernels::GRADSPIKE_CPU_ISA
