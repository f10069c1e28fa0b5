// Autograd kernels of lif and li.
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include "ops/autograd_neurons.h"

namespace gradspike::ops {
namespace {

using Tensors4 = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor>;
using Tensors6 = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor>;
using Tensors8 =
    std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor>;

using Lif = Tensors4(const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&,
                     const at::Tensor&, const at::Tensor&, const at::Tensor&, double, std::string_view, double,
                     std::string_view, const OptionalTensor&, const OptionalTensor&, const OptionalTensor&,
                     std::string_view);
using LifForward = Tensors6(const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&,
                            const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&, double,
                            std::string_view, double, std::string_view, const OptionalTensor&, const OptionalTensor&,
                            const OptionalTensor&, bool);
using LifBackward = Tensors8(const OptionalTensor&, const OptionalTensor&, const OptionalTensor&, const OptionalTensor&,
                             const at::Tensor&, const OptionalTensor&, const at::Tensor&, const at::Tensor&,
                             const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&,
                             const at::Tensor&, const OptionalTensor&, const OptionalTensor&, const OptionalTensor&,
                             double, std::string_view, double, std::array<bool, 8>);
using Li = std::tuple<at::Tensor, at::Tensor, at::Tensor>(const at::Tensor&, const at::Tensor&, const at::Tensor&,
                                                          const at::Tensor&, const at::Tensor&, double,
                                                          std::string_view, const OptionalTensor&,
                                                          const OptionalTensor&, std::string_view);
using LiForward = Tensors4(const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&,
                           const at::Tensor&, double, std::string_view, const OptionalTensor&, const OptionalTensor&);
using LiBackward = Tensors6(const OptionalTensor&, const OptionalTensor&, const OptionalTensor&, const OptionalTensor&,
                            const OptionalTensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&,
                            const at::Tensor&, const at::Tensor&, const OptionalTensor&, double, c10::SymIntArrayRef,
                            std::array<bool, 6>);

// ---- lif ---------------------------------------------------------------------------------------------------------

struct LifNode {
  static constexpr bool is_traceable = true;
  static constexpr std::size_t kParameters = 6;

