// Autograd kernels of recurrent_lif.
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include "ops/autograd_neurons.h"
#include "ops/recurrent_lif_backward.h"

namespace gradspike::ops {
namespace {

using Tensors4 = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor>;
using Forward = RecurrentLifForward(GRADSPIKE_RECURRENT_LIF_SIGNATURE, bool);
using Backward = RecurrentLifBackward(GRADSPIKE_RECURRENT_LIF_BACKWARD_SIGNATURE);
using Public = Tensors4(GRADSPIKE_RECURRENT_LIF_SIGNATURE, std::string_view, std::string_view, std::string_view);

/// Where the saved tensors stand.
enum Saved : std::size_t {
  kSpikes,
  kInputWeight,
  kRecurrentWeight,
  kRecurrentMask,
  kInputIntegers,
  kRecurrentIntegers,
  kTrace,
  kCurrent,
  kCheckpoints,
  kCoefficients,
  kFirstParameter,
  kInitialState = kFirstParameter + 6,
  kMeasuredSpikes,
  kMeasuredMembrane,
};

struct RecurrentLifNode {
  static constexpr bool is_traceable = true;

  /// Forward inputs: spikes, input_weight, recurrent_weight, six parameters[, initial_state].
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const auto& data = ctx->saved_data;
    const bool has_state = data.at("has_state").toBool();
    const std::size_t inputs = kRecurrentMaskState + (has_state ? 1 : 0);
    if (none_defined(grads)) {
      return variable_list(inputs);
    }
    std::array<bool, 10> mask{};
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
    const auto number = [&](const char* name) { return data.at(name).toDouble(); };
    const auto text = [&](const char* name) { return data.at(name).toStringView(); };
    static const auto op = typed<Backward>("gradspike::_recurrent_lif_backward");
    auto [grad_spikes, grad_input, grad_recurrent, leak, reset, threshold, tau_mem, tau_syn, capacitance, state] =
        op.call(spikes, membrane, current, optional(grads[next]), s[kSpikes], s[kInputWeight], s[kRecurrentWeight],
                optional(s[kRecurrentMask]), s[kInputIntegers], s[kRecurrentIntegers], optional(s[kTrace]),
                optional(s[kCurrent]), optional(s[kCheckpoints]), s[kCoefficients], s[kFirstParameter],
                s[kFirstParameter + 1], s[kFirstParameter + 2], s[kFirstParameter + 3], s[kFirstParameter + 4],
                s[kFirstParameter + 5], optional(s[kInitialState]), optional(s[kMeasuredSpikes]),
                optional(s[kMeasuredMembrane]), number("input_scale"), number("input_min_weight"),
                number("input_max_weight"), number("recurrent_scale"), number("recurrent_min_weight"),
                number("recurrent_max_weight"), text("rounding"), text("gradient"), text("units"), number("dt"),
                text("surrogate"), number("alpha"), data.at("recompute_every").toInt(), mask);
    variable_list result = {grad_spikes, grad_input, grad_recurrent, leak,       reset,
                            threshold,   tau_mem,    tau_syn,        capacitance};
    if (has_state) {
      result.push_back(state);
    }
    return result;
  }
};

variable_list differentiable_inputs(const RecurrentWeights& w, const variable_list& parameters,
                                    const OptionalTensor& initial_state) {
  variable_list rest = {w.input_weight, w.recurrent_weight};
  rest.insert(rest.end(), parameters.begin(), parameters.end());
  return inputs_of(w.spikes, rest, initial_state);
}

/// Forward with everything that the backward needs, and the backward recorded. Reached a second time, one level further
/// out, under nested functorch transforms: hence a kernel of its own for the forward operator.
RecurrentLifForward recurrent_lif_forward_autograd(GRADSPIKE_RECURRENT_LIF_SIGNATURE, bool save) {
  const variable_list parameters = {leak, reset, threshold, tau_mem, tau_syn, membrane_capacitance};
  const variable_list inputs = differentiable_inputs(GRADSPIKE_RECURRENT_WEIGHTS, parameters, initial_state);
  static const auto op = typed<Forward>("gradspike::_recurrent_lif_forward");
  const auto below = [&](const std::string& outputs, bool keep) {
    const at::AutoDispatchBelowADInplaceOrView guard;
    return op.call(GRADSPIKE_RECURRENT_LIF_ARGUMENTS, keep);
  };
  if (!needs_backward("recurrent_lif", inputs)) {
    return below(std::string(outputs), save);
  }
  const bool recomputes = recompute_every > 0;
  const bool needs_current = !recomputes && torch::autograd::any_variable_requires_grad(parameters);
  BackwardNode<RecurrentLifNode> node(inputs);
  auto [out, membrane, current, final_state, saved, coefficients, input_integers, recurrent_integers, checkpoints] =
      below(needs_current ? with_output(outputs, "current") : std::string(outputs), /*keep=*/true);
  auto& data = node.context().saved_data;
  data["has_state"] = is_given(initial_state);
  const std::pair<const char*, double> numbers[] = {{"input_scale", input_scale},
                                                    {"input_min_weight", input_min_weight},
                                                    {"input_max_weight", input_max_weight},
                                                    {"recurrent_scale", recurrent_scale},
                                                    {"recurrent_min_weight", recurrent_min_weight},
                                                    {"recurrent_max_weight", recurrent_max_weight},
                                                    {"dt", dt},
                                                    {"alpha", alpha}};
  for (const auto& [name, value] : numbers) {
    data[name] = value;
  }
  data["rounding"] = std::string(rounding);
  data["gradient"] = std::string(gradient);
  data["units"] = std::string(units);
  data["surrogate"] = std::string(surrogate);
  data["recompute_every"] = recompute_every;
  node.outputs(
      recorded_outputs(data, outputs, {{"spikes", out}, {"membrane", membrane}, {"current", current}}, final_state));
  const at::Tensor none;
  variable_list keep = {spikes,
                        input_weight,
                        recurrent_weight,
                        tensor_or_undefined(recurrent_mask),
                        input_integers,
                        recurrent_integers,
                        recomputes ? none : saved,
                        needs_current ? current : none,
                        recomputes ? checkpoints : none,
                        coefficients};
  keep.insert(keep.end(), parameters.begin(), parameters.end());
  keep.insert(keep.end(), {tensor_or_undefined(initial_state), tensor_or_undefined(measured_spikes),
                           tensor_or_undefined(measured_membrane)});
  node.save(std::move(keep));
  return {out,
          membrane,
          asks_for(outputs, "current") ? current : at::empty({0}, final_state.options()),
          final_state,
          saved,
          coefficients,
          input_integers,
          recurrent_integers,
          checkpoints};
}

Tensors4 recurrent_lif_autograd(GRADSPIKE_RECURRENT_LIF_SIGNATURE, std::string_view projection,
                                std::string_view recurrent_projection, std::string_view population) {
  const variable_list parameters = {leak, reset, threshold, tau_mem, tau_syn, membrane_capacitance};
  if (!needs_backward("recurrent_lif", differentiable_inputs(GRADSPIKE_RECURRENT_WEIGHTS, parameters, initial_state))) {
    static const auto op = typed<Public>("gradspike::recurrent_lif");
    const at::AutoDispatchBelowADInplaceOrView guard;
    return op.call(GRADSPIKE_RECURRENT_LIF_ARGUMENTS, projection, recurrent_projection, population);
  }
  const RecurrentLifForward all = recurrent_lif_forward_autograd(GRADSPIKE_RECURRENT_LIF_ARGUMENTS, /*save=*/true);
  return {std::get<0>(all), std::get<1>(all), std::get<2>(all), std::get<3>(all)};
}

RecurrentLifBackward recurrent_lif_backward_autograd(GRADSPIKE_RECURRENT_LIF_BACKWARD_SIGNATURE) {
  static const auto op = typed<Backward>("gradspike::_recurrent_lif_backward");
  RecurrentLifBackward r;
  {
    const at::AutoDispatchBelowADInplaceOrView guard;
    r = op.call(GRADSPIKE_RECURRENT_LIF_BACKWARD_ARGUMENTS);
  }
  variable_list inputs;
  for (const OptionalTensor& grad : {grad_spikes, grad_membrane, grad_current, grad_final_state}) {
    if (is_given(grad)) {
      inputs.push_back(*grad);
    }
  }
  inputs.insert(inputs.end(), {spikes, input_weight, recurrent_weight});
  for (const OptionalTensor& trace : {saved, checkpoints}) {
    if (is_given(trace)) {
      inputs.push_back(*trace);
    }
  }
  refuse_double_backward("gradspike::recurrent_lif", inputs,
                         {std::get<0>(r), std::get<1>(r), std::get<2>(r), std::get<3>(r), std::get<4>(r),
                          std::get<5>(r), std::get<6>(r), std::get<7>(r), std::get<8>(r), std::get<9>(r)});
  return r;
}

}  // namespace

TORCH_LIBRARY_IMPL(gradspike, Autograd, m) {
  m.impl("recurrent_lif", recurrent_lif_autograd);
  m.impl("_recurrent_lif_forward", recurrent_lif_forward_autograd);
  m.impl("_recurrent_lif_backward", recurrent_lif_backward_autograd);
}

}  // namespace gradspike::ops
