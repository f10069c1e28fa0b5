#include "ops/walker/operators.h"

#include <ATen/ops/all.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/eq.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/logical_or.h>

#include <cmath>
#include <set>
#include <string_view>

#include "csrc/core/error.h"
#include "ops/graded_spikes.h"
#include "ops/li.h"
#include "ops/lif.h"
#include "ops/walker/reader.h"

namespace gradspike::ops {
namespace {

using torch::jit::Node;
using torch::jit::Value;

bool is(const Node* node, std::string_view name) { return node->kind().toQualString() == name; }

/// Argument by its name in the schema.
const Value* argument(const Node* node, const char* name) {
  const auto at = node->schema().argumentIndexWithName(name);
  GRADSPIKE_CHECK(at.has_value(), "no argument ", name);
  return node->input(static_cast<std::size_t>(*at));
}

c10::IValue constant(const ModelGraph& graph, const Node* node, const char* name) {
  const Value* value = argument(node, name);
  GRADSPIKE_REQUIRE(!graph.depends_on_input(value), ModelGraph::place(node), ": ", name,
                    " must not depend on the input of the model");
  return graph.evaluate_constant(value);
}

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

/// The connections that exist, where the weight is a product with a boolean or 0/1 mask that is not trained.
std::vector<bool> connection_mask(const ModelGraph& graph, const Value* weight, at::IntArrayRef sizes) {
  const Node* node = weight->node();
  if (!is(node, "aten::mul") || !node->input(1)->type()->isSubtypeOf(*c10::TensorType::get())) {
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
    const at::Tensor bits = tensor.to(at::kCPU, at::kBool).expand(sizes).contiguous();
    const bool* data = bits.const_data_ptr<bool>();
    return std::vector<bool>(data, data + bits.numel());
  }
  return {};
}

at::Tensor evaluated_weight(const ModelGraph& graph, const Value* value, const std::string& name) {
  GRADSPIKE_REQUIRE(!graph.depends_on_input(value), "projection '", name,
                    "': the weight depends on the input of the model, so it cannot be written to a chip");
  const at::Tensor weight = graph.evaluate_constant(value).toTensor();
  GRADSPIKE_REQUIRE(weight.scalar_type() != at::kDouble, "projection '", name,
                    "': the weight is float64; networks on the chip and its emulator compute in float32");
  GRADSPIKE_REQUIRE(weight.dim() == 2, "projection '", name, "': the weight must be [out_features, in_features], got ",
                    weight.dim(), " dimensions");
  return weight;
}

math::WeightTransform integer_transform(const chip::Projection& p) {
  return {p.scale, static_cast<double>(p.min_weight), static_cast<double>(p.max_weight),
          p.rounding == math::Rounding::kNone ? math::Rounding::kHalfEven : p.rounding};
}

/// Neuron parameters of one population.
struct Parameters {
  const ModelGraph& graph;
  const Node* node;
  const std::string& population;

