// Messages between this library and a program that runs networks: one line of JSON, then binary blobs. The format is
// docs/backend-protocol.md. Private to the process backend.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "csrc/chip/json_reader.h"

namespace gradspike::chip {

constexpr char kMessageFormat[] = "gradspike.backend";
constexpr std::int64_t kMessageVersion = 1;
/// Of the JSON line of an answer; what is large travels in blobs.
constexpr std::size_t kMaxHeadBytes = std::size_t{1} << 20;
constexpr std::size_t kMaxBlobs = 4096;
/// Largest integer that every JSON reader keeps exactly.
constexpr std::int64_t kMaxCount = std::int64_t{1} << 53;

enum class BlobType { kUint8, kInt16, kInt32, kFloat32, kFloat64 };

/// What the JSON line declares of a blob.
struct BlobHead {
  std::string name;
  BlobType type = BlobType::kUint8;
  std::vector<std::int64_t> shape;

  std::size_t bytes() const;
};

/// Elements row-major and little-endian.
struct Blob {
  BlobHead head;
  std::string bytes;
};

struct MessageHead {
  std::string kind;
  Json json;
  std::vector<BlobHead> blobs;
};

const char* name_of(BlobType type);
std::size_t width_of(BlobType type);
std::string shape_text(const std::vector<std::int64_t>& shape);
/// Text of a stranger for a message: control characters are blanks, what is beyond `limit` bytes is cut off.
std::string one_line(std::string text, std::size_t limit);

/// A whole message; `fields` are those beside format, version, message and blobs.
std::string to_bytes(const std::string& kind, Json fields, const std::vector<Blob>& blobs);

/// Throws for anything but one JSON object of this format and version with a list of blobs that can exist.
MessageHead message_head(const std::string& line);

/// Throws unless the message has all of `required` and nothing beyond these and `optional`.
void require_fields(const MessageHead& head, const std::vector<std::string>& required,
                    const std::vector<std::string>& optional);

namespace detail {

/// Little-endian bytes are the machine's own, or reversed element by element.
inline void swap_bytes(char* bytes, std::size_t count, std::size_t width) {
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
  for (std::size_t i = 0; i < count; ++i) {
    for (std::size_t k = 0; k < width / 2; ++k) {
      std::swap(bytes[i * width + k], bytes[(i + 1) * width - 1 - k]);
    }
  }
#else
  (void)bytes, (void)count, (void)width;
#endif
}

}  // namespace detail

template <class T>
Blob to_blob(std::string name, BlobType type, std::vector<std::int64_t> shape, const std::vector<T>& values) {
  Blob blob{{std::move(name), type, std::move(shape)}, std::string(values.size() * sizeof(T), '\0')};
  GRADSPIKE_CHECK(width_of(type) == sizeof(T) && blob.head.bytes() == blob.bytes.size(), blob.head.name);
  if (!values.empty()) {
    std::memcpy(&blob.bytes[0], values.data(), blob.bytes.size());
    detail::swap_bytes(&blob.bytes[0], values.size(), sizeof(T));
  }
  return blob;
}

template <class T>
std::vector<T> values_of(const Blob& blob) {
  GRADSPIKE_CHECK(width_of(blob.head.type) == sizeof(T), blob.head.name);
  std::vector<T> values(blob.bytes.size() / sizeof(T));
  if (!values.empty()) {
    std::memcpy(values.data(), blob.bytes.data(), blob.bytes.size());
    detail::swap_bytes(reinterpret_cast<char*>(values.data()), values.size(), sizeof(T));
  }
  return values;
}

}  // namespace gradspike::chip
