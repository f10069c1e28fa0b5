// CPU kernels of eventprop_lif and exact_eventprop_lif, backward: per time step one pass over the tile as if nothing
// spiked, and a visit to the few elements where something happens.
#include "csrc/cpu/eventprop_tile.h"
#include "csrc/cpu/find_spikes.h"

namespace gradspike::kernels::GRADSPIKE_CPU_ISA {
namespace {

/// Memory of one tile, shared by the two schemes; rows of results that are not asked for go to `no_input` and
/// `no_adjoint`.
template <class T, class Args>
struct BackwardTile {
  BackwardTile(const Args& arguments, std::int64_t begin_element, std::int64_t num_elements)
      : args(arguments),
        begin(begin_element),
        count(num_elements),
        current(count),
        membrane(count),
        index(count + kFindSlack),
        no_input(args.grad_input == nullptr ? count : 0),
        no_adjoint(args.grad_adjoint == nullptr ? count : 0) {}

  std::int64_t at(std::int64_t t) const { return t * args.batch * args.neuron + begin; }
  T* input_row(std::int64_t t) { return args.grad_input == nullptr ? no_input.get() : args.grad_input + at(t); }
  T* adjoint_row(std::int64_t t) { return args.grad_adjoint == nullptr ? no_adjoint.get() : args.grad_adjoint + at(t); }

  /// The last row: nothing follows it that a loss on spikes could see.
  void clear_last_row() {
    if (args.time > 0) {
      std::memset(input_row(args.time - 1), 0, static_cast<std::size_t>(count) * sizeof(T));
      std::memset(adjoint_row(args.time - 1), 0, static_cast<std::size_t>(count) * sizeof(T));
    }
  }

  /// Calls body(element, saved, gradient to the spike) for every event of step t.
  template <class Body>
  void for_each_event(std::int64_t t, Body&& body) {
    const T* saved = args.saved + at(t);
    const T* grad_spikes = args.grad_spikes + at(t);
    const std::int64_t found = find_spikes(saved, count, index.get());
    for (std::int64_t k = 0; k < found; ++k) {
      const std::int64_t e = index[k];
      body(e, saved[e], grad_spikes[e]);
    }
  }

