// CPU kernels of eventprop_lif and exact_eventprop_lif, forward: one pass over time per tile of (batch, neuron)
// elements.
#include "csrc/cpu/eventprop_tile.h"

namespace gradspike::kernels::GRADSPIKE_CPU_ISA {
namespace {

// ---- eventprop_lif -----------------------------------------------------------------------------------------------

/// Row t from row t-1 without measured data. `x` is row t-1 of the input.
template <class T, class Coefficients>
void eventprop_row(const T* __restrict__ x, T* __restrict__ spikes, T* __restrict__ saved, T* __restrict__ current,
                   T* __restrict__ membrane, const Coefficients& c, std::int64_t count) {
#pragma GCC ivdep
  for (std::int64_t e = 0; e < count; ++e) {
    math::EventPropState<T> state{current[e], membrane[e]};
    const math::LifStep<T> step = math::eventprop_step(state, x[e], c.at(e), math::Measured<T>{});
    current[e] = state.current;
    membrane[e] = state.membrane;
    spikes[e] = step.spike;
    saved[e] = step.saved;
  }
}

/// The general row: measured data, and row 0 (x null).
template <class T, class Coefficients>
void eventprop_row_general(const T* x, const T* measured_spikes, const T* measured_membrane, T* spikes, T* saved,
                           T* current, T* membrane, const Coefficients& c, std::int64_t count) {
  for (std::int64_t e = 0; e < count; ++e) {
    math::EventPropState<T> state{current[e], membrane[e]};
    const math::Measured<T> measured{math::measured_value(offset(measured_spikes, e)),
                                     math::measured_value(offset(measured_membrane, e))};
    const math::LifStep<T> step = x == nullptr ? math::eventprop_start(state, c.at(e), measured)
                                               : math::eventprop_step(state, x[e], c.at(e), measured);
    current[e] = state.current;
    membrane[e] = state.membrane;
    spikes[e] = step.spike;
    saved[e] = step.saved;
  }
}

template <class T, bool kUniform>
void eventprop_forward_tile(const EventPropForwardArgs<T>& args, std::int64_t begin, std::int64_t end) {
  const std::int64_t elements = args.batch * args.neuron;
  const std::int64_t count = end - begin;
  const TileEventPropCoefficients<T, kUniform> c(args.coefficients, args.neuron, begin, count);
  TileState<T> tile(count);
  Buffer<T> unasked_spikes(args.spikes == nullptr ? count : 0);
  Buffer<T> unasked_saved(args.saved == nullptr ? count : 0);
  for (std::int64_t t = 0; t < args.time; ++t) {
    const std::int64_t at = t * elements + begin;
    const T* x = t == 0 ? nullptr : args.input + at - elements;
    T* spikes = args.spikes == nullptr ? unasked_spikes.get() : args.spikes + at;
    T* saved = args.saved == nullptr ? unasked_saved.get() : args.saved + at;
    const T* measured_spikes = args.measured_spikes.row(t, elements, begin);
    const T* measured_membrane = args.measured_membrane.row(t, elements, begin);
    if (x == nullptr || measured_spikes != nullptr || measured_membrane != nullptr) {
      eventprop_row_general(x, measured_spikes, measured_membrane, spikes, saved, tile.current.get(),
                            tile.membrane.get(), c, count);
    } else {
      eventprop_row(x, spikes, saved, tile.current.get(), tile.membrane.get(), c, count);
    }
    if (args.membrane != nullptr) {
      TileState<T>::copy(args.membrane + at, tile.membrane.get(), count);
    }
    if (args.current != nullptr) {
      TileState<T>::copy(args.current + at, tile.current.get(), count);
    }
  }
}

// ---- exact_eventprop_lif -----------------------------------------------------------------------------------------

template <class T, bool kRefractory, class Coefficients>
void exact_row(const T* __restrict__ x, T* __restrict__ spikes, T* __restrict__ saved, T* __restrict__ current,
               T* __restrict__ membrane, T* __restrict__ refractory, const Coefficients& c, std::int64_t count) {
#pragma GCC ivdep
  for (std::int64_t e = 0; e < count; ++e) {
    math::LifState<T> state{current[e], membrane[e], kRefractory ? refractory[e] : T{0}};
    const math::LifStep<T> step = math::exact_eventprop_step<kRefractory>(state, x[e], c.at(e));
    current[e] = state.current;
    membrane[e] = state.membrane;
    if constexpr (kRefractory) {
      refractory[e] = state.refractory;
    }
    spikes[e] = step.spike;
    saved[e] = step.saved;
  }
}

template <class T, class Coefficients>
void exact_row_measured(const T* x, const T* measured_spikes, const T* measured_membrane, T* spikes, T* saved,
                        TileState<T>& tile, const Coefficients& c, std::int64_t count) {
  for (std::int64_t e = 0; e < count; ++e) {
    math::LifState<T> state{tile.current[e], tile.membrane[e], tile.refractory[e]};
    const math::Measured<T> measured{math::measured_value(offset(measured_spikes, e)),
                                     math::measured_value(offset(measured_membrane, e))};
    const math::LifStep<T> step = math::exact_eventprop_step_measured(state, x[e], c.at(e), measured);
    tile.current[e] = state.current;
    tile.membrane[e] = state.membrane;
    tile.refractory[e] = state.refractory;
    spikes[e] = step.spike;
    saved[e] = step.saved;
  }
}

template <class T, bool kUniform>
void exact_forward_tile(const LifForwardArgs<T>& args, bool refractory, std::int64_t begin, std::int64_t end) {
  const std::int64_t elements = args.batch * args.neuron;
  const std::int64_t count = end - begin;
  const TileCoefficients<T, true, kUniform> c(args.coefficients, args.neuron, begin, count);
  TileState<T> tile(count);
  tile.initialise(args.initial_state, elements, begin, count, true, c);
  Buffer<T> unasked_spikes(args.spikes == nullptr ? count : 0);
  Buffer<T> unasked_saved(args.saved == nullptr ? count : 0);
  for (std::int64_t t = 0; t < args.time; ++t) {
    const std::int64_t at = t * elements + begin;
    T* spikes = args.spikes == nullptr ? unasked_spikes.get() : args.spikes + at;
    T* saved = args.saved == nullptr ? unasked_saved.get() : args.saved + at;
    const T* measured_spikes = args.measured_spikes.row(t, elements, begin);
    const T* measured_membrane = args.measured_membrane.row(t, elements, begin);
    if (measured_spikes != nullptr || measured_membrane != nullptr) {
      exact_row_measured(args.input + at, measured_spikes, measured_membrane, spikes, saved, tile, c, count);
    } else if (refractory) {
      exact_row<T, true>(args.input + at, spikes, saved, tile.current.get(), tile.membrane.get(), tile.refractory.get(),
                         c, count);
    } else {
      exact_row<T, false>(args.input + at, spikes, saved, tile.current.get(), tile.membrane.get(),
                          tile.refractory.get(), c, count);
    }
    if (args.membrane != nullptr) {
      TileState<T>::copy(args.membrane + at, tile.membrane.get(), count);
    }
    if (args.current != nullptr) {
      TileState<T>::copy(args.current + at, tile.current.get(), count);
    }
  }
  tile.store(args.final_state, elements, begin, count, true);
}

}  // namespace

template <class T>
void eventprop_coefficients(const CpuExec& exec, const EventPropCoefficientsArgs<T>& args) {
  (void)exec;
  for (std::int64_t n = 0; n < args.columns; ++n) {
    write_coefficients(args, n);
  }
}

template <class T>
void eventprop_forward(const CpuExec& exec, const EventPropForwardArgs<T>& args) {
  const bool uniform = args.coefficients.columns == 1;
  for_each_tile(exec, args.batch * args.neuron, uniform, [&](std::int64_t begin, std::int64_t end) {
    if (uniform) {
      eventprop_forward_tile<T, true>(args, begin, end);
    } else {
      eventprop_forward_tile<T, false>(args, begin, end);
    }
  });
}

template <class T>
void exact_eventprop_forward(const CpuExec& exec, const LifForwardArgs<T>& args) {
  const std::int64_t elements = args.batch * args.neuron;
  const bool refractory = has_refractory(args.coefficients, args.initial_state, elements);
  const bool uniform = args.coefficients.columns == 1;
  for_each_tile(exec, elements, uniform, [&](std::int64_t begin, std::int64_t end) {
    if (uniform) {
      exact_forward_tile<T, true>(args, refractory, begin, end);
    } else {
      exact_forward_tile<T, false>(args, refractory, begin, end);
    }
  });
}

#define GRADSPIKE_INSTANTIATE(T)                                                                \
  template void eventprop_coefficients<T>(const CpuExec&, const EventPropCoefficientsArgs<T>&); \
  template void eventprop_forward<T>(const CpuExec&, const EventPropForwardArgs<T>&);           \
  template void exact_eventprop_forward<T>(const CpuExec&, const LifForwardArgs<T>&);
GRADSPIKE_INSTANTIATE(float)
GRADSPIKE_INSTANTIATE(double)
#undef GRADSPIKE_INSTANTIATE

}  // namespace gradspike::kernels::GRADSPIKE_CPU_ISA
