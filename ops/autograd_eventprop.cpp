// Autograd kernels of the EventProp family: eventprop_graded_spikes, eventprop_lif, exact_eventprop_lif.
#include <torch/library.h>

#include "ops/autograd_neurons.h"

namespace gradspike::ops {
namespace {

using Tensors2 = std::tuple<at::Tensor, at::Tensor>;
using Tensors3 = std::tuple<at::Tensor, at::Tensor, at::Tensor>;
using Tensors4 = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor>;
using Tensors5 = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor>;
using Tensors6 = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor>;

using Graded = Tensors2(const at::Tensor&, const at::Tensor&, double, double, double, std::string_view,
                        std::string_view, std::string_view, std::string_view);
using GradedForward = Tensors3(const at::Tensor&, const at::Tensor&, double, double, double, std::string_view,
                               std::string_view, std::string_view);
using GradedBackward = Tensors2(const OptionalTensor&, const OptionalTensor&, const at::Tensor&, const at::Tensor&,
                                const at::Tensor&, double, double, double, std::string_view, std::string_view,
                                std::string_view, std::array<bool, 2>);
using Lif = Tensors3(const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&,
                     const at::Tensor&, const at::Tensor&, double, std::string_view, const OptionalTensor&,
                     const OptionalTensor&, std::string_view);
using LifForward = Tensors5(const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&,
                            const at::Tensor&, const at::Tensor&, const at::Tensor&, double, std::string_view,
                            const OptionalTensor&, const OptionalTensor&, bool);
using Exact = Tensors4(const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&,
                       const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&, double,
                       std::string_view, const OptionalTensor&, const OptionalTensor&, const OptionalTensor&,
                       std::string_view);
using ExactForward = Tensors6(const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&,
                              const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&,
                              const at::Tensor&, double, std::string_view, const OptionalTensor&, const OptionalTensor&,
                              const OptionalTensor&, bool);
using NeuronBackward = Tensors2(const at::Tensor&, const at::Tensor&, const at::Tensor&, std::array<bool, 2>);

// ---- eventprop_graded_spikes -------------------------------------------------------------------------------------

struct EventPropGradedSpikesNode {
  static constexpr bool is_traceable = true;

  /// The spikes get their gradient from the adjoint channel, the weight gets its own from the graded spikes.
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const at::Tensor to_adjoint = grads.size() > 1 ? grads[1] : at::Tensor();
    const std::array<bool, 2> mask = {ctx->needs_input_grad(0) && to_adjoint.defined(),
                                      ctx->needs_input_grad(1) && grads[0].defined()};
    if (!mask[0] && !mask[1]) {
      return {at::Tensor(), at::Tensor()};
    }
    static const auto op = typed<GradedBackward>("gradspike::_eventprop_graded_spikes_backward");
    const auto& data = ctx->saved_data;
    const variable_list saved = ctx->get_saved_variables();
    auto [grad_spikes, grad_weight] = op.call(
        mask[1] ? optional(grads[0]) : OptionalTensor(), mask[0] ? optional(to_adjoint) : OptionalTensor(), saved[0],
        saved[1], saved[2], data.at("scale").toDouble(), data.at("min").toDouble(), data.at("max").toDouble(),
        data.at("rounding").toStringView(), data.at("gradient").toStringView(), data.at("units").toStringView(), mask);
    return {grad_spikes, grad_weight};
  }
};

/// Reached a second time, one level further out, under nested functorch transforms: hence a kernel of its own for the
/// forward operator, here and below.
Tensors3 graded_forward_autograd(const at::Tensor& spikes, const at::Tensor& weight, double scale, double min_weight,
                                 double max_weight, std::string_view rounding, std::string_view gradient,
                                 std::string_view units) {
  static const auto op = typed<GradedForward>("gradspike::_eventprop_graded_spikes_forward");
  const auto below = [&] {
    const at::AutoDispatchBelowADInplaceOrView guard;
    return op.call(spikes, weight, scale, min_weight, max_weight, rounding, gradient, units);
  };
  if (!needs_backward("eventprop_graded_spikes", {spikes, weight})) {
    return below();
  }
  BackwardNode<EventPropGradedSpikesNode> node({spikes, weight});
  auto [out, adjoint, integers] = below();
  auto& data = node.context().saved_data;
  data["scale"] = scale;
  data["min"] = min_weight;
  data["max"] = max_weight;
  data["rounding"] = std::string(rounding);
  data["gradient"] = std::string(gradient);
  data["units"] = std::string(units);
  // Where nobody asks for the gradient to the spikes, the neurons need not compute what the channel would carry.
  node.outputs(spikes.requires_grad() ? variable_list{out, adjoint} : variable_list{out});
  node.save({spikes, weight, integers});
  return {out, adjoint, integers};
}

Tensors2 graded_autograd(const at::Tensor& spikes, const at::Tensor& weight, double scale, double min_weight,
                         double max_weight, std::string_view rounding, std::string_view gradient,
                         std::string_view units, std::string_view projection) {
  if (!needs_backward("eventprop_graded_spikes", {spikes, weight})) {
    static const auto op = typed<Graded>("gradspike::eventprop_graded_spikes");
    const at::AutoDispatchBelowADInplaceOrView guard;
    return op.call(spikes, weight, scale, min_weight, max_weight, rounding, gradient, units, projection);
  }
  auto [out, adjoint, integers] =
      graded_forward_autograd(spikes, weight, scale, min_weight, max_weight, rounding, gradient, units);
  return {out, adjoint};
}

Tensors2 graded_backward_autograd(const OptionalTensor& grad, const OptionalTensor& grad_adjoint,
                                  const at::Tensor& spikes, const at::Tensor& weight, const at::Tensor& integers,
                                  double scale, double min_weight, double max_weight, std::string_view rounding,
                                  std::string_view gradient, std::string_view units, std::array<bool, 2> mask) {
  static const auto op = typed<GradedBackward>("gradspike::_eventprop_graded_spikes_backward");
  Tensors2 out;
  {
    const at::AutoDispatchBelowADInplaceOrView guard;
    out = op.call(grad, grad_adjoint, spikes, weight, integers, scale, min_weight, max_weight, rounding, gradient,
                  units, mask);
  }
  variable_list inputs = {spikes, weight};
  for (const OptionalTensor& g : {grad, grad_adjoint}) {
    if (is_given(g)) {
      inputs.push_back(*g);
    }
  }
  refuse_double_backward("gradspike::eventprop_graded_spikes", inputs, {std::get<0>(out), std::get<1>(out)});
  return out;
}

// ---- neurons -----------------------------------------------------------------------------------------------------

/// Whether a backward must be recorded: only spikes carry a gradient, to input and adjoint.
bool records(const char* op, const at::Tensor& input, const at::Tensor& adjoint, const variable_list& parameters,
             std::string_view outputs) {
  needs_backward(op, parameters);  // refuses forward mode, which would otherwise give zero tangents
  return needs_backward(op, {input, adjoint}) && asks_for(outputs, "spikes");
}

variable_list neuron_gradients(AutogradContext* ctx, const variable_list& grads,
                               const c10::TypedOperatorHandle<NeuronBackward>& op) {
  if (!grads[0].defined()) {
    return {at::Tensor(), at::Tensor()};
  }
  const variable_list saved = ctx->get_saved_variables();
  auto [input, adjoint] = op.call(grads[0], saved[0], saved[1], {ctx->needs_input_grad(0), ctx->needs_input_grad(1)});
  return {input, adjoint};
}

struct EventPropLifNode {
  static constexpr bool is_traceable = true;
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    static const auto op = typed<NeuronBackward>("gradspike::_eventprop_lif_backward");
    return neuron_gradients(ctx, grads, op);
  }
};

