#include "ops/program_records.h"

#include <ATen/ops/empty_strided.h>
#include <caffe2/serialize/inline_container.h>

#include <cstring>
#include <limits>
#include <vector>

#include "csrc/core/error.h"

namespace gradspike::ops {
namespace {

using nlohmann::json;

std::vector<std::int64_t> whole_numbers(const json& list) {
  std::vector<std::int64_t> result;
  for (const json& entry : list) {
    result.push_back(whole_number(entry.at("as_int"), "a size"));
  }
  return result;
}

at::Tensor tensor_of(const std::string& name, const std::string& bytes, const json& meta, bool trained) {
  const std::vector<std::int64_t> sizes = whole_numbers(meta.at("sizes"));
  const std::vector<std::int64_t> strides = whole_numbers(meta.at("strides"));
  const at::ScalarType type = scalar_type(meta.at("dtype").get<std::int64_t>());
  GRADSPIKE_REQUIRE(sizes.size() == strides.size(), "tensor '", name, "' has ", sizes.size(), " sizes and ",
                    strides.size(), " strides");
  at::Tensor result = at::empty_strided(sizes, strides, type);
  const std::int64_t first = whole_number(meta.at("storage_offset").at("as_int"), "a storage offset");
  const std::int64_t most = static_cast<std::int64_t>(bytes.size() / result.itemsize());
  GRADSPIKE_REQUIRE(first >= 0 && first <= most, "tensor '", name, "' begins at element ", first, " of ", most);
  const std::size_t offset = static_cast<std::size_t>(first) * result.itemsize();
  const std::size_t wanted = result.storage().nbytes();
  GRADSPIKE_REQUIRE(wanted <= bytes.size() - offset, "tensor '", name, "' needs ", wanted, " bytes, the file has ",
                    bytes.size());
  if (wanted > 0) {
    std::memcpy(result.storage().mutable_data(), bytes.data() + offset, wanted);
  }
  return result.requires_grad_(trained && meta.at("requires_grad").get<bool>());
}

void add_tensors(caffe2::serialize::PyTorchStreamReader& reader, const std::string& folder, const char* config,
                 std::map<std::string, at::Tensor>& tensors) {
  if (!reader.hasRecord(folder + config)) {
    return;
  }
  const json entries = document(reader, folder + config).at("config");
  for (const auto& [name, entry] : entries.items()) {
    GRADSPIKE_REQUIRE(!entry.at("use_pickle").get<bool>(), "tensor '", name, "' is pickled");
    tensors[name] = tensor_of(name, record(reader, folder + entry.at("path_name").get<std::string>()),
                              entry.at("tensor_meta"), entry.at("is_param").get<bool>());
  }
}

}  // namespace

std::string record(caffe2::serialize::PyTorchStreamReader& reader, const std::string& name) {
  const auto [data, size] = reader.getRecord(name);
  return std::string(static_cast<const char*>(data.get()), size);
}

json document(caffe2::serialize::PyTorchStreamReader& reader, const std::string& name) {
  json value = json::parse(record(reader, name), nullptr, /*allow_exceptions=*/false);
  GRADSPIKE_REQUIRE(value.is_object(), name, " is no JSON object");
  return value;
}

std::pair<std::string, const json*> choice(const json& value, const char* what) {
  GRADSPIKE_REQUIRE(value.is_object() && value.size() == 1, "its program is damaged: ", what,
                    " must be an object with one entry, got ", value.dump().substr(0, 80));
  return {value.begin().key(), &value.begin().value()};
}

std::int64_t whole_number(const json& value, const char* what) {
  GRADSPIKE_REQUIRE(value.is_number_integer(), "its program is damaged: ", what, " must be a whole number, got ",
                    value.dump().substr(0, 80));
  return value.get<std::int64_t>();
}

double number(const json& value) {
  static const std::map<std::string, double> kNames = {{"Infinity", std::numeric_limits<double>::infinity()},
                                                       {"-Infinity", -std::numeric_limits<double>::infinity()},
                                                       {"NaN", std::numeric_limits<double>::quiet_NaN()}};
  if (value.is_string()) {
    const auto found = kNames.find(value.get<std::string>());
    GRADSPIKE_REQUIRE(found != kNames.end(), "its program is damaged: '", value.get<std::string>().substr(0, 80),
                      "' is no number");
    return found->second;
  }
  return value.get<double>();
}

/// Numbers of dtypes in a program (torch/_export/serde/schema.py, ScalarType).
at::ScalarType scalar_type(std::int64_t code) {
  static const std::map<std::int64_t, at::ScalarType> kTypes = {
      {1, at::kByte}, {2, at::kChar},  {3, at::kShort},  {4, at::kInt},   {5, at::kLong},
      {6, at::kHalf}, {7, at::kFloat}, {8, at::kDouble}, {12, at::kBool}, {13, at::kBFloat16}};
  const auto found = kTypes.find(code);
  GRADSPIKE_REQUIRE(found != kTypes.end(), "dtype ", code, " is not known");
  return found->second;
}

std::map<std::string, at::Tensor> program_tensors(caffe2::serialize::PyTorchStreamReader& reader) {
  std::map<std::string, at::Tensor> tensors;
  add_tensors(reader, "data/weights/", "model_weights_config.json", tensors);
  add_tensors(reader, "data/constants/", "model_constants_config.json", tensors);
  return tensors;
}

}  // namespace gradspike::ops