  /// In float32, numbers kept as numbers. The operators check numbers and read no tensor of a device; here every value
  /// is on the CPU.
  at::Tensor get(const char* name, Range range) const {
    at::Tensor tensor = constant(graph, node, name).toTensor();
    if (is_number(tensor)) {
      return tensor;
    }
    GRADSPIKE_REQUIRE(!tensor.is_meta(), "population '", population, "': ", name,
                      " is on the meta device and has no values");
    tensor = tensor.to(at::kCPU, at::kFloat).contiguous();
    const float* values = tensor.const_data_ptr<float>();
    for (std::int64_t n = 0; n < tensor.numel(); ++n) {
      const bool holds =
          range == Range::kFinite || values[n] > 0.0F || (range == Range::kNotNegative && values[n] == 0.0F);
      const char* bound = range == Range::kFinite ? "" : (range == Range::kPositive ? " and > 0" : " and >= 0");
      GRADSPIKE_REQUIRE(std::isfinite(values[n]) && holds, "population '", population, "': ", name, " of neuron ", n,
                        " must be finite", bound, ", got ", values[n]);
    }
    return tensor;
  }
};

void refuse_argument(const ModelGraph& graph, const Node* node, const char* name, const char* reason) {
  const Value* value = argument(node, name);
  GRADSPIKE_REQUIRE(!graph.depends_on_input(value) && graph.evaluate_constant(value).isNone(), ModelGraph::place(node),
                    ": ", name, " is given; ", reason);
}

}  // namespace

bool is_graded_spikes(const Node* node) { return is(node, "gradspike::graded_spikes"); }

bool is_keyed(const Node* node) {
  return is_graded_spikes(node) || is(node, "gradspike::lif") || is(node, "gradspike::li");
}

bool is_recurrent(const Node* node) { return is(node, "gradspike::recurrent_lif"); }

std::string key_of(const ModelGraph& graph, const Node* node) {
  const char* what = is_graded_spikes(node) ? "projection" : "population";
  const std::string name = constant(graph, node, what).toStringRef();
  GRADSPIKE_REQUIRE(name.find('/') == std::string::npos, ModelGraph::place(node), ": ", what, " '", name,
                    "' must have a name without '/', which separates the network from it");
  return name;
}

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

bool same_weight(const ModelGraph& graph, const Value* a, const Value* b) {
  if (a == b) {
    return true;
  }
  std::set<const void*> of_a;
  std::set<const void*> of_b;
  collect_tensors(graph, a, of_a);
  collect_tensors(graph, b, of_b);
  const std::vector<c10::IValue> values = graph.evaluate({a, b});
  return of_a == of_b && at::equal(values[0].toTensor(), values[1].toTensor());
}

bool same_transform(const chip::Projection& a, const chip::Projection& b) {
  return a.scale == b.scale && a.min_weight == b.min_weight && a.max_weight == b.max_weight &&
         a.rounding == b.rounding && a.units == b.units;
}

chip::Projection projection_description(const ModelGraph& graph, const Node* node) {
  chip::Projection p;
  p.name = key_of(graph, node);
  const at::Tensor weight = evaluated_weight(graph, argument(node, "weight"), p.name);
  const double min_weight = constant(graph, node, "min_weight").toDouble();
  const double max_weight = constant(graph, node, "max_weight").toDouble();
  const std::string rounding = constant(graph, node, "rounding").toStringRef();
  const std::string units = constant(graph, node, "units").toStringRef();
  const GradedSpikesPlan plan =
      plan_graded_spikes(at::empty({1, weight.size(1)}, weight.options()), weight,
                         constant(graph, node, "scale").toDouble(), min_weight, max_weight, rounding, "clipped", units);
  p.out_features = weight.size(0);
  p.in_features = weight.size(1);
  p.scale = plan.transform.scale;
  p.factor = plan.factor();
  p.units = plan.model_units ? chip::Units::kModel : chip::Units::kLsb;
  p.rounding = plan.transform.rounding;
  p.min_weight = static_cast<std::int32_t>(min_weight);
  p.max_weight = static_cast<std::int32_t>(max_weight);
  p.receptor = p.min_weight == 0 ? chip::Receptor::kExcitatory
                                 : (p.max_weight == 0 ? chip::Receptor::kInhibitory : chip::Receptor::kSigned);
  p.mask = connection_mask(graph, argument(node, "weight"), weight.sizes());
  return p;
}

chip::Population population_description(const ModelGraph& graph, const Node* node, std::int64_t size,
                                        const std::string& name, double& dt) {
  constexpr const char* kMeasured = "a network that is put on a chip takes its observables from there";
  const bool fires = is(node, "gradspike::lif");
  refuse_argument(graph, node, "initial_state", "a deployed network starts at rest");
  refuse_argument(graph, node, "measured_membrane", kMeasured);
  chip::Population population;
  population.name = name;
  population.kind = fires ? chip::NeuronKind::kLif : chip::NeuronKind::kLi;
  population.size = size;
  dt = constant(graph, node, "dt").toDouble();
  const Parameters parameters{graph, node, name};
  const at::Tensor leak = parameters.get("leak", Range::kFinite);
  const at::Tensor tau_mem = parameters.get("tau_mem", Range::kPositive);
  const at::Tensor tau_syn = parameters.get("tau_syn", Range::kPositive);
  const at::Tensor capacitance = parameters.get("membrane_capacitance", Range::kPositive);
  at::Tensor coefficients;
  if (fires) {
    refuse_argument(graph, node, "measured_spikes", kMeasured);
    coefficients = std::get<5>(lif_forward_impl<CpuExec>(
        at::empty({0, 1, size}), leak, parameters.get("reset", Range::kFinite),
        parameters.get("threshold", Range::kFinite), tau_mem, tau_syn, capacitance,
        parameters.get("refractory_time", Range::kNotNegative), dt, "superspike", 1.0, "", {}, {}, {}, false));
  } else {
    coefficients = std::get<3>(
        li_forward_impl<CpuExec>(at::empty({0, 1, size}), leak, tau_mem, tau_syn, capacitance, dt, "", {}, {}));
  }
  population.columns = coefficients.size(1);
  const float* data = coefficients.const_data_ptr<float>();
  population.coefficients.assign(data, data + coefficients.numel());
  return population;
}

std::map<std::string, at::Tensor> float_weights(const ModelGraph& graph, const ReadNetwork& read) {
  std::map<std::string, at::Tensor> result;
  const std::vector<c10::IValue> values = graph.evaluate(read.weights);
  for (std::size_t k = 0; k < read.weights.size(); ++k) {
    GRADSPIKE_REQUIRE(!values[k].toTensor().is_meta(), "projection '", read.network.projections[k].name,
                      "': the weight is on the meta device and has no values");
    result[read.network.projections[k].name] = values[k].toTensor().detach().to(at::kCPU).contiguous();
  }
  return result;
}

chip::Weights integer_weights(const ModelGraph& graph, const ReadNetwork& read) {
  chip::Weights result;
  const std::map<std::string, at::Tensor> weights = float_weights(graph, read);
  for (const chip::Projection& p : read.network.projections) {
    const at::Tensor w = widened(weights.at(p.name));
    const WeightPlan plan{integer_transform(p), at::kShort};
    const at::Tensor q = quantised(Scope<CpuExec>(w), w, plan);
    chip::IntegerMatrix matrix{p.out_features, p.in_features, {}, 0};
    const std::int16_t* data = q.const_data_ptr<std::int16_t>();
    matrix.values.assign(data, data + q.numel());
    for (std::int64_t k = 0; k < q.numel(); ++k) {
      GRADSPIKE_REQUIRE(data[k] != math::nan_weight<std::int16_t>(), "projection '", p.name, "': weight[",
                        k / p.in_features, ", ", k % p.in_features, "] is NaN, which no synapse can hold");
    }
    matrix.hash = chip::content_hash(p, matrix.values);
    result[p.name] = std::move(matrix);
  }
  return result;
}

}  // namespace gradspike::ops
