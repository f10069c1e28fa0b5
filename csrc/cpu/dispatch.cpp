// The CPU kernels of csrc/kernels: each call goes to the copy compiled for the active instruction set.
#include "csrc/cpu/isa.h"
#include "csrc/kernels/aelif.h"
#include "csrc/kernels/eventprop.h"
#include "csrc/kernels/events.h"
#include "csrc/kernels/graded_spikes.h"
#include "csrc/kernels/lif.h"
#include "csrc/kernels/packed_spikes.h"
#include "csrc/kernels/prepacked.h"
#include "csrc/kernels/recurrent_lif.h"
#include "csrc/kernels/sparse_graded_spikes.h"
#include "csrc/kernels/synapse_lif.h"
#include "csrc/kernels/weights.h"

namespace gradspike::kernels {

// GRADSPIKE_KERNEL(name, (template parameters), Args) declares the copies and defines the public kernel.
#define GRADSPIKE_UNPACK(...) __VA_ARGS__
#if defined(GRADSPIKE_X86)
#define GRADSPIKE_KERNEL(name, params, Args)         \
  namespace generic {                                \
  template <GRADSPIKE_UNPACK params>                 \
  void name(const CpuExec&, const Args&);            \
  }                                                  \
  namespace avx2 {                                   \
  template <GRADSPIKE_UNPACK params>                 \
  void name(const CpuExec&, const Args&);            \
  }                                                  \
  namespace avx512 {                                 \
  template <GRADSPIKE_UNPACK params>                 \
  void name(const CpuExec&, const Args&);            \
  }                                                  \
  template <GRADSPIKE_UNPACK params>                 \
  void name(const CpuExec& exec, const Args& args) { \
    switch (cpu::active_isa()) {                     \
      case cpu::Isa::kAvx512:                        \
        return avx512::name(exec, args);             \
      case cpu::Isa::kAvx2:                          \
        return avx2::name(exec, args);               \
      case cpu::Isa::kGeneric:                       \
        return generic::name(exec, args);            \
    }                                                \
  }
#else
#define GRADSPIKE_KERNEL(name, params, Args)         \
  namespace generic {                                \
  template <GRADSPIKE_UNPACK params>                 \
  void name(const CpuExec&, const Args&);            \
  }                                                  \
  template <GRADSPIKE_UNPACK params>                 \
  void name(const CpuExec& exec, const Args& args) { \
    generic::name(exec, args);                       \
  }
#endif

// Separates the parameters of an argument type within one macro argument.
#define GRADSPIKE_COMMA ,

GRADSPIKE_KERNEL(linear_saturating, (class T), LinearSaturatingArgs<T>)
GRADSPIKE_KERNEL(straight_through, (class T), StraightThroughArgs<T>)
GRADSPIKE_KERNEL(hardware_weights, (class T, class Q), HardwareWeightsArgs<T GRADSPIKE_COMMA Q>)
GRADSPIKE_KERNEL(weight_statistics, (class T), WeightStatisticsArgs<T>)
GRADSPIKE_KERNEL(hardware_weights_with_statistics, (class T, class Q), WeightsWithStatisticsArgs<T GRADSPIKE_COMMA Q>)
GRADSPIKE_KERNEL(connections, (class T), ConnectionsArgs<T>)
GRADSPIKE_KERNEL(graded_spikes, (class S, class Q, class T), GradedSpikesArgs<S GRADSPIKE_COMMA Q GRADSPIKE_COMMA T>)
GRADSPIKE_KERNEL(graded_spikes_weight_grad, (class S, class W, class T),
                 GradedSpikesWeightGradArgs<S GRADSPIKE_COMMA W GRADSPIKE_COMMA T>)
GRADSPIKE_KERNEL(sparse_graded_spikes, (class S, class Q, class T),
                 SparseGradedSpikesArgs<S GRADSPIKE_COMMA Q GRADSPIKE_COMMA T>)
GRADSPIKE_KERNEL(sparse_weight_grad, (class S, class T), SparseWeightGradArgs<S GRADSPIKE_COMMA T>)
GRADSPIKE_KERNEL(sparse_spike_grad, (class Q, class T), SparseSpikeGradArgs<Q GRADSPIKE_COMMA T>)
GRADSPIKE_KERNEL(pack_spikes, (class S), PackSpikesArgs<S>)
GRADSPIKE_KERNEL(unpack_spikes, (class S), UnpackSpikesArgs<S>)
GRADSPIKE_KERNEL(spikes_to_events, (class S), SpikesToEventsArgs<S>)
GRADSPIKE_KERNEL(events_to_spikes, (class E, class S), EventsToSpikesArgs<E GRADSPIKE_COMMA S>)
GRADSPIKE_KERNEL(prepack, (class Q), PrepackArgs<Q>)
GRADSPIKE_KERNEL(prepacked_graded_spikes, (class S, class Q, class T),
                 PrepackedGradedSpikesArgs<S GRADSPIKE_COMMA Q GRADSPIKE_COMMA T>)
GRADSPIKE_KERNEL(lif_coefficients, (class T), LifCoefficientsArgs<T>)
GRADSPIKE_KERNEL(lif_forward, (class T), LifForwardArgs<T>)
GRADSPIKE_KERNEL(lif_backward, (class T), LifBackwardArgs<T>)
GRADSPIKE_KERNEL(li_forward, (class T), LiForwardArgs<T>)
GRADSPIKE_KERNEL(li_backward, (class T), LiBackwardArgs<T>)
GRADSPIKE_KERNEL(recurrent_lif_forward, (class S, class T), RecurrentLifForwardArgs<S GRADSPIKE_COMMA T>)
GRADSPIKE_KERNEL(recurrent_lif_backward, (class T), RecurrentLifBackwardArgs<T>)
GRADSPIKE_KERNEL(parameter_gradients, (class T), ParameterGradientsArgs<T>)
GRADSPIKE_KERNEL(aelif_coefficients, (class T), AdexCoefficientsArgs<T>)
GRADSPIKE_KERNEL(aelif_forward, (class T), AdexForwardArgs<T>)
GRADSPIKE_KERNEL(aelif_backward, (class T), AdexBackwardArgs<T>)
GRADSPIKE_KERNEL(aelif_parameter_gradients, (class T), AdexParameterGradientsArgs<T>)
GRADSPIKE_KERNEL(eventprop_coefficients, (class T), EventPropCoefficientsArgs<T>)
GRADSPIKE_KERNEL(eventprop_forward, (class T), EventPropForwardArgs<T>)
GRADSPIKE_KERNEL(eventprop_backward, (class T), EventPropBackwardArgs<T GRADSPIKE_COMMA EventPropTable<T>>)
GRADSPIKE_KERNEL(exact_eventprop_forward, (class T), LifForwardArgs<T>)
GRADSPIKE_KERNEL(exact_eventprop_backward, (class T), EventPropBackwardArgs<T GRADSPIKE_COMMA CoefficientTable<T>>)
GRADSPIKE_KERNEL(synapse_lif_forward, (class S, class Q, class T),
                 SynapseLifForwardArgs<S GRADSPIKE_COMMA Q GRADSPIKE_COMMA T>)
GRADSPIKE_KERNEL(synapse_lif_backward, (class S, class Q, class T),
                 SynapseLifBackwardArgs<S GRADSPIKE_COMMA Q GRADSPIKE_COMMA T>)

#define GRADSPIKE_INSTANTIATE(name, Args) template void name(const CpuExec&, const Args&);

#define GRADSPIKE_INSTANTIATE_T(T)                                                                                   \
  GRADSPIKE_INSTANTIATE(linear_saturating, LinearSaturatingArgs<T>)                                                  \
  GRADSPIKE_INSTANTIATE(straight_through, StraightThroughArgs<T>)                                                    \
  GRADSPIKE_INSTANTIATE(hardware_weights, HardwareWeightsArgs<T GRADSPIKE_COMMA std::int8_t>)                        \
  GRADSPIKE_INSTANTIATE(hardware_weights, HardwareWeightsArgs<T GRADSPIKE_COMMA std::int16_t>)                       \
  GRADSPIKE_INSTANTIATE(weight_statistics, WeightStatisticsArgs<T>)                                                  \
  GRADSPIKE_INSTANTIATE(connections, ConnectionsArgs<T>)                                                             \
  GRADSPIKE_INSTANTIATE(lif_coefficients, LifCoefficientsArgs<T>)                                                    \
  GRADSPIKE_INSTANTIATE(lif_forward, LifForwardArgs<T>)                                                              \
  GRADSPIKE_INSTANTIATE(lif_backward, LifBackwardArgs<T>)                                                            \
  GRADSPIKE_INSTANTIATE(li_forward, LiForwardArgs<T>)                                                                \
  GRADSPIKE_INSTANTIATE(li_backward, LiBackwardArgs<T>)                                                              \
  GRADSPIKE_INSTANTIATE(hardware_weights_with_statistics, WeightsWithStatisticsArgs<T GRADSPIKE_COMMA std::int8_t>)  \
  GRADSPIKE_INSTANTIATE(hardware_weights_with_statistics, WeightsWithStatisticsArgs<T GRADSPIKE_COMMA std::int16_t>) \
  GRADSPIKE_INSTANTIATE(parameter_gradients, ParameterGradientsArgs<T>)
GRADSPIKE_INSTANTIATE_T(float)
GRADSPIKE_INSTANTIATE_T(double)

GRADSPIKE_INSTANTIATE(recurrent_lif_backward, RecurrentLifBackwardArgs<float>)
GRADSPIKE_INSTANTIATE(recurrent_lif_backward, RecurrentLifBackwardArgs<double>)
GRADSPIKE_INSTANTIATE(recurrent_lif_forward, RecurrentLifForwardArgs<float GRADSPIKE_COMMA float>)
GRADSPIKE_INSTANTIATE(recurrent_lif_forward, RecurrentLifForwardArgs<float GRADSPIKE_COMMA double>)
GRADSPIKE_INSTANTIATE(recurrent_lif_forward, RecurrentLifForwardArgs<double GRADSPIKE_COMMA double>)
GRADSPIKE_INSTANTIATE(recurrent_lif_forward, RecurrentLifForwardArgs<std::uint8_t GRADSPIKE_COMMA float>)
GRADSPIKE_INSTANTIATE(recurrent_lif_forward, RecurrentLifForwardArgs<std::uint8_t GRADSPIKE_COMMA double>)

#define GRADSPIKE_INSTANTIATE_AELIF(T)                               \
  GRADSPIKE_INSTANTIATE(aelif_coefficients, AdexCoefficientsArgs<T>) \
  GRADSPIKE_INSTANTIATE(aelif_forward, AdexForwardArgs<T>)           \
  GRADSPIKE_INSTANTIATE(aelif_backward, AdexBackwardArgs<T>)         \
  GRADSPIKE_INSTANTIATE(aelif_parameter_gradients, AdexParameterGradientsArgs<T>)
GRADSPIKE_INSTANTIATE_AELIF(float)
GRADSPIKE_INSTANTIATE_AELIF(double)

#define GRADSPIKE_INSTANTIATE_EVENTPROP(T)                                                              \
  GRADSPIKE_INSTANTIATE(eventprop_coefficients, EventPropCoefficientsArgs<T>)                           \
  GRADSPIKE_INSTANTIATE(eventprop_forward, EventPropForwardArgs<T>)                                     \
  GRADSPIKE_INSTANTIATE(eventprop_backward, EventPropBackwardArgs<T GRADSPIKE_COMMA EventPropTable<T>>) \
  GRADSPIKE_INSTANTIATE(exact_eventprop_forward, LifForwardArgs<T>)                                     \
  GRADSPIKE_INSTANTIATE(exact_eventprop_backward, EventPropBackwardArgs<T GRADSPIKE_COMMA CoefficientTable<T>>)
GRADSPIKE_INSTANTIATE_EVENTPROP(float)
GRADSPIKE_INSTANTIATE_EVENTPROP(double)

#define GRADSPIKE_INSTANTIATE_PRODUCT(S, W, T)                                                                        \
  GRADSPIKE_INSTANTIATE(graded_spikes_weight_grad, GradedSpikesWeightGradArgs<S GRADSPIKE_COMMA W GRADSPIKE_COMMA T>) \
  GRADSPIKE_INSTANTIATE(graded_spikes, GradedSpikesArgs<S GRADSPIKE_COMMA QuantisedOf<W>::Type GRADSPIKE_COMMA T>)
// Pairs each of the two weight types with one of the two integer types, so that all combinations are instantiated.
template <class W>
struct QuantisedOf;
template <>
struct QuantisedOf<float> {
  using Type = std::int8_t;
};
template <>
struct QuantisedOf<double> {
  using Type = std::int16_t;
};
#define GRADSPIKE_INSTANTIATE_S(S)                \
  GRADSPIKE_INSTANTIATE_PRODUCT(S, float, float)  \
  GRADSPIKE_INSTANTIATE_PRODUCT(S, float, double) \
  GRADSPIKE_INSTANTIATE_PRODUCT(S, double, float) \
  GRADSPIKE_INSTANTIATE_PRODUCT(S, double, double)
GRADSPIKE_INSTANTIATE_S(float)
GRADSPIKE_INSTANTIATE_S(double)
GRADSPIKE_INSTANTIATE_S(std::uint8_t)

#define GRADSPIKE_INSTANTIATE_PACKED(S)                 \
  GRADSPIKE_INSTANTIATE(pack_spikes, PackSpikesArgs<S>) \
  GRADSPIKE_INSTANTIATE(unpack_spikes, UnpackSpikesArgs<S>)
#define GRADSPIKE_INSTANTIATE_PREPACKED(S)                                                               \
  GRADSPIKE_INSTANTIATE(prepacked_graded_spikes,                                                         \
                        PrepackedGradedSpikesArgs<S GRADSPIKE_COMMA std::int8_t GRADSPIKE_COMMA float>)  \
  GRADSPIKE_INSTANTIATE(prepacked_graded_spikes,                                                         \
                        PrepackedGradedSpikesArgs<S GRADSPIKE_COMMA std::int8_t GRADSPIKE_COMMA double>) \
  GRADSPIKE_INSTANTIATE(prepacked_graded_spikes,                                                         \
                        PrepackedGradedSpikesArgs<S GRADSPIKE_COMMA std::int16_t GRADSPIKE_COMMA float>) \
  GRADSPIKE_INSTANTIATE(prepacked_graded_spikes,                                                         \
                        PrepackedGradedSpikesArgs<S GRADSPIKE_COMMA std::int16_t GRADSPIKE_COMMA double>)
GRADSPIKE_INSTANTIATE_PREPACKED(float)
GRADSPIKE_INSTANTIATE_PREPACKED(double)
GRADSPIKE_INSTANTIATE_PREPACKED(std::uint8_t)
GRADSPIKE_INSTANTIATE(prepack, PrepackArgs<std::int8_t>)
GRADSPIKE_INSTANTIATE(prepack, PrepackArgs<std::int16_t>)
GRADSPIKE_INSTANTIATE(spikes_to_events, SpikesToEventsArgs<float>)
GRADSPIKE_INSTANTIATE(spikes_to_events, SpikesToEventsArgs<double>)
GRADSPIKE_INSTANTIATE(spikes_to_events, SpikesToEventsArgs<std::uint8_t>)
GRADSPIKE_INSTANTIATE(events_to_spikes, EventsToSpikesArgs<std::int32_t GRADSPIKE_COMMA float>)
GRADSPIKE_INSTANTIATE(events_to_spikes, EventsToSpikesArgs<std::int32_t GRADSPIKE_COMMA std::uint8_t>)
GRADSPIKE_INSTANTIATE(events_to_spikes, EventsToSpikesArgs<double GRADSPIKE_COMMA float>)
GRADSPIKE_INSTANTIATE(events_to_spikes, EventsToSpikesArgs<double GRADSPIKE_COMMA std::uint8_t>)
GRADSPIKE_INSTANTIATE_PACKED(float)
GRADSPIKE_INSTANTIATE_PACKED(double)
GRADSPIKE_INSTANTIATE_PACKED(std::uint8_t)

#define GRADSPIKE_INSTANTIATE_SPARSE(S)                                                                                \
  GRADSPIKE_INSTANTIATE(sparse_graded_spikes,                                                                          \
                        SparseGradedSpikesArgs<S GRADSPIKE_COMMA std::int16_t GRADSPIKE_COMMA float>)                  \
  GRADSPIKE_INSTANTIATE(sparse_graded_spikes,                                                                          \
                        SparseGradedSpikesArgs<S GRADSPIKE_COMMA std::int16_t GRADSPIKE_COMMA double>)                 \
  GRADSPIKE_INSTANTIATE(sparse_graded_spikes, SparseGradedSpikesArgs<S GRADSPIKE_COMMA float GRADSPIKE_COMMA float>)   \
  GRADSPIKE_INSTANTIATE(sparse_graded_spikes, SparseGradedSpikesArgs<S GRADSPIKE_COMMA double GRADSPIKE_COMMA double>) \
  GRADSPIKE_INSTANTIATE(sparse_weight_grad, SparseWeightGradArgs<S GRADSPIKE_COMMA float>)                             \
  GRADSPIKE_INSTANTIATE(sparse_weight_grad, SparseWeightGradArgs<S GRADSPIKE_COMMA double>)
GRADSPIKE_INSTANTIATE_SPARSE(float)
GRADSPIKE_INSTANTIATE_SPARSE(double)
GRADSPIKE_INSTANTIATE_SPARSE(std::uint8_t)
GRADSPIKE_INSTANTIATE(sparse_spike_grad, SparseSpikeGradArgs<std::int16_t GRADSPIKE_COMMA float>)
GRADSPIKE_INSTANTIATE(sparse_spike_grad, SparseSpikeGradArgs<std::int16_t GRADSPIKE_COMMA double>)
GRADSPIKE_INSTANTIATE(sparse_spike_grad, SparseSpikeGradArgs<float GRADSPIKE_COMMA float>)
GRADSPIKE_INSTANTIATE(sparse_spike_grad, SparseSpikeGradArgs<double GRADSPIKE_COMMA double>)
#define GRADSPIKE_INSTANTIATE_FUSED(S, Q, T)                                                               \
  GRADSPIKE_INSTANTIATE(synapse_lif_forward, SynapseLifForwardArgs<S GRADSPIKE_COMMA Q GRADSPIKE_COMMA T>) \
  GRADSPIKE_INSTANTIATE(synapse_lif_backward, SynapseLifBackwardArgs<S GRADSPIKE_COMMA Q GRADSPIKE_COMMA T>)
#define GRADSPIKE_INSTANTIATE_FUSED_S(S)              \
  GRADSPIKE_INSTANTIATE_FUSED(S, std::int8_t, float)  \
  GRADSPIKE_INSTANTIATE_FUSED(S, std::int8_t, double) \
  GRADSPIKE_INSTANTIATE_FUSED(S, std::int16_t, float) \
  GRADSPIKE_INSTANTIATE_FUSED(S, std::int16_t, double)
GRADSPIKE_INSTANTIATE_FUSED_S(float)
GRADSPIKE_INSTANTIATE_FUSED_S(double)
GRADSPIKE_INSTANTIATE_FUSED_S(std::uint8_t)

}  // namespace gradspike::kernels
