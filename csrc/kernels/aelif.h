// Kernels of aelif: fused loops over time. T is float or double; all arrays are contiguous and time-major.
#pragma once

#include <cstdint>

#include "csrc/core/execution.h"
#include "csrc/kernels/lif.h"
#include "csrc/math/adex.h"

namespace gradspike::kernels {

template <class T>
struct AdexParameters : NeuronParameters<T> {
  Parameter<T> exponential_slope;
  Parameter<T> exponential_threshold;
  Parameter<T> subthreshold_adaptation_strength;
  Parameter<T> spike_triggered_adaptation_increment;
  Parameter<T> tau_adap;
};

/// Coefficient table [math::kNumAdexCoefficients, columns] in the order of math::LifRow and math::AdexRow.
template <class T>
struct AdexCoefficientsArgs {
  AdexParameters<T> parameters;
  T* coefficients;
  std::int64_t columns;
};

/// Writes column n of the table.
template <class T>
GRADSPIKE_HD void write_coefficients(const AdexCoefficientsArgs<T>& args, std::int64_t n) {
  const AdexParameters<T>& p = args.parameters;
  write_coefficients(LifCoefficientsArgs<T>{p, args.coefficients, args.columns, true}, n);
  const math::Operand<T> slope = p.exponential_slope.operand(n);
  const math::Operand<T> tau_adap = p.tau_adap.operand(n);
  T* const column = args.coefficients + n;
  column[math::kExponentialGain * args.columns] =
      math::exponential_gain(p.membrane_capacitance.operand(n), p.tau_mem.operand(n), slope);
  column[math::kExponentialSlope * args.columns] = slope.rounded();
  column[math::kExponentialThreshold * args.columns] = p.exponential_threshold.operand(n).rounded();
  column[math::kAdaptationDecay * args.columns] = math::current_decay(tau_adap, p.dt);
  column[math::kAdaptationGain * args.columns] =
      math::adaptation_gain(tau_adap, p.subthreshold_adaptation_strength.operand(n), p.dt);
  column[math::kAdaptationIncrement * args.columns] = p.spike_triggered_adaptation_increment.operand(n).rounded();
}

/// Coefficients from `get(row)`.
template <class T, class Get>
GRADSPIKE_HD math::AdexCoefficients<T> adex_coefficients(const Get& get) {
  math::AdexCoefficients<T> c{};
  c.input_gain = get(math::kInputGain);
  c.leak_conductance = get(math::kLeakConductance);
  c.current_decay = get(math::kCurrentDecay);
  c.leak = get(math::kLeak);
  c.reset = get(math::kReset);
  c.threshold = get(math::kThreshold);
  c.refractory_steps = get(math::kRefractorySteps);
  c.exponential_gain = get(math::kExponentialGain);
  c.exponential_slope = get(math::kExponentialSlope);
  c.exponential_threshold = get(math::kExponentialThreshold);
  c.adaptation_decay = get(math::kAdaptationDecay);
  c.adaptation_gain = get(math::kAdaptationGain);
  c.adaptation_increment = get(math::kAdaptationIncrement);
  return c;
}

/// Coefficients of one neuron.
template <class T>
GRADSPIKE_HD math::AdexCoefficients<T> adex_coefficients(const CoefficientTable<T>& table, std::int64_t neuron) {
  const std::int64_t n = table.columns == 1 ? 0 : neuron;
  return adex_coefficients<T>([&](std::int64_t row) { return table.data[row * table.columns + n]; });
}

/// Pointers that are null are not read or not written. Without an initial state: current and adaptation 0, membrane at
/// leak or 0 (math::AdexTerms::starts_at_leak), not refractory.
template <class T>
struct AdexForwardArgs {
  const T* input;  // [time, batch, neuron]
  CoefficientTable<T> coefficients;
  math::AdexTerms terms;
  const T* initial_state;  // [kNumAdexStates, batch, neuron] or null
  Measurement<T> measured_spikes;
  Measurement<T> measured_membrane;
  Measurement<T> measured_adaptation;
  T* spikes;              // or null
  T* membrane;            // after reset, or null
  T* current;             // or null
  T* adaptation;          // or null
  T* saved;               // membrane before reset, or null
  std::uint8_t* blocked;  // 1 where refractory, or null
  T* final_state;         // [kNumAdexStates, batch, neuron]
  std::int64_t time;
  std::int64_t batch;
  std::int64_t neuron;
};

/// Gradients that are null count as zero and are not added; results that are null are not computed. `current` and
/// `adaptation` (the forward's traces) are needed for `grad_coefficients` alone. Without an initial state the gradient
/// that reaches the first membrane is added to the leak's where the membrane starts there, last of all.
template <class T>
struct AdexBackwardArgs {
  const T* grad_spikes;
  const T* grad_membrane;
  const T* grad_current;
  const T* grad_adaptation;
  const T* grad_final_state;    // [kNumAdexStates, batch, neuron]
  const T* saved;               // [time, batch, neuron]
  const std::uint8_t* blocked;  // [time, batch, neuron]
  const T* current;
  const T* adaptation;
  CoefficientTable<T> coefficients;
  math::AdexTerms terms;
  const T* initial_state;
  Measurement<T> measured_spikes;
  Measurement<T> measured_membrane;
  math::Surrogate surrogate;
  double alpha;
  T* grad_input;          // [time, batch, neuron]
  T* grad_initial_state;  // [kNumAdexStates, batch, neuron]; the refractory counter has gradient 0
  T* grad_coefficients;   // [kNumAdexCoefficientGradients, batch, neuron]
  std::int64_t time;
  std::int64_t batch;
  std::int64_t neuron;
};

/// The state that a chain, one (batch, neuron) pair of `chains`, starts with.
template <class T>
GRADSPIKE_HD math::AdexState<T> adex_initial_state(const T* state, const math::AdexTerms& terms, T leak,
                                                   std::int64_t chains, std::int64_t chain) {
  if (state == nullptr) {
    return {{T{0}, terms.starts_at_leak() ? leak : T{0}, T{0}}, T{0}};
  }
  const auto row = [&](std::int64_t k) { return state[k * chains + chain]; };
  return {{row(math::kStateCurrent), row(math::kStateMembrane), row(math::kStateRefractory)},
          row(math::kStateAdaptation)};
}

/// The gradients to the final state count as gradients to the traces of the last step.
template <class T>
GRADSPIKE_HD math::AdexAdjoint<T> adex_final_adjoint(const T* grad_final_state, std::int64_t chains,
                                                     std::int64_t chain) {
  if (grad_final_state == nullptr) {
    return {{T{0}, T{0}}, T{0}};
  }
  const auto row = [&](std::int64_t k) { return math::add(T{0}, grad_final_state[k * chains + chain]); };
  return {{row(math::kStateCurrent), row(math::kStateMembrane)}, row(math::kStateAdaptation)};
}

/// Writes what is left before the first step: gradients to the initial state and the sums of the coefficients'.
template <class T>
GRADSPIKE_HD void write_adex_gradients(const AdexBackwardArgs<T>& args, const math::AdexAdjoint<T>& adjoint,
                                       const math::AdexCoefficientGradients<T>& sums, std::int64_t chain) {
  const std::int64_t chains = args.batch * args.neuron;
  if (args.grad_initial_state != nullptr) {
    T* const state = args.grad_initial_state + chain;
    state[math::kStateCurrent * chains] = adjoint.current;
    state[math::kStateMembrane * chains] = adjoint.membrane;
    state[math::kStateRefractory * chains] = T{0};
    state[math::kStateAdaptation * chains] = adjoint.adaptation;
  }
  if (args.grad_coefficients != nullptr) {
    const bool adds_start = args.initial_state == nullptr && args.terms.starts_at_leak();
    std::int64_t at = chain;
    const auto write = [&](T sum) {
      args.grad_coefficients[at] = sum;
      at += chains;
    };
    write(sums.input_gain);
    write(sums.leak_conductance);
    write(sums.current_decay);
    write(adds_start ? math::add(sums.leak, adjoint.membrane) : sums.leak);
    write(sums.reset);
    write(sums.threshold);
    write(sums.exponential_gain);
    write(sums.exponential_slope);
    write(sums.exponential_threshold);
    write(sums.adaptation_decay);
    write(sums.adaptation_gain);
    write(sums.adaptation_increment);
  }
}

/// Sums grad_coefficients over the batch in order, in double, and applies the chain rule to the parameters.
template <class T>
struct AdexParameterGradientsArgs {
  const T* grad_coefficients;  // [kNumAdexCoefficientGradients, batch, neuron]
  AdexParameters<T> parameters;
  math::AdexTerms terms;
  double* grad_parameters;  // [kNumAdexParameterGradients, neuron], order of LifParameterRow and AdexParameterRow
  std::int64_t batch;
  std::int64_t neuron;
};

/// Sum over the batch of row `row` of AdexRow.
template <class T>
GRADSPIKE_HD double batch_sum(const AdexParameterGradientsArgs<T>& args, std::int32_t row, std::int64_t n) {
  const ParameterGradientsArgs<T> lif{args.grad_coefficients, args.parameters, nullptr, args.batch, args.neuron};
  return batch_sum(lif, math::kNumCoefficientGradients + row - math::kNumLifCoefficients, n);
}

/// Writes the gradients of the parameters that lif has, of neuron n. The exponential adds to the conductance's.
template <class T>
GRADSPIKE_HD void write_lif_parameter_gradients(const AdexParameterGradientsArgs<T>& args, std::int64_t n) {
  const AdexParameters<T>& p = args.parameters;
  const ParameterGradientsArgs<T> lif{args.grad_coefficients, p, args.grad_parameters, args.batch, args.neuron};
  const double slope = static_cast<double>(p.exponential_slope.operand(n).rounded());
  write_parameter_gradients(
      lif, n, args.terms.exponential ? math::mul(batch_sum(args, math::kExponentialGain, n), slope) : 0.0);
}

/// Writes those of the other parameters; where they play no part, 0.
template <class T>
GRADSPIKE_HD void write_adex_parameter_gradients(const AdexParameterGradientsArgs<T>& args, std::int64_t n) {
  const AdexParameters<T>& p = args.parameters;
  double* const out = args.grad_parameters + n;
  double slope = 0.0;
  if (args.terms.exponential) {
    const math::Operand<T> capacitance = p.membrane_capacitance.operand(n);
    const double g = static_cast<double>(math::leak_conductance(capacitance, p.tau_mem.operand(n)));
    slope = math::add(batch_sum(args, math::kExponentialSlope, n),
                      math::mul(batch_sum(args, math::kExponentialGain, n), g));
  }
  math::AdaptationGradients adaptation{0.0, 0.0};
  if (args.terms.adapts()) {
    adaptation = math::adaptation_gradients(
        batch_sum(args, math::kAdaptationDecay, n), batch_sum(args, math::kAdaptationGain, n),
        static_cast<double>(p.tau_adap.operand(n).rounded()),
        static_cast<double>(p.subthreshold_adaptation_strength.operand(n).rounded()), p.dt);
  }
  out[math::kGradExponentialSlope * args.neuron] = slope;
  out[math::kGradExponentialThreshold * args.neuron] = batch_sum(args, math::kExponentialThreshold, n);
  out[math::kGradAdaptationStrength * args.neuron] = adaptation.strength;
  out[math::kGradAdaptationIncrement * args.neuron] = batch_sum(args, math::kAdaptationIncrement, n);
  out[math::kGradTauAdap * args.neuron] = adaptation.tau_adap;
}

#define GRADSPIKE_AELIF_KERNELS(Exec)                                             \
  template <class T>                                                              \
  void aelif_coefficients(const Exec& exec, const AdexCoefficientsArgs<T>& args); \
  template <class T>                                                              \
  void aelif_forward(const Exec& exec, const AdexForwardArgs<T>& args);           \
  template <class T>                                                              \
  void aelif_backward(const Exec& exec, const AdexBackwardArgs<T>& args);         \
  template <class T>                                                              \
  void aelif_parameter_gradients(const Exec& exec, const AdexParameterGradientsArgs<T>& args);

GRADSPIKE_AELIF_KERNELS(CpuExec)
GRADSPIKE_AELIF_KERNELS(CudaExec)
#undef GRADSPIKE_AELIF_KERNELS

}  // namespace gradspike::kernels
