#include "ops/walker/connect.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/full.h>
#include <torch/csrc/jit/ir/constants.h>

#include <limits>
#include <string_view>
#include <unordered_set>

#include "csrc/core/error.h"
#include "ops/text.h"

namespace gradspike::ops {
namespace {

using torch::jit::Node;
using torch::jit::Value;

constexpr std::int64_t kNeuronAxis = 2;  // of [time, batch, neuron]
constexpr std::int64_t kRank = 3;
constexpr std::int64_t kOpenEnd = std::numeric_limits<std::int64_t>::max();  // of a slice

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

bool is_concatenation(const Node* node) { return is_one_of(node, {"aten::cat", "aten::concat", "aten::concatenate"}); }

/// Whether a summand is the number 0, where Python's sum() and many loops start. A parameter of zeros will be trained,
/// and zeros with dimensions may change the shape or the dtype of the sum.
bool is_zero(const Value* value) {
  const auto constant = torch::jit::toIValue(value);
  if (!constant.has_value() || constant->isNone()) {
    return false;
  }
  if (constant->isTensor()) {
    const at::Tensor& tensor = constant->toTensor();
    return tensor.dim() == 0 && !tensor.is_complex() && tensor.item<double>() == 0.0;
  }
  return (constant->isInt() || constant->isDouble()) && constant->toScalar().toDouble() == 0.0;
}

/// The message of an error inside an operation, after the operation and its source line.
class WiringError : public Error {
 public:
  using Error::Error;
};

std::vector<std::int64_t> range(std::int64_t first, std::int64_t count, std::int64_t step = 1) {
  std::vector<std::int64_t> result;
  for (std::int64_t k = 0; k < count; ++k) {
    result.push_back(first + k * step);
  }
  return result;
}

}  // namespace

bool SignalResolver::is_connection(const Node* node) const {
  return is_identity(node) || is_split(node) || is_concatenation(node) ||
         is_one_of(node,
                   {"aten::add", "aten::slice", "aten::narrow", "aten::index_select", "aten::index", "aten::repeat",
                    "aten::tile", "aten::repeat_interleave", "prim::ListUnpack", "aten::__getitem__"});
}

/// Whether an operation before the first keyed operator only moves neurons: then the chip wires what it reads, so that
/// replicated or sliced inputs share their spikes. Anything else is host code.
bool SignalResolver::is_host_wiring(const Node* node) const {
  const auto on_neurons = [&](std::size_t argument) {
    const Value* value = node->input(argument);
    if (graph_.depends_on_input(value)) {
      return false;
    }
    const std::int64_t axis = graph_.evaluate_constant(value).toInt();
    return axis == kNeuronAxis || axis == -1;
  };
  if (is_concatenation(node)) {
    return on_neurons(1) && node->input(0)->node()->kind() == c10::prim::ListConstruct;
  }
  for (std::size_t k = 1; k < node->inputs().size(); ++k) {
    if (graph_.depends_on_input(node->input(k))) {
      return false;
    }
  }
  if (is_full_slice(node)) {  // TorchScript slices every axis that an index expression names
    return true;
  }
  if (is_one_of(node, {"aten::slice", "aten::narrow", "aten::index_select"})) {
    return on_neurons(1);
  }
  if (is_one_of(node, {"aten::repeat_interleave"})) {
    return node->inputs().size() >= 3 && !graph_.evaluate_constant(node->input(2)).isNone() && on_neurons(2);
  }
  if (is_one_of(node, {"aten::repeat", "aten::tile"})) {
    const std::vector<std::int64_t> repeats = graph_.evaluate_constant(node->input(1)).toIntVector();
    return repeats.size() == 3 && repeats[0] == 1 && repeats[1] == 1;
  }
  return is_one_of(node, {"aten::index"}) && node->input(1)->node()->inputs().size() == 3;
}

/// Whether a slice takes all of an axis of [time, batch, neuron].
bool SignalResolver::is_full_slice(const Node* node) const {
  if (!is_one_of(node, {"aten::slice"})) {
    return false;
  }
  for (std::size_t k = 1; k < node->inputs().size(); ++k) {
    if (graph_.depends_on_input(node->input(k))) {
      return false;
    }
  }
  const auto is_number = [&](std::size_t argument, std::int64_t number) {
    const c10::IValue value = graph_.evaluate_constant(node->input(argument));
    return value.isNone() || value.toInt() == number;
  };
  const std::int64_t axis = graph_.evaluate_constant(node->input(1)).toInt();
  return axis >= -kRank && axis < kRank && is_number(2, 0) && is_number(3, kOpenEnd) && is_number(4, 1);
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
      ModelGraph::add_operands(v->node(), open);
    }
  }
  return false;
}

