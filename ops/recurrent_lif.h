// recurrent_lif: LIF neurons with an input and a recurrent projection, one fused operator that owns the loop over time.
//
//   x[t] = graded_spikes(spikes[t], input_weight) + graded_spikes(z[t-1], recurrent_weight), then the step of lif
//
// Shapes: spikes [time, batch, in_features], input_weight [neuron, in_features], recurrent_weight and recurrent_mask
// [neuron, neuron] = [post, pre]; traces [time, batch, neuron]; state [4, batch, neuron] = current, membrane,
// refractory counter, last spikes, so that T steps at once and T calls of one step give the same bits, which are those
// of an unfused loop too. Where the mask is False there is no connection: integer 0 and gradient 0 whatever the weight
// is. Arithmetic is float64 where spikes or a weight are float64, else float32. rounding="none": the weights as they
// are, sums in the order of pre. Differentiable: spikes, both weights (straight-through), initial_state but its
// refractory counter, every parameter but refractory_time. Deterministic; no synchronisation.
#pragma once

#include <ATen/ops/logical_not.h>
#include <ATen/ops/masked_fill.h>

#include "csrc/kernels/recurrent_lif.h"
#include "ops/graded_spikes.h"
#include "ops/lif.h"

namespace gradspike::ops {

using OptionalTensorRef = const std::optional<at::Tensor>&;

// The arguments that recurrent_lif and _recurrent_lif_forward have in common, in the order of the schemas.
#define GRADSPIKE_RECURRENT_LIF_SIGNATURE                                                                          \
  const at::Tensor &spikes, const at::Tensor &input_weight, const at::Tensor &recurrent_weight,                    \
      const at::Tensor &leak, const at::Tensor &reset, const at::Tensor &threshold, const at::Tensor &tau_mem,     \
      const at::Tensor &tau_syn, const at::Tensor &membrane_capacitance, const at::Tensor &refractory_time,        \
      OptionalTensorRef recurrent_mask, double input_scale, double input_min_weight, double input_max_weight,      \
      double recurrent_scale, double recurrent_min_weight, double recurrent_max_weight, std::string_view rounding, \
      std::string_view gradient, std::string_view units, double dt, std::string_view surrogate, double alpha,      \
      std::string_view outputs, OptionalTensorRef initial_state, OptionalTensorRef measured_spikes,                \
      OptionalTensorRef measured_membrane, std::int64_t recompute_every
#define GRADSPIKE_RECURRENT_LIF_ARGUMENTS                                                                   \
  spikes, input_weight, recurrent_weight, leak, reset, threshold, tau_mem, tau_syn, membrane_capacitance,   \
      refractory_time, recurrent_mask, input_scale, input_min_weight, input_max_weight, recurrent_scale,    \
      recurrent_min_weight, recurrent_max_weight, rounding, gradient, units, dt, surrogate, alpha, outputs, \
      initial_state, measured_spikes, measured_membrane, recompute_every

/// The two weights and how they become integers.
struct RecurrentWeights {
  const at::Tensor& spikes;
  const at::Tensor& input_weight;
  const at::Tensor& recurrent_weight;
  OptionalTensorRef recurrent_mask;
  double input_scale;
  double input_min_weight;
  double input_max_weight;
  double recurrent_scale;
  double recurrent_min_weight;
  double recurrent_max_weight;
  std::string_view rounding;
  std::string_view gradient;
  std::string_view units;
};
#define GRADSPIKE_RECURRENT_WEIGHTS                                                                          \
  {                                                                                                          \
    spikes, input_weight, recurrent_weight, recurrent_mask, input_scale, input_min_weight, input_max_weight, \
        recurrent_scale, recurrent_min_weight, recurrent_max_weight, rounding, gradient, units               \
  }

/// The plans of the two products, and the sizes of a trace.
struct RecurrentPlan {
  GradedSpikesPlan input;
  GradedSpikesPlan recurrent;
  std::vector<c10::SymInt> trace;  // time, batch, neuron

