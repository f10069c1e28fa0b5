#include "ops/walker/projections.h"

#include <ATen/ops/all.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/eq.h>
#include <ATen/ops/full.h>
#include <ATen/ops/logical_and.h>
#include <ATen/ops/logical_or.h>

#include <set>
#include <tuple>

#include "csrc/core/error.h"
#include "ops/prepacked.h"
#include "ops/recurrent_lif.h"
#include "ops/sparse_graded_spikes.h"
#include "ops/walker/operators.h"

namespace gradspike::ops {
namespace {

using torch::jit::Node;
using torch::jit::Value;

/// Of the matrix that a list of connections spans, far beyond what a chip holds.
constexpr std::int64_t kMaxEntries = std::int64_t{1} << 26;

// ---- which connections exist ---------------------------------------------------------------------------------------

/// Whether training changes a value: one of the model's tensors that it is computed from requires a gradient. The
/// evaluated value itself does not tell, it is computed without gradients.
bool is_trained(const ModelGraph& graph, const Value* value) {
  std::vector<const Value*> open = {value};
  std::set<const Value*> seen;
  while (!open.empty()) {
    const Value* next = open.back();
    open.pop_back();
    if (!seen.insert(next).second) {
      continue;
    }
    const auto kind = next->node()->kind();
    const bool is_module = next->type()->kind() == c10::TypeKind::ClassType;
    if ((kind == c10::prim::GetAttr || kind == c10::prim::Constant) && !is_module) {
      bool trained = false;
      graph.evaluate_constant(next).visit([&](const c10::IValue& part) {  // also tensors in lists
        trained = trained || (part.isTensor() && part.toTensor().defined() && part.toTensor().requires_grad());
        return trained;
      });
      if (trained) {
        return true;
      }
    }
    ModelGraph::add_operands(next->node(), open);
  }
  return false;
}

/// The mask of a weight that is a product with a boolean or 0/1 mask that is not trained, or an undefined tensor.
at::Tensor factor_mask(const ModelGraph& graph, const Value* weight, at::IntArrayRef sizes) {
  const Node* node = weight->node();
  if (!is_operator(node, "aten::mul") || !node->input(1)->type()->isSubtypeOf(*c10::TensorType::get())) {
    return {};
  }
  for (const Value* factor : node->inputs()) {
    at::Tensor tensor = graph.evaluate_constant(factor).toTensor();
    const bool matrix = tensor.dim() == 2 || tensor.scalar_type() == at::kBool;
    if (!matrix || is_trained(graph, factor) ||
        !(tensor.scalar_type() == at::kBool ||
          at::all(at::logical_or(at::eq(tensor, 0), at::eq(tensor, 1))).item<bool>())) {
      continue;
    }
    return tensor.to(at::kCPU, at::kBool).expand(sizes);
  }
  return {};
}

/// The connections that exist whatever training does, row-major; empty: all.
std::vector<bool> existing_connections(const ModelGraph& graph, const ProjectionWeight& weight,
                                       const std::vector<at::Tensor>& parts, const chip::Projection& p) {
  at::Tensor mask;
  const bool fixed = weight.parts.size() > 1 && !is_trained(graph, weight.parts[1]);
  if (is_sparse(weight.node)) {
    const at::Tensor all = at::full(parts[0].sizes(), true, at::kBool);
    mask = fixed ? scattered(all, parts[1], p.out_features, p.in_features) : mask;
  } else if (!is_prepacked(weight.node)) {
    mask = factor_mask(graph, weight.parts[0], parts[0].sizes());
    if (fixed) {
      mask = mask.defined() ? at::logical_and(mask, parts[1]) : parts[1];
    }
  }
  if (!mask.defined()) {
    return {};
  }
  mask = mask.contiguous();
  const bool* data = mask.const_data_ptr<bool>();
  return std::vector<bool>(data, data + mask.numel());
}

// ---- the operators' own checks -------------------------------------------------------------------------------------

/// The numbers of one projection that make integers and sums.
struct Numbers {
  Numbers(const ModelGraph& graph, const Node* node, const std::string& prefix)
      : scale(number(constant_of(graph, node, prefix + "scale"))),
        min_weight(constant_of(graph, node, prefix + "min_weight").toDouble()),
        max_weight(constant_of(graph, node, prefix + "max_weight").toDouble()) {}

