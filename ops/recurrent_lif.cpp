#include "ops/recurrent_lif_backward.h"

#include <torch/library.h>

#include "ops/stack.h"

namespace gradspike::ops {
namespace {

RecurrentLifForward recurrent_lif_forward_meta(GRADSPIKE_RECURRENT_LIF_SIGNATURE, bool save) {
  const auto planned = plan_recurrent_lif(GRADSPIKE_RECURRENT_LIF_ARGUMENTS);
  const RecurrentPlan& plan = planned.first;
  const LifParameters p{leak, reset, threshold, tau_mem, tau_syn, membrane_capacitance, refractory_time};
  const at::TensorOptions options = input_weight.options().dtype(plan.type());
  const auto trace = [&](bool asked) {
    return asked ? at::empty_symint(plan.trace, options) : at::empty({0}, options);
  };
  const auto integers = [&](const GradedSpikesPlan& projection, const at::Tensor& weight) {
    const at::TensorOptions stored = weight.options().dtype(projection.integer_type);
    return projection.rounds() ? at::empty_symint(weight.sym_sizes(), stored) : at::empty({0}, stored);
  };
  const bool recompute = save && recompute_every > 0;
  return {trace(planned.second.spikes),
          trace(planned.second.membrane),
          trace(planned.second.current),
          at::empty_symint({math::kNumRecurrentLifStates, plan.trace[1], plan.neurons()}, options),
          trace(save && !recompute),
          at::empty_symint({math::kNumLifCoefficients, coefficient_columns(plan.neurons(), GRADSPIKE_LIF_NAMED(p))},
                           options),
          integers(plan.input, input_weight),
          integers(plan.recurrent, recurrent_weight),
          recompute ? at::empty_symint({num_checkpoints(plan.trace[0], recompute_every), math::kNumRecurrentLifStates,
                                        plan.trace[1], plan.neurons()},
                                       options)
                    : at::empty({0}, options)};
}

std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor> recurrent_lif_meta(GRADSPIKE_RECURRENT_LIF_SIGNATURE,
                                                                              std::string_view projection,
                                                                              std::string_view recurrent_projection,
                                                                              std::string_view population) {
  (void)projection;
  (void)recurrent_projection;
  (void)population;
  const RecurrentLifForward all = recurrent_lif_forward_meta(GRADSPIKE_RECURRENT_LIF_ARGUMENTS, /*save=*/false);
  return {std::get<0>(all), std::get<1>(all), std::get<2>(all), std::get<3>(all)};
}

RecurrentLifBackward recurrent_lif_backward_meta(GRADSPIKE_RECURRENT_LIF_BACKWARD_SIGNATURE) {
  const RecurrentPlan plan = plan_recurrent_lif_backward(GRADSPIKE_RECURRENT_LIF_BACKWARD_ARGUMENTS);
  const auto like = [&](std::size_t entry, const at::Tensor& tensor) {
    return grad_mask[entry] ? at::empty_symint(tensor.sym_sizes(), tensor.options()) : at::Tensor();
  };
  return {like(kRecurrentMaskSpikes, spikes),
          like(kRecurrentMaskInputWeight, input_weight),
          like(kRecurrentMaskRecurrentWeight, recurrent_weight),
          like(kRecurrentMaskFirstRecurrentParameter + math::kGradLeak, leak),
          like(kRecurrentMaskFirstRecurrentParameter + math::kGradReset, reset),
          like(kRecurrentMaskFirstRecurrentParameter + math::kGradThreshold, threshold),
          like(kRecurrentMaskFirstRecurrentParameter + math::kGradTauMem, tau_mem),
          like(kRecurrentMaskFirstRecurrentParameter + math::kGradTauSyn, tau_syn),
          like(kRecurrentMaskFirstRecurrentParameter + math::kGradCapacitance, membrane_capacitance),
          grad_mask[kRecurrentMaskState]
              ? at::empty_symint({math::kNumRecurrentLifStates, plan.trace[1], plan.neurons()},
                                 input_weight.options().dtype(plan.type()))
              : at::Tensor()};
}

}  // namespace

TORCH_LIBRARY_IMPL(gradspike, CPU, m) {
  m.impl("recurrent_lif", recurrent_lif_impl<CpuExec>);
  m.impl("_recurrent_lif_forward", stacked<&recurrent_lif_forward_impl<CpuExec>, 1>);
  m.impl("_recurrent_lif_backward", stacked<&recurrent_lif_backward_impl<CpuExec>, 5>);
}

TORCH_LIBRARY_IMPL(gradspike, Meta, m) {
  m.impl("recurrent_lif", recurrent_lif_meta);
  m.impl("_recurrent_lif_forward", stacked_meta<&recurrent_lif_forward_meta, 1>);
  m.impl("_recurrent_lif_backward", stacked_meta<&recurrent_lif_backward_meta, 5>);
}

}  // namespace gradspike::ops