  at::ScalarType type() const { return input.result_type; }
  const c10::SymInt& neurons() const { return trace[2]; }
};

inline void check_recurrent_mask(const char* op, OptionalTensorRef mask, const at::Tensor& spikes,
                                 const c10::SymInt& neurons) {
  if (!is_given(mask)) {
    return;
  }
  TORCH_CHECK(mask->scalar_type() == at::kBool && mask->dim() == 2, op,
              ": recurrent_mask must be bool with 2 dimensions [neuron, neuron], got ", mask->scalar_type(), " with ",
              mask->dim());
  TORCH_CHECK(mask->device() == spikes.device(), op, ": recurrent_mask must be on the device of spikes, ",
              spikes.device(), ", got ", mask->device());
  for (std::int64_t d = 0; d < 2; ++d) {
    TORCH_SYM_CHECK(mask->sym_size(d).sym_eq(neurons), op, ": recurrent_mask must have shape [neuron, neuron], ",
                    neurons, " neurons, got ", mask->sym_sizes());
  }
}

inline RecurrentPlan plan_recurrent_weights(const char* op, const RecurrentWeights& a) {
  check_weight_matrix(op, a.input_weight, "input_weight");
  check_weight_matrix(op, a.recurrent_weight, "recurrent_weight");
  check_spike_type(op, a.spikes);
  TORCH_CHECK(a.spikes.dim() == 3, op, ": spikes must have 3 dimensions [time, batch, in_features], got ",
              a.spikes.dim());
  TORCH_SYM_CHECK(a.spikes.sym_size(2).sym_eq(a.input_weight.sym_size(1)), op,
                  ": the last dimension of spikes must equal in_features of input_weight, ", a.input_weight.sym_size(1),
                  ", got ", a.spikes.sym_size(2));
  const c10::SymInt neurons = a.input_weight.sym_size(0);
  for (std::int64_t d = 0; d < 2; ++d) {
    TORCH_SYM_CHECK(a.recurrent_weight.sym_size(d).sym_eq(neurons), op,
                    ": recurrent_weight must have shape [neuron, neuron], ", neurons, " neurons as input_weight, got ",
                    a.recurrent_weight.sym_sizes());
  }
  TORCH_CHECK(a.input_weight.device() == a.spikes.device() && a.recurrent_weight.device() == a.spikes.device(), op,
              ": input_weight and recurrent_weight must be on the device of spikes, ", a.spikes.device(), ", got ",
              a.input_weight.device(), " and ", a.recurrent_weight.device());
  check_recurrent_mask(op, a.recurrent_mask, a.spikes, neurons);
  const math::Rounding rounding = parse_rounding(op, a.rounding, /*allow_none=*/true);
  GradedSpikesPlan plan;
  plan.rule = parse_gradient(op, a.gradient);
  plan.model_units = parse_units(op, a.units);
  const bool in_double = a.spikes.scalar_type() == at::kDouble || a.input_weight.scalar_type() == at::kDouble ||
                         a.recurrent_weight.scalar_type() == at::kDouble;
  plan.result_type = in_double ? at::kDouble : at::kFloat;
  const auto with = [&](const char* prefix, double scale, double min_weight, double max_weight) {
    plan.transform = check_integer_transform(op, scale, min_weight, max_weight, rounding, prefix);
    plan.integer_type = fits_int8(plan.transform) ? at::kChar : at::kShort;
    return plan;
  };
  return {with("input_", a.input_scale, a.input_min_weight, a.input_max_weight),
          with("recurrent_", a.recurrent_scale, a.recurrent_min_weight, a.recurrent_max_weight),
          {a.spikes.sym_size(0), a.spikes.sym_size(1), neurons}};
}

inline void check_recurrent_neurons(const char* op, const RecurrentPlan& plan, const at::Tensor& spikes,
                                    std::initializer_list<NamedParameter> parameters, double dt,
                                    std::string_view surrogate, double alpha, OptionalTensorRef initial_state,
                                    OptionalTensorRef measured_spikes, OptionalTensorRef measured_membrane) {
  TORCH_CHECK(std::isfinite(dt) && dt > 0.0, op, ": dt must be finite and > 0, got ", dt);
  for (const NamedParameter& parameter : parameters) {
    check_parameter(op, parameter, spikes, plan.neurons());
  }
  check_surrogate(op, surrogate, alpha);
  check_like(op, "initial_state", initial_state, spikes, {math::kNumRecurrentLifStates, plan.trace[1], plan.neurons()},
             "[4, batch, neuron]");
  check_measurement(op, "measured_spikes", measured_spikes, spikes, plan.trace);
  check_measurement(op, "measured_membrane", measured_membrane, spikes, plan.trace);
}

inline std::pair<RecurrentPlan, LifOutputs> plan_recurrent_lif(GRADSPIKE_RECURRENT_LIF_SIGNATURE) {
  constexpr const char* kOp = "recurrent_lif";
  const LifParameters p{leak, reset, threshold, tau_mem, tau_syn, membrane_capacitance, refractory_time};
  RecurrentPlan plan = plan_recurrent_weights(kOp, GRADSPIKE_RECURRENT_WEIGHTS);
  check_recurrent_neurons(kOp, plan, spikes, GRADSPIKE_LIF_NAMED(p), dt, surrogate, alpha, initial_state,
                          measured_spikes, measured_membrane);
  check_recompute_every(kOp, recompute_every);
  const OutputSet set(kOp, outputs, {"spikes", "membrane", "current"});
  return {std::move(plan), {set.has("spikes"), set.has("membrane"), set.has("current")}};
}

/// 0 where the mask says that there is no connection.
inline at::Tensor connected(const at::Tensor& weight, OptionalTensorRef mask) {
  return is_given(mask) ? at::masked_fill(weight, at::logical_not(*mask), 0) : weight;
}

/// The integers of a weight, or an empty tensor where none are made.
template <class Exec>
at::Tensor projection_integers(const Scope<Exec>& scope, const GradedSpikesPlan& plan, const at::Tensor& weight) {
  return plan.rounds() ? quantised(scope, widened(weight), plan.weight_plan())
                       : at::empty({0}, weight.options().dtype(plan.integer_type));
}

/// Weights as the kernels take them, with the tensor that keeps their memory alive.
struct HeldWeights {
  HeldWeights(const GradedSpikesPlan& plan, const at::Tensor& weight, const at::Tensor& integers)
      : held(plan.rounds() ? integers.contiguous() : weight.to(plan.result_type).contiguous()) {
    const kernels::WeightForm form = !plan.rounds()                   ? kernels::WeightForm::kReal
                                     : plan.integer_type == at::kChar ? kernels::WeightForm::kInt8
                                                                      : kernels::WeightForm::kInt16;
    const float factor = plan.rounds() ? plan.factor() : (plan.model_units ? 1.0F : plan.transform.scale);
    weights = {held.const_data_ptr(), form, factor, needs_wide_sums(plan.transform, weight.size(1))};
  }