  /// Forward inputs: input, leak, reset, threshold, tau_mem, tau_syn, membrane_capacitance[, initial_state].
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const auto& data = ctx->saved_data;
    const bool has_state = data.at("has_state").toBool();
    const std::size_t inputs = 1 + kParameters + (has_state ? 1 : 0);
    if (none_defined(grads)) {
      return variable_list(inputs);
    }
    std::array<bool, 8> mask{};
    for (std::size_t k = 0; k < inputs; ++k) {
      mask[k] = ctx->needs_input_grad(k);
    }
    // The recorded outputs are those that were asked for, in the order of the schema, and the final state.
    std::size_t next = 0;
    const auto recorded = [&](const char* name) {
      return data.at(name).toBool() ? optional(grads[next++]) : OptionalTensor();
    };
    const OptionalTensor spikes = recorded("spikes"), membrane = recorded("membrane"), current = recorded("current");
    const variable_list s = ctx->get_saved_variables();
    static const auto op = typed<LifBackward>("gradspike::_lif_backward");
    auto [input, leak, reset, threshold, tau_mem, tau_syn, capacitance, state] =
        op.call(spikes, membrane, current, optional(grads[next]), s[0], optional(s[1]), s[2], s[3], s[4], s[5], s[6],
                s[7], s[8], optional(s[9]), optional(s[10]), optional(s[11]), data.at("dt").toDouble(),
                data.at("surrogate").toStringView(), data.at("alpha").toDouble(), mask);
    variable_list result = {input, leak, reset, threshold, tau_mem, tau_syn, capacitance};
    if (has_state) {
      result.push_back(state);
    }
    return result;
  }
};

/// Forward with everything that the backward needs, and the backward recorded. Reached a second time, one level further
/// out, under nested functorch transforms: hence a kernel of its own for the forward operator.
Tensors6 lif_forward_autograd(const at::Tensor& input, const at::Tensor& leak, const at::Tensor& reset,
                              const at::Tensor& threshold, const at::Tensor& tau_mem, const at::Tensor& tau_syn,
                              const at::Tensor& membrane_capacitance, const at::Tensor& refractory_time, double dt,
                              std::string_view surrogate, double alpha, std::string_view outputs,
                              const OptionalTensor& initial_state, const OptionalTensor& measured_spikes,
                              const OptionalTensor& measured_membrane, bool save) {
  const variable_list parameters = {leak, reset, threshold, tau_mem, tau_syn, membrane_capacitance};
  const variable_list inputs = inputs_of(input, parameters, initial_state);
  static const auto op = typed<LifForward>("gradspike::_lif_forward");
  const auto below = [&](const std::string& wanted, bool keep) {
    const at::AutoDispatchBelowADInplaceOrView guard;
    return op.call(input, leak, reset, threshold, tau_mem, tau_syn, membrane_capacitance, refractory_time, dt,
                   surrogate, alpha, wanted, initial_state, measured_spikes, measured_membrane, keep);
  };
  if (!needs_backward("lif", inputs)) {
    return below(std::string(outputs), save);
  }
  const bool needs_current = torch::autograd::any_variable_requires_grad(parameters);
  BackwardNode<LifNode> node(inputs);
  auto [spikes, membrane, current, final_state, saved, coefficients] =
      below(needs_current ? with_output(outputs, "current") : std::string(outputs), /*keep=*/true);
  auto& data = node.context().saved_data;
  data["has_state"] = is_given(initial_state);
  data["dt"] = dt;
  data["surrogate"] = std::string(surrogate);
  data["alpha"] = alpha;
  node.outputs(
      recorded_outputs(data, outputs, {{"spikes", spikes}, {"membrane", membrane}, {"current", current}}, final_state));
  node.save({saved, needs_current ? current : at::Tensor(), coefficients, leak, reset, threshold, tau_mem, tau_syn,
             membrane_capacitance, tensor_or_undefined(initial_state), tensor_or_undefined(measured_spikes),
             tensor_or_undefined(measured_membrane)});
  return {spikes,      membrane, asks_for(outputs, "current") ? current : at::empty({0}, final_state.options()),
          final_state, saved,    coefficients};
}

Tensors4 lif_autograd(const at::Tensor& input, const at::Tensor& leak, const at::Tensor& reset,
                      const at::Tensor& threshold, const at::Tensor& tau_mem, const at::Tensor& tau_syn,
                      const at::Tensor& membrane_capacitance, const at::Tensor& refractory_time, double dt,
                      std::string_view surrogate, double alpha, std::string_view outputs,
                      const OptionalTensor& initial_state, const OptionalTensor& measured_spikes,
                      const OptionalTensor& measured_membrane, std::string_view population) {
  const variable_list parameters = {leak, reset, threshold, tau_mem, tau_syn, membrane_capacitance};
  if (!needs_backward("lif", inputs_of(input, parameters, initial_state))) {
    static const auto op = typed<Lif>("gradspike::lif");
    const at::AutoDispatchBelowADInplaceOrView guard;
    return op.call(input, leak, reset, threshold, tau_mem, tau_syn, membrane_capacitance, refractory_time, dt,
                   surrogate, alpha, outputs, initial_state, measured_spikes, measured_membrane, population);
  }
  auto [spikes, membrane, current, final_state, saved, coefficients] =
      lif_forward_autograd(input, leak, reset, threshold, tau_mem, tau_syn, membrane_capacitance, refractory_time, dt,
                           surrogate, alpha, outputs, initial_state, measured_spikes, measured_membrane, /*save=*/true);
  return {spikes, membrane, current, final_state};
}

Tensors8 lif_backward_autograd(const OptionalTensor& grad_spikes, const OptionalTensor& grad_membrane,
                               const OptionalTensor& grad_current, const OptionalTensor& grad_final_state,
                               const at::Tensor& saved, const OptionalTensor& current, const at::Tensor& coefficients,
                               const at::Tensor& leak, const at::Tensor& reset, const at::Tensor& threshold,
                               const at::Tensor& tau_mem, const at::Tensor& tau_syn,
                               const at::Tensor& membrane_capacitance, const OptionalTensor& initial_state,
                               const OptionalTensor& measured_spikes, const OptionalTensor& measured_membrane,
                               double dt, std::string_view surrogate, double alpha, std::array<bool, 8> mask) {
  static const auto op = typed<LifBackward>("gradspike::_lif_backward");
  Tensors8 r;
  {
    const at::AutoDispatchBelowADInplaceOrView guard;
    r = op.call(grad_spikes, grad_membrane, grad_current, grad_final_state, saved, current, coefficients, leak, reset,
                threshold, tau_mem, tau_syn, membrane_capacitance, initial_state, measured_spikes, measured_membrane,
                dt, surrogate, alpha, mask);
  }
  variable_list inputs;
  for (const OptionalTensor& grad : {grad_spikes, grad_membrane, grad_current, grad_final_state}) {
    if (is_given(grad)) {
      inputs.push_back(*grad);
    }
  }
  inputs.push_back(saved);
  refuse_double_backward("gradspike::lif", inputs,
                         {std::get<0>(r), std::get<1>(r), std::get<2>(r), std::get<3>(r), std::get<4>(r),
                          std::get<5>(r), std::get<6>(r), std::get<7>(r)});
  return r;
}

// ---- li ----------------------------------------------------------------------------------------------------------

struct LiNode {
  static constexpr bool is_traceable = true;
  static constexpr std::size_t kParameters = 4;

