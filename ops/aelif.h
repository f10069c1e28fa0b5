// aelif: adaptive exponential leaky integrate-and-fire (AdEx) neurons, one fused operator over time.
//
// Equations and operation order: csrc/math/adex.h. Everything that it shares with lif is as in ops/lif.h. The flags
// leave out terms: leaky, fire, exponential, subthreshold_adaptation and spike_triggered_adaptation; with the first two
// alone the results are the bits of lif. State [4, batch, neuron] = current, membrane, refractory counter, adaptation.
// Without `fire` there are no spikes, and the refractory time is ignored. Differentiable: input, initial_state (all but
// the refractory counter) and every parameter except refractory_time; a parameter of a term that is left out has
// gradient 0.
#pragma once

#include "csrc/kernels/aelif.h"
#include "ops/lif.h"
#include "ops/neurons.h"

namespace gradspike::ops {

/// The parameters of aelif in the order of its schema.
struct AelifParameters {
  const at::Tensor& leak;
  const at::Tensor& reset;
  const at::Tensor& threshold;
  const at::Tensor& tau_mem;
  const at::Tensor& tau_syn;
  const at::Tensor& membrane_capacitance;
  const at::Tensor& refractory_time;
  const at::Tensor& exponential_slope;
  const at::Tensor& exponential_threshold;
  const at::Tensor& subthreshold_adaptation_strength;
  const at::Tensor& spike_triggered_adaptation_increment;
  const at::Tensor& tau_adap;
};

#define GRADSPIKE_AELIF_NAMED(p)                                                                      \
  {                                                                                                   \
    {"leak", (p).leak}, {"reset", (p).reset}, {"threshold", (p).threshold}, {"tau_mem", (p).tau_mem}, \
        {"tau_syn", (p).tau_syn}, {"membrane_capacitance", (p).membrane_capacitance},                 \
        {"refractory_time", (p).refractory_time}, {"exponential_slope", (p).exponential_slope},       \
        {"exponential_threshold", (p).exponential_threshold},                                         \
        {"subthreshold_adaptation_strength", (p).subthreshold_adaptation_strength},                   \
        {"spike_triggered_adaptation_increment", (p).spike_triggered_adaptation_increment}, {         \
      "tau_adap", (p).tau_adap                                                                        \
    }                                                                                                 \
  }

/// What the caller chooses besides tensors.
struct AelifOptions {
  double dt;
  math::AdexTerms terms;
  std::string_view surrogate;
  double alpha;
};

struct AelifOutputs {
  bool spikes;
  bool membrane;
  bool current;
  bool adaptation;
};

/// The optional tensors of the forward operator.
struct AelifGiven {
  const std::optional<at::Tensor>& initial_state;
  const std::optional<at::Tensor>& measured_spikes;
  const std::optional<at::Tensor>& measured_membrane;
  const std::optional<at::Tensor>& measured_adaptation;
};

inline AelifOutputs plan_aelif(const at::Tensor& input, const AelifParameters& p, const AelifOptions& options,
                               std::string_view outputs, const AelifGiven& given) {
  constexpr const char* kOp = "aelif";
  check_neuron_input(kOp, input, options.dt, GRADSPIKE_AELIF_NAMED(p));
  check_surrogate(kOp, options.surrogate, options.alpha);
  const OutputSet set(kOp, outputs, {"spikes", "membrane", "current", "adaptation"});
  check_like(kOp, "initial_state", given.initial_state, input,
             {math::kNumAdexStates, input.sym_size(1), input.sym_size(2)}, "[4, batch, neuron]");
  check_measurement(kOp, "measured_spikes", given.measured_spikes, input);
  check_measurement(kOp, "measured_membrane", given.measured_membrane, input);
  check_measurement(kOp, "measured_adaptation", given.measured_adaptation, input);
  TORCH_CHECK(options.terms.fire || !is_given(given.measured_spikes), kOp,
              ": fire must be True where measured_spikes are given, got False");
  TORCH_CHECK(
      options.terms.adapts() || !is_given(given.measured_adaptation), kOp,
      ": subthreshold_adaptation or spike_triggered_adaptation must be True where measured_adaptation is given, "
      "got False");
  return {set.has("spikes"), set.has("membrane"), set.has("current"), set.has("adaptation")};
}

/// Parameters as the kernels take them; the members keep the memory.
template <class T>
struct AelifOperands {
  AelifOperands(const AelifParameters& p, const at::Tensor& like, double dt) {
    const auto read = [&](const char* name, const at::Tensor& tensor, Range range) {
      HeldParameter<T> parameter = read_parameter<T>("aelif", name, tensor, like, range);
      held.push_back(parameter.held);
      return parameter.parameter;
    };
    parameters.leak = read("leak", p.leak, Range::kFinite);
    parameters.reset = read("reset", p.reset, Range::kFinite);
    parameters.threshold = read("threshold", p.threshold, Range::kFinite);
    parameters.tau_mem = read("tau_mem", p.tau_mem, Range::kPositive);
    parameters.tau_syn = read("tau_syn", p.tau_syn, Range::kPositive);
    parameters.membrane_capacitance = read("membrane_capacitance", p.membrane_capacitance, Range::kPositive);
    parameters.refractory_time = read("refractory_time", p.refractory_time, Range::kNotNegative);
    parameters.dt = dt;
    parameters.exponential_slope = read("exponential_slope", p.exponential_slope, Range::kPositive);
    parameters.exponential_threshold = read("exponential_threshold", p.exponential_threshold, Range::kFinite);
    parameters.subthreshold_adaptation_strength =
        read("subthreshold_adaptation_strength", p.subthreshold_adaptation_strength, Range::kFinite);
    parameters.spike_triggered_adaptation_increment =
        read("spike_triggered_adaptation_increment", p.spike_triggered_adaptation_increment, Range::kFinite);
    parameters.tau_adap = read("tau_adap", p.tau_adap, Range::kPositive);
  }

