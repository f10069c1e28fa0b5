// CPU kernels of aelif, forward: one pass over time per tile of (batch, neuron) elements.
#include "csrc/kernels/aelif.h"

#include "csrc/cpu/aelif_tile.h"

namespace gradspike::kernels::GRADSPIKE_CPU_ISA {
namespace {

/// Where one time step of a tile is written.
template <class T>
struct AdexRowOutputs {
  T* spikes;
  T* saved;
  std::uint8_t* blocked;
};

/// One time step of a tile.
template <bool kRefractory, class T, class Terms, class Coefficients>
void adex_row(const T* __restrict__ x, const AdexRowOutputs<T>& out, AdexTileState<T>& tile,
              const Coefficients& coefficients, const Terms& fixed, std::int64_t count) {
  T* __restrict__ current = tile.current.get();
  T* __restrict__ membrane = tile.membrane.get();
  T* __restrict__ refractory = tile.refractory.get();
  T* __restrict__ adaptation = tile.adaptation.get();
  T* __restrict__ spikes = out.spikes;
  T* __restrict__ saved = out.saved;
  std::uint8_t* __restrict__ blocked = out.blocked;
  const auto c = coefficients.row();
  const Terms terms = fixed;
#pragma GCC ivdep
  for (std::int64_t e = 0; e < count; ++e) {
    const T counter = kRefractory ? refractory[e] : T{0};
    math::AdexState<T> state{{current[e], membrane[e], counter}, adaptation[e]};
    const math::AdexStep<T> step = math::adex_step<kRefractory>(state, x[e], c.at(e), terms);
    current[e] = state.current;
    membrane[e] = state.membrane;
    adaptation[e] = state.adaptation;
    spikes[e] = step.spike;
    saved[e] = step.before;
    if constexpr (kRefractory) {
      refractory[e] = state.refractory;
      blocked[e] = counter > T{0} ? 1 : 0;
    }
  }
}

/// The general row, with measured data.
template <class T, class Coefficients>
void adex_row_measured(const AdexForwardArgs<T>& args, const AdexRowOutputs<T>& out, AdexTileState<T>& tile,
                       const Coefficients& c, std::int64_t t, std::int64_t begin, std::int64_t count) {
  const std::int64_t elements = args.batch * args.neuron;
  for (std::int64_t e = 0; e < count; ++e) {
    const T counter = args.terms.fire ? tile.refractory[e] : T{0};
    math::AdexState<T> state{{tile.current[e], tile.membrane[e], counter}, tile.adaptation[e]};
    const math::AdexMeasured<T> measured{
        {args.measured_spikes.at(t, elements, begin + e), args.measured_membrane.at(t, elements, begin + e)},
        args.measured_adaptation.at(t, elements, begin + e)};
    const math::AdexStep<T> step =
        math::adex_step_measured(state, args.input[t * elements + begin + e], c.at(e), args.terms, measured);
    tile.current[e] = state.current;
    tile.membrane[e] = state.membrane;
    tile.refractory[e] = args.terms.fire ? state.refractory : tile.refractory[e];
    tile.adaptation[e] = state.adaptation;
    out.spikes[e] = step.spike;
    out.saved[e] = step.before;
    out.blocked[e] = counter > T{0} ? 1 : 0;
  }
}

template <class T, class Coefficients>
void adex_step_tile(const AdexForwardArgs<T>& args, bool refractory, const AdexRowOutputs<T>& out,
                    AdexTileState<T>& tile, const Coefficients& c, std::int64_t t, std::int64_t begin,
                    std::int64_t count) {
  if (t < args.measured_spikes.steps || t < args.measured_membrane.steps || t < args.measured_adaptation.steps) {
    adex_row_measured(args, out, tile, c, t, begin, count);
    return;
  }
  const T* x = args.input + t * args.batch * args.neuron + begin;
  math::with_adex_terms(args.terms, [&](const auto& terms) {
    if (refractory) {
      adex_row<true>(x, out, tile, c, terms, count);
    } else {
      adex_row<false>(x, out, tile, c, terms, count);
      std::memset(out.blocked, 0, static_cast<std::size_t>(count));
    }
  });
}

template <class T, bool kUniform>
void aelif_forward_tile(const AdexForwardArgs<T>& args, bool refractory, std::int64_t begin, std::int64_t end) {
  const std::int64_t elements = args.batch * args.neuron;
  const std::int64_t count = end - begin;
  const AdexTileCoefficients<T, kUniform> c(args.coefficients, args.neuron, begin, count);
  AdexTileState<T> tile(count);
  tile.initialise(args, begin, count, c);
  Buffer<T> unasked_spikes(args.spikes == nullptr ? count : 0);
  Buffer<T> unasked_saved(args.saved == nullptr ? count : 0);
  Buffer<std::uint8_t> unasked_blocked(args.blocked == nullptr ? count : 0);
  const auto record = [&](T* trace, const Buffer<T>& values, std::int64_t at) {
    if (trace != nullptr) {
      TileState<T>::copy(trace + at, values.get(), count);
    }
  };
  for (std::int64_t t = 0; t < args.time; ++t) {
    const std::int64_t at = t * elements + begin;
    const AdexRowOutputs<T> out{args.spikes == nullptr ? unasked_spikes.get() : args.spikes + at,
                                args.saved == nullptr ? unasked_saved.get() : args.saved + at,
                                args.blocked == nullptr ? unasked_blocked.get() : args.blocked + at};
    adex_step_tile(args, refractory, out, tile, c, t, begin, count);
    record(args.membrane, tile.membrane, at);
    record(args.current, tile.current, at);
    record(args.adaptation, tile.adaptation, at);
  }
  tile.store(args.final_state, elements, begin, count);
}

}  // namespace

template <class T>
void aelif_coefficients(const CpuExec& exec, const AdexCoefficientsArgs<T>& args) {
  (void)exec;
  for (std::int64_t n = 0; n < args.columns; ++n) {
    write_coefficients(args, n);
  }
}

template <class T>
void aelif_forward(const CpuExec& exec, const AdexForwardArgs<T>& args) {
  const std::int64_t elements = args.batch * args.neuron;
  const bool refractory = args.terms.fire && has_refractory(args.coefficients, args.initial_state, elements);
  const bool uniform = args.coefficients.columns == 1;
  for_each_tile(exec, elements, uniform, [&](std::int64_t begin, std::int64_t end) {
    if (uniform) {
      aelif_forward_tile<T, true>(args, refractory, begin, end);
    } else {
      aelif_forward_tile<T, false>(args, refractory, begin, end);
    }
  });
}

#define GRADSPIKE_INSTANTIATE(T)                                                       \
  template void aelif_coefficients<T>(const CpuExec&, const AdexCoefficientsArgs<T>&); \
  template void aelif_forward<T>(const CpuExec&, const AdexForwardArgs<T>&);
GRADSPIKE_INSTANTIATE(float)
GRADSPIKE_INSTANTIATE(double)
#undef GRADSPIKE_INSTANTIATE

}  // namespace gradspike::kernels::GRADSPIKE_CPU_ISA