  /// Forward inputs: input, leak, tau_mem, tau_syn, membrane_capacitance[, initial_state].
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const auto& data = ctx->saved_data;
    const bool has_state = data.at("has_state").toBool();
    const std::size_t inputs = 1 + kParameters + (has_state ? 1 : 0);
    if (none_defined(grads)) {
      return variable_list(inputs);
    }
    std::array<bool, 6> mask{};
    for (std::size_t k = 0; k < inputs; ++k) {
      mask[k] = ctx->needs_input_grad(k);
    }
    std::size_t next = 0;
    const auto recorded = [&](const char* name) {
      return data.at(name).toBool() ? optional(grads[next++]) : OptionalTensor();
    };
    const OptionalTensor membrane = recorded("membrane"), current = recorded("current");
    const variable_list s = ctx->get_saved_variables();
    static const auto op = typed<LiBackward>("gradspike::_li_backward");
    auto [input, leak, tau_mem, tau_syn, capacitance, state] =
        op.call(membrane, current, optional(grads[next]), optional(s[0]), optional(s[1]), s[2], s[3], s[4], s[5], s[6],
                optional(s[7]), data.at("dt").toDouble(), s[8].sym_sizes(), mask);
    variable_list result = {input, leak, tau_mem, tau_syn, capacitance};
    if (has_state) {
      result.push_back(state);
    }
    return result;
  }
};

