#include "ops/program.h"

#include <caffe2/serialize/inline_container.h>
#include <torch/csrc/jit/ir/constants.h>
#include <torch/csrc/jit/ir/ir.h>
#include <torch/csrc/jit/runtime/operator.h>
#include <torch/version.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>

#include "csrc/core/error.h"
#include "ops/program_records.h"

namespace gradspike::ops {
namespace {

using nlohmann::json;
using torch::jit::Graph;
using torch::jit::Node;
using torch::jit::Value;

constexpr const char* kProgram = "models/model.json";
constexpr std::int64_t kSchema = 8;  // torch/_export/serde/schema.py of PyTorch 2.11, SCHEMA_VERSION
/// Number of the dense layout in a program.
constexpr std::int64_t kStrided = 7;

const at::Tensor& tensor_named(const std::map<std::string, at::Tensor>& tensors, const std::string& name) {
  const auto found = tensors.find(name);
  GRADSPIKE_REQUIRE(found != tensors.end(), "tensor '", name, "' is missing");
  return found->second;
}

/// "torch.ops.gradspike.lif.default" as the operator's name and overload.
std::pair<std::string, std::string> operator_name(const std::string& target) {
  static const std::map<std::string, std::string> kArithmetic = {{"_operator.add", "aten::add"},
                                                                 {"_operator.sub", "aten::sub"},
                                                                 {"_operator.mul", "aten::mul"},
                                                                 {"_operator.floordiv", "aten::floordiv"}};
  const auto arithmetic = kArithmetic.find(target);  // of sizes
  if (arithmetic != kArithmetic.end()) {
    return {arithmetic->second, "int"};
  }
  constexpr std::string_view kPrefix = "torch.ops.";
  const std::size_t overload = target.rfind('.');
  const std::size_t name = overload == std::string::npos ? overload : target.rfind('.', overload - 1);
  GRADSPIKE_REQUIRE(
      target.compare(0, kPrefix.size(), kPrefix) == 0 && name != std::string::npos && name > kPrefix.size(), "'",
      target, "' is no operator: C++ runs programs of operator calls alone");
  const std::string space = target.substr(kPrefix.size(), name - kPrefix.size());
  GRADSPIKE_REQUIRE(space == "aten" || space == "gradspike", "'", target,
                    "' is an operator of another library: C++ runs those of PyTorch and gradspike");
  std::string chosen = target.substr(overload + 1);
  return {space + "::" + target.substr(name + 1, overload - name - 1), chosen == "default" ? "" : chosen};
}

/// Builds the forward of the module, call by call.
class Builder {
 public:
  Builder(const json& program, const std::map<std::string, at::Tensor>& tensors)
      : program_(program.at("graph_module")), module_("gradspike.Program"), graph_(std::make_shared<Graph>()) {
    self_ = graph_->addInput("self");
    self_->setType(module_.type());
    add_inputs(tensors);
    for (const json& node : program_.at("graph").at("nodes")) {
      add_call(node);
    }
    add_outputs();
  }

  torch::jit::Module module() {
    graph_->lint();
    const c10::QualifiedName name(*module_.type()->name(), "forward");
    module_.type()->addMethod(module_._ivalue()->compilation_unit()->create_function(name, graph_));
    module_.eval();
    return module_;
  }

 private:
  void add_inputs(const std::map<std::string, at::Tensor>& tensors) {
    for (const json& spec : program_.at("signature").at("input_specs")) {
      const auto [kind, value] = choice(spec, "an input");
      const json& entry = *value;
      if (kind == "user_input") {
        const json& argument = entry.at("arg");
        GRADSPIKE_REQUIRE(argument.contains("as_tensor"), "an input of the program is no tensor");
        const std::string name = argument.at("as_tensor").at("name").get<std::string>();
        values_[name] = graph_->addInput(name);
      } else {
        add_tensor(kind, entry, tensors);
      }
    }
  }

  void add_tensor(const std::string& kind, const json& entry, const std::map<std::string, at::Tensor>& tensors) {
    const std::map<std::string, const char*> names = {
        {"parameter", "parameter_name"}, {"buffer", "buffer_name"}, {"tensor_constant", "tensor_constant_name"}};
    const auto found = names.find(kind);
    GRADSPIKE_REQUIRE(found != names.end(), "inputs of the kind '", kind, "' are not known");
    const std::string path = entry.at(found->second).get<std::string>();
    const std::string name = entry.at("arg").at("name").get<std::string>();
    const at::Tensor& tensor = tensor_named(tensors, path);
    if (kind == "tensor_constant" && tensor.dim() == 0 && tensor.scalar_type() == at::kDouble) {
      values_[name] = insert_number(tensor.item<double>());
      return;
    }
    std::string attribute = path;  // an attribute has no dots
    std::replace(attribute.begin(), attribute.end(), '.', '_');
    while (module_.hasattr(attribute)) {
      attribute += '_';
    }
    if (kind == "parameter") {
      module_.register_parameter(attribute, tensor, /*is_buffer=*/false);
    } else {
      module_.register_buffer(attribute, tensor);
    }
    values_[name] = graph_->insertGetAttr(self_, attribute);
  }

