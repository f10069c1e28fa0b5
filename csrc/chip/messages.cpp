#include "csrc/chip/messages.h"

#include <algorithm>
#include <set>

namespace gradspike::chip {
namespace {

constexpr std::size_t kMaxRank = 3;
constexpr std::size_t kMaxNameBytes = 1000;
constexpr std::int64_t kMaxExtent = std::numeric_limits<std::int32_t>::max();
constexpr std::int64_t kMaxBlobElements = std::int64_t{1} << 40;

constexpr std::pair<const char*, BlobType> kTypes[] = {{"u8", BlobType::kUint8},
                                                       {"i16", BlobType::kInt16},
                                                       {"i32", BlobType::kInt32},
                                                       {"f32", BlobType::kFloat32},
                                                       {"f64", BlobType::kFloat64}};

BlobHead blob_head(const JsonReader& reader) {
  reader.require_keys({"name", "type", "shape"});
  BlobHead head;
  head.name = reader.at("name").text();
  GRADSPIKE_REQUIRE(head.name.size() <= kMaxNameBytes, reader.path(), ".name must have at most ", kMaxNameBytes,
                    " bytes, got ", head.name.size());
  head.type = reader.at("type").choice<BlobType>({kTypes[0], kTypes[1], kTypes[2], kTypes[3], kTypes[4]});
  const JsonReader shape = reader.at("shape");
  GRADSPIKE_REQUIRE(shape.array_size() >= 1 && shape.array_size() <= kMaxRank, shape.path(), " must have 1 to ",
                    kMaxRank, " extents, got ", shape.array_size());
  std::int64_t elements = 1;
  for (std::size_t i = 0; i < shape.array_size(); ++i) {
    const std::int64_t extent = shape.element(i).integer(0, kMaxExtent);
    GRADSPIKE_REQUIRE(extent == 0 || elements <= kMaxBlobElements / extent, shape.path(), " must be at most ",
                      kMaxBlobElements, " elements, got ", shape.json().dump());
    elements *= extent;
    head.shape.push_back(extent);
  }
  return head;
}

}  // namespace

const char* name_of(BlobType type) {
  const auto* found =
      std::find_if(std::begin(kTypes), std::end(kTypes), [type](const auto& t) { return t.second == type; });
  return found->first;
}

std::size_t width_of(BlobType type) {
  switch (type) {
    case BlobType::kUint8:
      return 1;
    case BlobType::kInt16:
      return 2;
    case BlobType::kInt32:
    case BlobType::kFloat32:
      return 4;
    default:
      return 8;
  }
}

std::string shape_text(const std::vector<std::int64_t>& shape) { return Json(shape).dump(); }

std::string one_line(std::string text, std::size_t limit) {
  if (text.size() > limit) {
    const auto continues = [&text](std::size_t i) { return (static_cast<unsigned char>(text[i]) & 0xC0U) == 0x80U; };
    while (limit > 0 && continues(limit)) {  // never within a character of UTF-8
      --limit;
    }
    text.resize(limit);
    text += "...";
  }
  for (char& letter : text) {
    const auto code = static_cast<unsigned char>(letter);
    letter = code < ' ' || code == 0x7F ? ' ' : letter;
  }
  return text;
}

std::size_t BlobHead::bytes() const {
  std::size_t elements = 1;
  for (const std::int64_t extent : shape) {
    elements *= static_cast<std::size_t>(extent);
  }
  return elements * width_of(type);
}

std::string to_bytes(const std::string& kind, Json fields, const std::vector<Blob>& blobs) {
  Json list = Json::array();
  std::size_t size = 0;
  for (const Blob& blob : blobs) {
    list.push_back({{"name", blob.head.name}, {"type", name_of(blob.head.type)}, {"shape", blob.head.shape}});
    size += blob.bytes.size();
  }
  fields["format"] = kMessageFormat;
  fields["version"] = kMessageVersion;
  fields["message"] = kind;
  fields["blobs"] = std::move(list);
  std::string bytes = dump_json(fields, "message \"" + kind + "\"") + "\n";
  bytes.reserve(bytes.size() + size);
  for (const Blob& blob : blobs) {
    bytes += blob.bytes;
  }
  return bytes;
}

MessageHead message_head(const std::string& line) {
  MessageHead head;
  head.json = parse_json(line, "the answer");
  const JsonReader reader(head.json, "the answer");
  GRADSPIKE_REQUIRE(head.json.is_object(), "the answer must be an object, got ", head.json.type_name());
  const std::string format = reader.at("format").text();
  GRADSPIKE_REQUIRE(format == kMessageFormat, "the answer must have the format \"", kMessageFormat, "\"");
  const std::int64_t version = reader.at("version").integer(0, kMaxCount);
  GRADSPIKE_REQUIRE(version == kMessageVersion, "the answer has version ", version, " of ", kMessageFormat,
                    ", this library speaks version ", kMessageVersion);
  head.kind = reader.at("message").text();
  if (!reader.has("blobs")) {
    return head;
  }
  const JsonReader blobs = reader.at("blobs");
  GRADSPIKE_REQUIRE(blobs.array_size() <= kMaxBlobs, blobs.path(), " must be at most ", kMaxBlobs, ", got ",
                    blobs.array_size());
  std::set<std::string> names;
  for (std::size_t i = 0; i < blobs.array_size(); ++i) {
    head.blobs.push_back(blob_head(blobs.element(i)));
    GRADSPIKE_REQUIRE(names.insert(head.blobs.back().name).second, blobs.path(), " has two of one name, number ", i);
  }
  return head;
}

void require_fields(const MessageHead& head, const std::vector<std::string>& required,
                    const std::vector<std::string>& optional) {
  const std::string what = "the answer \"" + head.kind + "\"";
  for (const std::string& key : required) {
    GRADSPIKE_REQUIRE(head.json.contains(key), what, " lacks the field \"", key, "\"");
  }
  const auto holds = [](const std::vector<std::string>& list, const std::string& key) {
    return std::find(list.begin(), list.end(), key) != list.end();
  };
  static const std::vector<std::string> common = {"format", "version", "message", "blobs"};
  for (const auto& item : head.json.items()) {
    const std::string& key = item.key();
    GRADSPIKE_REQUIRE(holds(common, key) || holds(required, key) || holds(optional, key), what, " has a field \"", key,
                      "\" that version ", kMessageVersion, " does not know");
  }
}

}  // namespace gradspike::chip