  std::vector<at::Tensor> held;
  kernels::AdexParameters<T> parameters{};
};

/// spikes, membrane, current, adaptation, final_state, saved, blocked, coefficients
using AelifForward =
    std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor>;

template <class Exec>
AelifForward aelif_forward_impl(const at::Tensor& input, const at::Tensor& leak, const at::Tensor& reset,
                                const at::Tensor& threshold, const at::Tensor& tau_mem, const at::Tensor& tau_syn,
                                const at::Tensor& membrane_capacitance, const at::Tensor& refractory_time,
                                const at::Tensor& exponential_slope, const at::Tensor& exponential_threshold,
                                const at::Tensor& subthreshold_adaptation_strength,
                                const at::Tensor& spike_triggered_adaptation_increment, const at::Tensor& tau_adap,
                                double dt, bool leaky, bool fire, bool exponential, bool subthreshold_adaptation,
                                bool spike_triggered_adaptation, std::string_view surrogate, double alpha,
                                std::string_view outputs, const std::optional<at::Tensor>& initial_state,
                                const std::optional<at::Tensor>& measured_spikes,
                                const std::optional<at::Tensor>& measured_membrane,
                                const std::optional<at::Tensor>& measured_adaptation, bool save) {
  const AelifParameters p{leak,
                          reset,
                          threshold,
                          tau_mem,
                          tau_syn,
                          membrane_capacitance,
                          refractory_time,
                          exponential_slope,
                          exponential_threshold,
                          subthreshold_adaptation_strength,
                          spike_triggered_adaptation_increment,
                          tau_adap};
  const math::AdexTerms terms{leaky, fire, exponential, subthreshold_adaptation, spike_triggered_adaptation};
  const AelifOutputs asked = plan_aelif(input, p, {dt, terms, surrogate, alpha}, outputs,
                                        {initial_state, measured_spikes, measured_membrane, measured_adaptation});
  const Scope<Exec> scope(input);
  const at::Tensor x = widened(input);
  const at::ScalarType type = x.scalar_type();
  const at::Tensor initial = optional_to(initial_state, type), z_measured = optional_to(measured_spikes, type);
  const at::Tensor v_measured = optional_to(measured_membrane, type),
                   w_measured = optional_to(measured_adaptation, type);
  const std::int64_t columns = coefficient_columns(input, GRADSPIKE_AELIF_NAMED(p)).expect_int();
  at::Tensor coefficients = at::empty({math::kNumAdexCoefficients, columns}, x.options());
  at::Tensor spikes = trace(asked.spikes, x), membrane = trace(asked.membrane, x);
  at::Tensor current = trace(asked.current, x), adaptation = trace(asked.adaptation, x);
  at::Tensor saved = trace(save, x);
  at::Tensor blocked =
      save ? empty_result(x.sizes(), x.options().dtype(at::kByte)) : at::empty({0}, x.options().dtype(at::kByte));
  at::Tensor final_state = at::empty({math::kNumAdexStates, x.size(1), x.size(2)}, x.options());
  dispatch_real(type, [&](auto real) {
    using T = decltype(real);
    const AelifOperands<T> operands(p, x, dt);
    kernels::aelif_coefficients(scope.exec(), kernels::AdexCoefficientsArgs<T>{
                                                  operands.parameters, coefficients.mutable_data_ptr<T>(), columns});
    kernels::aelif_forward(scope.exec(), kernels::AdexForwardArgs<T>{x.const_data_ptr<T>(),
                                                                     {coefficients.const_data_ptr<T>(), columns},
                                                                     terms,
                                                                     data_or_null<T>(initial),
                                                                     measurement<T>(z_measured),
                                                                     measurement<T>(v_measured),
                                                                     measurement<T>(w_measured),
                                                                     mutable_or_null<T>(spikes),
                                                                     mutable_or_null<T>(membrane),
                                                                     mutable_or_null<T>(current),
                                                                     mutable_or_null<T>(adaptation),
                                                                     mutable_or_null<T>(saved),
                                                                     mutable_or_null<std::uint8_t>(blocked),
                                                                     final_state.mutable_data_ptr<T>(),
                                                                     x.size(0),
                                                                     x.size(1),
                                                                     x.size(2)});
  });
  return {spikes, membrane, current, adaptation, final_state, saved, blocked, coefficients};
}

template <class Exec>
std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor> aelif_impl(
    const at::Tensor& input, const at::Tensor& leak, const at::Tensor& reset, const at::Tensor& threshold,
    const at::Tensor& tau_mem, const at::Tensor& tau_syn, const at::Tensor& membrane_capacitance,
    const at::Tensor& refractory_time, const at::Tensor& exponential_slope, const at::Tensor& exponential_threshold,
    const at::Tensor& subthreshold_adaptation_strength, const at::Tensor& spike_triggered_adaptation_increment,
    const at::Tensor& tau_adap, double dt, bool leaky, bool fire, bool exponential, bool subthreshold_adaptation,
    bool spike_triggered_adaptation, std::string_view surrogate, double alpha, std::string_view outputs,
    const std::optional<at::Tensor>& initial_state, const std::optional<at::Tensor>& measured_spikes,
    const std::optional<at::Tensor>& measured_membrane, const std::optional<at::Tensor>& measured_adaptation,
    std::string_view population) {
  (void)population;  // names the population for readers of the graph; no part of the arithmetic
  auto [spikes, membrane, current, adaptation, final_state, saved, blocked, coefficients] = aelif_forward_impl<Exec>(
      input, leak, reset, threshold, tau_mem, tau_syn, membrane_capacitance, refractory_time, exponential_slope,
      exponential_threshold, subthreshold_adaptation_strength, spike_triggered_adaptation_increment, tau_adap, dt,
      leaky, fire, exponential, subthreshold_adaptation, spike_triggered_adaptation, surrogate, alpha, outputs,
      initial_state, measured_spikes, measured_membrane, measured_adaptation, /*save=*/false);
  return {spikes, membrane, current, adaptation, final_state};
}

/// Gradients to input, the parameters of kAelifGradientRows and the initial state.
constexpr std::size_t kAelifGradients = 13;
using AelifBackward = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor,
                                 at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor>;

/// Which entry of the mask of _aelif_backward belongs to what; parameters stand between, as their rows are numbered.
enum AelifMask : std::size_t {
  kAelifMaskInput = 0,
  kAelifMaskFirstParameter = 1,
  kAelifMaskInitialState = kAelifGradients - 1,
};

/// The tensors of _aelif_backward beside its parameters.
struct AelifBackwardTensors {
  const std::optional<at::Tensor>& grad_spikes;
  const std::optional<at::Tensor>& grad_membrane;
  const std::optional<at::Tensor>& grad_current;
  const std::optional<at::Tensor>& grad_adaptation;
  const std::optional<at::Tensor>& grad_final_state;
  const at::Tensor& saved;
  const at::Tensor& blocked;
  const std::optional<at::Tensor>& current;
  const std::optional<at::Tensor>& adaptation;
  const at::Tensor& coefficients;
  const std::optional<at::Tensor>& initial_state;
  const std::optional<at::Tensor>& measured_spikes;
  const std::optional<at::Tensor>& measured_membrane;
};

/// The operator is internal, but a wrong size must not read beyond a tensor.
inline void plan_aelif_backward(const AelifBackwardTensors& t, const AelifParameters& p, const AelifOptions& options,
                                const std::array<bool, kAelifGradients>& mask) {
  constexpr const char* kOp = "_aelif_backward";
  constexpr const char* kTrace = "[time, batch, neuron]";
  constexpr const char* kState = "[4, batch, neuron]";
  check_neuron_input(kOp, t.saved, options.dt, GRADSPIKE_AELIF_NAMED(p));
  check_surrogate(kOp, options.surrogate, options.alpha);
  check_arithmetic(kOp, "saved", t.saved);
  const std::vector<c10::SymInt> trace = t.saved.sym_sizes().vec();
  TORCH_CHECK(t.blocked.scalar_type() == at::kByte && t.blocked.dim() == 3 && t.blocked.device() == t.saved.device(),
              kOp, ": blocked must be uint8 ", kTrace, " on the device of the trace, got ", t.blocked.scalar_type(),
              " with ", t.blocked.dim(), " dimensions on ", t.blocked.device());
  for (std::int64_t d = 0; d < 3; ++d) {
    TORCH_SYM_CHECK(t.blocked.sym_size(d).sym_eq(trace[static_cast<std::size_t>(d)]), kOp,
                    ": blocked must have the shape of saved, ", trace, ", got ", t.blocked.sym_sizes());
  }
  check_like(kOp, "grad_spikes", t.grad_spikes, t.saved, trace, kTrace);
  check_like(kOp, "grad_membrane", t.grad_membrane, t.saved, trace, kTrace);
  check_like(kOp, "grad_current", t.grad_current, t.saved, trace, kTrace);
  check_like(kOp, "grad_adaptation", t.grad_adaptation, t.saved, trace, kTrace);
  check_like(kOp, "current", t.current, t.saved, trace, kTrace);
  check_like(kOp, "adaptation", t.adaptation, t.saved, trace, kTrace);
  check_measurement(kOp, "measured_spikes", t.measured_spikes, t.saved);
  check_measurement(kOp, "measured_membrane", t.measured_membrane, t.saved);
  const std::vector<c10::SymInt> state = {math::kNumAdexStates, trace[1], trace[2]};
  check_like(kOp, "grad_final_state", t.grad_final_state, t.saved, state, kState);
  check_like(kOp, "initial_state", t.initial_state, t.saved, state, kState);
  check_coefficients(kOp, t.coefficients, t.saved, trace[2], math::kNumAdexCoefficients);
  TORCH_CHECK(!wants_parameters(mask) || (is_given(t.current) && is_given(t.adaptation)), kOp,
              ": current and adaptation must be given for gradients to parameters, got none");
}

template <class Exec>
AelifBackward aelif_backward_impl(
    const std::optional<at::Tensor>& grad_spikes, const std::optional<at::Tensor>& grad_membrane,
    const std::optional<at::Tensor>& grad_current, const std::optional<at::Tensor>& grad_adaptation,
    const std::optional<at::Tensor>& grad_final_state, const at::Tensor& saved, const at::Tensor& blocked,
    const std::optional<at::Tensor>& current, const std::optional<at::Tensor>& adaptation,
    const at::Tensor& coefficients, const at::Tensor& leak, const at::Tensor& reset, const at::Tensor& threshold,
    const at::Tensor& tau_mem, const at::Tensor& tau_syn, const at::Tensor& membrane_capacitance,
    const at::Tensor& exponential_slope, const at::Tensor& exponential_threshold,
    const at::Tensor& subthreshold_adaptation_strength, const at::Tensor& spike_triggered_adaptation_increment,
    const at::Tensor& tau_adap, const std::optional<at::Tensor>& initial_state,
    const std::optional<at::Tensor>& measured_spikes, const std::optional<at::Tensor>& measured_membrane, double dt,
    bool leaky, bool fire, bool exponential, bool subthreshold_adaptation, bool spike_triggered_adaptation,
    std::string_view surrogate, double alpha, std::array<bool, kAelifGradients> mask) {
  const at::Tensor refractory_time = at::zeros({}, at::kDouble);  // has no gradient and plays no part in it
  const AelifParameters p{leak,
                          reset,
                          threshold,
                          tau_mem,
                          tau_syn,
                          membrane_capacitance,
                          refractory_time,
                          exponential_slope,
                          exponential_threshold,
                          subthreshold_adaptation_strength,
                          spike_triggered_adaptation_increment,
                          tau_adap};
  const math::AdexTerms terms{leaky, fire, exponential, subthreshold_adaptation, spike_triggered_adaptation};
  plan_aelif_backward({grad_spikes, grad_membrane, grad_current, grad_adaptation, grad_final_state, saved, blocked,
                       current, adaptation, coefficients, initial_state, measured_spikes, measured_membrane},
                      p, {dt, terms, surrogate, alpha}, mask);
  const math::Surrogate kind = parse_surrogate("_aelif_backward", surrogate);
  const Scope<Exec> scope(saved);
  const at::ScalarType type = saved.scalar_type();
  const at::Tensor trace = saved.contiguous(), marks = blocked.contiguous(), table = coefficients.contiguous();
  const at::Tensor gz = optional_to(grad_spikes, type), gv = optional_to(grad_membrane, type);
  const at::Tensor gi = optional_to(grad_current, type), gw = optional_to(grad_adaptation, type);
  const at::Tensor gs = optional_to(grad_final_state, type), initial = optional_to(initial_state, type);
  const at::Tensor i = optional_to(current, type), w = optional_to(adaptation, type);
  const at::Tensor z_measured = optional_to(measured_spikes, type), v_measured = optional_to(measured_membrane, type);
  const bool parameters = wants_parameters(mask);
  const std::int64_t batch = saved.size(1), neurons = saved.size(2);
  const at::TensorOptions options = saved.options();
  at::Tensor grad_input = mask[kAelifMaskInput] ? empty_result(saved.sizes(), options) : at::Tensor();
  at::Tensor grad_initial =
      mask[kAelifMaskInitialState] ? at::empty({math::kNumAdexStates, batch, neurons}, options) : at::Tensor();
  at::Tensor sums =
      parameters ? at::empty({math::kNumAdexCoefficientGradients, batch, neurons}, options) : at::Tensor();
  at::Tensor totals =
      parameters ? at::empty({math::kNumAdexParameterGradients, neurons}, options.dtype(at::kDouble)) : at::Tensor();
  dispatch_real(type, [&](auto real) {
    using T = decltype(real);
    kernels::aelif_backward(scope.exec(), kernels::AdexBackwardArgs<T>{data_or_null<T>(gz),
                                                                       data_or_null<T>(gv),
                                                                       data_or_null<T>(gi),
                                                                       data_or_null<T>(gw),
                                                                       data_or_null<T>(gs),
                                                                       trace.const_data_ptr<T>(),
                                                                       marks.const_data_ptr<std::uint8_t>(),
                                                                       data_or_null<T>(i),
                                                                       data_or_null<T>(w),
                                                                       {table.const_data_ptr<T>(), table.size(1)},
                                                                       terms,
                                                                       data_or_null<T>(initial),
                                                                       measurement<T>(z_measured),
                                                                       measurement<T>(v_measured),
                                                                       kind,
                                                                       alpha,
                                                                       mutable_or_null<T>(grad_input),
                                                                       mutable_or_null<T>(grad_initial),
                                                                       mutable_or_null<T>(sums),
                                                                       saved.size(0),
                                                                       batch,
                                                                       neurons});
    if (parameters) {
      const AelifOperands<T> operands(p, saved, dt);
      kernels::aelif_parameter_gradients(
          scope.exec(), kernels::AdexParameterGradientsArgs<T>{sums.const_data_ptr<T>(), operands.parameters, terms,
                                                               totals.mutable_data_ptr<double>(), batch, neurons});
    }
  });
  const auto gradient = [&](std::int64_t row, const at::Tensor& parameter) {
    return mask[kAelifMaskFirstParameter + static_cast<std::size_t>(row)] ? parameter_gradient(totals, row, parameter)
                                                                          : at::Tensor();
  };
  return {grad_input,
          gradient(math::kGradLeak, leak),
          gradient(math::kGradReset, reset),
          gradient(math::kGradThreshold, threshold),
          gradient(math::kGradTauMem, tau_mem),
          gradient(math::kGradTauSyn, tau_syn),
          gradient(math::kGradCapacitance, membrane_capacitance),
          gradient(math::kGradExponentialSlope, exponential_slope),
          gradient(math::kGradExponentialThreshold, exponential_threshold),
          gradient(math::kGradAdaptationStrength, subthreshold_adaptation_strength),
          gradient(math::kGradAdaptationIncrement, spike_triggered_adaptation_increment),
          gradient(math::kGradTauAdap, tau_adap),
          grad_initial};
}

}  // namespace gradspike::ops
