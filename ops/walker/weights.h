// Weights of the projections of a graph, in whatever form an operator keeps them.
#pragma once

#include <ATen/core/Tensor.h>

#include "csrc/chip/network.h"
#include "csrc/chip/report.h"
#include "ops/walker/graph.h"

namespace gradspike::ops {

/// Which projection of an operator: recurrent_lif has two, the others the first alone.
enum class Role { kInput, kRecurrent };

/// The matrix of a projection as values of the graph.
struct ProjectionWeight {
  const torch::jit::Node* node = nullptr;
  Role role = Role::kInput;
  /// What the matrix is made of: weight; weight and mask; values and connections; packed integers and NaN rows.
  std::vector<const torch::jit::Value*> parts;
};

/// Names of the arguments that hold the parts; a mask may be None and is no part then.
std::vector<const char*> part_names(const torch::jit::Node* node, Role role);
/// Throws where a part depends on the input of the model.
ProjectionWeight projection_weight(const ModelGraph& graph, const torch::jit::Node* node, Role role);
std::string projection_name(const ModelGraph& graph, const torch::jit::Node* node, Role role);

/// Present values of the parts, on the CPU unless they have none; one evaluation of the graph.
std::vector<std::vector<at::Tensor>> evaluated(const ModelGraph& graph, const std::vector<ProjectionWeight>& weights);
std::vector<at::Tensor> evaluated(const ModelGraph& graph, const ProjectionWeight& weight);
/// Throws where a part is on the meta device.
void require_values(const std::string& projection, const at::Tensor& part);
/// `values` at a list of connections, elsewhere 0. Throws where the operator would refuse the list.
at::Tensor scattered(const at::Tensor& values, const at::Tensor& connections, std::int64_t out_features,
                     std::int64_t in_features);

/// Whether two weights are the same function of the same parameters.
bool same_weight(const ModelGraph& graph, const ProjectionWeight& a, const ProjectionWeight& b);

/// Present float weights [out_features, in_features] of described projections, contiguous on the CPU.
std::vector<at::Tensor> weight_matrices(const ModelGraph& graph, const std::vector<chip::Projection>& projections,
                                        const std::vector<ProjectionWeight>& weights);
/// Integers of one matrix. Throws where a weight is NaN.
chip::IntegerMatrix integers_of(const chip::Projection& projection, const at::Tensor& matrix);
/// What the integers of one matrix lose, over the connections that exist.
chip::WeightLosses losses_of(const chip::Projection& projection, const ProjectionWeight& weight,
                             const at::Tensor& matrix);

}  // namespace gradspike::ops