  /// A scale is a number or, in an overload, a tensor without dimensions.
  static double number(const c10::IValue& value) {
    return value.isTensor() ? static_cast<double>(value.toTensor().to(at::kCPU, at::kFloat).item<float>())
                            : value.toDouble();
  }

  double scale;
  double min_weight;
  double max_weight;
};

RecurrentPlan plan_recurrent(const ModelGraph& graph, const Node* node, const char* op, const std::string& rounding,
                             const std::string& units) {
  const std::vector<at::Tensor> input = evaluated(graph, projection_weight(graph, node, Role::kInput));
  const std::vector<at::Tensor> own = evaluated(graph, projection_weight(graph, node, Role::kRecurrent));
  check_weight_matrix(op, input[0], "input_weight");
  const at::Tensor spikes = at::empty({0, 0, input[0].size(1)}, input[0].options());
  const std::optional<at::Tensor> mask = own.size() > 1 ? std::optional<at::Tensor>(own[1]) : std::nullopt;
  const Numbers i(graph, node, "input_");
  const Numbers r(graph, node, "recurrent_");
  return plan_recurrent_weights(op, {spikes, input[0], own[0], mask, i.scale, i.min_weight, i.max_weight, r.scale,
                                     r.min_weight, r.max_weight, rounding, "clipped", units});
}

/// The plan of the operator for spikes of `in_features` neurons: what it refuses cannot be read.
GradedSpikesPlan plan_of(const ModelGraph& graph, const ProjectionWeight& weight, const std::vector<at::Tensor>& parts,
                         std::int64_t in_features) {
  const Node* node = weight.node;
  const char* op = node->kind().toUnqualString();
  const std::string units = constant_of(graph, node, "units").toStringRef();
  const std::string rounding = is_prepacked(node) ? "" : constant_of(graph, node, "rounding").toStringRef();
  if (is_recurrent(node)) {
    const RecurrentPlan plan = plan_recurrent(graph, node, op, rounding, units);
    return weight.role == Role::kInput ? plan.input : plan.recurrent;
  }
  const Numbers n(graph, node, "");
  const at::Tensor spikes = at::empty({1, in_features}, parts[0].options().dtype(at::kFloat));
  GradedSpikesPlan result;
  if (is_sparse(node)) {
    const SparsePlan plan =
        plan_sparse_graded_spikes(op, spikes, parts[0], parts[1], constant_of(graph, node, "out_features").toInt(),
                                  n.scale, n.min_weight, n.max_weight, rounding, "clipped", units);
    std::tie(result.transform, result.model_units) = std::tie(plan.transform, plan.model_units);
    return result;
  }
  if (is_prepacked(node)) {
    const auto part = [&](const char* name) { return constant_of(graph, node, name).toTensor().to(spikes.device()); };
    const PrepackedPlan plan = plan_prepacked_graded_spikes(spikes, part("rows"), part("groups"), parts[0], parts[1],
                                                            constant_of(graph, node, "out_features").toInt(), n.scale,
                                                            n.min_weight, n.max_weight, units);
    std::tie(result.transform, result.model_units) = std::tie(plan.transform, plan.model_units);
    return result;
  }
  return plan_graded_spikes(spikes, parts[0], n.scale, n.min_weight, n.max_weight, rounding, "clipped", units, op);
}

/// Rows of the matrix. A matrix that a list of connections spans is made here alone: the chip's integers are dense.
std::int64_t out_features_of(const ModelGraph& graph, const ProjectionWeight& weight, const at::Tensor& first,
                             std::int64_t in_features) {
  if (!is_sparse(weight.node) && !is_prepacked(weight.node)) {
    return first.size(0);
  }
  const std::int64_t out_features = constant_of(graph, weight.node, "out_features").toInt();
  GRADSPIKE_REQUIRE(in_features == 0 || out_features <= kMaxEntries / in_features, ModelGraph::place(weight.node),
                    ": out_features times in_features must be at most ", kMaxEntries,
                    " in a network for the chip, got ", out_features, " x ", in_features);
  return out_features;
}

/// Spikes in other forms than a number per neuron are for the operators alone.
void refuse_compact_spikes(const ModelGraph& graph, const Node* node) {
  if (!is_operator(node, "gradspike::synapse_lif")) {
    return;
  }
  GRADSPIKE_REQUIRE(!constant_of(graph, node, "packed_input").toBool(), ModelGraph::place(node),
                    ": packed_input must not be set in a network that is read: a network takes spikes per neuron");
  const std::string format = constant_of(graph, node, "spike_format").toStringRef();
  GRADSPIKE_REQUIRE(format == "float", ModelGraph::place(node),
                    ": spike_format must be 'float' in a network that is read, got '", format, "'");
}

/// The number `in_features` of the module that holds the connections, -1 where there is none.
std::int64_t in_features_of_module(const ModelGraph& graph, const Value* connections) {
  const Node* node = connections->node();
  if (node->kind() != c10::prim::GetAttr || node->input(0)->type()->kind() != c10::TypeKind::ClassType) {
    return -1;
  }
  const auto module = graph.evaluate_constant(node->input(0)).toObject();
  if (!module->type()->hasAttribute("in_features")) {
    return -1;
  }
  const c10::IValue size = module->getAttr("in_features");
  return size.isInt() ? size.toInt() : -1;
}

}  // namespace

std::int64_t expected_in_features(const ModelGraph& graph, const ProjectionWeight& weight) {
  if (is_sparse(weight.node)) {
    return in_features_of_module(graph, weight.parts[1]);
  }
  const at::Tensor matrix =
      is_prepacked(weight.node) ? constant_of(graph, weight.node, "rows").toTensor() : evaluated(graph, weight)[0];
  GRADSPIKE_REQUIRE(matrix.dim() == 2, "projection '", projection_name(graph, weight.node, weight.role),
                    "': the weight must be [out_features, in_features], got ", matrix.dim(), " dimensions");
  return matrix.size(is_prepacked(weight.node) ? 0 : 1);
}

chip::Projection projection_description(const ModelGraph& graph, const ProjectionWeight& weight,
                                        std::int64_t in_features) {
  chip::Projection p;
  p.name = projection_name(graph, weight.node, weight.role);
  refuse_compact_spikes(graph, weight.node);
  const std::vector<at::Tensor> parts = evaluated(graph, weight);
  GRADSPIKE_REQUIRE(parts[0].scalar_type() != at::kDouble, "projection '", p.name,
                    "': the weight is float64; networks on the chip and its emulator compute in float32");
  for (std::size_t k = 1; k < parts.size(); ++k) {
    require_values(p.name, parts[k]);
  }
  const GradedSpikesPlan plan = plan_of(graph, weight, parts, in_features);
  p.out_features = out_features_of(graph, weight, parts[0], in_features);
  p.in_features = in_features;
  p.scale = plan.transform.scale;
  p.factor = plan.factor();
  p.units = plan.model_units ? chip::Units::kModel : chip::Units::kLsb;
  p.rounding = plan.transform.rounding;
  p.min_weight = static_cast<std::int32_t>(plan.transform.min_weight);
  p.max_weight = static_cast<std::int32_t>(plan.transform.max_weight);
  p.receptor = p.min_weight == 0 ? chip::Receptor::kExcitatory
                                 : (p.max_weight == 0 ? chip::Receptor::kInhibitory : chip::Receptor::kSigned);
  p.mask = existing_connections(graph, weight, parts, p);
  p.delay_steps = weight.role == Role::kRecurrent ? 1 : 0;
  return p;
}

bool same_transform(const chip::Projection& a, const chip::Projection& b) {
  return a.scale == b.scale && a.min_weight == b.min_weight && a.max_weight == b.max_weight &&
         a.rounding == b.rounding && a.units == b.units;
}

}  // namespace gradspike::ops
