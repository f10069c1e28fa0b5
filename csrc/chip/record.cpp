// Binary record of the integers of one projection, little-endian on every machine:
//   bytes 0-3 "GSW1", 4-7 bits per integer (8 or 16), 8-15 out_features, 16-23 in_features, 24-31 hash, then integers.
#include "csrc/chip/network.h"
#include "csrc/core/error.h"

namespace gradspike::chip {
namespace {

constexpr char kMagic[] = "GSW1";
constexpr std::size_t kHeaderBytes = 32;

void append(std::string& bytes, std::uint64_t value, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    bytes += static_cast<char>((value >> (8 * i)) & 0xFFU);
  }
}

std::uint64_t extract(const std::string& bytes, std::size_t offset, std::size_t count) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < count; ++i) {
    value |= static_cast<std::uint64_t>(static_cast<unsigned char>(bytes[offset + i])) << (8 * i);
  }
  return value;
}

bool fits_int8(const Projection& projection) {
  return projection.min_weight >= -math::kMaxInt8Bound && projection.max_weight <= math::kMaxInt8Bound;
}

}  // namespace

std::string to_record(const Projection& projection, const IntegerMatrix& matrix) {
  GRADSPIKE_REQUIRE(static_cast<std::int64_t>(matrix.values.size()) == matrix.out_features * matrix.in_features,
                    "integers of projection \"", projection.name, "\": needs ",
                    matrix.out_features * matrix.in_features, " values, got ", matrix.values.size());
  const std::size_t width = fits_int8(projection) ? 1 : 2;
  std::string record;
  record.reserve(kHeaderBytes + matrix.values.size() * width);
  record.append(kMagic, 4);
  append(record, width * 8, 4);
  append(record, static_cast<std::uint64_t>(matrix.out_features), 8);
  append(record, static_cast<std::uint64_t>(matrix.in_features), 8);
  append(record, matrix.hash, 8);
  for (const std::int16_t value : matrix.values) {
    GRADSPIKE_REQUIRE(width == 2 || (value >= -128 && value <= 127), "integers of projection \"", projection.name,
                      "\": ", value, " does not fit the 8 bits of its bounds");
    append(record, static_cast<std::uint16_t>(value), width);
  }
  return record;
}

IntegerMatrix matrix_from_record(const std::string& record, const std::string& projection_name) {
  const std::string where = "integer record of projection \"" + projection_name + "\"";
  GRADSPIKE_REQUIRE(record.size() >= kHeaderBytes, where, ": has ", record.size(), " bytes, its header alone needs ",
                    kHeaderBytes);
  GRADSPIKE_REQUIRE(record.compare(0, 4, kMagic) == 0, where, ": does not begin with ", kMagic);
  const std::uint64_t bits = extract(record, 4, 4);
  GRADSPIKE_REQUIRE(bits == 8 || bits == 16, where, ": has ", bits, " bits per integer, 8 and 16 are known");
  const std::uint64_t out = extract(record, 8, 8);
  const std::uint64_t in = extract(record, 16, 8);
  const std::uint64_t width = bits / 8;
  const std::uint64_t stored = (record.size() - kHeaderBytes) / width;
  const bool divides = (record.size() - kHeaderBytes) % width == 0;
  GRADSPIKE_REQUIRE(divides && (in == 0 || out == 0 ? stored == 0 : (stored % in == 0 && stored / in == out)), where,
                    ": holds ", record.size() - kHeaderBytes, " bytes of integers for [", out, ", ", in, "] of ", bits,
                    " bits");
  GRADSPIKE_REQUIRE(in <= INT64_MAX && out <= INT64_MAX, where, ": has a size beyond 63 bits");
  IntegerMatrix matrix;
  matrix.out_features = static_cast<std::int64_t>(out);
  matrix.in_features = static_cast<std::int64_t>(in);
  matrix.hash = extract(record, 24, 8);
  matrix.values.reserve(stored);
  for (std::uint64_t i = 0; i < stored; ++i) {
    const std::uint64_t raw = extract(record, kHeaderBytes + i * width, width);
    matrix.values.push_back(width == 1 ? static_cast<std::int16_t>(static_cast<std::int8_t>(raw))
                                       : static_cast<std::int16_t>(raw));
  }
  return matrix;
}

}  // namespace gradspike::chip
