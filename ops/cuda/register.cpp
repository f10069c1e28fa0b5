// The CUDA kernels of all operators. Plans, Meta and Autograd are in libgradspike.so, which this library needs.
#include <torch/library.h>

#include "ops/cuda/execution.h"
#include "ops/graded_spikes.h"
#include "ops/li.h"
#include "ops/lif.h"
#include "ops/recurrent_lif_backward.h"
#include "ops/weights.h"

namespace gradspike::ops {

TORCH_LIBRARY_IMPL(gradspike, CUDA, m) {
  m.impl("linear_saturating", linear_saturating_impl<CudaExec>);
  m.impl("_linear_saturating_backward", linear_saturating_backward_impl<CudaExec>);
  m.impl("hardware_weights", hardware_weights_impl<CudaExec>);
  m.impl("weight_statistics", weight_statistics_impl<CudaExec>);
  m.impl("connections", connections_impl<CudaExec>);
  m.impl("graded_spikes", graded_spikes_impl<CudaExec>);
  m.impl("_graded_spikes_forward", graded_spikes_forward_impl<CudaExec>);
  m.impl("_graded_spikes_backward", graded_spikes_backward_impl<CudaExec>);
  m.impl("lif", lif_impl<CudaExec>);
  m.impl("_lif_forward", lif_forward_impl<CudaExec>);
  m.impl("_lif_backward", lif_backward_impl<CudaExec>);
  m.impl("recurrent_lif", recurrent_lif_impl<CudaExec>);
  m.impl("_recurrent_lif_forward", recurrent_lif_forward_impl<CudaExec>);
  m.impl("_recurrent_lif_backward", recurrent_lif_backward_impl<CudaExec>);
  m.impl("li", li_impl<CudaExec>);
  m.impl("_li_forward", li_forward_impl<CudaExec>);
  m.impl("_li_backward", li_backward_impl<CudaExec>);
}

}  // namespace gradspike::ops
