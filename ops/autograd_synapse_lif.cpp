// Autograd kernels of synapse_lif.
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include "ops/autograd_neurons.h"

namespace gradspike::ops {
namespace {

using Tensor = at::Tensor;
using Text = std::string_view;
using Tensors4 = std::tuple<Tensor, Tensor, Tensor, Tensor>;
using Tensors7 = std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor>;
using Tensors9 = std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor>;

using SynapseLif = Tensors4(const Tensor&, const Tensor&, const Tensor&, const Tensor&, const Tensor&, const Tensor&,
                            const Tensor&, const Tensor&, const Tensor&, double, double, double, Text, Text, Text,
                            double, Text, double, Text, Text, bool, const OptionalTensor&, const OptionalTensor&,
                            const OptionalTensor&, std::int64_t, Text, Text);
using SynapseLifForward = Tensors7(const Tensor&, const Tensor&, const Tensor&, const Tensor&, const Tensor&,
                                   const Tensor&, const Tensor&, const Tensor&, const Tensor&, double, double, double,
                                   Text, Text, Text, double, Text, double, Text, Text, bool, const OptionalTensor&,
                                   const OptionalTensor&, const OptionalTensor&, std::int64_t, bool);
using SynapseLifBackward = Tensors9(const OptionalTensor&, const OptionalTensor&, const OptionalTensor&,
                                    const OptionalTensor&, const Tensor&, const Tensor&, const Tensor&, const Tensor&,
                                    const OptionalTensor&, const Tensor&, const Tensor&, const Tensor&, const Tensor&,
                                    const Tensor&, const Tensor&, const Tensor&, const OptionalTensor&,
                                    const OptionalTensor&, const OptionalTensor&, double, double, double, Text, Text,
                                    Text, double, Text, double, bool, std::int64_t, std::array<bool, 9>);

struct SynapseLifNode {
  static constexpr bool is_traceable = true;

