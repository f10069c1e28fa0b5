// Kernels of lif and li: fused loops over time. T is float or double; all arrays are contiguous and time-major.
#pragma once

#include <cstdint>

#include "csrc/core/execution.h"
#include "csrc/math/lif.h"

namespace gradspike::kernels {

/// A neuron parameter as the caller gave it: a number, or a tensor of one (stride 0) or `neurons` (stride 1) elements.
template <class T>
struct Parameter {
  const T* data = nullptr;
  std::int64_t stride = 0;
  double number = 0.0;
  bool is_number = true;

  GRADSPIKE_HD math::Operand<T> operand(std::int64_t neuron) const {
    return {is_number, number, is_number ? T{0} : data[neuron * stride]};
  }
};

template <class T>
struct NeuronParameters {
  Parameter<T> leak;
  Parameter<T> reset;
  Parameter<T> threshold;
  Parameter<T> tau_mem;
  Parameter<T> tau_syn;
  Parameter<T> membrane_capacitance;
  Parameter<T> refractory_time;
  double dt;
};

/// Coefficient table [rows, columns] in the order of math::LifRow: rows is kNumLifCoefficients or kNumLiCoefficients,
/// columns is the number of neurons, or 1 where no parameter has one value per neuron.
template <class T>
struct LifCoefficientsArgs {
  NeuronParameters<T> parameters;
  T* coefficients;
  std::int64_t columns;
  bool fires;  // true: LIF; false: LI, which has the first four rows only
};

/// Writes column n of the table.
template <class T>
GRADSPIKE_HD void write_coefficients(const LifCoefficientsArgs<T>& args, std::int64_t n) {
  const NeuronParameters<T>& p = args.parameters;
  const math::Operand<T> capacitance = p.membrane_capacitance.operand(n);
  T* const column = args.coefficients + n;
  column[math::kInputGain * args.columns] = math::input_gain(capacitance, p.dt);
  column[math::kLeakConductance * args.columns] = math::leak_conductance(capacitance, p.tau_mem.operand(n));
  column[math::kCurrentDecay * args.columns] = math::current_decay(p.tau_syn.operand(n), p.dt);
  column[math::kLeak * args.columns] = p.leak.operand(n).rounded();
  if (args.fires) {
    column[math::kReset * args.columns] = p.reset.operand(n).rounded();
    column[math::kThreshold * args.columns] = p.threshold.operand(n).rounded();
    column[math::kRefractorySteps * args.columns] = math::refractory_steps(p.refractory_time.operand(n), p.dt);
  }
}

/// A coefficient table as the neuron kernels read it.
template <class T>
struct CoefficientTable {
  const T* data;
  std::int64_t columns;

  /// Coefficients of one neuron; those that LI does not have are left out.
  template <bool kFires>
  GRADSPIKE_HD math::LifCoefficients<T> at(std::int64_t neuron) const {
    const std::int64_t n = columns == 1 ? 0 : neuron;
    math::LifCoefficients<T> c{};
    c.input_gain = data[math::kInputGain * columns + n];
    c.leak_conductance = data[math::kLeakConductance * columns + n];
    c.current_decay = data[math::kCurrentDecay * columns + n];
    c.leak = data[math::kLeak * columns + n];
    if constexpr (kFires) {
      c.reset = data[math::kReset * columns + n];
      c.threshold = data[math::kThreshold * columns + n];
      c.refractory_steps = data[math::kRefractorySteps * columns + n];
    }
    return c;
  }
};

/// Values that a chip gave for the first `steps` time steps, [steps, batch, neuron]; the model's own follow. Without
/// data nothing was measured.
template <class T>
struct Measurement {
  Measurement() = default;
  Measurement(const T* values, std::int64_t num_steps) : data(values), steps(values == nullptr ? 0 : num_steps) {}

  /// From element `first` out of `elements` at step t, or null where step t was not measured.
  GRADSPIKE_HD const T* row(std::int64_t t, std::int64_t elements, std::int64_t first) const {
    return t < steps ? data + t * elements + first : nullptr;
  }
  GRADSPIKE_HD math::MeasuredValue<T> at(std::int64_t t, std::int64_t elements, std::int64_t element) const {
    return math::measured_value(row(t, elements, element));
  }
  /// `value`, which was read as that of step t, or nothing where step t was not measured.
  GRADSPIKE_HD math::MeasuredValue<T> of_step(std::int64_t t, T value) const { return {t < steps, value}; }