c10::IValue SignalResolver::constant(const Node* node, std::size_t argument) const {
  const Value* value = node->input(argument);
  GRADSPIKE_REQUIRE(!graph_.depends_on_input(value), "must have arguments that do not depend on the input");
  return graph_.evaluate_constant(value);
}

std::int64_t SignalResolver::dimension(const Node* node, std::size_t argument) const {
  const std::int64_t d = constant(node, argument).toInt();
  GRADSPIKE_REQUIRE(d >= -kRank && d < kRank, "has dimension ", d, " of ", kRank);
  return d < 0 ? d + kRank : d;
}

/// A tensor that is changed in place is several signals, and which of them is read depends on the order of the program.
/// Host code may build the spikes that it gives to the network in place, before they are read.
void SignalResolver::require_unchanged(const Value* value) const {
  const Node* writer = graph_.writer(value, depends_on_keyed(value) ? nullptr : reader_);
  GRADSPIKE_REQUIRE(writer == nullptr, ModelGraph::place(writer),
                    " changes in place what a projection or population reads: write it as an operation with a result");
}

Signal SignalResolver::resolve(const Value* value, std::int64_t expected) {
  require_unchanged(value);
  const auto known = known_.find(value);
  if (known != known_.end()) {
    return known->second;
  }
  const Node* node = value->node();
  const bool from_keyed = depends_on_keyed(value);
  if (!from_keyed && !is_host_wiring(node)) {
    return known_[value] = source_(value, expected);
  }
  GRADSPIKE_REQUIRE(
      is_connection(node), ModelGraph::place(node),
      " lies between projections and populations, where only sums of projections, concatenation, slicing, "
      "indexing and repeating of neurons, and dropout in evaluation can be wired on a chip");
  return known_[value] = apply(value, expected);
}

/// Errors of an operation begin with its name and source line, those of what it reads keep theirs.
Signal SignalResolver::apply(const Value* value, std::int64_t expected) {
  try {
    return wire(value, expected);
  } catch (const WiringError&) {
    throw;
  } catch (const c10::Error& error) {
    throw WiringError(ModelGraph::place(value->node()) + ": " + first_line(error.what_without_backtrace()));
  } catch (const std::exception& error) {
    const std::string message = error.what();
    const bool placed = message.rfind("aten::", 0) == 0 || message.rfind("gradspike::", 0) == 0 ||
                        message.rfind("prim::", 0) == 0 || message.rfind("input '", 0) == 0;
    throw WiringError(placed ? message : ModelGraph::place(value->node()) + " " + first_line(message));
  }
}

Signal SignalResolver::wire(const Value* value, std::int64_t expected) {
  const Node* node = value->node();
  if (is_identity(node)) {
    if (is_one_of(node, {"aten::dropout", "aten::feature_dropout"})) {
      GRADSPIKE_REQUIRE(!constant(node, 2).toBool(), "is active: read an evaluation copy");
    }
    if (is_one_of(node, {"aten::to", "aten::type_as"})) {
      require_float32(node);
    }
    return resolve(node->input(0), expected);
  }
  if (is_one_of(node, {"aten::add"})) {
    return add(node, expected);
  }
  if (is_concatenation(node)) {
    return concatenate(node);
  }
  if (is_one_of(node, {"aten::__getitem__"})) {
    return element_of_list(node, constant(node, 1).toInt());
  }
  if (is_split(node) || is_one_of(node, {"prim::ListUnpack"})) {  // prim::ConstantChunk gives its parts itself
    return element_of_list(node, static_cast<std::int64_t>(value->offset()));
  }
  if (is_one_of(node, {"aten::slice", "aten::narrow"})) {
    return slice(node, expected);
  }
  return is_one_of(node, {"aten::index_select", "aten::index"}) ? pick(node) : repeat(node);
}

