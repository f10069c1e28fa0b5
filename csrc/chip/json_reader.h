// Reading JSON with sentences instead of exceptions of the parser. Private: included by .cpp files of this folder only.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>

#include "csrc/core/error.h"

namespace gradspike::chip {

using Json = nlohmann::json;

/// Parses `text`; throws an Error that begins with `what` for anything but one JSON value without repeated keys and
/// nested at most 32 deep.
Json parse_json(const std::string& text, const std::string& what);

/// One line, sorted keys. Text that is no UTF-8 is refused.
std::string dump_json(const Json& json, const std::string& what);

/// A value and where it stands, so that each error names the field.
class JsonReader {
 public:
  JsonReader(const Json& json, std::string path) : json_(json), path_(std::move(path)) {}

  const std::string& path() const { return path_; }
  /// Throws unless this is an object with exactly these keys, and perhaps optional ones.
  void require_keys(std::initializer_list<const char*> keys, std::initializer_list<const char*> optional = {}) const;
  /// Throws unless `format` and `version` are these.
  void require_format(const char* format, std::int64_t version) const;
  bool has(const char* key) const { return json_.is_object() && json_.contains(key); }

  JsonReader at(const char* key) const;
  JsonReader element(std::size_t index) const;
  /// Number of elements of an array.
  std::size_t array_size() const;
  std::string text() const;
  std::int64_t integer(std::int64_t lowest, std::int64_t highest) const;
  std::uint64_t bits() const;
  bool boolean() const;
  float float_bits() const;
  double double_bits() const;
  const Json& json() const { return json_; }

  template <class Enum>
  Enum choice(std::initializer_list<std::pair<const char*, Enum>> choices) const {
    const std::string value = text();
    std::string known;
    for (const auto& [name, result] : choices) {
      if (value == name) {
        return result;
      }
      known += std::string(known.empty() ? "" : ", ") + name;
    }
    GRADSPIKE_FAIL(path_, " must be one of ", known, ", got \"", value, "\"");
  }

  template <class T = std::int32_t>
  T integer_as() const {
    return static_cast<T>(integer(std::numeric_limits<T>::min(), std::numeric_limits<T>::max()));
  }

 private:
  const Json& json_;
  std::string path_;
};

std::uint32_t bits_of(float value);
std::uint64_t bits_of(double value);

}  // namespace gradspike::chip