  const T* data = nullptr;
  std::int64_t steps = 0;
};

/// Pointers that are null are not read or not written.
/// Without an initial state: current 0, membrane at leak, not refractory.
template <class T>
struct LifForwardArgs {
  const T* input;  // [time, batch, neuron]
  CoefficientTable<T> coefficients;
  const T* initial_state;  // [kNumLifStates, batch, neuron] or null
  Measurement<T> measured_spikes;
  Measurement<T> measured_membrane;
  T* spikes;       // or null
  T* membrane;     // after reset, or null
  T* current;      // or null
  T* saved;        // membrane before reset or refractory mark, or null
  T* final_state;  // [kNumLifStates, batch, neuron]
  std::int64_t time;
  std::int64_t batch;
  std::int64_t neuron;
};

template <class T>
struct LiForwardArgs {
  const T* input;
  CoefficientTable<T> coefficients;
  const T* initial_state;  // [kNumLiStates, batch, neuron] or null
  Measurement<T> measured_membrane;
  T* membrane;     // or null
  T* current;      // or null
  T* final_state;  // [kNumLiStates, batch, neuron]
  std::int64_t time;
  std::int64_t batch;
  std::int64_t neuron;
};

/// Gradients that are null count as zero and are not added; results that are null are not computed. `current` (the
/// forward's trace i) is needed for `grad_coefficients` alone. Without an initial state the first membrane is the leak,
/// so the gradient that reaches it is added to the leak's, last of all.
template <class T>
struct LifBackwardArgs {
  const T* grad_spikes;
  const T* grad_membrane;
  const T* grad_current;
  const T* grad_final_state;  // [kNumLifStates, batch, neuron]
  const T* saved;             // [time, batch, neuron]
  const T* current;
  CoefficientTable<T> coefficients;
  const T* initial_state;
  Measurement<T> measured_spikes;
  Measurement<T> measured_membrane;
  math::Surrogate surrogate;
  double alpha;
  T* grad_input;          // [time, batch, neuron]
  T* grad_initial_state;  // [kNumLifStates, batch, neuron]; the refractory counter has gradient 0
  T* grad_coefficients;   // [kNumCoefficientGradients, batch, neuron], order of math::CoefficientGradients
  std::int64_t time;
  std::int64_t batch;
  std::int64_t neuron;
};

/// `membrane` and `current` (the forward's traces) are needed for `grad_coefficients` alone.
template <class T>
struct LiBackwardArgs {
  const T* grad_membrane;
  const T* grad_current;
  const T* grad_final_state;  // [kNumLiStates, batch, neuron]
  const T* membrane;
  const T* current;
  CoefficientTable<T> coefficients;
  const T* initial_state;
  T* grad_input;
  T* grad_initial_state;  // [kNumLiStates, batch, neuron]
  T* grad_coefficients;   // [kNumCoefficientGradients, batch, neuron]; reset and threshold stay 0
  std::int64_t time;
  std::int64_t batch;
  std::int64_t neuron;
};

/// Sums grad_coefficients over the batch in order, in double, and applies the chain rule to the parameters.
template <class T>
struct ParameterGradientsArgs {
  const T* grad_coefficients;  // [kNumCoefficientGradients, batch, neuron]
  NeuronParameters<T> parameters;
  double* grad_parameters;  // [kNumParameterGradients, neuron], order of math::LifParameterRow
  std::int64_t batch;
  std::int64_t neuron;
};

/// Sum over the batch, in order and in double, of one row of the coefficient gradients.
template <class T>
GRADSPIKE_HD double batch_sum(const ParameterGradientsArgs<T>& args, std::int64_t row, std::int64_t n) {
  double sum = 0.0;
  for (std::int64_t b = 0; b < args.batch; ++b) {
    sum = math::add(sum, static_cast<double>(args.grad_coefficients[(row * args.batch + b) * args.neuron + n]));
  }
  return sum;
}

/// Writes the gradients of neuron n. `further_conductance` is what terms beyond the leak add to the conductance's.
template <class T>
GRADSPIKE_HD void write_parameter_gradients(const ParameterGradientsArgs<T>& args, std::int64_t n,
                                            double further_conductance = 0.0) {
  const NeuronParameters<T>& p = args.parameters;
  const math::TimeConstantGradients g = math::time_constant_gradients(
      batch_sum(args, 0, n), math::add(batch_sum(args, 1, n), further_conductance), batch_sum(args, 2, n),
      static_cast<double>(p.tau_mem.operand(n).rounded()), static_cast<double>(p.tau_syn.operand(n).rounded()),
      static_cast<double>(p.membrane_capacitance.operand(n).rounded()), p.dt);
  double* const out = args.grad_parameters + n;
  out[math::kGradLeak * args.neuron] = batch_sum(args, 3, n);
  out[math::kGradReset * args.neuron] = batch_sum(args, 4, n);
  out[math::kGradThreshold * args.neuron] = batch_sum(args, 5, n);
  out[math::kGradTauMem * args.neuron] = g.tau_mem;
  out[math::kGradTauSyn * args.neuron] = g.tau_syn;
  out[math::kGradCapacitance * args.neuron] = g.capacitance;
}

#define GRADSPIKE_LIF_KERNELS(Exec)                                            \
  template <class T>                                                           \
  void lif_coefficients(const Exec& exec, const LifCoefficientsArgs<T>& args); \
  template <class T>                                                           \
  void lif_forward(const Exec& exec, const LifForwardArgs<T>& args);           \
  template <class T>                                                           \
  void lif_backward(const Exec& exec, const LifBackwardArgs<T>& args);         \
  template <class T>                                                           \
  void li_forward(const Exec& exec, const LiForwardArgs<T>& args);             \
  template <class T>                                                           \
  void li_backward(const Exec& exec, const LiBackwardArgs<T>& args);           \
  template <class T>                                                           \
  void parameter_gradients(const Exec& exec, const ParameterGradientsArgs<T>& args);

GRADSPIKE_LIF_KERNELS(CpuExec)
GRADSPIKE_LIF_KERNELS(CudaExec)
#undef GRADSPIKE_LIF_KERNELS

}  // namespace gradspike::kernels
