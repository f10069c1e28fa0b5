// CPU kernels of pack_spikes and unpack_spikes.
#include "csrc/kernels/packed_spikes.h"

#include <atomic>

#include "csrc/cpu/isa_local.h"

namespace gradspike::kernels::GRADSPIKE_CPU_ISA {
namespace {

constexpr std::int64_t kGrain = 65536;  // spikes; some 20 us of work

std::int64_t row_grain(std::int64_t neurons) { return larger(1, kGrain / larger(1, neurons)); }

/// One row; returns the number of spikes that are neither 0 nor 1. Whole bytes are made without a branch per spike.
template <class S>
std::int64_t pack_row(const S* __restrict__ spikes, std::int64_t neurons, std::uint8_t* __restrict__ packed) {
  std::int64_t lost = 0;
  const std::int64_t whole = neurons / 8;
  for (std::int64_t byte = 0; byte < whole; ++byte) {
    unsigned bits = 0;
    int odd = 0;
    for (int bit = 0; bit < 8; ++bit) {
      const S spike = spikes[byte * 8 + bit];
      bits |= (spike != S{0} ? 1U : 0U) << bit;
      odd += spike != S{0} && spike != S{1} ? 1 : 0;
    }
    packed[byte] = static_cast<std::uint8_t>(bits);
    lost += odd;
  }
  if (whole * 8 < neurons) {
    packed[whole] = 0;
    for (std::int64_t n = whole * 8; n < neurons; ++n) {
      packed[whole] = static_cast<std::uint8_t>(packed[whole] | (spikes[n] != S{0} ? math::packed_mask(n) : 0));
      lost += spikes[n] != S{0} && spikes[n] != S{1} ? 1 : 0;
    }
  }
  return lost;
}

}  // namespace

template <class S>
void pack_spikes(const CpuExec& exec, const PackSpikesArgs<S>& args) {
  std::atomic<std::int64_t> lost{0};
  const std::int64_t bytes = math::packed_bytes(args.neurons);
  exec.for_each_range(args.rows, row_grain(args.neurons), [&](std::int64_t begin, std::int64_t end) {
    std::int64_t of_range = 0;
    for (std::int64_t row = begin; row < end; ++row) {
      of_range += pack_row(args.spikes + row * args.neurons, args.neurons, args.packed + row * bytes);
    }
    lost += of_range;
  });
  *args.lost = lost;
}

template <class S>
void unpack_spikes(const CpuExec& exec, const UnpackSpikesArgs<S>& args) {
  const std::int64_t bytes = math::packed_bytes(args.neurons);
  exec.for_each_range(args.rows, row_grain(args.neurons), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      const std::uint8_t* packed = args.packed + row * bytes;
      S* spikes = args.spikes + row * args.neurons;
      for (std::int64_t n = 0; n < args.neurons; ++n) {
        spikes[n] = (packed[math::packed_byte(n)] & math::packed_mask(n)) != 0 ? S{1} : S{0};
      }
    }
  });
}

#define GRADSPIKE_INSTANTIATE(S)                                          \
  template void pack_spikes<S>(const CpuExec&, const PackSpikesArgs<S>&); \
  template void unpack_spikes<S>(const CpuExec&, const UnpackSpikesArgs<S>&);
GRADSPIKE_INSTANTIATE(float)
GRADSPIKE_INSTANTIATE(double)
GRADSPIKE_INSTANTIATE(std::uint8_t)
#undef GRADSPIKE_INSTANTIATE

}  // namespace gradspike::kernels::GRADSPIKE_CPU_ISA
