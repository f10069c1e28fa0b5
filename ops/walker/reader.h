// Reads a scripted or traced model: from the keyed operators of its graph to the neutral network description.
//
// Only keyed operators on a path to an output count. Between them only wiring is allowed (ops/walker/connect.h); what
// comes before the first and after the last is host code of any kind. Weights may be any expression of parameters.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "csrc/chip/network.h"
#include "ops/walker/weights.h"

namespace gradspike::ops {

/// What the user says about a projection beside its operator.
struct ProjectionWish {
  std::string receptor;  // "", "signed", "excitatory", "inhibitory": must agree with the bounds
  std::string chip_coordinate;
  std::string execution_instance;
  std::string plasticity_rule;
  double plasticity_start = 0.0;
  double plasticity_period = 0.0;
  std::int64_t plasticity_executions = 0;
  std::vector<std::string> plasticity_recording;
  std::int64_t circuits_per_neuron = 0;
};

struct ReadOptions {
  std::string name = "network";
  std::map<std::string, chip::Background> backgrounds;  // inputs whose spikes the chip's own generators make
  std::map<std::string, ProjectionWish> projections;
  std::vector<std::int64_t> neuron_permutation;  // chip::Network::neuron_permutation
  chip::ModelCard card;
  std::vector<c10::IValue> example;       // inputs of the model; may be empty where all sizes follow from the weights
  std::vector<std::int64_t> input_sizes;  // of the inputs of the network, where a stored description tells them
};

/// The values in the graph that stand for a population's observables.
struct PopulationValues {
  const torch::jit::Value* spikes = nullptr;  // null for leaky integrators
  const torch::jit::Value* membrane = nullptr;
  const torch::jit::Value* current = nullptr;
  const torch::jit::Value* final_state = nullptr;
  std::int64_t num_states = 0;                       // its rows
  std::int64_t num_unused_states = 0;                // rows behind them that stay 0
  const torch::jit::Value* initial_state = nullptr;  // null: starts at rest
  bool reads_membrane = false;                       // by the model, after the operator
  bool reads_current = false;
  bool reads_state = false;
};

struct ReadNetwork {
  chip::Network network;
  std::vector<const torch::jit::Value*> sources;  // by input of the network
  std::vector<ProjectionWeight> weights;          // by projection
  std::vector<PopulationValues> populations;      // by population
  std::vector<std::string> warnings;              // one sentence each
};

/// Throws Error with one sentence that names the operator and its source line where the model is no network.
ReadNetwork read_network(const ModelGraph& graph, const ReadOptions& options);

/// Current float weights by projection name, contiguous on the CPU: what the parameters are now.
std::map<std::string, at::Tensor> float_weights(const ModelGraph& graph, const ReadNetwork& read);

/// Current integers of all projections. A NaN weight is refused by projection and index.
chip::Weights integer_weights(const ModelGraph& graph, const ReadNetwork& read);

}  // namespace gradspike::ops
