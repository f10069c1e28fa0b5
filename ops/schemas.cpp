// Every operator of gradspike, one per line: the table of contents. Operators that start with an underscore are the
// parts that the public ones are made of; their contract may change between versions.
#include <torch/library.h>

// clang-format off
TORCH_LIBRARY(gradspike, m) {
  const std::vector<at::Tag> tags = {at::Tag::pt2_compliant_tag};

  // Weights
  m.def("linear_saturating(Tensor weight, float scale=1.0, float min_weight=-63.0, float max_weight=63.0, *, str gradient=\"clipped\") -> Tensor", tags);
  m.def("_linear_saturating_backward(Tensor grad, Tensor weight, float scale, float min_weight, float max_weight, str gradient) -> Tensor", tags);
  m.def("hardware_weights(Tensor weight, float scale=1.0, float min_weight=-63.0, float max_weight=63.0, *, str rounding=\"half_even\") -> Tensor", tags);
  m.def("weight_statistics(Tensor weight, float scale=1.0, float min_weight=-63.0, float max_weight=63.0, *, str rounding=\"half_even\") -> (Tensor counts, Tensor measures, Tensor hash)", tags);
  m.def("connections(Tensor weight, float scale=1.0, float min_weight=-63.0, float max_weight=63.0, *, str rounding=\"half_even\") -> Tensor", tags);

  // Synapses
  m.def("graded_spikes(Tensor spikes, Tensor weight, float scale=1.0, float min_weight=-63.0, float max_weight=63.0, *, str rounding=\"half_even\", str gradient=\"clipped\", str units=\"model\", str projection=\"\") -> Tensor", tags);
  m.def("_graded_spikes_forward(Tensor spikes, Tensor weight, float scale, float min_weight, float max_weight, str rounding, str gradient, str units) -> (Tensor graded_spikes, Tensor hardware_weights)", tags);
  m.def("_graded_spikes_backward(Tensor grad, Tensor spikes, Tensor weight, Tensor hardware_weights, float scale, float min_weight, float max_weight, str rounding, str gradient, str units, bool[2] grad_mask) -> (Tensor grad_spikes, Tensor grad_weight)", tags);

  // Neurons
  m.def("lif(Tensor input, Tensor leak, Tensor reset, Tensor threshold, Tensor tau_mem, Tensor tau_syn, Tensor membrane_capacitance, Tensor refractory_time, *, float dt=1e-6, str surrogate=\"superspike\", float alpha=50., str outputs=\"spikes\", Tensor? initial_state=None, Tensor? measured_spikes=None, Tensor? measured_membrane=None, str population=\"\") -> (Tensor spikes, Tensor membrane, Tensor current, Tensor final_state)", tags);
  m.def("_lif_forward(Tensor input, Tensor leak, Tensor reset, Tensor threshold, Tensor tau_mem, Tensor tau_syn, Tensor membrane_capacitance, Tensor refractory_time, float dt, str surrogate, float alpha, str outputs, Tensor? initial_state, Tensor? measured_spikes, Tensor? measured_membrane, bool save) -> (Tensor spikes, Tensor membrane, Tensor current, Tensor final_state, Tensor saved, Tensor coefficients)", tags);
  m.def("_lif_backward(Tensor? grad_spikes, Tensor? grad_membrane, Tensor? grad_current, Tensor? grad_final_state, Tensor saved, Tensor? current, Tensor coefficients, Tensor leak, Tensor reset, Tensor threshold, Tensor tau_mem, Tensor tau_syn, Tensor membrane_capacitance, Tensor? initial_state, Tensor? measured_spikes, Tensor? measured_membrane, float dt, str surrogate, float alpha, bool[8] grad_mask) -> (Tensor grad_input, Tensor grad_leak, Tensor grad_reset, Tensor grad_threshold, Tensor grad_tau_mem, Tensor grad_tau_syn, Tensor grad_membrane_capacitance, Tensor grad_initial_state)", tags);
  m.def("li(Tensor input, Tensor leak, Tensor tau_mem, Tensor tau_syn, Tensor membrane_capacitance, *, float dt=1e-6, str outputs=\"membrane\", Tensor? initial_state=None, Tensor? measured_membrane=None, str population=\"\") -> (Tensor membrane, Tensor current, Tensor final_state)", tags);
  m.def("_li_forward(Tensor input, Tensor leak, Tensor tau_mem, Tensor tau_syn, Tensor membrane_capacitance, float dt, str outputs, Tensor? initial_state, Tensor? measured_membrane) -> (Tensor membrane, Tensor current, Tensor final_state, Tensor coefficients)", tags);
  m.def("_li_backward(Tensor? grad_membrane, Tensor? grad_current, Tensor? grad_final_state, Tensor? membrane, Tensor? current, Tensor coefficients, Tensor leak, Tensor tau_mem, Tensor tau_syn, Tensor membrane_capacitance, Tensor? initial_state, float dt, SymInt[3] sizes, bool[6] grad_mask) -> (Tensor grad_input, Tensor grad_leak, Tensor grad_tau_mem, Tensor grad_tau_syn, Tensor grad_membrane_capacitance, Tensor grad_initial_state)", tags);

  // Synapses and neurons in one
  m.def("synapse_lif(Tensor spikes, Tensor weight, Tensor leak, Tensor reset, Tensor threshold, Tensor tau_mem, Tensor tau_syn, Tensor membrane_capacitance, Tensor refractory_time, *, float scale=1.0, float min_weight=-63.0, float max_weight=63.0, str rounding=\"half_even\", str gradient=\"clipped\", str units=\"model\", float dt=1e-6, str surrogate=\"superspike\", float alpha=50., str outputs=\"spikes\", str spike_format=\"float\", bool packed_input=False, Tensor? initial_state=None, Tensor? measured_spikes=None, Tensor? measured_membrane=None, int recompute_every=0, str projection=\"\", str population=\"\") -> (Tensor spikes, Tensor membrane, Tensor current, Tensor final_state)", tags);
  m.def("_synapse_lif_forward(Tensor spikes, Tensor weight, Tensor leak, Tensor reset, Tensor threshold, Tensor tau_mem, Tensor tau_syn, Tensor membrane_capacitance, Tensor refractory_time, float scale, float min_weight, float max_weight, str rounding, str gradient, str units, float dt, str surrogate, float alpha, str outputs, str spike_format, bool packed_input, Tensor? initial_state, Tensor? measured_spikes, Tensor? measured_membrane, int recompute_every, bool save) -> (Tensor spikes, Tensor membrane, Tensor current, Tensor final_state, Tensor saved, Tensor coefficients, Tensor hardware_weights)", tags);
  m.def("_synapse_lif_backward(Tensor? grad_spikes, Tensor? grad_membrane, Tensor? grad_current, Tensor? grad_final_state, Tensor spikes, Tensor weight, Tensor hardware_weights, Tensor saved, Tensor? current, Tensor coefficients, Tensor leak, Tensor reset, Tensor threshold, Tensor tau_mem, Tensor tau_syn, Tensor membrane_capacitance, Tensor? initial_state, Tensor? measured_spikes, Tensor? measured_membrane, float scale, float min_weight, float max_weight, str rounding, str gradient, str units, float dt, str surrogate, float alpha, bool packed_input, int recompute_every, bool[9] grad_mask) -> (Tensor grad_input_spikes, Tensor grad_weight, Tensor grad_leak, Tensor grad_reset, Tensor grad_threshold, Tensor grad_tau_mem, Tensor grad_tau_syn, Tensor grad_membrane_capacitance, Tensor grad_initial_state)", tags);
}
// clang-format on