struct ExactEventPropLifNode {
  static constexpr bool is_traceable = true;
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    static const auto op = typed<NeuronBackward>("gradspike::_exact_eventprop_lif_backward");
    return neuron_gradients(ctx, grads, op);
  }
};

Tensors5 lif_forward_autograd(const at::Tensor& input, const at::Tensor& adjoint, const at::Tensor& leak,
                              const at::Tensor& reset, const at::Tensor& threshold, const at::Tensor& tau_mem,
                              const at::Tensor& tau_syn, double dt, std::string_view outputs,
                              const OptionalTensor& measured_spikes, const OptionalTensor& measured_membrane,
                              bool save) {
  static const auto op = typed<LifForward>("gradspike::_eventprop_lif_forward");
  const auto below = [&](bool keep) {
    const at::AutoDispatchBelowADInplaceOrView guard;
    return op.call(input, adjoint, leak, reset, threshold, tau_mem, tau_syn, dt, outputs, measured_spikes,
                   measured_membrane, keep);
  };
  if (!records("eventprop_lif", input, adjoint, {leak, reset, threshold, tau_mem, tau_syn}, outputs)) {
    return below(save);
  }
  BackwardNode<EventPropLifNode> node({input, adjoint});
  Tensors5 result = below(/*keep=*/true);
  node.outputs({std::get<0>(result)});
  node.save({std::get<3>(result), std::get<4>(result)});
  return result;
}

Tensors3 lif_autograd(const at::Tensor& input, const at::Tensor& adjoint, const at::Tensor& leak,
                      const at::Tensor& reset, const at::Tensor& threshold, const at::Tensor& tau_mem,
                      const at::Tensor& tau_syn, double dt, std::string_view outputs,
                      const OptionalTensor& measured_spikes, const OptionalTensor& measured_membrane,
                      std::string_view population) {
  if (!records("eventprop_lif", input, adjoint, {leak, reset, threshold, tau_mem, tau_syn}, outputs)) {
    static const auto op = typed<Lif>("gradspike::eventprop_lif");
    const at::AutoDispatchBelowADInplaceOrView guard;
    return op.call(input, adjoint, leak, reset, threshold, tau_mem, tau_syn, dt, outputs, measured_spikes,
                   measured_membrane, population);
  }
  auto [spikes, membrane, current, saved, coefficients] =
      lif_forward_autograd(input, adjoint, leak, reset, threshold, tau_mem, tau_syn, dt, outputs, measured_spikes,
                           measured_membrane, /*save=*/true);
  return {spikes, membrane, current};
}

