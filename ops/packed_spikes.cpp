#include "ops/packed_spikes.h"

#include <torch/library.h>

namespace gradspike::ops {
namespace {

std::tuple<at::Tensor, at::Tensor> pack_spikes_meta(const at::Tensor& spikes) {
  plan_pack_spikes(spikes);
  std::vector<c10::SymInt> sizes = spikes.sym_sizes().vec();
  sizes.back() = (sizes.back() + 7) / 8;
  return {at::empty_symint(sizes, spikes.options().dtype(at::kByte)),
          at::empty({1}, spikes.options().dtype(at::kLong))};
}

at::Tensor unpack_spikes_meta(const at::Tensor& packed, std::int64_t neurons, std::optional<at::ScalarType> dtype) {
  const at::ScalarType type = plan_unpack_spikes(packed, neurons, dtype);
  std::vector<c10::SymInt> sizes = packed.sym_sizes().vec();
  sizes.back() = neurons;
  return at::empty_symint(sizes, packed.options().dtype(type));
}

}  // namespace

TORCH_LIBRARY_IMPL(gradspike, CPU, m) {
  m.impl("pack_spikes", pack_spikes_impl<CpuExec>);
  m.impl("unpack_spikes", unpack_spikes_impl<CpuExec>);
}

TORCH_LIBRARY_IMPL(gradspike, Meta, m) {
  m.impl("pack_spikes", pack_spikes_meta);
  m.impl("unpack_spikes", unpack_spikes_meta);
}

TORCH_LIBRARY_IMPL(gradspike, Autograd, m) {
  m.impl("pack_spikes", torch::CppFunction::makeFallthrough());
  m.impl("unpack_spikes", torch::CppFunction::makeFallthrough());
}

}  // namespace gradspike::ops