/// Every overload of `to` says by a dtype or by another tensor what it converts to, or keeps the dtype.
void SignalResolver::require_float32(const Node* node) const {
  for (std::size_t k = 1; k < node->inputs().size(); ++k) {
    const std::string& name = node->schema().arguments().at(k).name();
    if (name != "dtype" && name != "other") {
      continue;
    }
    const Value* argument = node->input(k);
    GRADSPIKE_REQUIRE(!graph_.depends_on_input(argument),
                      "takes the dtype of a tensor that depends on the input: between projections and populations it "
                      "must stay float32");
    const c10::IValue target = graph_.evaluate_constant(argument);
    if (target.isNone()) {
      continue;
    }
    const at::ScalarType type = target.isTensor() ? target.toTensor().scalar_type() : target.toScalarType();
    GRADSPIKE_REQUIRE(type == at::kFloat,
                      "changes the dtype: between projections and populations it must stay float32, got ", type);
  }
}

Signal SignalResolver::add(const Node* node, std::int64_t expected) {
  GRADSPIKE_REQUIRE(node->inputs().size() < 3 || constant(node, 2).toScalar().toDouble() == 1.0,
                    "must have alpha 1, got ", constant(node, 2).toScalar().toDouble());
  for (const std::size_t k : {0, 1}) {
    const Value* summand = node->input(k);
    if (is_zero(summand)) {
      return resolve(node->input(1 - k), expected);
    }
    GRADSPIKE_REQUIRE(
        depends_on_keyed(summand) || graph_.depends_on_input(summand),
        "adds a constant to a signal, which no synapse does: shift leak and threshold of a population, or "
        "give the network an input for it");
  }
  const Signal a = resolve(node->input(0), expected);
  return Signal::sum(a, resolve(node->input(1), a.size()));
}

Signal SignalResolver::concatenate(const Node* node) {
  GRADSPIKE_REQUIRE(dimension(node, 1) == kNeuronAxis, "concatenates along an axis other than the neurons");
  GRADSPIKE_REQUIRE(node->input(0)->node()->kind() == c10::prim::ListConstruct, "concatenates a list made elsewhere");
  std::vector<Signal> parts;
  for (const Value* part : node->input(0)->node()->inputs()) {
    parts.push_back(resolve(part, -1));
  }
  return Signal::concatenation(parts);
}

Signal SignalResolver::slice(const Node* node, std::int64_t expected) {
  if (is_full_slice(node)) {
    return resolve(node->input(0), expected);
  }
  const bool narrow = is_one_of(node, {"aten::narrow"});
  const std::int64_t axis = dimension(node, 1);
  const auto bound = [&](std::size_t argument, std::int64_t missing) {
    const c10::IValue value = constant(node, argument);
    return value.isNone() ? missing : value.toInt();
  };
  std::int64_t start = bound(2, 0);
  std::int64_t end = narrow ? kOpenEnd : bound(3, kOpenEnd);
  const std::int64_t step = narrow ? 1 : bound(4, 1);
  GRADSPIKE_REQUIRE(axis == kNeuronAxis, "cuts time or batch between projections and populations");
  const Signal whole = resolve(node->input(0), -1);
  const std::int64_t size = whole.size();
  start = std::min(start < 0 ? std::max<std::int64_t>(0, start + size) : start, size);
  end = narrow ? start + bound(3, 0) : std::min(end < 0 ? end + size : end, size);
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
  GRADSPIKE_REQUIRE(index.dim() == 1, "picks with an index of ", index.dim(), " dimensions, needs 1");
  if (index.scalar_type() == at::kBool || index.scalar_type() == at::kByte) {  // PyTorch takes bytes for a mask too
    GRADSPIKE_REQUIRE(index.size(0) == whole.size(), "picks with a mask of ", index.size(0), " entries from ",
                      whole.size(), " neurons");
    index = index.nonzero().squeeze(1);
  }
  index = index.to(at::kCPU, at::kLong).contiguous();
  std::vector<std::int64_t> picked;
  for (std::int64_t k = 0; k < index.numel(); ++k) {
    const std::int64_t n = index.const_data_ptr<std::int64_t>()[k];
    picked.push_back(n < 0 ? n + whole.size() : n);
  }
  return whole.pick(picked);
}

