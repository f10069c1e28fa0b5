// Kernels of eventprop_lif and exact_eventprop_lif: fused loops over time, backward driven by spikes. T is float or
// double; all arrays are contiguous and time-major.
#pragma once

#include <cstdint>

#include "csrc/core/execution.h"
#include "csrc/kernels/lif.h"
#include "csrc/math/eventprop.h"

namespace gradspike::kernels {

/// Coefficient table [kNumEventPropCoefficients, columns] in the order of math::EventPropRow. Capacitance and
/// refractory time of the parameters are not read.
template <class T>
struct EventPropCoefficientsArgs {
  NeuronParameters<T> parameters;
  T* coefficients;
  std::int64_t columns;
};

/// Writes column n of the table.
template <class T>
GRADSPIKE_HD void write_coefficients(const EventPropCoefficientsArgs<T>& args, std::int64_t n) {
  const NeuronParameters<T>& p = args.parameters;
  const math::Operand<T> tau_mem = p.tau_mem.operand(n);
  const math::Operand<T> tau_syn = p.tau_syn.operand(n);
  T* const column = args.coefficients + n;
  column[math::kEventPropMembraneGain * args.columns] = math::step_over(tau_mem, p.dt);
  column[math::kEventPropMembraneDecay * args.columns] = math::decay_per_step(tau_mem, p.dt);
  column[math::kEventPropCurrentGain * args.columns] = math::step_over(tau_syn, p.dt);
  column[math::kEventPropCurrentDecay * args.columns] = math::decay_per_step(tau_syn, p.dt);
  column[math::kEventPropTauSyn * args.columns] = tau_syn.rounded();
  column[math::kEventPropLeak * args.columns] = p.leak.operand(n).rounded();
  column[math::kEventPropReset * args.columns] = p.reset.operand(n).rounded();
  column[math::kEventPropThreshold * args.columns] = p.threshold.operand(n).rounded();
}

/// A coefficient table of eventprop_lif as its kernels read it.
template <class T>
struct EventPropTable {
  const T* data;
  std::int64_t columns;

  GRADSPIKE_HD math::EventPropCoefficients<T> at(std::int64_t neuron) const {
    const std::int64_t n = columns == 1 ? 0 : neuron;
    return {data[math::kEventPropMembraneGain * columns + n], data[math::kEventPropMembraneDecay * columns + n],
            data[math::kEventPropCurrentGain * columns + n],  data[math::kEventPropCurrentDecay * columns + n],
            data[math::kEventPropTauSyn * columns + n],       data[math::kEventPropLeak * columns + n],
            data[math::kEventPropReset * columns + n],        data[math::kEventPropThreshold * columns + n]};
  }
};

/// Pointers that are null are not written. Row t of the outputs is the state after t steps: row 0 the initial state.
template <class T>
struct EventPropForwardArgs {
  const T* input;  // [time, batch, neuron]; the last row is not read
  EventPropTable<T> coefficients;
  Measurement<T> measured_spikes;
  Measurement<T> measured_membrane;
  T* spikes;    // or null
  T* membrane;  // after reset, or null
  T* current;   // or null
  T* saved;     // i[t-1] where row t has a spike, else 0; or null
  std::int64_t time;
  std::int64_t batch;
  std::int64_t neuron;
};

/// Backward of both operators; Table is EventPropTable, or CoefficientTable of lif for the exact one. Results that are
/// null are not computed.
template <class T, class Table>
struct EventPropBackwardArgs {
  const T* grad_spikes;  // [time, batch, neuron]
  const T* saved;        // [time, batch, neuron], from the forward
  Table coefficients;
  T* grad_input;    // [time, batch, neuron]
  T* grad_adjoint;  // [time, batch, neuron]
  std::int64_t time;
  std::int64_t batch;
  std::int64_t neuron;
};

/// exact_eventprop_forward is lif_forward with another `saved`: the current before the step where it is a spike or the
/// last refractory step (math::exact_event), else 0.
#define GRADSPIKE_EVENTPROP_KERNELS(Exec)                                                             \
  template <class T>                                                                                  \
  void eventprop_coefficients(const Exec& exec, const EventPropCoefficientsArgs<T>& args);            \
  template <class T>                                                                                  \
  void eventprop_forward(const Exec& exec, const EventPropForwardArgs<T>& args);                      \
  template <class T>                                                                                  \
  void eventprop_backward(const Exec& exec, const EventPropBackwardArgs<T, EventPropTable<T>>& args); \
  template <class T>                                                                                  \
  void exact_eventprop_forward(const Exec& exec, const LifForwardArgs<T>& args);                      \
  template <class T>                                                                                  \
  void exact_eventprop_backward(const Exec& exec, const EventPropBackwardArgs<T, CoefficientTable<T>>& args);

GRADSPIKE_EVENTPROP_KERNELS(CpuExec)
GRADSPIKE_EVENTPROP_KERNELS(CudaExec)
#undef GRADSPIKE_EVENTPROP_KERNELS

}  // namespace gradspike::kernels
