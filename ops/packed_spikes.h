// pack_spikes and unpack_spikes: spikes as bits along the last axis, an eighth of a byte each.
//
//   packed[..., n >> 3] has bit n & 7 set where spikes[..., n] != 0                    csrc/math/packed.h
//
// Shapes: spikes [..., neurons], packed uint8 [..., (neurons + 7) / 8] with padding bits 0. `lost` int64 [1] counts the
// spikes that are neither 0 nor 1, of which a bit keeps only that they are not 0. No gradient. Deterministic; no
// synchronisation.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/SymBool.h>

#include <optional>

#include "csrc/kernels/packed_spikes.h"
#include "ops/graded_spikes.h"

namespace gradspike::ops {

inline void plan_pack_spikes(const at::Tensor& spikes) {
  check_spike_type("pack_spikes", spikes);
  TORCH_CHECK(spikes.dim() >= 1, "pack_spikes: spikes must have at least 1 dimension [..., neurons], got 0");
}

template <class Exec>
std::tuple<at::Tensor, at::Tensor> pack_spikes_impl(const at::Tensor& spikes) {
  plan_pack_spikes(spikes);
  const Scope<Exec> scope(spikes);
  const at::Tensor rows = spike_rows(spikes);
  std::vector<std::int64_t> sizes = spikes.sizes().vec();
  sizes.back() = math::packed_bytes(sizes.back());
  at::Tensor packed = empty_result(sizes, spikes.options().dtype(at::kByte));
  at::Tensor lost = at::empty({1}, spikes.options().dtype(at::kLong));
  dispatch_spikes(rows, [&](const auto* data) {
    using S = std::remove_const_t<std::remove_pointer_t<decltype(data)>>;
    kernels::pack_spikes(scope.exec(),
                         kernels::PackSpikesArgs<S>{data, packed.mutable_data_ptr<std::uint8_t>(),
                                                    lost.mutable_data_ptr<std::int64_t>(), rows.size(0), rows.size(1)});
  });
  return {packed, lost};
}

/// The dtype of the result; float32 where none was asked for.
inline at::ScalarType plan_unpack_spikes(const at::Tensor& packed, std::int64_t neurons,
                                         std::optional<at::ScalarType> dtype) {
  constexpr const char* kOp = "unpack_spikes";
  TORCH_CHECK(packed.scalar_type() == at::kByte, kOp, ": packed must be uint8, got ", packed.scalar_type());
  TORCH_CHECK(packed.dim() >= 1, kOp, ": packed must have at least 1 dimension [..., bytes], got 0");
  TORCH_CHECK(neurons >= 0, kOp, ": neurons must be at least 0, got ", neurons);
  TORCH_SYM_CHECK(packed.sym_size(-1).sym_eq(math::packed_bytes(neurons)), kOp,
                  ": the last dimension of packed must be ", math::packed_bytes(neurons), " bytes for ", neurons,
                  " neurons, got ", packed.sym_size(-1));
  const at::ScalarType type = dtype.value_or(at::kFloat);
  TORCH_CHECK(type == at::kFloat || type == at::kDouble || type == at::kByte, kOp,
              ": dtype must be float32, float64 or uint8, got ", type);
  return type;
}

template <class Exec>
at::Tensor unpack_spikes_impl(const at::Tensor& packed, std::int64_t neurons, std::optional<at::ScalarType> dtype) {
  const at::ScalarType type = plan_unpack_spikes(packed, neurons, dtype);
  const Scope<Exec> scope(packed);
  const at::Tensor bytes = packed.contiguous();
  std::vector<std::int64_t> sizes = packed.sizes().vec();
  sizes.back() = neurons;
  at::Tensor spikes = empty_result(sizes, packed.options().dtype(type));
  const std::int64_t rows = neurons > 0 ? spikes.numel() / neurons : 0;
  const auto call = [&](auto* data) {
    using S = std::remove_pointer_t<decltype(data)>;
    kernels::unpack_spikes(scope.exec(),
                           kernels::UnpackSpikesArgs<S>{bytes.const_data_ptr<std::uint8_t>(), data, rows, neurons});
  };
  if (type == at::kByte) {
    call(spikes.mutable_data_ptr<std::uint8_t>());
  } else if (type == at::kDouble) {
    call(spikes.mutable_data_ptr<double>());
  } else {
    call(spikes.mutable_data_ptr<float>());
  }
  return spikes;
}

}  // namespace gradspike::ops
