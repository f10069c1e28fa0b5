// Autocast: weights, parameters and analog inputs in float32, results in float32, whatever dtype autocast asks for. The
// quantiser must never see weights that were rounded to bfloat16 on the way.
#include <ATen/autocast_mode.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/library.h>

namespace gradspike::ops {
namespace {

/// Float16 and bfloat16 tensors of the arguments become float32; everything else is passed on.
void autocast_kernel(const c10::OperatorHandle& op, c10::DispatchKeySet, torch::jit::Stack* stack, c10::DispatchKey key,
                     at::DeviceType device) {
  const c10::impl::ExcludeDispatchKeyGuard no_autocast(key);
  const std::size_t arguments = op.schema().arguments().size();
  for (std::size_t k = stack->size() - arguments; k < stack->size(); ++k) {
    c10::IValue& value = (*stack)[k];
    if (value.isTensor() && value.toTensor().defined()) {
      const at::ScalarType type = value.toTensor().scalar_type();
      if (type == at::kHalf || type == at::kBFloat16) {
        value = at::autocast::cached_cast(at::kFloat, value.toTensor(), device);
      }
    }
  }
  op.callBoxed(stack);
}

void autocast_cpu(const c10::OperatorHandle& op, c10::DispatchKeySet keys, torch::jit::Stack* stack) {
  autocast_kernel(op, keys, stack, c10::DispatchKey::AutocastCPU, at::kCPU);
}
void autocast_cuda(const c10::OperatorHandle& op, c10::DispatchKeySet keys, torch::jit::Stack* stack) {
  autocast_kernel(op, keys, stack, c10::DispatchKey::AutocastCUDA, at::kCUDA);
}

// clang-format off
constexpr const char* kOps[] = {
    "linear_saturating",
    "hardware_weights",
    "weight_statistics",
    "hardware_weights_with_statistics",
    "connections",
    "graded_spikes",
    "eventprop_graded_spikes",
    "sparse_graded_spikes",
    "prepack",
    "prepacked_graded_spikes",
    "lif",
    "li",
    "aelif",
    "eventprop_lif",
    "exact_eventprop_lif",
    "pack_spikes",
    "spikes_to_events",
    "events_to_spikes",
    "unpack_spikes",
    "synapse_lif",
    "recurrent_lif",
};
// clang-format on

}  // namespace

TORCH_LIBRARY_IMPL(gradspike, AutocastCPU, m) {
  for (const char* op : kOps) {
    m.impl(op, torch::CppFunction::makeFromBoxedFunction<&autocast_cpu>());
  }
}

TORCH_LIBRARY_IMPL(gradspike, AutocastCUDA, m) {
  for (const char* op : kOps) {
    m.impl(op, torch::CppFunction::makeFromBoxedFunction<&autocast_cuda>());
  }
}

}  // namespace gradspike::ops
