// The CUDA kernels of all operators. Plans, Meta and Autograd are in libgradspike.so, which this library needs.
#include <torch/library.h>

#include "ops/aelif.h"
#include "ops/cuda/execution.h"
#include "ops/eventprop_graded_spikes.h"
#include "ops/eventprop_lif.h"
#include "ops/events.h"
#include "ops/exact_eventprop_lif.h"
#include "ops/graded_spikes.h"
#include "ops/graded_spikes_stack.h"
#include "ops/li.h"
#include "ops/lif.h"
#include "ops/packed_spikes.h"
#include "ops/prepacked.h"
#include "ops/recurrent_lif_backward.h"
#include "ops/sparse_graded_spikes.h"
#include "ops/stack.h"
#include "ops/synapse_lif.h"
#include "ops/weights.h"

namespace gradspike::ops {

TORCH_LIBRARY_IMPL(gradspike, CUDA, m) {
  m.impl("linear_saturating", linear_saturating_impl<CudaExec>);
  m.impl("_linear_saturating_backward", linear_saturating_backward_impl<CudaExec>);
  m.impl("hardware_weights", hardware_weights_impl<CudaExec>);
  m.impl("weight_statistics", weight_statistics_impl<CudaExec>);
  m.impl("hardware_weights_with_statistics", hardware_weights_with_statistics_impl<CudaExec>);
  m.impl("connections", connections_impl<CudaExec>);
  m.impl("graded_spikes", graded_spikes_stack<CudaExec>);
  m.impl("_graded_spikes_forward", graded_spikes_forward_stack<CudaExec>);
  m.impl("_graded_spikes_backward", graded_spikes_backward_stack<CudaExec>);
  m.impl("sparse_graded_spikes", sparse_graded_spikes_impl<CudaExec>);
  m.impl("_sparse_graded_spikes_forward", stacked<&sparse_graded_spikes_forward_impl<CudaExec>, 1, 1>);
  m.impl("_sparse_graded_spikes_backward", stacked<&sparse_graded_spikes_backward_impl<CudaExec>, 2, 1>);
  m.impl("pack_spikes", pack_spikes_impl<CudaExec>);
  m.impl("unpack_spikes", unpack_spikes_impl<CudaExec>);
  m.impl("spikes_to_events", spikes_to_events_impl<CudaExec>);
  m.impl("events_to_spikes", events_to_spikes_impl<CudaExec>);
  m.impl("prepack", prepack_impl<CudaExec>);
  m.impl("prepacked_graded_spikes", prepacked_graded_spikes_impl<CudaExec>);
  m.impl("lif", lif_impl<CudaExec>);
  m.impl("_lif_forward", lif_forward_impl<CudaExec>);
  m.impl("_lif_backward", lif_backward_impl<CudaExec>);
  m.impl("recurrent_lif", recurrent_lif_impl<CudaExec>);
  m.impl("_recurrent_lif_forward", stacked<&recurrent_lif_forward_impl<CudaExec>, 1>);
  m.impl("_recurrent_lif_backward", stacked<&recurrent_lif_backward_impl<CudaExec>, 5>);
  m.impl("li", li_impl<CudaExec>);
  m.impl("_li_forward", li_forward_impl<CudaExec>);
  m.impl("_li_backward", li_backward_impl<CudaExec>);
  m.impl("aelif", aelif_impl<CudaExec>);
  m.impl("_aelif_forward", aelif_forward_impl<CudaExec>);
  m.impl("_aelif_backward", aelif_backward_impl<CudaExec>);
  m.impl("eventprop_graded_spikes", eventprop_graded_spikes_impl<CudaExec>);
  m.impl("_eventprop_graded_spikes_forward", stacked<&eventprop_graded_spikes_forward_impl<CudaExec>, 1>);
  m.impl("_eventprop_graded_spikes_backward", stacked<&eventprop_graded_spikes_backward_impl<CudaExec>, 3>);
  m.impl("eventprop_lif", eventprop_lif_impl<CudaExec>);
  m.impl("_eventprop_lif_forward", eventprop_lif_forward_impl<CudaExec>);
  m.impl("_eventprop_lif_backward", eventprop_lif_backward_impl<CudaExec>);
  m.impl("exact_eventprop_lif", exact_eventprop_lif_impl<CudaExec>);
  m.impl("_exact_eventprop_lif_forward", exact_eventprop_lif_forward_impl<CudaExec>);
  m.impl("_exact_eventprop_lif_backward", exact_eventprop_lif_backward_impl<CudaExec>);
  m.impl("synapse_lif", synapse_lif_impl<CudaExec>);
  m.impl("_synapse_lif_forward", stacked<&synapse_lif_forward_impl<CudaExec>, 1>);
  m.impl("_synapse_lif_backward", stacked<&synapse_lif_backward_impl<CudaExec>, 5>);
}

}  // namespace gradspike::ops
