// CUDA kernels of recurrent_lif: persistent kernels that walk over time, one block per tile of batch rows.
#include "csrc/kernels/recurrent_lif.h"

#include <type_traits>

#include "csrc/kernels/graded_spikes.h"
#include "cuda/common/device.cuh"
#include "cuda/recurrent_lif_backward.cuh"
#include "cuda/recurrent_lif_forward.cuh"

namespace gradspike::kernels {

template <class S, class T>
void recurrent_lif_forward(const CudaExec& exec, const RecurrentLifForwardArgs<S, T>& args) {
  recurrent::forward(exec, args);
}

template <class T>
void recurrent_lif_backward(const CudaExec& exec, const RecurrentLifBackwardArgs<T>& args) {
  recurrent::backward(exec, args);
}

#define GRADSPIKE_INSTANTIATE(S, T) \
  template void recurrent_lif_forward<S, T>(const CudaExec&, const RecurrentLifForwardArgs<S, T>&);
GRADSPIKE_INSTANTIATE(float, float)
GRADSPIKE_INSTANTIATE(float, double)
GRADSPIKE_INSTANTIATE(double, double)
GRADSPIKE_INSTANTIATE(std::uint8_t, float)
GRADSPIKE_INSTANTIATE(std::uint8_t, double)
#undef GRADSPIKE_INSTANTIATE
template void recurrent_lif_backward<float>(const CudaExec&, const RecurrentLifBackwardArgs<float>&);
template void recurrent_lif_backward<double>(const CudaExec&, const RecurrentLifBackwardArgs<double>&);

}  // namespace gradspike::kernels
