// synapse_lif: graded_spikes and lif in one operator, so that the synaptic input of all steps is never in memory.
//
// Spikes [time, batch, in_features], or bits [time, batch, ceil(in_features / 8)] where packed_input, weight [neuron,
// in_features]; everything else as in lif, with the bits of lif(graded_spikes(spikes, weight)). spike_format writes the
// output spikes in the neurons' dtype, as uint8, or as bits (csrc/math/packed.h); the compact formats carry no gradient
// and are refused where one is recorded. rounding="none" makes the float product first, in memory. recompute_every = K
// > 0 saves the states before every K steps in place of the membrane trace: the backward computes each segment again
// (on CUDA all segments at once), with the same bits. Deterministic; no synchronisation.
#pragma once

#include "csrc/kernels/synapse_lif.h"
#include "ops/graded_spikes.h"
#include "ops/lif.h"

namespace gradspike::ops {

inline kernels::SpikeFormat parse_spike_format(const char* op, std::string_view format) {
  if (format == "float") {
    return kernels::SpikeFormat::kFloat;
  }
  if (format == "uint8") {
    return kernels::SpikeFormat::kUint8;
  }
  TORCH_CHECK(format == "packed", op, ": spike_format must be 'float', 'uint8' or 'packed', got '", format, "'");
  return kernels::SpikeFormat::kPacked;
}

/// The arguments of synapse_lif that are no tensors.
struct SynapseLifNumbers {
  double scale;
  double min_weight;
  double max_weight;
  std::string_view rounding;
  std::string_view gradient;
  std::string_view units;
  double dt;
  std::string_view surrogate;
  double alpha;
  bool packed_input;
  std::int64_t recompute_every;
};

struct SynapseLifPlan {
  GradedSpikesPlan synapse;
  c10::SymInt time;
  c10::SymInt batch;
  c10::SymInt neurons;
  c10::SymInt columns;   // of the coefficient table
  c10::SymInt segments;  // checkpoints

  std::vector<c10::SymInt> trace() const { return {time, batch, neurons}; }
  std::vector<c10::SymInt> state() const { return {math::kNumLifStates, batch, neurons}; }
  /// What the backward starts from: the membrane of all steps, or the states before every segment.
  std::vector<c10::SymInt> saved(std::int64_t recompute_every) const {
    return recompute_every > 0 ? std::vector<c10::SymInt>{segments, math::kNumLifStates, batch, neurons} : trace();
  }
};

/// The checks that forward and backward share.
inline SynapseLifPlan plan_synapse_lif_inputs(const char* op, const at::Tensor& spikes, const at::Tensor& weight,
                                              const LifParameters& p, const SynapseLifNumbers& x,
                                              const std::optional<at::Tensor>& initial_state,
                                              const std::optional<at::Tensor>& measured_spikes,
                                              const std::optional<at::Tensor>& measured_membrane) {
  check_weight_matrix(op, weight);
  TORCH_CHECK(spikes.dim() == 3, op, ": spikes must have 3 dimensions [time, batch, in_features], got ", spikes.dim());
  SynapseLifPlan plan;
  if (x.packed_input) {
    TORCH_CHECK(spikes.scalar_type() == at::kByte, op, ": spikes must be uint8 where packed_input is set, got ",
                spikes.scalar_type());
    TORCH_SYM_CHECK(spikes.sym_size(2).sym_eq((weight.sym_size(1) + 7) / 8), op,
                    ": the last dimension of packed spikes must be ceil(in_features / 8) for in_features ",
                    weight.sym_size(1), " of weight, got ", spikes.sym_size(2));
  }
  const at::Tensor like = x.packed_input ? at::empty_symint({weight.sym_size(1)}, spikes.options()) : spikes;
  plan.synapse =
      plan_graded_spikes(like, weight, x.scale, x.min_weight, x.max_weight, x.rounding, x.gradient, x.units, op);
  TORCH_CHECK(std::isfinite(x.dt) && x.dt > 0.0, op, ": dt must be finite and > 0, got ", x.dt);
  check_surrogate(op, x.surrogate, x.alpha);
  check_recompute_every(op, x.recompute_every);
  plan.time = spikes.sym_size(0);
  plan.batch = spikes.sym_size(1);
  plan.neurons = weight.sym_size(0);
  plan.columns = 1;
  plan.segments = x.recompute_every > 0 ? num_checkpoints(plan.time, x.recompute_every) : c10::SymInt(0);
  const std::initializer_list<NamedParameter> named = GRADSPIKE_LIF_NAMED(p);
  for (const NamedParameter& parameter : named) {
    check_parameter(op, parameter, spikes, plan.neurons);
    plan.columns = parameter.tensor.dim() == 1 ? plan.neurons : plan.columns;
  }
  check_like(op, "initial_state", initial_state, spikes, plan.state(), "[3, batch, neuron]");
  check_measurement(op, "measured_spikes", measured_spikes, spikes, plan.trace());
  check_measurement(op, "measured_membrane", measured_membrane, spikes, plan.trace());
  return plan;
}

struct SynapseLifOutputs {
  SynapseLifPlan plan;
  LifOutputs asked;
  kernels::SpikeFormat format;

