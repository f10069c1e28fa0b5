#include "ops/walker/connect.h"

#include <ATen/core/Tensor.h>

#include <limits>
#include <string_view>
#include <unordered_set>

#include "csrc/core/error.h"

namespace gradspike::ops {
namespace {

using torch::jit::Node;
using torch::jit::Value;

constexpr std::int64_t kNeuronAxis = 2;  // of [time, batch, neuron]
constexpr std::int64_t kRank = 3;

bool is_one_of(const Node* node, std::initializer_list<std::string_view> names) {
  const std::string_view kind = node->kind().toQualString();
  for (const std::string_view name : names) {
    if (kind == name) {
      return true;
    }
  }
  return false;
}

bool is_identity(const Node* node) {
  return is_one_of(node, {"aten::contiguous", "aten::clone", "aten::detach", "aten::alias", "aten::to", "aten::float",
                          "aten::type_as", "aten::dropout", "aten::feature_dropout", "prim::data"});
}

bool is_split(const Node* node) {
  return is_one_of(node, {"aten::split", "aten::split_with_sizes", "aten::chunk", "prim::ConstantChunk"});
}

std::vector<std::int64_t> range(std::int64_t first, std::int64_t count, std::int64_t step = 1) {
  std::vector<std::int64_t> result;
  for (std::int64_t k = 0; k < count; ++k) {
    result.push_back(first + k * step);
  }
  return result;
}

}  // namespace

bool SignalResolver::is_connection(const Node* node) const {
  return is_identity(node) || is_split(node) ||
         is_one_of(node, {"aten::add", "aten::cat", "aten::concat", "aten::slice", "aten::narrow", "aten::index_select",
                          "aten::index", "aten::repeat", "aten::tile", "aten::repeat_interleave", "prim::ListUnpack"});
}

bool SignalResolver::depends_on_keyed(const Value* value) const {
  std::vector<const Value*> open = {value};
  std::unordered_set<const Value*> seen;
  while (!open.empty()) {
    const Value* v = open.back();
    open.pop_back();
    if (known_.count(v) != 0) {
      return true;
    }
    if (seen.insert(v).second) {
      open.insert(open.end(), v->node()->inputs().begin(), v->node()->inputs().end());
    }
  }
  return false;
}

c10::IValue SignalResolver::constant(const Node* node, std::size_t argument) const {
  const Value* value = node->input(argument);
  GRADSPIKE_REQUIRE(!graph_.depends_on_input(value), ModelGraph::place(node),
                    " must have arguments that do not depend on the input");
  return graph_.evaluate_constant(value);
}

std::int64_t SignalResolver::dimension(const Node* node, std::size_t argument) const {
  const std::int64_t d = constant(node, argument).toInt();
  GRADSPIKE_REQUIRE(d >= -kRank && d < kRank, ModelGraph::place(node), " has dimension ", d, " of 3");
  return d < 0 ? d + kRank : d;
}

Signal SignalResolver::resolve(const Value* value, std::int64_t expected) {
  const auto known = known_.find(value);
  if (known != known_.end()) {
    return known->second;
  }
  if (!depends_on_keyed(value) && !is_connection(value->node())) {
    const Signal signal = source_(value, expected);
    known_[value] = signal;
    return signal;
  }
  GRADSPIKE_REQUIRE(
      is_connection(value->node()), ModelGraph::place(value->node()),
      " lies between projections and populations, where only sums of projections, concatenation, slicing, "
      "indexing and repeating of neurons, and dropout in evaluation can be wired on a chip");
  const Signal signal = apply(value, expected);
  known_[value] = signal;
  return signal;
}

Signal SignalResolver::apply(const Value* value, std::int64_t expected) {
  const Node* node = value->node();
  if (is_identity(node)) {
    if (is_one_of(node, {"aten::dropout", "aten::feature_dropout"})) {
      GRADSPIKE_REQUIRE(!constant(node, 2).toBool(), ModelGraph::place(node), " is active: read an evaluation copy");
    }
    return resolve(node->input(0), expected);
  }
  try {
    if (is_one_of(node, {"aten::add"})) {
      GRADSPIKE_REQUIRE(node->inputs().size() < 3 || constant(node, 2).toScalar().toDouble() == 1.0, "has alpha");
      GRADSPIKE_REQUIRE(node->input(1)->type()->isSubtypeOf(*c10::TensorType::get()), "adds a number to a signal");
      const Signal a = resolve(node->input(0), expected);
      return Signal::sum(a, resolve(node->input(1), a.size()));
    }
    if (is_one_of(node, {"aten::cat", "aten::concat"})) {
      GRADSPIKE_REQUIRE(dimension(node, 1) == kNeuronAxis, "concatenates along an axis other than the neurons");
      GRADSPIKE_REQUIRE(node->input(0)->node()->kind() == c10::prim::ListConstruct,
                        "concatenates a list made elsewhere");
      std::vector<Signal> parts;
      for (const Value* part : node->input(0)->node()->inputs()) {
        parts.push_back(resolve(part, -1));
      }
      return Signal::concatenation(parts);
    }
    if (is_one_of(node, {"prim::ListUnpack"})) {
      return element_of_list(node, value->offset());
    }
    if (is_split(node)) {  // prim::ConstantChunk gives its parts itself
      return element_of_list(node, value->offset());
    }
    if (is_one_of(node, {"aten::slice", "aten::narrow"})) {
      return slice(node, expected);
    }
    if (is_one_of(node, {"aten::index_select", "aten::index"})) {
      return pick(node);
    }
    return repeat(node);
  } catch (const Error& error) {
    const std::string message = error.what();
    const std::string place = ModelGraph::place(node);
    throw Error(message.find(" in ") != std::string::npos ? message : place + ": " + message);
  }
}

Signal SignalResolver::slice(const Node* node, std::int64_t expected) {
  const bool narrow = is_one_of(node, {"aten::narrow"});
  const std::int64_t axis = dimension(node, 1);
  const auto bound = [&](std::size_t argument, std::int64_t missing) {
    const c10::IValue value = constant(node, argument);
    return value.isNone() ? missing : value.toInt();
  };
  constexpr std::int64_t kOpen = std::numeric_limits<std::int64_t>::max();
  std::int64_t start = bound(2, 0);
  std::int64_t end = narrow ? start + bound(3, 0) : bound(3, kOpen);
  const std::int64_t step = narrow ? 1 : bound(4, 1);
  if (axis != kNeuronAxis) {
    GRADSPIKE_REQUIRE(start == 0 && end == kOpen && step == 1,
                      "cuts time or batch between projections and populations");
    return resolve(node->input(0), expected);
  }
  const Signal whole = resolve(node->input(0), -1);
  const std::int64_t size = whole.size();
  start = std::min(start < 0 ? std::max<std::int64_t>(0, start + size) : start, size);
  end = std::min(end < 0 ? end + size : end, size);
  return whole.pick(range(start, std::max<std::int64_t>(0, (end - start + step - 1) / step), step));
}

Signal SignalResolver::pick(const Node* node) {
  at::Tensor index;
  if (is_one_of(node, {"aten::index_select"})) {
    GRADSPIKE_REQUIRE(dimension(node, 1) == kNeuronAxis, "picks along an axis other than the neurons");
    index = constant(node, 2).toTensor();
  } else {
    const Node* list = node->input(1)->node();
    GRADSPIKE_REQUIRE(list->kind() == c10::prim::ListConstruct && list->inputs().size() == 3,
                      "picks along an axis other than the neurons");
    for (std::size_t k = 0; k < 2; ++k) {
      GRADSPIKE_REQUIRE(constant(list, k).isNone(), "picks along an axis other than the neurons");
    }
    index = constant(list, 2).toTensor();
  }
  const Signal whole = resolve(node->input(0), -1);
  if (index.scalar_type() == at::kBool) {
    index = index.nonzero().squeeze(1);
  }
  index = index.to(at::kCPU, at::kLong).contiguous();
  GRADSPIKE_REQUIRE(index.dim() == 1, "picks with an index of ", index.dim(), " dimensions");
  std::vector<std::int64_t> picked;
  for (std::int64_t k = 0; k < index.numel(); ++k) {
    const std::int64_t n = index.const_data_ptr<std::int64_t>()[k];
    picked.push_back(n < 0 ? n + whole.size() : n);
  }
  return whole.pick(picked);
}

Signal SignalResolver::repeat(const Node* node) {
  std::int64_t times = 1;
  const bool interleave = is_one_of(node, {"aten::repeat_interleave"});
  if (interleave) {
    GRADSPIKE_REQUIRE(dimension(node, 2) == kNeuronAxis, "repeats along an axis other than the neurons");
    times = constant(node, 1).toInt();
  } else {
    const std::vector<std::int64_t> repeats = constant(node, 1).toIntVector();
    GRADSPIKE_REQUIRE(repeats.size() <= 3 && !repeats.empty(), "repeats ", repeats.size(), " axes of 3");
    for (std::size_t k = 0; k + 1 < repeats.size(); ++k) {
      GRADSPIKE_REQUIRE(repeats[k] == 1, "repeats along an axis other than the neurons");
    }
    times = repeats.back();
  }
  const Signal whole = resolve(node->input(0), -1);
  std::vector<std::int64_t> picked;
  for (std::int64_t k = 0; k < whole.size() * times; ++k) {
    picked.push_back(interleave ? k / times : k % whole.size());
  }
  return whole.pick(picked);
}

Signal SignalResolver::element_of_list(const Node* unpack, std::size_t element) {
  const bool direct = unpack->kind() == c10::prim::ConstantChunk;
  const Node* split = direct ? unpack : unpack->input(0)->node();
  GRADSPIKE_REQUIRE(is_split(split), ModelGraph::place(split), " makes a list of signals");
  const Signal whole = resolve(split->input(0), -1);
  const std::int64_t size = whole.size();
  std::int64_t first = 0;
  std::int64_t count = 0;
  if (is_one_of(split, {"aten::split_with_sizes"}) ||
      (is_one_of(split, {"aten::split"}) && constant(split, 1).isIntList())) {
    GRADSPIKE_REQUIRE(dimension(split, 2) == kNeuronAxis, "splits along an axis other than the neurons");
    const std::vector<std::int64_t> sizes = constant(split, 1).toIntVector();
    for (std::size_t k = 0; k < element; ++k) {
      first += sizes.at(k);
    }
    count = sizes.at(element);
  } else {
    const std::int64_t axis = direct ? split->i(c10::attr::dim) : dimension(split, 2);
    GRADSPIKE_REQUIRE(axis == kNeuronAxis || axis == -1, "splits along an axis other than the neurons");
    const std::int64_t argument = direct ? split->i(c10::attr::chunks) : constant(split, 1).toInt();
    const std::int64_t width = is_one_of(split, {"aten::split"}) ? argument : (size + argument - 1) / argument;
    first = static_cast<std::int64_t>(element) * width;
    count = std::min(width, size - first);
  }
  return whole.pick(range(first, count));
}

}  // namespace gradspike::ops
