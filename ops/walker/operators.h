// Keyed operators of a graph: their arguments as parts of the network description.
#pragma once

#include "csrc/chip/network.h"
#include "ops/walker/graph.h"

namespace gradspike::ops {

bool is_graded_spikes(const torch::jit::Node* node);
bool is_keyed(const torch::jit::Node* node);
/// An operator that owns a loop between its neurons, which the reader does not describe.
bool is_recurrent(const torch::jit::Node* node);

/// The name that the operator carries, "" where none was given.
std::string key_of(const ModelGraph& graph, const torch::jit::Node* node);

/// A graded_spikes node: everything but columns, rows and target.
chip::Projection projection_description(const ModelGraph& graph, const torch::jit::Node* node);

/// Whether two weights are the same function of the same parameters.
bool same_weight(const ModelGraph& graph, const torch::jit::Value* a, const torch::jit::Value* b);
/// Whether two descriptions make the same integers and sums of a weight.
bool same_transform(const chip::Projection& a, const chip::Projection& b);

/// A lif or li node with `size` neurons, with the coefficients that its operator uses.
chip::Population population_description(const ModelGraph& graph, const torch::jit::Node* node, std::int64_t size,
                                        const std::string& name, double& dt);

}  // namespace gradspike::ops