  at::ScalarType type() const { return plan.synapse.result_type; }
  at::ScalarType spike_type() const { return format == kernels::SpikeFormat::kFloat ? type() : at::kByte; }
  std::vector<c10::SymInt> spike_sizes() const {
    return {plan.time, plan.batch, format == kernels::SpikeFormat::kPacked ? (plan.neurons + 7) / 8 : plan.neurons};
  }
};

inline SynapseLifOutputs plan_synapse_lif(const at::Tensor& spikes, const at::Tensor& weight, const LifParameters& p,
                                          const SynapseLifNumbers& x, std::string_view outputs,
                                          std::string_view spike_format, const std::optional<at::Tensor>& initial_state,
                                          const std::optional<at::Tensor>& measured_spikes,
                                          const std::optional<at::Tensor>& measured_membrane) {
  constexpr const char* kOp = "synapse_lif";
  const SynapseLifPlan plan =
      plan_synapse_lif_inputs(kOp, spikes, weight, p, x, initial_state, measured_spikes, measured_membrane);
  const OutputSet set(kOp, outputs, {"spikes", "membrane", "current"});
  const kernels::SpikeFormat format = parse_spike_format(kOp, spike_format);
  TORCH_CHECK(format == kernels::SpikeFormat::kFloat || !is_given(measured_spikes), kOp,
              ": spike_format must be 'float' with measured_spikes, which may be counts, got '", spike_format, "'");
  return {plan, {set.has("spikes"), set.has("membrane"), set.has("current")}, format};
}

/// Calls f(spikes, q) with the element types of the spikes and of the integers.
template <class F>
void dispatch_drive(const at::Tensor& spikes, const at::Tensor& integers, F&& f) {
  dispatch_spikes(spikes, [&](const auto* s) {
    integers.scalar_type() == at::kChar ? f(s, integers.const_data_ptr<std::int8_t>())
                                        : f(s, integers.const_data_ptr<std::int16_t>());
  });
}

/// What drives the neurons, and the tensors that keep its memory.
struct HeldDrive {
  at::Tensor spikes;    // contiguous, in a type that the kernels read
  at::Tensor integers;  // [neuron, in_features], or empty
  at::Tensor input;     // the float product of rounding="none", or undefined
  std::int64_t in_features;
  float factor;
  bool wide;
  bool packed;
  bool from_input;