  /// A parameter of neurons that is a number stays one where the module moves to a GPU: a buffer would move with it.
  Value* insert_number(double value) {
    return graph_->insert(c10::aten::full, {std::vector<std::int64_t>{}, value},
                          {{"dtype", static_cast<std::int64_t>(at::kDouble)}, {"device", c10::Device(at::kCPU)}});
  }

  void add_call(const json& node) {
    auto [name, overload] = operator_name(node.at("target").get<std::string>());
    if (name.compare(0, 13, "aten::_assert") == 0) {  // what tracing assumed of its example
      return;
    }
    if (name == "aten::detach_") {  // of a copy that nothing else reads
      name = "aten::detach";
    }
    if (name == "aten::sym_size") {  // numbers here, not symbols
      name = "aten::size";
    }
    const std::shared_ptr<torch::jit::Operator> op = find(name, overload);
    const std::vector<c10::Argument>& arguments = op->schema().arguments();
    std::map<std::string, const json*> given;
    for (const json& input : node.at("inputs")) {
      given[input.at("name").get<std::string>()] = &input.at("arg");
    }
    std::vector<Value*> inputs;
    for (const c10::Argument& argument : arguments) {
      const auto found = given.find(argument.name());
      if (found != given.end()) {
        inputs.push_back(value_of(*found->second, argument, name));
        given.erase(found);
      } else {
        GRADSPIKE_REQUIRE(argument.default_value().has_value(), name, " misses its argument ", argument.name());
        inputs.push_back(graph_->insertConstant(*argument.default_value()));
      }
    }
    GRADSPIKE_REQUIRE(given.empty(), name, " has no argument '", given.empty() ? "" : given.begin()->first, "'");
    insert(op, name, inputs, node.at("outputs"));
  }

  static std::shared_ptr<torch::jit::Operator> find(const std::string& name, const std::string& overload) {
    for (const auto& op : torch::jit::getAllOperatorsFor(c10::Symbol::fromQualString(name))) {
      if (op->schema().overload_name() == overload) {
        return op;
      }
    }
    GRADSPIKE_FAIL("the operator ", name, overload.empty() ? "" : "." + overload, " is not registered");
  }

  void insert(const std::shared_ptr<torch::jit::Operator>& op, const std::string& name,
              const std::vector<Value*>& inputs, const json& outputs) {
    const std::vector<c10::Argument>& returns = op->schema().returns();
    GRADSPIKE_REQUIRE(outputs.size() == returns.size(), name, " returns ", returns.size(), " values, the program has ",
                      outputs.size());
    Node* node = graph_->create(c10::Symbol::fromQualString(name), inputs, returns.size());
    graph_->insertNode(node);
    for (std::size_t k = 0; k < returns.size(); ++k) {
      node->output(k)->setType(returns[k].type());
      name_output(node->output(k), outputs[k], name);
    }
    GRADSPIKE_REQUIRE(node->maybeOperator() != nullptr, name, " does not take its arguments");
  }

  /// Gives the results of a call their names; a list is taken apart.
  void name_output(Value* value, const json& output, const std::string& op) {
    const auto [kind, named] = choice(output, "an output");
    if (kind == "as_tensor" || kind == "as_sym_int") {
      const json& entry = kind == "as_sym_int" ? named->at("as_name") : named->at("name");
      values_[entry.get<std::string>()] = value;
      return;
    }
    GRADSPIKE_REQUIRE(kind == "as_tensors", op, " returns '", kind, "', which C++ does not run");
    Node* parts = graph_->insertNode(graph_->createListUnpack(value, named->size()));
    for (std::size_t k = 0; k < named->size(); ++k) {
      values_[named->at(k).at("name").get<std::string>()] = parts->output(k);
    }
  }

  Value* named(const json& entry) const {
    const std::string name = entry.at("name").get<std::string>();
    const auto found = values_.find(name);
    GRADSPIKE_REQUIRE(found != values_.end(), "value '", name, "' is used before it is computed");
    return found->second;
  }

  Value* value_of(const json& argument, const c10::Argument& declared, const std::string& op) {
    const auto [kind, content] = choice(argument, "an argument");
    const json& value = *content;
    if (kind == "as_tensor") {
      return named(value);
    }
    if (kind == "as_sym_int") {
      return size_of(value);
    }
    if (kind == "as_sym_ints") {
      std::vector<Value*> parts;
      for (const json& entry : value) {
        parts.push_back(size_of(entry));
      }
      return graph_->insertNode(graph_->createList(c10::IntType::get(), parts))->output();
    }
    if (kind == "as_optional_tensors") {
      std::vector<Value*> parts;
      for (const json& entry : value) {
        const auto [part, tensor] = choice(entry, "an index");
        parts.push_back(part == "as_tensor" ? named(*tensor) : none(c10::TensorType::get()));
      }
      const auto type = c10::OptionalType::create(c10::TensorType::get());
      return graph_->insertNode(graph_->createList(type, parts))->output();
    }
    if (kind == "as_tensors") {
      std::vector<Value*> parts;
      for (const json& entry : value) {
        parts.push_back(named(entry));
      }
      return graph_->insertNode(graph_->createList(c10::TensorType::get(), parts))->output();
    }
    const std::optional<c10::IValue> constant = constant_of(kind, value, declared);
    GRADSPIKE_REQUIRE(constant.has_value(), "argument ", declared.name(), " of ", op, " is '", kind,
                      "', which C++ does not run");
    return graph_->insertConstant(*constant);
  }

