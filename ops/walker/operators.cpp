#include "ops/walker/operators.h"

#include <ATen/ops/empty.h>

#include <torch/csrc/jit/ir/constants.h>

#include <cmath>
#include <string_view>
#include <unordered_set>

#include "csrc/core/error.h"
#include "csrc/math/adex.h"
#include "ops/li.h"
#include "ops/lif.h"

namespace gradspike::ops {
namespace {

using torch::jit::Node;
using torch::jit::Value;

/// aelif with leak and spikes as its only terms: then its steps are those of lif (csrc/math/adex.h).
bool is_aelif_of_lif(const Node* node) {
  if (!is_operator(node, "gradspike::aelif")) {
    return false;
  }
  constexpr std::pair<const char*, bool> kTerms[] = {{"leaky", true},
                                                     {"fire", true},
                                                     {"exponential", false},
                                                     {"subthreshold_adaptation", false},
                                                     {"spike_triggered_adaptation", false}};
  for (const auto& [name, wanted] : kTerms) {
    const auto value = torch::jit::toIValue(argument_of(node, name));
    if (!value.has_value() || !value->isBool() || value->toBool() != wanted) {
      return false;
    }
  }
  return true;
}

/// Neuron parameters of one population.
struct Parameters {
  const ModelGraph& graph;
  const Node* node;
  const std::string& population;

  /// In float32, numbers kept as numbers. The operators check numbers and read no tensor of a device; here every value
  /// is on the CPU.
  at::Tensor get(const char* name, Range range) const {
    at::Tensor tensor = constant_of(graph, node, name).toTensor();
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
  if (!node->schema().argumentIndexWithName(name).has_value()) {
    return;
  }
  const Value* value = argument_of(node, name);
  GRADSPIKE_REQUIRE(!graph.depends_on_input(value) && graph.evaluate_constant(value).isNone(), ModelGraph::place(node),
                    ": ", name, " is given; ", reason);
}

/// Whether a value is computed from a projection or population.
bool reads_keyed(const Value* value) {
  std::vector<const Value*> open = {value};
  std::unordered_set<const Value*> seen;
  while (!open.empty()) {
    const Value* next = open.back();
    open.pop_back();
    if (seen.insert(next).second) {
      if (is_keyed(next->node())) {
        return true;
      }
      ModelGraph::add_operands(next->node(), open);
    }
  }
  return false;
}

}  // namespace

bool is_operator(const Node* node, const char* name) { return std::string_view(node->kind().toQualString()) == name; }

bool is_sparse(const Node* node) { return is_operator(node, "gradspike::sparse_graded_spikes"); }

bool is_prepacked(const Node* node) { return is_operator(node, "gradspike::prepacked_graded_spikes"); }

bool is_projection(const Node* node) {
  return is_operator(node, "gradspike::graded_spikes") || is_operator(node, "gradspike::eventprop_graded_spikes") ||
         is_sparse(node) || is_prepacked(node);
}

bool is_recurrent(const Node* node) { return is_operator(node, "gradspike::recurrent_lif"); }

bool is_fused(const Node* node) { return is_recurrent(node) || is_operator(node, "gradspike::synapse_lif"); }

/// exact_eventprop_lif is lif in every forward pass; its second input, the adjoint channel, is for training alone.
bool fires(const Node* node) {
  return is_fused(node) || is_operator(node, "gradspike::lif") || is_operator(node, "gradspike::exact_eventprop_lif") ||
         is_aelif_of_lif(node);
}

bool is_population(const Node* node) { return fires(node) || is_operator(node, "gradspike::li"); }

void refuse_unreadable(const Node* node) {
  GRADSPIKE_REQUIRE(!is_operator(node, "gradspike::aelif") || is_aelif_of_lif(node), ModelGraph::place(node),
                    " cannot be read: networks on the chip have lif and li populations only, which an aelif is where "
                    "leaky and fire are its only terms");
  GRADSPIKE_REQUIRE(!is_operator(node, "gradspike::eventprop_lif"), ModelGraph::place(node),
                    ": networks on the chip have the neurons of lif, and the current of eventprop_lif is one step "
                    "behind theirs: train with exact_eventprop_lif, whose traces are those of lif");
}

const char* key_argument(const Node* node) {
  return is_projection(node) || is_fused(node) ? "projection" : "population";
}

std::string key_of(const ModelGraph& graph, const Node* node, const char* argument) {
  const std::string name = constant_of(graph, node, argument).toStringRef();
  GRADSPIKE_REQUIRE(name.find('/') == std::string::npos, ModelGraph::place(node), ": ", argument, " '", name,
                    "' must have a name without '/', which separates the network from it");
  return name;
}

const Value* argument_of(const Node* node, const std::string& name) {
  const auto at = node->schema().argumentIndexWithName(name);
  GRADSPIKE_CHECK(at.has_value(), "no argument ", name);
  return node->input(static_cast<std::size_t>(*at));
}

c10::IValue constant_of(const ModelGraph& graph, const Node* node, const std::string& name) {
  const Value* value = argument_of(node, name);
  GRADSPIKE_REQUIRE(!graph.depends_on_input(value), ModelGraph::place(node), ": ", name,
                    " must not depend on the input of the model");
  return graph.evaluate_constant(value);
}

const char* all_traces(const Node* node) {
  if (is_operator(node, "gradspike::aelif")) {
    return "spikes+membrane+current+adaptation";
  }
  return fires(node) ? "spikes+membrane+current" : "membrane+current";
}

std::int64_t num_states(const Node* node) {
  if (is_recurrent(node)) {
    return math::kNumRecurrentLifStates;
  }
  return fires(node) ? math::kNumLifStates : math::kNumLiStates;
}

std::int64_t num_unused_states(const Node* node) {
  return is_operator(node, "gradspike::aelif") ? math::kNumAdexStates - math::kNumLifStates : 0;
}

const Value* initial_state_of(const ModelGraph& graph, const Node* node) {
  const Value* state = argument_of(node, "initial_state");
  const bool varies = graph.depends_on_input(state);
  if (!varies && graph.evaluate_constant(state).isNone()) {
    return nullptr;
  }
  GRADSPIKE_REQUIRE(!reads_keyed(state) && graph.writer(state, node) == nullptr, ModelGraph::place(node),
                    ": initial_state must be made by code before the network, not by its projections and populations, "
                    "and not be changed in place");
  GRADSPIKE_REQUIRE(!is_operator(node, "gradspike::aelif"), ModelGraph::place(node),
                    ": initial_state must not be given in a network that is read: use lif");
  return state;
}

chip::Population population_description(const ModelGraph& graph, const Node* node, std::int64_t size,
                                        const std::string& name, double& dt) {
  for (const char* measured : {"measured_spikes", "measured_membrane", "measured_adaptation"}) {
    refuse_argument(graph, node, measured, "a network that is put on a chip takes its observables from there");
  }
  chip::Population population;
  population.name = name;
  population.kind = fires(node) ? chip::NeuronKind::kLif : chip::NeuronKind::kLi;
  population.size = size;
  dt = constant_of(graph, node, "dt").toDouble();
  const Parameters parameters{graph, node, name};
  const at::Tensor leak = parameters.get("leak", Range::kFinite);
  const at::Tensor tau_mem = parameters.get("tau_mem", Range::kPositive);
  const at::Tensor tau_syn = parameters.get("tau_syn", Range::kPositive);
  const at::Tensor capacitance = parameters.get("membrane_capacitance", Range::kPositive);
  at::Tensor coefficients;
  if (fires(node)) {
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

}  // namespace gradspike::ops