  template <class T, class S, class Q>
  kernels::SynapseDrive<S, Q, T> as(const S* s, const Q* q) const {
    return {s, q, data_or_null<T>(input), in_features, factor, wide, packed, from_input};
  }
};

/// Bits to bytes, for the float product.
at::Tensor unpacked_spikes(const at::Tensor& packed, std::int64_t in_features);

inline HeldDrive make_drive(const GradedSpikesPlan& plan, const at::Tensor& spikes, const at::Tensor& weight,
                            const at::Tensor& integers, bool packed, bool needs_input) {
  HeldDrive drive;
  drive.packed = packed;
  drive.from_input = !plan.rounds();
  drive.in_features = weight.size(1);
  drive.factor = plan.factor();
  drive.wide = needs_wide_sums(plan.transform, drive.in_features);
  const at::Tensor rows = spike_rows(spikes);
  drive.spikes = rows;
  drive.integers = integers;
  if (!plan.rounds() && needs_input) {
    const at::Tensor dense = packed ? unpacked_spikes(rows, drive.in_features) : rows;
    drive.input = float_product(plan, dense, weight).contiguous();
  }
  return drive;
}

using SynapseLifForward =
    std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor>;

/// A result that was asked for, or an empty tensor.
inline at::Tensor result_or_empty(bool asked, c10::SymIntArrayRef sizes, const at::TensorOptions& options) {
  return asked ? empty_result(C10_AS_INTARRAYREF_SLOW(sizes), options) : at::empty({0}, options);
}

template <class Exec>
SynapseLifForward synapse_lif_forward_impl(
    const at::Tensor& spikes, const at::Tensor& weight, const at::Tensor& leak, const at::Tensor& reset,
    const at::Tensor& threshold, const at::Tensor& tau_mem, const at::Tensor& tau_syn,
    const at::Tensor& membrane_capacitance, const at::Tensor& refractory_time, double scale, double min_weight,
    double max_weight, std::string_view rounding, std::string_view gradient, std::string_view units, double dt,
    std::string_view surrogate, double alpha, std::string_view outputs, std::string_view spike_format,
    bool packed_input, const std::optional<at::Tensor>& initial_state, const std::optional<at::Tensor>& measured_spikes,
    const std::optional<at::Tensor>& measured_membrane, std::int64_t recompute_every, bool save) {
  const LifParameters p{leak, reset, threshold, tau_mem, tau_syn, membrane_capacitance, refractory_time};
  const SynapseLifNumbers x{scale, min_weight, max_weight, rounding,     gradient,       units,
                            dt,    surrogate,  alpha,      packed_input, recompute_every};
  const SynapseLifOutputs result =
      plan_synapse_lif(spikes, weight, p, x, outputs, spike_format, initial_state, measured_spikes, measured_membrane);
  const SynapseLifPlan& plan = result.plan;
  const Scope<Exec> scope(spikes);
  const at::TensorOptions options = weight.options().dtype(result.type());
  const at::TensorOptions bytes = weight.options().dtype(plan.synapse.integer_type);
  const at::Tensor integers =
      plan.synapse.rounds() ? quantised(scope, widened(weight), plan.synapse.weight_plan()) : at::empty({0}, bytes);
  const HeldDrive drive = make_drive(plan.synapse, spikes, weight, integers, packed_input, true);
  const at::Tensor initial = optional_to(initial_state, result.type());
  const at::Tensor z_measured = optional_to(measured_spikes, result.type());
  const at::Tensor v_measured = optional_to(measured_membrane, result.type());
  const std::int64_t columns = plan.columns.expect_int();
  at::Tensor coefficients = at::empty({math::kNumLifCoefficients, columns}, options);
  at::Tensor z = result_or_empty(result.asked.spikes, result.spike_sizes(), options.dtype(result.spike_type()));
  at::Tensor membrane = result_or_empty(result.asked.membrane, plan.trace(), options);
  at::Tensor current = result_or_empty(result.asked.current, plan.trace(), options);
  at::Tensor saved = result_or_empty(save, plan.saved(recompute_every), options);
  at::Tensor final_state = result_or_empty(true, plan.state(), options);
  const bool checkpoints = recompute_every > 0;
  dispatch_real(result.type(), [&](auto real) {
    using T = decltype(real);
    const LifOperands<T> operands(p, final_state, dt, "synapse_lif");
    kernels::lif_coefficients(
        scope.exec(),
        kernels::LifCoefficientsArgs<T>{operands.parameters, coefficients.mutable_data_ptr<T>(), columns, true});
    dispatch_drive(drive.spikes, integers, [&](const auto* s, const auto* q) {
      using S = std::remove_const_t<std::remove_pointer_t<decltype(s)>>;
      using Q = std::remove_const_t<std::remove_pointer_t<decltype(q)>>;
      kernels::synapse_lif_forward(
          scope.exec(), kernels::SynapseLifForwardArgs<S, Q, T>{drive.as<T>(s, q),
                                                                {coefficients.const_data_ptr<T>(), columns},
                                                                data_or_null<T>(initial),
                                                                measurement<T>(z_measured),
                                                                measurement<T>(v_measured),
                                                                z.numel() > 0 ? z.mutable_data_ptr() : nullptr,
                                                                result.format,
                                                                mutable_or_null<T>(membrane),
                                                                mutable_or_null<T>(current),
                                                                checkpoints ? nullptr : mutable_or_null<T>(saved),
                                                                checkpoints ? mutable_or_null<T>(saved) : nullptr,
                                                                final_state.mutable_data_ptr<T>(),
                                                                segment_steps(recompute_every, spikes.size(0)),
                                                                spikes.size(0),
                                                                spikes.size(1),
                                                                weight.size(0)});
    });
  });
  return {z, membrane, current, final_state, saved, coefficients, integers};
}

template <class Exec>
std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor> synapse_lif_impl(
    const at::Tensor& spikes, const at::Tensor& weight, const at::Tensor& leak, const at::Tensor& reset,
    const at::Tensor& threshold, const at::Tensor& tau_mem, const at::Tensor& tau_syn,
    const at::Tensor& membrane_capacitance, const at::Tensor& refractory_time, double scale, double min_weight,
    double max_weight, std::string_view rounding, std::string_view gradient, std::string_view units, double dt,
    std::string_view surrogate, double alpha, std::string_view outputs, std::string_view spike_format,
    bool packed_input, const std::optional<at::Tensor>& initial_state, const std::optional<at::Tensor>& measured_spikes,
    const std::optional<at::Tensor>& measured_membrane, std::int64_t recompute_every, std::string_view projection,
    std::string_view population) {
  (void)projection;  // names for readers of the graph; no part of the arithmetic
  (void)population;
  auto [z, membrane, current, final_state, saved, coefficients, integers] = synapse_lif_forward_impl<Exec>(
      spikes, weight, leak, reset, threshold, tau_mem, tau_syn, membrane_capacitance, refractory_time, scale,
      min_weight, max_weight, rounding, gradient, units, dt, surrogate, alpha, outputs, spike_format, packed_input,
      initial_state, measured_spikes, measured_membrane, recompute_every, /*save=*/false);
  return {z, membrane, current, final_state};
}

using SynapseLifBackward = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor,
                                      at::Tensor, at::Tensor, at::Tensor>;

/// Which entry of the mask of _synapse_lif_backward belongs to what; the parameters stand between weight and state.
enum SynapseLifMask : std::size_t {
  kFusedMaskSpikes = 0,
  kFusedMaskWeight = 1,
  kFusedMaskFirstNeuronParameter = 2,
  kFusedMaskState = 8,
};
constexpr std::size_t kNumSynapseLifMasks = 9;

/// The tensors of _synapse_lif_backward beside the parameters.
struct SynapseLifBackwardTensors {
  LifBackwardTensors neurons;
  const at::Tensor& spikes;
  const at::Tensor& weight;
  const at::Tensor& integers;
};

inline bool wants_neuron_parameters(const std::array<bool, kNumSynapseLifMasks>& mask) {
  return std::any_of(mask.begin() + kFusedMaskFirstNeuronParameter, mask.begin() + kFusedMaskState,
                     [](bool w) { return w; });
}

/// The operator is internal, but a wrong size must not read beyond a tensor.
inline SynapseLifPlan plan_synapse_lif_backward(const SynapseLifBackwardTensors& t, const LifParameters& p,
                                                const SynapseLifNumbers& x,
                                                const std::array<bool, kNumSynapseLifMasks>& mask) {
  constexpr const char* kOp = "_synapse_lif_backward";
  constexpr const char* kTrace = "[time, batch, neuron]";
  const LifBackwardTensors& n = t.neurons;
  SynapseLifPlan plan =
      plan_synapse_lif_inputs(kOp, t.spikes, t.weight, p, x, n.initial_state, n.measured_spikes, n.measured_membrane);
  const std::vector<c10::SymInt> trace = plan.trace();
  check_like(kOp, "grad_spikes", n.grad_spikes, t.spikes, trace, kTrace);
  check_like(kOp, "grad_membrane", n.grad_membrane, t.spikes, trace, kTrace);
  check_like(kOp, "grad_current", n.grad_current, t.spikes, trace, kTrace);
  check_like(kOp, "current", n.current, t.spikes, trace, kTrace);
  check_like(kOp, "grad_final_state", n.grad_final_state, t.spikes, plan.state(), "[3, batch, neuron]");
  check_like(kOp, "saved", n.saved, t.spikes, plan.saved(x.recompute_every),
             x.recompute_every > 0 ? "[segments, 3, batch, neuron]" : kTrace);
  TORCH_CHECK(n.saved.scalar_type() == plan.synapse.result_type, kOp, ": saved must be ", plan.synapse.result_type,
              ", got ", n.saved.scalar_type());
  check_coefficients(kOp, n.coefficients, n.saved, plan.neurons, math::kNumLifCoefficients);
  check_integers(kOp, "hardware_weights", t.integers, plan.synapse, t.weight);
  TORCH_CHECK(!wants_neuron_parameters(mask) || x.recompute_every > 0 || is_given(n.current), kOp,
              ": current must be given for gradients to parameters, got none");
  TORCH_CHECK(!(mask[kFusedMaskSpikes] && x.packed_input), kOp, ": packed spikes must not ask for a gradient, got one");
  return plan;
}

/// The gradient to the integers as one to the weight, in place where it can be.
template <class Exec>
at::Tensor through_transform(const Scope<Exec>& scope, const WeightGradient& rule, const at::Tensor& grad,
                             const at::Tensor& weight) {
  const at::Tensor w = widened(weight);
  at::Tensor g = grad.to(w.scalar_type());
  dispatch_real(w.scalar_type(), [&](auto real) {
    using W = decltype(real);
    kernels::straight_through(
        scope.exec(), kernels::StraightThroughArgs<W>{g.const_data_ptr<W>(), w.const_data_ptr<W>(),
                                                      g.mutable_data_ptr<W>(), w.numel(), rule.transform, rule.rule});
  });
  return g.to(weight.scalar_type());
}

template <class Exec>
SynapseLifBackward synapse_lif_backward_impl(
    const std::optional<at::Tensor>& grad_spikes, const std::optional<at::Tensor>& grad_membrane,
    const std::optional<at::Tensor>& grad_current, const std::optional<at::Tensor>& grad_final_state,
    const at::Tensor& spikes, const at::Tensor& weight, const at::Tensor& hardware_weights, const at::Tensor& saved,
    const std::optional<at::Tensor>& current, const at::Tensor& coefficients, const at::Tensor& leak,
    const at::Tensor& reset, const at::Tensor& threshold, const at::Tensor& tau_mem, const at::Tensor& tau_syn,
    const at::Tensor& membrane_capacitance, const std::optional<at::Tensor>& initial_state,
    const std::optional<at::Tensor>& measured_spikes, const std::optional<at::Tensor>& measured_membrane, double scale,
    double min_weight, double max_weight, std::string_view rounding, std::string_view gradient, std::string_view units,
    double dt, std::string_view surrogate, double alpha, bool packed_input, std::int64_t recompute_every,
    std::array<bool, 9> mask) {
  const at::Tensor refractory_time = at::zeros({}, at::kDouble);  // has no gradient and plays no part in it
  const LifParameters p{leak, reset, threshold, tau_mem, tau_syn, membrane_capacitance, refractory_time};
  const SynapseLifNumbers x{scale, min_weight, max_weight, rounding,     gradient,       units,
                            dt,    surrogate,  alpha,      packed_input, recompute_every};
  const SynapseLifPlan plan =
      plan_synapse_lif_backward({{grad_spikes, grad_membrane, grad_current, grad_final_state, saved, current,
                                  coefficients, initial_state, measured_spikes, measured_membrane},
                                 spikes,
                                 weight,
                                 hardware_weights},
                                p, x, mask);
  const Scope<Exec> scope(spikes);
  const at::ScalarType type = plan.synapse.result_type;
  const at::TensorOptions options = saved.options();
  const std::int64_t time = spikes.size(0), batch = spikes.size(1), neurons = weight.size(0);
  const at::Tensor trace = saved.contiguous(), table = coefficients.contiguous();
  const at::Tensor gz = optional_to(grad_spikes, type), gv = optional_to(grad_membrane, type);
  const at::Tensor gi = optional_to(grad_current, type), gs = optional_to(grad_final_state, type);
  const bool parameters = wants_neuron_parameters(mask), checkpoints = recompute_every > 0;
  const at::Tensor i = parameters && !checkpoints ? optional_to(current, type) : at::Tensor();
  const at::Tensor initial = optional_to(initial_state, type);
  const at::Tensor z_measured = optional_to(measured_spikes, type), v_measured = optional_to(measured_membrane, type);
  const HeldDrive drive =
      make_drive(plan.synapse, spikes, weight, hardware_weights.contiguous(), packed_input, checkpoints);
  const WeightGradient rule(plan.synapse);
  at::Tensor grad_input = mask[kFusedMaskSpikes] ? empty_result({time, batch, neurons}, options) : at::Tensor();
  at::Tensor grad_weight = mask[kFusedMaskWeight] ? at::empty(weight.sizes(), options) : at::Tensor();
  at::Tensor grad_initial =
      mask[kFusedMaskState] ? at::empty({math::kNumLifStates, batch, neurons}, options) : at::Tensor();
  at::Tensor sums = parameters ? at::empty({math::kNumCoefficientGradients, batch, neurons}, options) : at::Tensor();
  at::Tensor totals =
      parameters ? at::empty({math::kNumParameterGradients, neurons}, options.dtype(at::kDouble)) : at::Tensor();
  dispatch_real(type, [&](auto real) {
    using T = decltype(real);
    dispatch_drive(drive.spikes, drive.integers, [&](const auto* s, const auto* q) {
      using S = std::remove_const_t<std::remove_pointer_t<decltype(s)>>;
      using Q = std::remove_const_t<std::remove_pointer_t<decltype(q)>>;
      const kernels::LifBackwardArgs<T> reverse{data_or_null<T>(gz),
                                                data_or_null<T>(gv),
                                                data_or_null<T>(gi),
                                                data_or_null<T>(gs),
                                                checkpoints ? nullptr : trace.const_data_ptr<T>(),
                                                data_or_null<T>(i),
                                                {table.const_data_ptr<T>(), coefficients.size(1)},
                                                data_or_null<T>(initial),
                                                measurement<T>(z_measured),
                                                measurement<T>(v_measured),
                                                parse_surrogate("_synapse_lif_backward", surrogate),
                                                alpha,
                                                mutable_or_null<T>(grad_input),
                                                mutable_or_null<T>(grad_initial),
                                                mutable_or_null<T>(sums),
                                                time,
                                                batch,
                                                neurons};
      kernels::synapse_lif_backward(
          scope.exec(), kernels::SynapseLifBackwardArgs<S, Q, T>{
                            drive.as<T>(s, q), reverse, checkpoints ? trace.const_data_ptr<T>() : nullptr,
                            segment_steps(recompute_every, time), rule.factor, mutable_or_null<T>(grad_weight)});
    });
    if (parameters) {
      const LifOperands<T> operands(p, trace, dt, "_synapse_lif_backward");
      kernels::parameter_gradients(
          scope.exec(), kernels::ParameterGradientsArgs<T>{sums.const_data_ptr<T>(), operands.parameters,
                                                           totals.mutable_data_ptr<double>(), batch, neurons});
    }
  });
  const auto of = [&](std::int64_t row, const at::Tensor& parameter) {
    return mask[kFusedMaskFirstNeuronParameter + static_cast<std::size_t>(row)]
               ? parameter_gradient(totals, row, parameter)
               : at::Tensor();
  };
  return {mask[kFusedMaskSpikes]
              ? spike_gradient(plan.synapse, grad_input.view({time * batch, neurons}), spikes, weight, hardware_weights)
              : at::Tensor(),
          mask[kFusedMaskWeight] ? through_transform(scope, rule, grad_weight, weight) : at::Tensor(),
          of(math::kGradLeak, leak),
          of(math::kGradReset, reset),
          of(math::kGradThreshold, threshold),
          of(math::kGradTauMem, tau_mem),
          of(math::kGradTauSyn, tau_syn),
          of(math::kGradCapacitance, membrane_capacitance),
          grad_initial};
}

}  // namespace gradspike::ops
