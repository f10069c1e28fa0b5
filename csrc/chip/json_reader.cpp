#include "csrc/chip/json_reader.h"

#include <cstring>
#include <set>
#include <vector>

namespace gradspike::chip {
namespace {

constexpr int kMaxDepth = 32;

/// Refuses nesting that would exhaust the stack and repeated keys, of which a parser would silently keep one.
class StructureCheck {
 public:
  explicit StructureCheck(const std::string& what) : what_(what) {}

  bool operator()(int depth, Json::parse_event_t event, Json& value) {
    GRADSPIKE_REQUIRE(depth < kMaxDepth, what_, " is nested deeper than ", kMaxDepth, " levels");
    if (event == Json::parse_event_t::object_start) {
      keys_.emplace_back();
    } else if (event == Json::parse_event_t::object_end) {
      keys_.pop_back();
    } else if (event == Json::parse_event_t::key) {
      const auto& key = value.get_ref<const std::string&>();
      GRADSPIKE_REQUIRE(keys_.back().insert(key).second, what_, " has the key \"", key, "\" twice");
    }
    return true;
  }

 private:
  const std::string& what_;
  std::vector<std::set<std::string>> keys_;
};

}  // namespace

Json parse_json(const std::string& text, const std::string& what) {
  StructureCheck check(what);
  try {
    return Json::parse(text, std::ref(check));
  } catch (const Json::exception& error) {
    std::string message =
        error.what();  // quotes what it read, which may be anything, and begins with a code in brackets
    message.erase(0, message.rfind("[json.", 0) == 0 ? message.find("] ") + 2 : 0);
    for (char& letter : message) {
      letter = letter >= ' ' && letter <= '~' ? letter : '?';
    }
    GRADSPIKE_FAIL(what, " is no JSON: ", message);
  }
}

std::string dump_json(const Json& json, const std::string& what) {
  try {
    return json.dump();
  } catch (const Json::exception& error) {
    GRADSPIKE_FAIL(what, " cannot be written: ", error.what());
  }
}

void JsonReader::require_keys(std::initializer_list<const char*> keys,
                              std::initializer_list<const char*> optional) const {
  GRADSPIKE_REQUIRE(json_.is_object(), path_, " must be an object, got ", json_.type_name());
  for (const char* key : keys) {
    GRADSPIKE_REQUIRE(json_.contains(key), path_, " lacks the field \"", key, "\"");
  }
  for (const auto& item : json_.items()) {
    bool known = false;
    for (const std::initializer_list<const char*>& list : {keys, optional}) {
      for (const char* key : list) {
        known = known || item.key() == key;
      }
    }
    GRADSPIKE_REQUIRE(known, path_, " has a field \"", item.key(), "\" that this version does not know");
  }
}

void JsonReader::require_format(const char* format, std::int64_t version) const {
  GRADSPIKE_REQUIRE(json_.is_object(), path_, " must be an object, got ", json_.type_name());
  GRADSPIKE_REQUIRE(json_.contains("format") && json_["format"].is_string() && json_["format"] == format, path_,
                    " is no file of format \"", format, "\"");
  const std::int64_t found = at("version").integer(0, std::numeric_limits<std::int64_t>::max());
  GRADSPIKE_REQUIRE(found == version, path_, " has format version ", found, ", this library reads version ", version);
}

JsonReader JsonReader::at(const char* key) const {
  GRADSPIKE_REQUIRE(json_.is_object(), path_, " must be an object, got ", json_.type_name());
  GRADSPIKE_REQUIRE(json_.contains(key), path_, " lacks the field \"", key, "\"");
  return {json_[key], path_ + "." + key};
}

JsonReader JsonReader::element(std::size_t index) const {
  GRADSPIKE_REQUIRE(index < array_size(), path_, " lacks element ", index);
  return {json_[index], path_ + "[" + std::to_string(index) + "]"};
}

std::size_t JsonReader::array_size() const {
  GRADSPIKE_REQUIRE(json_.is_array(), path_, " must be an array, got ", json_.type_name());
  return json_.size();
}

std::string JsonReader::text() const {
  GRADSPIKE_REQUIRE(json_.is_string(), path_, " must be a string, got ", json_.type_name());
  return json_.get<std::string>();
}

std::int64_t JsonReader::integer(std::int64_t lowest, std::int64_t highest) const {
  GRADSPIKE_REQUIRE(json_.is_number_integer(), path_, " must be an integer, got ", json_.type_name());
  const bool too_large =
      json_.is_number_unsigned() &&
      json_.get<std::uint64_t>() > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  GRADSPIKE_REQUIRE(!too_large, path_, " must be in ", lowest, "..", highest, ", got ", json_.dump());
  const auto value = json_.get<std::int64_t>();
  GRADSPIKE_REQUIRE(value >= lowest && value <= highest, path_, " must be in ", lowest, "..", highest, ", got ", value);
  return value;
}

std::uint64_t JsonReader::bits() const {
  GRADSPIKE_REQUIRE(json_.is_number_unsigned(), path_, " must be an unsigned integer of 64 bits, got ",
                    json_.type_name());
  return json_.get<std::uint64_t>();
}

bool JsonReader::boolean() const {
  GRADSPIKE_REQUIRE(json_.is_boolean(), path_, " must be true or false, got ", json_.type_name());
  return json_.get<bool>();
}

float JsonReader::float_bits() const {
  const auto bits = static_cast<std::uint32_t>(integer(0, std::numeric_limits<std::uint32_t>::max()));
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

double JsonReader::double_bits() const {
  const std::uint64_t pattern = bits();
  double value;
  std::memcpy(&value, &pattern, sizeof value);
  return value;
}

std::uint32_t bits_of(float value) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

std::uint64_t bits_of(double value) {
  std::uint64_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

}  // namespace gradspike::chip