Signal SignalResolver::repeat(const Node* node) {
  if (is_one_of(node, {"aten::repeat_interleave"})) {
    GRADSPIKE_REQUIRE(node->inputs().size() >= 3 && !constant(node, 2).isNone() && dimension(node, 2) == kNeuronAxis,
                      "repeats along an axis other than the neurons");
    const Signal whole = resolve(node->input(0), -1);
    const c10::IValue given = constant(node, 1);
    const at::Tensor times = (given.isTensor() ? given.toTensor() : at::full({1}, given.toInt(), at::kLong))
                                 .to(at::kCPU, at::kLong)
                                 .expand({whole.size()})
                                 .contiguous();
    std::vector<std::int64_t> picked;
    for (std::int64_t n = 0; n < whole.size(); ++n) {
      const std::int64_t count = times.const_data_ptr<std::int64_t>()[n];
      GRADSPIKE_REQUIRE(count >= 0, "repeats a neuron ", count, " times");
      picked.insert(picked.end(), static_cast<std::size_t>(count), n);
    }
    return whole.pick(picked);
  }
  const std::vector<std::int64_t> repeats = constant(node, 1).toIntVector();
  GRADSPIKE_REQUIRE(!repeats.empty() && static_cast<std::int64_t>(repeats.size()) <= kRank, "repeats ", repeats.size(),
                    " axes of ", kRank);
  for (std::size_t k = 0; k + 1 < repeats.size(); ++k) {
    GRADSPIKE_REQUIRE(repeats[k] == 1, "repeats along an axis other than the neurons");
  }
  const Signal whole = resolve(node->input(0), -1);
  std::vector<std::int64_t> picked;
  for (std::int64_t k = 0; k < whole.size() * repeats.back(); ++k) {
    picked.push_back(k % whole.size());
  }
  return whole.pick(picked);
}

Signal SignalResolver::element_of_list(const Node* unpack, std::int64_t element) {
  const bool direct = unpack->kind() == c10::prim::ConstantChunk;
  const Node* split = direct ? unpack : unpack->input(0)->node();
  GRADSPIKE_REQUIRE(is_split(split), "takes a signal from a list that is made by ", split->kind().toQualString());
  const std::int64_t axis = direct ? split->i(c10::attr::dim) : dimension(split, 2);
  GRADSPIKE_REQUIRE(axis == kNeuronAxis || axis == -1, "splits along an axis other than the neurons");
  const Signal whole = resolve(split->input(0), -1);
  const std::vector<std::int64_t> sizes = part_sizes(split, whole.size());
  const auto count = static_cast<std::int64_t>(sizes.size());
  const std::int64_t index = element < 0 ? element + count : element;
  GRADSPIKE_REQUIRE(index >= 0 && index < count, "takes part ", element, " of ", count);
  std::int64_t first = 0;
  for (std::int64_t k = 0; k < index; ++k) {
    first += sizes[static_cast<std::size_t>(k)];
  }
  return whole.pick(range(first, sizes[static_cast<std::size_t>(index)]));
}

/// Sizes of the parts of a split; torch.chunk makes them equal but for the last.
std::vector<std::int64_t> SignalResolver::part_sizes(const Node* split, std::int64_t size) const {
  const bool direct = split->kind() == c10::prim::ConstantChunk;
  if (!direct && constant(split, 1).isIntList()) {
    return constant(split, 1).toIntVector();
  }
  const std::int64_t argument = direct ? split->i(c10::attr::chunks) : constant(split, 1).toInt();
  GRADSPIKE_REQUIRE(argument >= 1, "needs parts of at least 1, got ", argument);
  const std::int64_t width = is_one_of(split, {"aten::split"}) ? argument : (size + argument - 1) / argument;
  std::vector<std::int64_t> sizes;
  for (std::int64_t rest = size; rest > 0; rest -= width) {
    sizes.push_back(std::min(width, rest));
  }
  return sizes;
}

}  // namespace gradspike::ops
