// Autograd kernels of aelif.
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include "ops/autograd_neurons.h"

namespace gradspike::ops {
namespace {

using Tensors5 = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor>;
using Tensors8 =
    std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor>;
using Tensors13 = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor,
                             at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor>;

using Aelif = Tensors5(const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&,
                       const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&,
                       const at::Tensor&, const at::Tensor&, const at::Tensor&, double, bool, bool, bool, bool, bool,
                       std::string_view, double, std::string_view, const OptionalTensor&, const OptionalTensor&,
                       const OptionalTensor&, const OptionalTensor&, std::string_view);
using AelifForward = Tensors8(const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&,
                              const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&,
                              const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&,
                              const at::Tensor&, double, bool, bool, bool, bool, bool, std::string_view, double,
                              std::string_view, const OptionalTensor&, const OptionalTensor&, const OptionalTensor&,
                              const OptionalTensor&, bool);
using AelifBackward = Tensors13(const OptionalTensor&, const OptionalTensor&, const OptionalTensor&,
                                const OptionalTensor&, const OptionalTensor&, const at::Tensor&, const at::Tensor&,
                                const OptionalTensor&, const OptionalTensor&, const at::Tensor&, const at::Tensor&,
                                const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&,
                                const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&,
                                const at::Tensor&, const at::Tensor&, const OptionalTensor&, const OptionalTensor&,
                                const OptionalTensor&, double, bool, bool, bool, bool, bool, std::string_view, double,
                                std::array<bool, 13>);

variable_list as_list(const Tensors13& tensors) {
  return std::apply([](const auto&... tensor) { return variable_list{tensor...}; }, tensors);
}

struct AelifNode {
  static constexpr bool is_traceable = true;
  static constexpr std::size_t kParameters = 11;