  /// A number that may depend on the sizes of the input.
  Value* size_of(const json& entry) {
    const auto [kind, value] = choice(entry, "a size");
    return kind == "as_int" ? graph_->insertConstant(whole_number(*value, "a size")) : named({{"name", *value}});
  }

  Value* none(const c10::TypePtr& type) {
    Value* value = graph_->insertConstant(c10::IValue());
    value->setType(c10::OptionalType::create(type));
    return value;
  }

  static std::optional<c10::IValue> constant_of(const std::string& kind, const json& value,
                                                const c10::Argument& declared) {
    const bool is_float = declared.type()->kind() == c10::TypeKind::FloatType;
    if (kind == "as_none") {
      return c10::IValue();
    }
    if (kind == "as_int" && is_float) {
      return c10::IValue(value.get<double>());
    }
    if (kind == "as_int") {
      return c10::IValue(value.get<std::int64_t>());
    }
    if (kind == "as_float") {
      return c10::IValue(number(value));
    }
    if (kind == "as_bool") {
      return c10::IValue(value.get<bool>());
    }
    if (kind == "as_string") {
      return c10::IValue(value.get<std::string>());
    }
    if (kind == "as_ints") {
      return c10::IValue(value.get<std::vector<std::int64_t>>());
    }
    if (kind == "as_floats") {
      return c10::IValue(value.get<std::vector<double>>());
    }
    if (kind == "as_scalar_type") {
      return c10::IValue(static_cast<std::int64_t>(scalar_type(value.get<std::int64_t>())));
    }
    if (kind == "as_layout") {
      return value.get<std::int64_t>() == kStrided ? std::optional<c10::IValue>(std::int64_t{0}) : std::nullopt;
    }
    if (kind == "as_memory_format") {
      static const std::map<std::int64_t, c10::MemoryFormat> kFormats = {{1, c10::MemoryFormat::Contiguous},
                                                                         {4, c10::MemoryFormat::Preserve}};
      const auto found = kFormats.find(value.get<std::int64_t>());
      return found == kFormats.end() ? std::nullopt
                                     : std::optional<c10::IValue>(static_cast<std::int64_t>(found->second));
    }
    if (kind == "as_device") {
      return c10::IValue(c10::Device(at::kCPU));
    }
    return std::nullopt;
  }

  void add_outputs() {
    std::vector<Value*> outputs;
    for (const json& spec : program_.at("signature").at("output_specs")) {
      GRADSPIKE_REQUIRE(spec.contains("user_output") && spec.at("user_output").at("arg").contains("as_tensor"),
                        "an output of the program is no tensor");
      outputs.push_back(named(spec.at("user_output").at("arg").at("as_tensor")));
    }
    GRADSPIKE_REQUIRE(!outputs.empty(), "the program returns nothing");
    graph_->registerOutput(outputs.size() == 1 ? outputs[0]
                                               : graph_->insertNode(graph_->createTuple(outputs))->output());
  }

  const json& program_;
  torch::jit::Module module_;
  std::shared_ptr<Graph> graph_;
  Value* self_ = nullptr;
  std::map<std::string, Value*> values_;
};

}  // namespace

bool holds_program(caffe2::serialize::PyTorchStreamReader& reader) { return reader.hasRecord("archive_format"); }

torch::jit::Module module_of_program(caffe2::serialize::PyTorchStreamReader& reader) {
  GRADSPIKE_REQUIRE(
      reader.hasRecord(kProgram),
      "it holds native code and no program: native code runs with all rights of the user, so it is loaded only "
      "where the user says so, with allow_native_code=True (gradspike-run --allow-native-code)");
  try {
    const json program = document(reader, kProgram);
    const std::int64_t schema = whole_number(program.at("schema_version").at("major"), "the version of its schema");
    GRADSPIKE_REQUIRE(schema == kSchema, "its program has version ", schema,
                      " of the schema of torch.export, this library reads version ", kSchema,
                      ": export the model again with PyTorch " TORCH_VERSION);
    return Builder(program, program_tensors(reader)).module();
  } catch (const json::exception& error) {
    const std::string text = error.what();  // begins with a code in brackets
    GRADSPIKE_FAIL("its program is damaged: ",
                   text.substr(text.find("] ") == std::string::npos ? 0 : text.find("] ") + 2));
  }
}

}  // namespace gradspike::ops
