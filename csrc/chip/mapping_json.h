// The JSON of a mapping inside other JSON. Private.
#pragma once

#include "csrc/chip/json_reader.h"
#include "csrc/chip/mapping.h"

namespace gradspike::chip {

/// See mapping_from_json.
Mapping read_mapping(const JsonReader& reader);

}  // namespace gradspike::chip
