// Keyed operators of a graph: their arguments as parts of the network description.
#pragma once

#include "csrc/chip/network.h"
#include "ops/walker/graph.h"

namespace gradspike::ops {

bool is_graded_spikes(const torch::jit::Node* node);
/// A projection and its population in one node: both descriptions are read from it.
bool is_synapse_lif(const torch::jit::Node* node);
bool is_keyed(const torch::jit::Node* node);

/// Raises for operators with a key that no network description holds, and says what to use instead.
void refuse_unreadable(const torch::jit::Node* node);
bool is_lif(const torch::jit::Node* node);

/// The name that the operator carries, "" where none was given: of the projection, of the population of neurons, or by
/// `what` where the operator has both.
std::string key_of(const ModelGraph& graph, const torch::jit::Node* node);
std::string key_of(const ModelGraph& graph, const torch::jit::Node* node, const char* what);

/// A graded_spikes or synapse_lif node: everything but columns, rows and target.
chip::Projection projection_description(const ModelGraph& graph, const torch::jit::Node* node);

/// Whether two weights are the same function of the same parameters.
bool same_weight(const ModelGraph& graph, const torch::jit::Value* a, const torch::jit::Value* b);
/// Whether two descriptions make the same integers and sums of a weight.
bool same_transform(const chip::Projection& a, const chip::Projection& b);

/// A lif, li or synapse_lif node with `size` neurons, with the coefficients that its operator uses.
chip::Population population_description(const ModelGraph& graph, const torch::jit::Node* node, std::int64_t size,
                                        const std::string& name, double& dt);

}  // namespace gradspike::ops
