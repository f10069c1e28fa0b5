// The records of a program of torch.export: its JSON and its tensors, which are numbers alone.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

namespace caffe2::serialize {
class PyTorchStreamReader;
}

namespace gradspike::ops {

/// A record of an archive, as text.
std::string record(caffe2::serialize::PyTorchStreamReader& reader, const std::string& name);
/// A record that is a JSON object.
nlohmann::json document(caffe2::serialize::PyTorchStreamReader& reader, const std::string& name);

/// A choice among kinds, {"kind": value}.
std::pair<std::string, const nlohmann::json*> choice(const nlohmann::json& value, const char* what);
std::int64_t whole_number(const nlohmann::json& value, const char* what);
/// A number; JSON has no words for those that are not finite.
double number(const nlohmann::json& value);
/// The dtype of a number in a program.
at::ScalarType scalar_type(std::int64_t code);

/// Tensors of a program by the name that its signature gives them.
std::map<std::string, at::Tensor> program_tensors(caffe2::serialize::PyTorchStreamReader& reader);

}  // namespace gradspike::ops