  /// Forward inputs: spikes, weight, six parameters as in lif[, initial_state].
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const auto& data = ctx->saved_data;
    const bool has_state = data.at("has_state").toBool();
    const std::size_t inputs = 8 + (has_state ? 1 : 0);
    if (none_defined(grads)) {
      return variable_list(inputs);
    }
    std::array<bool, 9> mask{};
    for (std::size_t k = 0; k < inputs; ++k) {
      mask[k] = ctx->needs_input_grad(k);
    }
    std::size_t next = 0;
    const auto recorded = [&](const char* name) {
      return data.at(name).toBool() ? optional(grads[next++]) : OptionalTensor();
    };
    const OptionalTensor spikes = recorded("spikes"), membrane = recorded("membrane"), current = recorded("current");
    const variable_list s = ctx->get_saved_variables();
    const auto number = [&](const char* name) { return data.at(name).toDouble(); };
    const auto text = [&](const char* name) { return data.at(name).toStringView(); };
    static const auto op = typed<SynapseLifBackward>("gradspike::_synapse_lif_backward");
    auto [grad_spikes, weight, leak, reset, threshold, tau_mem, tau_syn, capacitance, state] = op.call(
        spikes, membrane, current, optional(grads[next]), s[0], s[1], s[2], s[3], optional(s[4]), s[5], s[6], s[7],
        s[8], s[9], s[10], s[11], optional(s[12]), optional(s[13]), optional(s[14]), number("scale"),
        number("min_weight"), number("max_weight"), text("rounding"), text("gradient"), text("units"), number("dt"),
        text("surrogate"), number("alpha"), data.at("packed_input").toBool(), data.at("recompute_every").toInt(), mask);
    variable_list result = {grad_spikes, weight, leak, reset, threshold, tau_mem, tau_syn, capacitance};
    if (has_state) {
      result.push_back(state);
    }
    return result;
  }
};

/// Forward with everything that the backward needs, and the backward recorded.
Tensors7 synapse_lif_forward_autograd(const Tensor& spikes, const Tensor& weight, const Tensor& leak,
                                      const Tensor& reset, const Tensor& threshold, const Tensor& tau_mem,
                                      const Tensor& tau_syn, const Tensor& membrane_capacitance,
                                      const Tensor& refractory_time, double scale, double min_weight, double max_weight,
                                      Text rounding, Text gradient, Text units, double dt, Text surrogate, double alpha,
                                      Text outputs, Text spike_format, bool packed_input,
                                      const OptionalTensor& initial_state, const OptionalTensor& measured_spikes,
                                      const OptionalTensor& measured_membrane, std::int64_t recompute_every,
                                      bool save) {
  const variable_list neurons = {leak, reset, threshold, tau_mem, tau_syn, membrane_capacitance};
  variable_list parameters = {weight};
  parameters.insert(parameters.end(), neurons.begin(), neurons.end());
  const variable_list inputs = inputs_of(spikes, parameters, initial_state);
  static const auto op = typed<SynapseLifForward>("gradspike::_synapse_lif_forward");
  const auto below = [&](const std::string& wanted, bool keep) {
    const at::AutoDispatchBelowADInplaceOrView guard;
    return op.call(spikes, weight, leak, reset, threshold, tau_mem, tau_syn, membrane_capacitance, refractory_time,
                   scale, min_weight, max_weight, rounding, gradient, units, dt, surrogate, alpha, wanted, spike_format,
                   packed_input, initial_state, measured_spikes, measured_membrane, recompute_every, keep);
  };
  if (!needs_backward("synapse_lif", inputs)) {
    return below(std::string(outputs), save);
  }
  TORCH_CHECK(spike_format == "float" || !asks_for(outputs, "spikes"),
              "synapse_lif: spike_format must be 'float' where gradients are recorded, got '", spike_format,
              "': integers carry none, use torch.no_grad()");
  const bool needs_current = recompute_every == 0 && torch::autograd::any_variable_requires_grad(neurons);
  BackwardNode<SynapseLifNode> node(inputs);
  auto [z, membrane, current, final_state, saved, coefficients, integers] =
      below(needs_current ? with_output(outputs, "current") : std::string(outputs), /*keep=*/true);
  auto& data = node.context().saved_data;
  data["has_state"] = is_given(initial_state);
  data["scale"] = scale;
  data["min_weight"] = min_weight;
  data["max_weight"] = max_weight;
  data["rounding"] = std::string(rounding);
  data["gradient"] = std::string(gradient);
  data["units"] = std::string(units);
  data["dt"] = dt;
  data["surrogate"] = std::string(surrogate);
  data["alpha"] = alpha;
  data["packed_input"] = packed_input;
  data["recompute_every"] = recompute_every;
  node.outputs(
      recorded_outputs(data, outputs, {{"spikes", z}, {"membrane", membrane}, {"current", current}}, final_state));
  node.save({spikes, weight, integers, saved, needs_current ? current : Tensor(), coefficients, leak, reset, threshold,
             tau_mem, tau_syn, membrane_capacitance, tensor_or_undefined(initial_state),
             tensor_or_undefined(measured_spikes), tensor_or_undefined(measured_membrane)});
  return {z,           membrane, asks_for(outputs, "current") ? current : at::empty({0}, final_state.options()),
          final_state, saved,    coefficients,
          integers};
}

Tensors4 synapse_lif_autograd(const Tensor& spikes, const Tensor& weight, const Tensor& leak, const Tensor& reset,
                              const Tensor& threshold, const Tensor& tau_mem, const Tensor& tau_syn,
                              const Tensor& membrane_capacitance, const Tensor& refractory_time, double scale,
                              double min_weight, double max_weight, Text rounding, Text gradient, Text units, double dt,
                              Text surrogate, double alpha, Text outputs, Text spike_format, bool packed_input,
                              const OptionalTensor& initial_state, const OptionalTensor& measured_spikes,
                              const OptionalTensor& measured_membrane, std::int64_t recompute_every, Text projection,
                              Text population) {
  const variable_list parameters = {weight, leak, reset, threshold, tau_mem, tau_syn, membrane_capacitance};
  if (!needs_backward("synapse_lif", inputs_of(spikes, parameters, initial_state))) {
    static const auto op = typed<SynapseLif>("gradspike::synapse_lif");
    const at::AutoDispatchBelowADInplaceOrView guard;
    return op.call(spikes, weight, leak, reset, threshold, tau_mem, tau_syn, membrane_capacitance, refractory_time,
                   scale, min_weight, max_weight, rounding, gradient, units, dt, surrogate, alpha, outputs,
                   spike_format, packed_input, initial_state, measured_spikes, measured_membrane, recompute_every,
                   projection, population);
  }
  auto [z, membrane, current, final_state, saved, coefficients, integers] = synapse_lif_forward_autograd(
      spikes, weight, leak, reset, threshold, tau_mem, tau_syn, membrane_capacitance, refractory_time, scale,
      min_weight, max_weight, rounding, gradient, units, dt, surrogate, alpha, outputs, spike_format, packed_input,
      initial_state, measured_spikes, measured_membrane, recompute_every, /*save=*/true);
  return {z, membrane, current, final_state};
}

Tensors9 synapse_lif_backward_autograd(const OptionalTensor& grad_spikes, const OptionalTensor& grad_membrane,
                                       const OptionalTensor& grad_current, const OptionalTensor& grad_final_state,
                                       const Tensor& spikes, const Tensor& weight, const Tensor& integers,
                                       const Tensor& saved, const OptionalTensor& current, const Tensor& coefficients,
                                       const Tensor& leak, const Tensor& reset, const Tensor& threshold,
                                       const Tensor& tau_mem, const Tensor& tau_syn, const Tensor& membrane_capacitance,
                                       const OptionalTensor& initial_state, const OptionalTensor& measured_spikes,
                                       const OptionalTensor& measured_membrane, double scale, double min_weight,
                                       double max_weight, Text rounding, Text gradient, Text units, double dt,
                                       Text surrogate, double alpha, bool packed_input, std::int64_t recompute_every,
                                       std::array<bool, 9> mask) {
  static const auto op = typed<SynapseLifBackward>("gradspike::_synapse_lif_backward");
  Tensors9 r;
  {
    const at::AutoDispatchBelowADInplaceOrView guard;
    r = op.call(grad_spikes, grad_membrane, grad_current, grad_final_state, spikes, weight, integers, saved, current,
                coefficients, leak, reset, threshold, tau_mem, tau_syn, membrane_capacitance, initial_state,
                measured_spikes, measured_membrane, scale, min_weight, max_weight, rounding, gradient, units, dt,
                surrogate, alpha, packed_input, recompute_every, mask);
  }
  variable_list inputs = {spikes, weight, saved, coefficients};
  for (const OptionalTensor& grad : {grad_spikes, grad_membrane, grad_current, grad_final_state}) {
    if (is_given(grad)) {
      inputs.push_back(*grad);
    }
  }
  refuse_double_backward("gradspike::synapse_lif", inputs,
                         {std::get<0>(r), std::get<1>(r), std::get<2>(r), std::get<3>(r), std::get<4>(r),
                          std::get<5>(r), std::get<6>(r), std::get<7>(r), std::get<8>(r)});
  return r;
}

}  // namespace

TORCH_LIBRARY_IMPL(gradspike, Autograd, m) {
  m.impl("synapse_lif", synapse_lif_autograd);
  m.impl("_synapse_lif_forward", synapse_lif_forward_autograd);
  m.impl("_synapse_lif_backward", synapse_lif_backward_autograd);
}

}  // namespace gradspike::ops
