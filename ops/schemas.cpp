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
  m.def("hardware_weights_with_statistics(Tensor weight, float scale=1.0, float min_weight=-63.0, float max_weight=63.0, *, str rounding=\"half_even\") -> (Tensor hardware_weights, Tensor counts, Tensor measures, Tensor hash)", tags);
  m.def("connections(Tensor weight, float scale=1.0, float min_weight=-63.0, float max_weight=63.0, *, str rounding=\"half_even\") -> Tensor", tags);

  // Synapses
  m.def("graded_spikes(Tensor spikes, Tensor weight, float scale=1.0, float min_weight=-63.0, float max_weight=63.0, *, str rounding=\"half_even\", str gradient=\"clipped\", str units=\"model\", str projection=\"\") -> Tensor", tags);
  m.def("_graded_spikes_forward(Tensor spikes, Tensor weight, float scale, float min_weight, float max_weight, str rounding, str gradient, str units) -> (Tensor graded_spikes, Tensor hardware_weights)", tags);
  m.def("_graded_spikes_backward(Tensor grad, Tensor spikes, Tensor weight, Tensor hardware_weights, float scale, float min_weight, float max_weight, str rounding, str gradient, str units, bool[2] grad_mask) -> (Tensor grad_spikes, Tensor grad_weight)", tags);
  m.def("sparse_graded_spikes(Tensor spikes, Tensor values, Tensor connections, int out_features, float scale=1.0, float min_weight=-63.0, float max_weight=63.0, *, str rounding=\"half_even\", str gradient=\"clipped\", str units=\"model\", str projection=\"\") -> Tensor", tags);
  m.def("_sparse_graded_spikes_forward(Tensor spikes, Tensor values, Tensor connections, int out_features, float scale, float min_weight, float max_weight, str rounding, str gradient, str units) -> (Tensor graded_spikes, Tensor hardware_weights)", tags);
  m.def("_sparse_graded_spikes_backward(Tensor grad, Tensor spikes, Tensor values, Tensor connections, Tensor hardware_weights, int out_features, float scale, float min_weight, float max_weight, str rounding, str gradient, str units, bool[2] grad_mask) -> (Tensor grad_spikes, Tensor grad_values)", tags);
  m.def("prepack(Tensor weight, float scale=1.0, float min_weight=-63.0, float max_weight=63.0, *, str rounding=\"half_even\") -> (Tensor rows, Tensor groups, Tensor matrix, Tensor nan_posts)", tags);
  m.def("prepacked_graded_spikes(Tensor spikes, Tensor rows, Tensor groups, Tensor matrix, Tensor nan_posts, int out_features, float scale=1.0, float min_weight=-63.0, float max_weight=63.0, *, str units=\"model\", str projection=\"\") -> Tensor", tags);

  // Neurons
  m.def("lif(Tensor input, Tensor leak, Tensor reset, Tensor threshold, Tensor tau_mem, Tensor tau_syn, Tensor membrane_capacitance, Tensor refractory_time, *, float dt=1e-6, str surrogate=\"superspike\", float alpha=50., str outputs=\"spikes\", Tensor? initial_state=None, Tensor? measured_spikes=None, Tensor? measured_membrane=None, str population=\"\") -> (Tensor spikes, Tensor membrane, Tensor current, Tensor final_state)", tags);
  m.def("_lif_forward(Tensor input, Tensor leak, Tensor reset, Tensor threshold, Tensor tau_mem, Tensor tau_syn, Tensor membrane_capacitance, Tensor refractory_time, float dt, str surrogate, float alpha, str outputs, Tensor? initial_state, Tensor? measured_spikes, Tensor? measured_membrane, bool save) -> (Tensor spikes, Tensor membrane, Tensor current, Tensor final_state, Tensor saved, Tensor coefficients)", tags);
  m.def("_lif_backward(Tensor? grad_spikes, Tensor? grad_membrane, Tensor? grad_current, Tensor? grad_final_state, Tensor saved, Tensor? current, Tensor coefficients, Tensor leak, Tensor reset, Tensor threshold, Tensor tau_mem, Tensor tau_syn, Tensor membrane_capacitance, Tensor? initial_state, Tensor? measured_spikes, Tensor? measured_membrane, float dt, str surrogate, float alpha, bool[8] grad_mask) -> (Tensor grad_input, Tensor grad_leak, Tensor grad_reset, Tensor grad_threshold, Tensor grad_tau_mem, Tensor grad_tau_syn, Tensor grad_membrane_capacitance, Tensor grad_initial_state)", tags);
  m.def("li(Tensor input, Tensor leak, Tensor tau_mem, Tensor tau_syn, Tensor membrane_capacitance, *, float dt=1e-6, str outputs=\"membrane\", Tensor? initial_state=None, Tensor? measured_membrane=None, str population=\"\") -> (Tensor membrane, Tensor current, Tensor final_state)", tags);
  m.def("_li_forward(Tensor input, Tensor leak, Tensor tau_mem, Tensor tau_syn, Tensor membrane_capacitance, float dt, str outputs, Tensor? initial_state, Tensor? measured_membrane) -> (Tensor membrane, Tensor current, Tensor final_state, Tensor coefficients)", tags);
  m.def("_li_backward(Tensor? grad_membrane, Tensor? grad_current, Tensor? grad_final_state, Tensor? membrane, Tensor? current, Tensor coefficients, Tensor leak, Tensor tau_mem, Tensor tau_syn, Tensor membrane_capacitance, Tensor? initial_state, float dt, SymInt[3] sizes, bool[6] grad_mask) -> (Tensor grad_input, Tensor grad_leak, Tensor grad_tau_mem, Tensor grad_tau_syn, Tensor grad_membrane_capacitance, Tensor grad_initial_state)", tags);

  // Spikes in other forms
  m.def("pack_spikes(Tensor spikes) -> (Tensor packed, Tensor lost)", tags);
  m.def("spikes_to_events(Tensor spikes, int capacity) -> (Tensor events, Tensor count, Tensor overflow, Tensor invalid)", tags);
  m.def("events_to_spikes(Tensor events, Tensor count, int time, int batch, int neuron, *, float dt=1.0, bool binary=False, ScalarType? dtype=None) -> (Tensor spikes, Tensor dropped)", tags);
  m.def("unpack_spikes(Tensor packed, int neurons, *, ScalarType? dtype=None) -> Tensor", tags);
}
// clang-format on
