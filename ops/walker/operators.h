// Keyed operators of a graph: their kinds, names and arguments, and populations as parts of the network description.
#pragma once

#include "csrc/chip/network.h"
#include "ops/walker/graph.h"

namespace gradspike::ops {

// ---- kinds ---------------------------------------------------------------------------------------------------------

/// Whether a node is an operator of this qualified name, such as "gradspike::lif".
bool is_operator(const torch::jit::Node* node, const char* name);

/// A projection alone.
bool is_projection(const torch::jit::Node* node);
/// The projection whose matrix is a list of connections, and the one whose weights are packed integers.
bool is_sparse(const torch::jit::Node* node);
bool is_prepacked(const torch::jit::Node* node);
/// Projections and their population in one node: both descriptions are read from it.
bool is_fused(const torch::jit::Node* node);
/// The fused operator with a second projection, from its population to itself.
bool is_recurrent(const torch::jit::Node* node);
/// A population of neurons, with or without its projections.
bool is_population(const torch::jit::Node* node);
/// A population that sends spikes.
bool fires(const torch::jit::Node* node);
inline bool is_keyed(const torch::jit::Node* node) { return is_projection(node) || is_population(node); }

/// Raises for operators with a key that no network description holds, and says what to use instead.
void refuse_unreadable(const torch::jit::Node* node);

// ---- names and arguments -------------------------------------------------------------------------------------------

/// The argument of a name that a keyed operator always has: of its first projection, or else of its population.
const char* key_argument(const torch::jit::Node* node);
/// The name that the operator carries, "" where none was given.
std::string key_of(const ModelGraph& graph, const torch::jit::Node* node, const char* argument);

/// Argument by its name in the schema.
const torch::jit::Value* argument_of(const torch::jit::Node* node, const std::string& name);
/// Its value. Throws where it depends on the input of the model.
c10::IValue constant_of(const ModelGraph& graph, const torch::jit::Node* node, const std::string& name);

/// Names of all traces that a population gives, as its argument `outputs` takes them.
const char* all_traces(const torch::jit::Node* node);

// ---- populations ---------------------------------------------------------------------------------------------------

/// A population of `size` neurons, with the coefficients that its operator uses.
chip::Population population_description(const ModelGraph& graph, const torch::jit::Node* node, std::int64_t size,
                                        const std::string& name, double& dt);
/// The state that a population starts from, null where it starts at rest. Throws where it is no result of host code.
const torch::jit::Value* initial_state_of(const ModelGraph& graph, const torch::jit::Node* node);
/// Rows of the state of a population on the chip, and how many more the operator has, which stay 0.
std::int64_t num_states(const torch::jit::Node* node);
std::int64_t num_unused_states(const torch::jit::Node* node);

}  // namespace gradspike::ops