  at::Tensor held;
  kernels::ProjectionWeights weights;
};

/// Everything of a run that does not depend on the steps which it covers.
struct RecurrentRun {
  at::Tensor rows;  // spikes, [time * batch, in_features]
  HeldWeights input;
  HeldWeights recurrent;
  at::Tensor coefficients;
  at::Tensor measured_spikes;
  at::Tensor measured_membrane;
  std::int64_t time;
  std::int64_t batch;
  std::int64_t neurons;

  std::int64_t elements() const { return batch * neurons; }
};

/// A measurement from step `first` on.
template <class T>
kernels::Measurement<T> measurement_from(const at::Tensor& tensor, std::int64_t first, std::int64_t elements) {
  const kernels::Measurement<T> whole = measurement<T>(tensor);
  return whole.steps > first ? kernels::Measurement<T>(whole.data + first * elements, whole.steps - first)
                             : kernels::Measurement<T>();
}

/// What a forward pass writes; undefined and empty tensors are left out.
struct RecurrentTraces {
  at::Tensor spikes;
  at::Tensor membrane;
  at::Tensor current;
  at::Tensor saved;
  at::Tensor checkpoints;
  at::Tensor final_state;
};

/// Steps first, ..., first + steps - 1 of a run.
template <class T, class Exec>
void recurrent_forward_steps(const Scope<Exec>& scope, const RecurrentRun& run, const T* initial_state,
                             const RecurrentTraces& out, std::int64_t checkpoint_steps, std::int64_t first,
                             std::int64_t steps) {
  dispatch_spikes(run.rows, [&](const auto* spikes) {
    using S = std::remove_const_t<std::remove_pointer_t<decltype(spikes)>>;
    if constexpr (std::is_same_v<S, double> && std::is_same_v<T, float>) {
      TORCH_INTERNAL_ASSERT(false, "float64 spikes are summed in float64");
    } else {
      const std::int64_t in_features = run.rows.size(1);
      kernels::recurrent_lif_forward(
          scope.exec(),
          kernels::RecurrentLifForwardArgs<S, T>{spikes + first * run.batch * in_features,
                                                 run.input.weights,
                                                 run.recurrent.weights,
                                                 {run.coefficients.const_data_ptr<T>(), run.coefficients.size(1)},
                                                 initial_state,
                                                 measurement_from<T>(run.measured_spikes, first, run.elements()),
                                                 measurement_from<T>(run.measured_membrane, first, run.elements()),
                                                 mutable_or_null<T>(out.spikes),
                                                 mutable_or_null<T>(out.membrane),
                                                 mutable_or_null<T>(out.current),
                                                 mutable_or_null<T>(out.saved),
                                                 mutable_or_null<T>(out.checkpoints),
                                                 checkpoint_steps,
                                                 out.final_state.mutable_data_ptr<T>(),
                                                 steps,
                                                 run.batch,
                                                 run.neurons,
                                                 in_features});
    }
  });
}

using RecurrentLifForward = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor,
                                       at::Tensor, at::Tensor, at::Tensor>;

template <class Exec>
RecurrentLifForward recurrent_lif_forward_impl(GRADSPIKE_RECURRENT_LIF_SIGNATURE, bool save) {
  const auto [plan, asked] = plan_recurrent_lif(GRADSPIKE_RECURRENT_LIF_ARGUMENTS);
  const LifParameters p{leak, reset, threshold, tau_mem, tau_syn, membrane_capacitance, refractory_time};
  const Scope<Exec> scope(spikes);
  const std::int64_t time = spikes.size(0), batch = spikes.size(1), neurons = input_weight.size(0);
  const at::TensorOptions options = input_weight.options().dtype(plan.type());
  const at::Tensor masked = connected(recurrent_weight, recurrent_mask);
  at::Tensor input_integers = projection_integers(scope, plan.input, input_weight);
  at::Tensor recurrent_integers = projection_integers(scope, plan.recurrent, masked);
  const std::int64_t columns = coefficient_columns(plan.neurons(), GRADSPIKE_LIF_NAMED(p)).expect_int();
  at::Tensor coefficients = at::empty({math::kNumLifCoefficients, columns}, options);
  const RecurrentRun run{spike_rows(spikes),
                         HeldWeights(plan.input, input_weight, input_integers),
                         HeldWeights(plan.recurrent, masked, recurrent_integers),
                         coefficients,
                         optional_to(measured_spikes, plan.type()),
                         optional_to(measured_membrane, plan.type()),
                         time,
                         batch,
                         neurons};
  const at::Tensor initial = optional_to(initial_state, plan.type());
  const auto result = [&](bool wanted, std::vector<std::int64_t> sizes) {
    return wanted ? empty_result(sizes, options) : at::empty({0}, options);
  };
  const bool recompute = save && recompute_every > 0;
  const std::int64_t points = recompute ? num_checkpoints(time, recompute_every).expect_int() : 0;
  const RecurrentTraces out{result(asked.spikes, {time, batch, neurons}),
                            result(asked.membrane, {time, batch, neurons}),
                            result(asked.current, {time, batch, neurons}),
                            result(save && !recompute, {time, batch, neurons}),
                            result(recompute, {points, math::kNumRecurrentLifStates, batch, neurons}),
                            at::empty({math::kNumRecurrentLifStates, batch, neurons}, options)};
  dispatch_real(plan.type(), [&](auto real) {
    using T = decltype(real);
    const LifOperands<T> operands(p, out.final_state, dt, "recurrent_lif");
    kernels::lif_coefficients(
        scope.exec(),
        kernels::LifCoefficientsArgs<T>{operands.parameters, coefficients.mutable_data_ptr<T>(), columns, true});
    recurrent_forward_steps<T>(scope, run, data_or_null<T>(initial), out, recompute_every, 0, time);
  });
  return {out.spikes,   out.membrane,   out.current,        out.final_state, out.saved,
          coefficients, input_integers, recurrent_integers, out.checkpoints};
}

template <class Exec>
std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor> recurrent_lif_impl(GRADSPIKE_RECURRENT_LIF_SIGNATURE,
                                                                              std::string_view projection,
                                                                              std::string_view recurrent_projection,
                                                                              std::string_view population) {
  // The names are for readers of the graph; no part of the arithmetic.
  (void)projection;
  (void)recurrent_projection;
  (void)population;
  auto [out, membrane, current, final_state, saved, coefficients, input_integers, recurrent_integers, checkpoints] =
      recurrent_lif_forward_impl<Exec>(GRADSPIKE_RECURRENT_LIF_ARGUMENTS, /*save=*/false);
  return {out, membrane, current, final_state};
}

}  // namespace gradspike::ops
