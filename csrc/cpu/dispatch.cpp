// The CPU kernels of csrc/kernels: each call goes to the copy compiled for the active instruction set.
#include "csrc/cpu/isa.h"
#include "csrc/kernels/graded_spikes.h"
#include "csrc/kernels/lif.h"
#include "csrc/kernels/recurrent_lif.h"
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
GRADSPIKE_KERNEL(connections, (class T), ConnectionsArgs<T>)
GRADSPIKE_KERNEL(graded_spikes, (class S, class Q, class T), GradedSpikesArgs<S GRADSPIKE_COMMA Q GRADSPIKE_COMMA T>)
GRADSPIKE_KERNEL(graded_spikes_weight_grad, (class S, class W, class T),
                 GradedSpikesWeightGradArgs<S GRADSPIKE_COMMA W GRADSPIKE_COMMA T>)
GRADSPIKE_KERNEL(lif_coefficients, (class T), LifCoefficientsArgs<T>)
GRADSPIKE_KERNEL(lif_forward, (class T), LifForwardArgs<T>)
GRADSPIKE_KERNEL(lif_backward, (class T), LifBackwardArgs<T>)
GRADSPIKE_KERNEL(li_forward, (class T), LiForwardArgs<T>)
GRADSPIKE_KERNEL(li_backward, (class T), LiBackwardArgs<T>)
GRADSPIKE_KERNEL(recurrent_lif_forward, (class S, class T), RecurrentLifForwardArgs<S GRADSPIKE_COMMA T>)
GRADSPIKE_KERNEL(recurrent_lif_backward, (class T), RecurrentLifBackwardArgs<T>)
GRADSPIKE_KERNEL(parameter_gradients, (class T), ParameterGradientsArgs<T>)

#define GRADSPIKE_INSTANTIATE(name, Args) template void name(const CpuExec&, const Args&);
#define GRADSPIKE_INSTANTIATE_T(T)                                                             \
  GRADSPIKE_INSTANTIATE(linear_saturating, LinearSaturatingArgs<T>)                            \
  GRADSPIKE_INSTANTIATE(straight_through, StraightThroughArgs<T>)                              \
  GRADSPIKE_INSTANTIATE(hardware_weights, HardwareWeightsArgs<T GRADSPIKE_COMMA std::int8_t>)  \
  GRADSPIKE_INSTANTIATE(hardware_weights, HardwareWeightsArgs<T GRADSPIKE_COMMA std::int16_t>) \
  GRADSPIKE_INSTANTIATE(weight_statistics, WeightStatisticsArgs<T>)                            \
  GRADSPIKE_INSTANTIATE(connections, ConnectionsArgs<T>)                                       \
  GRADSPIKE_INSTANTIATE(lif_coefficients, LifCoefficientsArgs<T>)                              \
  GRADSPIKE_INSTANTIATE(lif_forward, LifForwardArgs<T>)                                        \
  GRADSPIKE_INSTANTIATE(lif_backward, LifBackwardArgs<T>)                                      \
  GRADSPIKE_INSTANTIATE(li_forward, LiForwardArgs<T>)                                          \
  GRADSPIKE_INSTANTIATE(li_backward, LiBackwardArgs<T>)                                        \
  GRADSPIKE_INSTANTIATE(parameter_gradients, ParameterGradientsArgs<T>)
GRADSPIKE_INSTANTIATE(recurrent_lif_backward, RecurrentLifBackwardArgs<float>)
GRADSPIKE_INSTANTIATE(recurrent_lif_backward, RecurrentLifBackwardArgs<double>)
GRADSPIKE_INSTANTIATE(recurrent_lif_forward, RecurrentLifForwardArgs<float GRADSPIKE_COMMA float>)
GRADSPIKE_INSTANTIATE(recurrent_lif_forward, RecurrentLifForwardArgs<float GRADSPIKE_COMMA double>)
GRADSPIKE_INSTANTIATE(recurrent_lif_forward, RecurrentLifForwardArgs<double GRADSPIKE_COMMA double>)
GRADSPIKE_INSTANTIATE(recurrent_lif_forward, RecurrentLifForwardArgs<std::uint8_t GRADSPIKE_COMMA float>)
GRADSPIKE_INSTANTIATE(recurrent_lif_forward, RecurrentLifForwardArgs<std::uint8_t GRADSPIKE_COMMA double>)
GRADSPIKE_INSTANTIATE_T(float)
GRADSPIKE_INSTANTIATE_T(double)

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

}  // namespace gradspike::kernels
