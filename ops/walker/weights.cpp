#include "ops/walker/weights.h"

#include <ATen/ops/div.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/index_put.h>
#include <ATen/ops/masked_fill.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <limits>
#include <set>

#include "csrc/core/error.h"
#include "ops/recurrent_lif.h"
#include "ops/sparse_graded_spikes.h"
#include "ops/walker/operators.h"

namespace gradspike::ops {
namespace {

using torch::jit::Node;
using torch::jit::Value;

/// Tensors of the model that a value is computed from.
void collect_tensors(const ModelGraph& graph, const Value* value, std::set<const void*>& tensors) {
  const auto kind = value->node()->kind();
  if ((kind == c10::prim::GetAttr || kind == c10::prim::Constant) &&
      value->type()->isSubtypeOf(*c10::TensorType::get())) {
    tensors.insert(graph.evaluate_constant(value).toTensor().unsafeGetTensorImpl());
    return;
  }
  std::vector<const Value*> operands;
  ModelGraph::add_operands(value->node(), operands);
  for (const Value* operand : operands) {
    collect_tensors(graph, operand, tensors);
  }
}

/// Model weights whose integers are the packed ones: a quotient times the scale is less than half an LSB off.
at::Tensor unpacked(const chip::Projection& p, const at::Tensor& matrix, const at::Tensor& nan_posts) {
  const at::Tensor integers = matrix.slice(1, 0, p.in_features);
  return at::masked_fill(at::div(integers.to(at::kFloat), p.scale), nan_posts.unsqueeze(1),
                         std::numeric_limits<double>::quiet_NaN());
}

at::Tensor matrix_of(const chip::Projection& p, const ProjectionWeight& weight, const std::vector<at::Tensor>& parts) {
  for (const at::Tensor& part : parts) {
    require_values(p.name, part);
  }
  if (is_sparse(weight.node)) {
    return scattered(parts[0], parts[1], p.out_features, p.in_features);
  }
  if (is_prepacked(weight.node)) {
    return unpacked(p, parts[0], parts[1]);
  }
  return connected(parts[0], parts.size() > 1 ? std::optional<at::Tensor>(parts[1]) : std::nullopt).contiguous();
}

}  // namespace

std::vector<const char*> part_names(const Node* node, Role role) {
  if (is_sparse(node)) {
    return {"values", "connections"};
  }
  if (is_prepacked(node)) {
    return {"matrix", "nan_posts"};
  }
  if (!is_recurrent(node)) {
    return {"weight"};
  }
  return role == Role::kInput ? std::vector<const char*>{"input_weight"}
                              : std::vector<const char*>{"recurrent_weight", "recurrent_mask"};
}

ProjectionWeight projection_weight(const ModelGraph& graph, const Node* node, Role role) {
  ProjectionWeight weight{node, role, {}};
  for (const char* name : part_names(node, role)) {
    const Value* part = argument_of(node, name);
    GRADSPIKE_REQUIRE(!graph.depends_on_input(part), "projection '", projection_name(graph, node, role),
                      "': the weight depends on the input of the model, so it cannot be written to a chip");
    if (!graph.evaluate_constant(part).isNone()) {
      weight.parts.push_back(part);
    }
  }
  return weight;
}

std::string projection_name(const ModelGraph& graph, const Node* node, Role role) {
  return key_of(graph, node, role == Role::kInput ? "projection" : "recurrent_projection");
}

std::vector<std::vector<at::Tensor>> evaluated(const ModelGraph& graph, const std::vector<ProjectionWeight>& weights) {
  std::vector<const Value*> parts;
  for (const ProjectionWeight& weight : weights) {
    parts.insert(parts.end(), weight.parts.begin(), weight.parts.end());
  }
  const std::vector<c10::IValue> values = graph.evaluate(parts);
  std::vector<std::vector<at::Tensor>> result;
  auto next = values.begin();
  for (const ProjectionWeight& weight : weights) {
    std::vector<at::Tensor>& tensors = result.emplace_back();
    for (std::size_t k = 0; k < weight.parts.size(); ++k) {
      const at::Tensor tensor = (next++)->toTensor().detach();
      tensors.push_back(tensor.is_meta() ? tensor : tensor.to(at::kCPU));
    }
  }
  return result;
}

std::vector<at::Tensor> evaluated(const ModelGraph& graph, const ProjectionWeight& weight) {
  return evaluated(graph, std::vector<ProjectionWeight>{weight}).front();
}

void require_values(const std::string& projection, const at::Tensor& part) {
  GRADSPIKE_REQUIRE(!part.is_meta(), "projection '", projection,
                    "': the weight is on the meta device and has no values");
}

at::Tensor scattered(const at::Tensor& values, const at::Tensor& connections, std::int64_t out_features,
                     std::int64_t in_features) {
  const at::Tensor list = connections.contiguous();
  refuse_bad_connection("sparse_graded_spikes", connection_index(list, in_features, out_features));
  return at::index_put(at::zeros({out_features, in_features}, values.options()), {list.select(0, 0), list.select(0, 1)},
                       values);
}

bool same_weight(const ModelGraph& graph, const ProjectionWeight& a, const ProjectionWeight& b) {
  if (is_sparse(a.node) != is_sparse(b.node) || is_prepacked(a.node) != is_prepacked(b.node) ||
      a.parts.size() != b.parts.size()) {
    return false;
  }
  std::set<const void*> of_a;
  std::set<const void*> of_b;
  for (std::size_t k = 0; k < a.parts.size(); ++k) {
    collect_tensors(graph, a.parts[k], of_a);
    collect_tensors(graph, b.parts[k], of_b);
  }
  const std::vector<std::vector<at::Tensor>> values = evaluated(graph, {a, b});
  bool same = of_a == of_b;
  for (std::size_t k = 0; same && k < a.parts.size(); ++k) {
    same = values[0][k].scalar_type() == values[1][k].scalar_type() && at::equal(values[0][k], values[1][k]);
  }
  return same;
}

std::vector<at::Tensor> weight_matrices(const ModelGraph& graph, const std::vector<chip::Projection>& projections,
                                        const std::vector<ProjectionWeight>& weights) {
  std::vector<at::Tensor> result;
  const std::vector<std::vector<at::Tensor>> parts = evaluated(graph, weights);
  for (std::size_t k = 0; k < weights.size(); ++k) {
    result.push_back(matrix_of(projections[k], weights[k], parts[k]));
  }
  return result;
}

chip::IntegerMatrix integers_of(const chip::Projection& p, const at::Tensor& matrix) {
  const at::Tensor w = widened(matrix);
  const math::Rounding rounding = p.rounding == math::Rounding::kNone ? math::Rounding::kHalfEven : p.rounding;
  const math::WeightTransform transform{p.scale, static_cast<double>(p.min_weight), static_cast<double>(p.max_weight),
                                        rounding};
  const at::Tensor q = quantised(Scope<CpuExec>(w), w, WeightPlan{transform, at::kShort});
  chip::IntegerMatrix integers{p.out_features, p.in_features, {}, 0};
  const std::int16_t* data = q.const_data_ptr<std::int16_t>();
  integers.values.assign(data, data + q.numel());
  for (std::int64_t k = 0; k < q.numel(); ++k) {
    GRADSPIKE_REQUIRE(data[k] != math::nan_weight<std::int16_t>(), "projection '", p.name, "': weight[",
                      k / p.in_features, ", ", k % p.in_features, "] is NaN, which no synapse can hold");
  }
  integers.hash = chip::content_hash(p, integers.values);
  return integers;
}

chip::WeightLosses losses_of(const chip::Projection& p, const ProjectionWeight& weight, const at::Tensor& matrix) {
  at::Tensor existing = matrix;
  if (!p.mask.empty()) {
    at::Tensor mask = at::empty(matrix.sizes(), at::kBool);
    std::copy(p.mask.begin(), p.mask.end(), mask.mutable_data_ptr<bool>());
    existing = matrix.masked_select(mask).unsqueeze(0);
  }
  if (is_prepacked(weight.node)) {  // the model has no weights but the integers
    return {existing.numel(), 0, 0, 0.0};
  }
  const char* rounding = p.rounding == math::Rounding::kHalfAway ? "half_away" : "half_even";
  const auto [counts, measures, hash] =
      weight_statistics_impl<CpuExec>(existing, static_cast<double>(p.scale), p.min_weight, p.max_weight, rounding);
  const std::int64_t* c = counts.const_data_ptr<std::int64_t>();
  return {c[kernels::kCountTotal], c[kernels::kCountClippedLow] + c[kernels::kCountClippedHigh],
          c[kernels::kCountToZero], measures.const_data_ptr<double>()[kernels::kMeasureRoundingError]};
}

}  // namespace gradspike::ops