  /// Forward inputs: input, the parameters without refractory_time in the order of the schema[, initial_state].
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const auto& data = ctx->saved_data;
    const std::size_t inputs = 1 + kParameters + (data.at("has_state").toBool() ? 1 : 0);
    if (none_defined(grads)) {
      return variable_list(inputs);
    }
    std::array<bool, 13> mask{};
    for (std::size_t k = 0; k < inputs; ++k) {
      mask[k] = ctx->needs_input_grad(k);
    }
    // The recorded outputs are those that were asked for, in the order of the schema, and the final state.
    std::size_t next = 0;
    const auto recorded = [&](const char* name) {
      return data.at(name).toBool() ? optional(grads[next++]) : OptionalTensor();
    };
    const auto flag = [&](const char* name) { return data.at(name).toBool(); };
    const OptionalTensor spikes = recorded("spikes"), membrane = recorded("membrane");
    const OptionalTensor current = recorded("current"), adaptation = recorded("adaptation");
    const variable_list s = ctx->get_saved_variables();
    static const auto op = typed<AelifBackward>("gradspike::_aelif_backward");
    variable_list result = as_list(
        op.call(spikes, membrane, current, adaptation, optional(grads[next]), s[0], s[1], optional(s[2]),
                optional(s[3]), s[4], s[5], s[6], s[7], s[8], s[9], s[10], s[11], s[12], s[13], s[14], s[15],
                optional(s[16]), optional(s[17]), optional(s[18]), data.at("dt").toDouble(), flag("leaky"),
                flag("fire"), flag("exponential"), flag("subthreshold_adaptation"), flag("spike_triggered_adaptation"),
                data.at("surrogate").toStringView(), data.at("alpha").toDouble(), mask));
    result.resize(inputs);
    return result;
  }
};

/// As lif_forward_autograd.
Tensors8 aelif_forward_autograd(const at::Tensor& input, const at::Tensor& leak, const at::Tensor& reset,
                                const at::Tensor& threshold, const at::Tensor& tau_mem, const at::Tensor& tau_syn,
                                const at::Tensor& membrane_capacitance, const at::Tensor& refractory_time,
                                const at::Tensor& exponential_slope, const at::Tensor& exponential_threshold,
                                const at::Tensor& subthreshold_adaptation_strength,
                                const at::Tensor& spike_triggered_adaptation_increment, const at::Tensor& tau_adap,
                                double dt, bool leaky, bool fire, bool exponential, bool subthreshold_adaptation,
                                bool spike_triggered_adaptation, std::string_view surrogate, double alpha,
                                std::string_view outputs, const OptionalTensor& initial_state,
                                const OptionalTensor& measured_spikes, const OptionalTensor& measured_membrane,
                                const OptionalTensor& measured_adaptation, bool save) {
  const variable_list parameters = {leak,
                                    reset,
                                    threshold,
                                    tau_mem,
                                    tau_syn,
                                    membrane_capacitance,
                                    exponential_slope,
                                    exponential_threshold,
                                    subthreshold_adaptation_strength,
                                    spike_triggered_adaptation_increment,
                                    tau_adap};
  const variable_list inputs = inputs_of(input, parameters, initial_state);
  static const auto op = typed<AelifForward>("gradspike::_aelif_forward");
  const auto below = [&](const std::string& wanted, bool keep) {
    const at::AutoDispatchBelowADInplaceOrView guard;
    return op.call(input, leak, reset, threshold, tau_mem, tau_syn, membrane_capacitance, refractory_time,
                   exponential_slope, exponential_threshold, subthreshold_adaptation_strength,
                   spike_triggered_adaptation_increment, tau_adap, dt, leaky, fire, exponential,
                   subthreshold_adaptation, spike_triggered_adaptation, surrogate, alpha, wanted, initial_state,
                   measured_spikes, measured_membrane, measured_adaptation, keep);
  };
  if (!needs_backward("aelif", inputs)) {
    return below(std::string(outputs), save);
  }
  const bool needs_traces = torch::autograd::any_variable_requires_grad(parameters);
  BackwardNode<AelifNode> node(inputs);
  auto [spikes, membrane, current, adaptation, final_state, saved, blocked, coefficients] = below(
      needs_traces ? with_output(with_output(outputs, "current"), "adaptation") : std::string(outputs), /*keep=*/true);
  auto& data = node.context().saved_data;
  data["has_state"] = is_given(initial_state);
  data["dt"] = dt;
  data["leaky"] = leaky;
  data["fire"] = fire;
  data["exponential"] = exponential;
  data["subthreshold_adaptation"] = subthreshold_adaptation;
  data["spike_triggered_adaptation"] = spike_triggered_adaptation;
  data["surrogate"] = std::string(surrogate);
  data["alpha"] = alpha;
  node.outputs(recorded_outputs(
      data, outputs, {{"spikes", spikes}, {"membrane", membrane}, {"current", current}, {"adaptation", adaptation}},
      final_state));
  node.save({saved, blocked, needs_traces ? current : at::Tensor(), needs_traces ? adaptation : at::Tensor(),
             coefficients, leak, reset, threshold, tau_mem, tau_syn, membrane_capacitance, exponential_slope,
             exponential_threshold, subthreshold_adaptation_strength, spike_triggered_adaptation_increment, tau_adap,
             tensor_or_undefined(initial_state), tensor_or_undefined(measured_spikes),
             tensor_or_undefined(measured_membrane)});
  const auto asked = [&](const char* name, const at::Tensor& tensor) {
    return asks_for(outputs, name) ? tensor : at::empty({0}, final_state.options());
  };
  return {spikes,  membrane,    asked("current", current), asked("adaptation", adaptation), final_state, saved,
          blocked, coefficients};
}

Tensors5 aelif_autograd(const at::Tensor& input, const at::Tensor& leak, const at::Tensor& reset,
                        const at::Tensor& threshold, const at::Tensor& tau_mem, const at::Tensor& tau_syn,
                        const at::Tensor& membrane_capacitance, const at::Tensor& refractory_time,
                        const at::Tensor& exponential_slope, const at::Tensor& exponential_threshold,
                        const at::Tensor& subthreshold_adaptation_strength,
                        const at::Tensor& spike_triggered_adaptation_increment, const at::Tensor& tau_adap, double dt,
                        bool leaky, bool fire, bool exponential, bool subthreshold_adaptation,
                        bool spike_triggered_adaptation, std::string_view surrogate, double alpha,
                        std::string_view outputs, const OptionalTensor& initial_state,
                        const OptionalTensor& measured_spikes, const OptionalTensor& measured_membrane,
                        const OptionalTensor& measured_adaptation, std::string_view population) {
  const variable_list parameters = {leak,
                                    reset,
                                    threshold,
                                    tau_mem,
                                    tau_syn,
                                    membrane_capacitance,
                                    exponential_slope,
                                    exponential_threshold,
                                    subthreshold_adaptation_strength,
                                    spike_triggered_adaptation_increment,
                                    tau_adap};
  if (!needs_backward("aelif", inputs_of(input, parameters, initial_state))) {
    static const auto op = typed<Aelif>("gradspike::aelif");
    const at::AutoDispatchBelowADInplaceOrView guard;
    return op.call(input, leak, reset, threshold, tau_mem, tau_syn, membrane_capacitance, refractory_time,
                   exponential_slope, exponential_threshold, subthreshold_adaptation_strength,
                   spike_triggered_adaptation_increment, tau_adap, dt, leaky, fire, exponential,
                   subthreshold_adaptation, spike_triggered_adaptation, surrogate, alpha, outputs, initial_state,
                   measured_spikes, measured_membrane, measured_adaptation, population);
  }
  auto [spikes, membrane, current, adaptation, final_state, saved, blocked, coefficients] = aelif_forward_autograd(
      input, leak, reset, threshold, tau_mem, tau_syn, membrane_capacitance, refractory_time, exponential_slope,
      exponential_threshold, subthreshold_adaptation_strength, spike_triggered_adaptation_increment, tau_adap, dt,
      leaky, fire, exponential, subthreshold_adaptation, spike_triggered_adaptation, surrogate, alpha, outputs,
      initial_state, measured_spikes, measured_membrane, measured_adaptation, /*save=*/true);
  return {spikes, membrane, current, adaptation, final_state};
}

Tensors13 aelif_backward_autograd(
    const OptionalTensor& grad_spikes, const OptionalTensor& grad_membrane, const OptionalTensor& grad_current,
    const OptionalTensor& grad_adaptation, const OptionalTensor& grad_final_state, const at::Tensor& saved,
    const at::Tensor& blocked, const OptionalTensor& current, const OptionalTensor& adaptation,
    const at::Tensor& coefficients, const at::Tensor& leak, const at::Tensor& reset, const at::Tensor& threshold,
    const at::Tensor& tau_mem, const at::Tensor& tau_syn, const at::Tensor& membrane_capacitance,
    const at::Tensor& exponential_slope, const at::Tensor& exponential_threshold,
    const at::Tensor& subthreshold_adaptation_strength, const at::Tensor& spike_triggered_adaptation_increment,
    const at::Tensor& tau_adap, const OptionalTensor& initial_state, const OptionalTensor& measured_spikes,
    const OptionalTensor& measured_membrane, double dt, bool leaky, bool fire, bool exponential,
    bool subthreshold_adaptation, bool spike_triggered_adaptation, std::string_view surrogate, double alpha,
    std::array<bool, 13> mask) {
  static const auto op = typed<AelifBackward>("gradspike::_aelif_backward");
  Tensors13 results;
  {
    const at::AutoDispatchBelowADInplaceOrView guard;
    results =
        op.call(grad_spikes, grad_membrane, grad_current, grad_adaptation, grad_final_state, saved, blocked, current,
                adaptation, coefficients, leak, reset, threshold, tau_mem, tau_syn, membrane_capacitance,
                exponential_slope, exponential_threshold, subthreshold_adaptation_strength,
                spike_triggered_adaptation_increment, tau_adap, initial_state, measured_spikes, measured_membrane, dt,
                leaky, fire, exponential, subthreshold_adaptation, spike_triggered_adaptation, surrogate, alpha, mask);
  }
  variable_list inputs;
  for (const OptionalTensor& grad : {grad_spikes, grad_membrane, grad_current, grad_adaptation, grad_final_state}) {
    if (is_given(grad)) {
      inputs.push_back(*grad);
    }
  }
  inputs.push_back(saved);
  refuse_double_backward("gradspike::aelif", inputs, as_list(results));
  return results;
}

}  // namespace

TORCH_LIBRARY_IMPL(gradspike, Autograd, m) {
  m.impl("aelif", aelif_autograd);
  m.impl("_aelif_forward", aelif_forward_autograd);
  m.impl("_aelif_backward", aelif_backward_autograd);
}

}  // namespace gradspike::ops