Tensors4 li_forward_autograd(const at::Tensor& input, const at::Tensor& leak, const at::Tensor& tau_mem,
                             const at::Tensor& tau_syn, const at::Tensor& membrane_capacitance, double dt,
                             std::string_view outputs, const OptionalTensor& initial_state,
                             const OptionalTensor& measured_membrane) {
  const variable_list parameters = {leak, tau_mem, tau_syn, membrane_capacitance};
  const variable_list inputs = inputs_of(input, parameters, initial_state);
  static const auto op = typed<LiForward>("gradspike::_li_forward");
  const auto below = [&](const std::string& wanted) {
    const at::AutoDispatchBelowADInplaceOrView guard;
    return op.call(input, leak, tau_mem, tau_syn, membrane_capacitance, dt, wanted, initial_state, measured_membrane);
  };
  if (!needs_backward("li", inputs)) {
    return below(std::string(outputs));
  }
  const bool needs_traces = torch::autograd::any_variable_requires_grad(parameters);
  BackwardNode<LiNode> node(inputs);
  auto [membrane, current, final_state, coefficients] =
      below(needs_traces ? with_output(with_output(outputs, "membrane"), "current") : std::string(outputs));
  auto& data = node.context().saved_data;
  data["has_state"] = is_given(initial_state);
  data["dt"] = dt;
  node.outputs(recorded_outputs(data, outputs, {{"membrane", membrane}, {"current", current}}, final_state));
  // Any tensor of the input's shape; an output of this node costs no memory, the input would be kept alive.
  const at::Tensor& shaped =
      asks_for(outputs, "membrane") ? membrane : (asks_for(outputs, "current") ? current : input);
  node.save({needs_traces ? membrane : at::Tensor(), needs_traces ? current : at::Tensor(), coefficients, leak, tau_mem,
             tau_syn, membrane_capacitance, tensor_or_undefined(initial_state), shaped});
  const auto asked = [&](const char* name, const at::Tensor& tensor) {
    return asks_for(outputs, name) ? tensor : at::empty({0}, final_state.options());
  };
  return {asked("membrane", membrane), asked("current", current), final_state, coefficients};
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> li_autograd(
    const at::Tensor& input, const at::Tensor& leak, const at::Tensor& tau_mem, const at::Tensor& tau_syn,
    const at::Tensor& membrane_capacitance, double dt, std::string_view outputs, const OptionalTensor& initial_state,
    const OptionalTensor& measured_membrane, std::string_view population) {
  if (!needs_backward("li", inputs_of(input, {leak, tau_mem, tau_syn, membrane_capacitance}, initial_state))) {
    static const auto op = typed<Li>("gradspike::li");
    const at::AutoDispatchBelowADInplaceOrView guard;
    return op.call(input, leak, tau_mem, tau_syn, membrane_capacitance, dt, outputs, initial_state, measured_membrane,
                   population);
  }
  auto [membrane, current, final_state, coefficients] = li_forward_autograd(
      input, leak, tau_mem, tau_syn, membrane_capacitance, dt, outputs, initial_state, measured_membrane);
  return {membrane, current, final_state};
}

Tensors6 li_backward_autograd(const OptionalTensor& grad_membrane, const OptionalTensor& grad_current,
                              const OptionalTensor& grad_final_state, const OptionalTensor& membrane,
                              const OptionalTensor& current, const at::Tensor& coefficients, const at::Tensor& leak,
                              const at::Tensor& tau_mem, const at::Tensor& tau_syn,
                              const at::Tensor& membrane_capacitance, const OptionalTensor& initial_state, double dt,
                              c10::SymIntArrayRef sizes, std::array<bool, 6> mask) {
  static const auto op = typed<LiBackward>("gradspike::_li_backward");
  Tensors6 r;
  {
    const at::AutoDispatchBelowADInplaceOrView guard;
    r = op.call(grad_membrane, grad_current, grad_final_state, membrane, current, coefficients, leak, tau_mem, tau_syn,
                membrane_capacitance, initial_state, dt, sizes, mask);
  }
  variable_list inputs;
  for (const OptionalTensor& grad : {grad_membrane, grad_current, grad_final_state}) {
    if (is_given(grad)) {
      inputs.push_back(*grad);
    }
  }
  inputs.push_back(coefficients);
  refuse_double_backward(
      "gradspike::li", inputs,
      {std::get<0>(r), std::get<1>(r), std::get<2>(r), std::get<3>(r), std::get<4>(r), std::get<5>(r)});
  return r;
}

}  // namespace

TORCH_LIBRARY_IMPL(gradspike, Autograd, m) {
  m.impl("lif", lif_autograd);
  m.impl("_lif_forward", lif_forward_autograd);
  m.impl("_lif_backward", lif_backward_autograd);
  m.impl("li", li_autograd);
  m.impl("_li_forward", li_forward_autograd);
  m.impl("_li_backward", li_backward_autograd);
}

}  // namespace gradspike::ops