Tensors6 exact_forward_autograd(const at::Tensor& input, const at::Tensor& adjoint, const at::Tensor& leak,
                                const at::Tensor& reset, const at::Tensor& threshold, const at::Tensor& tau_mem,
                                const at::Tensor& tau_syn, const at::Tensor& membrane_capacitance,
                                const at::Tensor& refractory_time, double dt, std::string_view outputs,
                                const OptionalTensor& initial_state, const OptionalTensor& measured_spikes,
                                const OptionalTensor& measured_membrane, bool save) {
  static const auto op = typed<ExactForward>("gradspike::_exact_eventprop_lif_forward");
  const auto below = [&](bool keep) {
    const at::AutoDispatchBelowADInplaceOrView guard;
    return op.call(input, adjoint, leak, reset, threshold, tau_mem, tau_syn, membrane_capacitance, refractory_time, dt,
                   outputs, initial_state, measured_spikes, measured_membrane, keep);
  };
  if (!records("exact_eventprop_lif", input, adjoint, {leak, reset, threshold, tau_mem, tau_syn, membrane_capacitance},
               outputs)) {
    return below(save);
  }
  BackwardNode<ExactEventPropLifNode> node({input, adjoint});
  Tensors6 result = below(/*keep=*/true);
  node.outputs({std::get<0>(result)});
  node.save({std::get<4>(result), std::get<5>(result)});
  return result;
}

Tensors4 exact_autograd(const at::Tensor& input, const at::Tensor& adjoint, const at::Tensor& leak,
                        const at::Tensor& reset, const at::Tensor& threshold, const at::Tensor& tau_mem,
                        const at::Tensor& tau_syn, const at::Tensor& membrane_capacitance,
                        const at::Tensor& refractory_time, double dt, std::string_view outputs,
                        const OptionalTensor& initial_state, const OptionalTensor& measured_spikes,
                        const OptionalTensor& measured_membrane, std::string_view population) {
  if (!records("exact_eventprop_lif", input, adjoint, {leak, reset, threshold, tau_mem, tau_syn, membrane_capacitance},
               outputs)) {
    static const auto op = typed<Exact>("gradspike::exact_eventprop_lif");
    const at::AutoDispatchBelowADInplaceOrView guard;
    return op.call(input, adjoint, leak, reset, threshold, tau_mem, tau_syn, membrane_capacitance, refractory_time, dt,
                   outputs, initial_state, measured_spikes, measured_membrane, population);
  }
  auto [spikes, membrane, current, final_state, saved, coefficients] = exact_forward_autograd(
      input, adjoint, leak, reset, threshold, tau_mem, tau_syn, membrane_capacitance, refractory_time, dt, outputs,
      initial_state, measured_spikes, measured_membrane, /*save=*/true);
  return {spikes, membrane, current, final_state};
}

/// The backward operator `name` of `of`, whose second derivative is refused.
Tensors2 neuron_backward(const char* name, const char* of, const at::Tensor& grad_spikes, const at::Tensor& saved,
                         const at::Tensor& coefficients, std::array<bool, 2> mask) {
  Tensors2 out;
  {
    const at::AutoDispatchBelowADInplaceOrView guard;
    out = typed<NeuronBackward>(name).call(grad_spikes, saved, coefficients, mask);
  }
  refuse_double_backward(of, {grad_spikes, saved, coefficients}, {std::get<0>(out), std::get<1>(out)});
  return out;
}

Tensors2 lif_backward_autograd(const at::Tensor& grad_spikes, const at::Tensor& saved, const at::Tensor& coefficients,
                               std::array<bool, 2> mask) {
  return neuron_backward("gradspike::_eventprop_lif_backward", "gradspike::eventprop_lif", grad_spikes, saved,
                         coefficients, mask);
}

Tensors2 exact_backward_autograd(const at::Tensor& grad_spikes, const at::Tensor& saved, const at::Tensor& coefficients,
                                 std::array<bool, 2> mask) {
  return neuron_backward("gradspike::_exact_eventprop_lif_backward", "gradspike::exact_eventprop_lif", grad_spikes,
                         saved, coefficients, mask);
}

}  // namespace

TORCH_LIBRARY_IMPL(gradspike, Autograd, m) {
  m.impl("eventprop_graded_spikes", graded_autograd);
  m.impl("_eventprop_graded_spikes_forward", graded_forward_autograd);
  m.impl("_eventprop_graded_spikes_backward", graded_backward_autograd);
  m.impl("eventprop_lif", lif_autograd);
  m.impl("_eventprop_lif_forward", lif_forward_autograd);
  m.impl("_eventprop_lif_backward", lif_backward_autograd);
  m.impl("exact_eventprop_lif", exact_autograd);
  m.impl("_exact_eventprop_lif_forward", exact_forward_autograd);
  m.impl("_exact_eventprop_lif_backward", exact_backward_autograd);
}

}  // namespace gradspike::ops