  const Args& args;
  std::int64_t begin;
  std::int64_t count;
  Buffer<T> current;
  Buffer<T> membrane;
  Buffer<std::int32_t> index;
  Buffer<T> no_input;
  Buffer<T> no_adjoint;
};

template <class T, class Coefficients>
void eventprop_adjoint_row(T* __restrict__ current, T* __restrict__ membrane, T* __restrict__ to_input,
                           T* __restrict__ to_adjoint, const Coefficients& c, std::int64_t count) {
#pragma GCC ivdep
  for (std::int64_t e = 0; e < count; ++e) {
    math::EventPropAdjoint<T> adjoint{current[e], membrane[e]};
    math::eventprop_adjoint_step(adjoint, c.at(e));
    current[e] = adjoint.current;
    membrane[e] = adjoint.membrane;
    to_input[e] = math::eventprop_to_input(adjoint, c.at(e));
    to_adjoint[e] = math::eventprop_to_adjoint(adjoint);
  }
}

template <class T, bool kUniform>
void eventprop_backward_tile(const EventPropBackwardArgs<T, EventPropTable<T>>& args, std::int64_t begin,
                             std::int64_t end) {
  BackwardTile<T, EventPropBackwardArgs<T, EventPropTable<T>>> tile(args, begin, end - begin);
  const TileEventPropCoefficients<T, kUniform> c(args.coefficients, args.neuron, begin, tile.count);
  tile.clear_last_row();
  for (std::int64_t t = args.time - 1; t > 0; --t) {
    T* to_input = tile.input_row(t - 1);
    T* to_adjoint = tile.adjoint_row(t - 1);
    eventprop_adjoint_row(tile.current.get(), tile.membrane.get(), to_input, to_adjoint, c, tile.count);
    tile.for_each_event(t, [&](std::int64_t e, T saved, T grad_spike) {
      math::EventPropAdjoint<T> adjoint{tile.current[e], tile.membrane[e]};
      math::eventprop_adjoint_spike(adjoint, saved, grad_spike, c.at(e));
      tile.membrane[e] = adjoint.membrane;
      to_adjoint[e] = math::eventprop_to_adjoint(adjoint);
    });
  }
}

template <class T, class Coefficients>
void exact_adjoint_row(T* __restrict__ current, T* __restrict__ membrane, T* __restrict__ to_input,
                       T* __restrict__ to_adjoint, const Coefficients& c, std::int64_t count) {
#pragma GCC ivdep
  for (std::int64_t e = 0; e < count; ++e) {
    math::ExactAdjoint<T> adjoint{current[e], membrane[e], T{0}};
    math::exact_adjoint_step(adjoint, c.at(e));
    current[e] = adjoint.current;
    membrane[e] = adjoint.membrane;
    to_input[e] = adjoint.current;
    to_adjoint[e] = math::exact_to_adjoint(adjoint, c.at(e));
  }
}

template <class T, bool kUniform>
void exact_backward_tile(const EventPropBackwardArgs<T, CoefficientTable<T>>& args, std::int64_t begin,
                         std::int64_t end) {
  BackwardTile<T, EventPropBackwardArgs<T, CoefficientTable<T>>> tile(args, begin, end - begin);
  const TileCoefficients<T, true, kUniform> c(args.coefficients, args.neuron, begin, tile.count);
  Buffer<T> release(tile.count);
  tile.clear_last_row();
  for (std::int64_t t = args.time - 1; t > 0; --t) {
    tile.for_each_event(t, [&](std::int64_t e, T saved, T grad_spike) {
      math::ExactAdjoint<T> adjoint{tile.current[e], tile.membrane[e], release[e]};
      math::exact_adjoint_event(adjoint, saved, grad_spike, c.at(e));
      tile.membrane[e] = adjoint.membrane;
      release[e] = adjoint.release;
    });
    exact_adjoint_row(tile.current.get(), tile.membrane.get(), tile.input_row(t - 1), tile.adjoint_row(t - 1), c,
                      tile.count);
  }
}

}  // namespace

template <class T>
void eventprop_backward(const CpuExec& exec, const EventPropBackwardArgs<T, EventPropTable<T>>& args) {
  const bool uniform = args.coefficients.columns == 1;
  for_each_tile(exec, args.batch * args.neuron, uniform, [&](std::int64_t begin, std::int64_t end) {
    if (uniform) {
      eventprop_backward_tile<T, true>(args, begin, end);
    } else {
      eventprop_backward_tile<T, false>(args, begin, end);
    }
  });
}

template <class T>
void exact_eventprop_backward(const CpuExec& exec, const EventPropBackwardArgs<T, CoefficientTable<T>>& args) {
  const bool uniform = args.coefficients.columns == 1;
  for_each_tile(exec, args.batch * args.neuron, uniform, [&](std::int64_t begin, std::int64_t end) {
    if (uniform) {
      exact_backward_tile<T, true>(args, begin, end);
    } else {
      exact_backward_tile<T, false>(args, begin, end);
    }
  });
}

#define GRADSPIKE_INSTANTIATE(T)                                                                           \
  template void eventprop_backward<T>(const CpuExec&, const EventPropBackwardArgs<T, EventPropTable<T>>&); \
  template void exact_eventprop_backward<T>(const CpuExec&, const EventPropBackwardArgs<T, CoefficientTable<T>>&);
GRADSPIKE_INSTANTIATE(float)
GRADSPIKE_INSTANTIATE(double)
#undef GRADSPIKE_INSTANTIATE

}  // namespace gradspike::kernels::GRADSPIKE_CPU_ISA
