// CPU kernels of lif and li, forward: one pass over time per tile of (batch, neuron) elements.
#include "csrc/kernels/lif.h"

#include "csrc/cpu/lif_rows.h"

namespace gradspike::kernels::GRADSPIKE_CPU_ISA {
namespace {

template <class T, bool kUniform>
void lif_forward_tile(const LifForwardArgs<T>& args, bool refractory, std::int64_t begin, std::int64_t end) {
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
      lif_row_measured(args.input + at, measured_spikes, measured_membrane, spikes, saved, tile, c, count);
    } else if (refractory) {
      lif_row<T, true>(args.input + at, spikes, saved, tile.current.get(), tile.membrane.get(), tile.refractory.get(),
                       c, count);
    } else {
      lif_row<T, false>(args.input + at, spikes, saved, tile.current.get(), tile.membrane.get(), tile.refractory.get(),
                        c, count);
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

template <class T, bool kUniform>
void li_forward_tile(const LiForwardArgs<T>& args, std::int64_t begin, std::int64_t end) {
  const std::int64_t elements = args.batch * args.neuron;
  const std::int64_t count = end - begin;
  const TileCoefficients<T, false, kUniform> c(args.coefficients, args.neuron, begin, count);
  TileState<T> tile(count);
  tile.initialise(args.initial_state, elements, begin, count, false, c);
  for (std::int64_t t = 0; t < args.time; ++t) {
    const std::int64_t at = t * elements + begin;
    T* __restrict__ current = tile.current.get();
    T* __restrict__ membrane = tile.membrane.get();
    const T* measured = args.measured_membrane.row(t, elements, begin);
    for (std::int64_t e = 0; e < count; ++e) {
      math::LifState<T> state{current[e], membrane[e], T{0}};
      math::li_step(state, args.input[at + e], c.at(e), math::measured_value(offset(measured, e)));
      current[e] = state.current;
      membrane[e] = state.membrane;
    }
    if (args.membrane != nullptr) {
      TileState<T>::copy(args.membrane + at, membrane, count);
    }
    if (args.current != nullptr) {
      TileState<T>::copy(args.current + at, current, count);
    }
  }
  tile.store(args.final_state, elements, begin, count, false);
}

}  // namespace

template <class T>
void lif_coefficients(const CpuExec& exec, const LifCoefficientsArgs<T>& args) {
  (void)exec;
  for (std::int64_t n = 0; n < args.columns; ++n) {
    write_coefficients(args, n);
  }
}

template <class T>
void lif_forward(const CpuExec& exec, const LifForwardArgs<T>& args) {
  const std::int64_t elements = args.batch * args.neuron;
  const bool refractory = has_refractory(args.coefficients, args.initial_state, elements);
  const bool uniform = args.coefficients.columns == 1;
  for_each_tile(exec, elements, uniform, [&](std::int64_t begin, std::int64_t end) {
    if (uniform) {
      lif_forward_tile<T, true>(args, refractory, begin, end);
    } else {
      lif_forward_tile<T, false>(args, refractory, begin, end);
    }
  });
}

template <class T>
void li_forward(const CpuExec& exec, const LiForwardArgs<T>& args) {
  const bool uniform = args.coefficients.columns == 1;
  for_each_tile(exec, args.batch * args.neuron, uniform, [&](std::int64_t begin, std::int64_t end) {
    if (uniform) {
      li_forward_tile<T, true>(args, begin, end);
    } else {
      li_forward_tile<T, false>(args, begin, end);
    }
  });
}

#define GRADSPIKE_INSTANTIATE(T)                                                    \
  template void lif_coefficients<T>(const CpuExec&, const LifCoefficientsArgs<T>&); \
  template void lif_forward<T>(const CpuExec&, const LifForwardArgs<T>&);           \
  template void li_forward<T>(const CpuExec&, const LiForwardArgs<T>&);
GRADSPIKE_INSTANTIATE(float)
GRADSPIKE_INSTANTIATE(double)
#undef GRADSPIKE_INSTANTIATE

}  // namespace gradspike::kernels::GRADSPIKE_CPU_ISA
