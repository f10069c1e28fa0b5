#include "ops/host/npy.h"

#include <array>
#include <charconv>
#include <cmath>
#include <cstring>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <numeric>
#include <sstream>

#include "csrc/core/error.h"

namespace gradspike::host {
namespace {

// The format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
constexpr const char* kMagic = "\x93NUMPY";
constexpr std::size_t kMagicSize = 6;
constexpr std::size_t kAlignment = 64;

/// What a header says.
struct Header {
  std::string type;
  std::vector<std::int64_t> shape;
  std::size_t data = 0;  // where the numbers begin
};

std::string field(const std::string& path, const std::string& header, const std::string& name, char last) {
  const std::size_t key = header.find("'" + name + "'");
  GRADSPIKE_REQUIRE(key != std::string::npos, "'", path, "' is no .npy file: its header has no ", name);
  const std::size_t start = header.find(':', key) + 1;
  const std::size_t end = header.find(last, start);
  GRADSPIKE_REQUIRE(end != std::string::npos, "'", path, "' is no .npy file: its header is cut");
  std::string value = header.substr(start, end - start);
  value.erase(0, value.find_first_not_of(" ('"));
  value.erase(value.find_last_not_of(" )'") + 1);
  return value;
}

std::vector<std::int64_t> sizes(const std::string& path, const std::string& text) {
  std::vector<std::int64_t> shape;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, ',');) {
    if (part.find_first_not_of(' ') == std::string::npos) {
      continue;
    }
    const std::string digits = part.substr(part.find_first_not_of(' '));
    std::int64_t value = -1;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    const bool whole = error == std::errc() && end == digits.data() + digits.size();
    GRADSPIKE_REQUIRE(whole && value >= 0 && value < (std::int64_t{1} << 30), "'", path, "': the shape (", text,
                      ") is not one");
    shape.push_back(value);
  }
  return shape;
}

Header read_header(const std::string& path, const std::string& bytes) {
  const bool known =
      bytes.size() >= 10 && bytes.compare(0, kMagicSize, kMagic, kMagicSize) == 0 && bytes[6] >= 1 && bytes[6] <= 3;
  GRADSPIKE_REQUIRE(known, "'", path, "' is no .npy file of version 1 to 3");
  const std::size_t width = bytes[6] == 1 ? 2 : 4;
  std::size_t length = 0;
  for (std::size_t k = 0; k < width && 8 + k < bytes.size(); ++k) {
    length |= static_cast<std::size_t>(static_cast<unsigned char>(bytes[8 + k])) << (8 * k);
  }
  const std::size_t start = 8 + width;
  GRADSPIKE_REQUIRE(start <= bytes.size() && length <= bytes.size() - start, "'", path, "': its header is cut");
  const std::string header = bytes.substr(start, length);
  GRADSPIKE_REQUIRE(field(path, header, "fortran_order", ',') == "False", "'", path,
                    "' is stored column by column: save numpy.ascontiguousarray(array)");
  return {field(path, header, "descr", ','), sizes(path, field(path, header, "shape", ')')), start + length};
}

template <class T>
double number(const char* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof value);
  return static_cast<double>(value);
}

/// How to read one number of a dtype, and its bytes.
struct Reader {
  double (*number)(const char*);
  std::size_t bytes;
};

Reader reader_of(const std::string& path, const std::string& type) {
  static const std::map<std::string, Reader> kReaders = {
      {"|u1", {number<std::uint8_t>, 1}},  {"|i1", {number<std::int8_t>, 1}},   {"|b1", {number<std::uint8_t>, 1}},
      {"<i2", {number<std::int16_t>, 2}},  {"<u2", {number<std::uint16_t>, 2}}, {"<i4", {number<std::int32_t>, 4}},
      {"<u4", {number<std::uint32_t>, 4}}, {"<i8", {number<std::int64_t>, 8}},  {"<u8", {number<std::uint64_t>, 8}},
      {"<f4", {number<float>, 4}},         {"<f8", {number<double>, 8}}};
  const auto found = kReaders.find(type);
  GRADSPIKE_REQUIRE(found != kReaders.end(), "'", path, "': dtype '", type.substr(0, 20),
                    "' must be a boolean, an integer, float32 or float64, little-endian");
  return found->second;
}

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  GRADSPIKE_REQUIRE(file.good(), "cannot open '", path, "'");
  file.peek();
  GRADSPIKE_REQUIRE(!file.bad(), "cannot read '", path, "'");  // a directory
  return std::string((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
}

void write_npy(const std::string& path, const char* type, const std::array<std::int64_t, 3>& shape, const void* data,
               std::size_t bytes) {
  std::ostringstream text;
  text << "{'descr': '" << type << "', 'fortran_order': False, 'shape': (" << shape[0] << ", " << shape[1] << ", "
       << shape[2] << "), }";
  std::string header = text.str();
  header.append(kAlignment - (kMagicSize + 4 + header.size() + 1) % kAlignment, ' ');
  header += '\n';
  std::ofstream file(path, std::ios::binary);
  GRADSPIKE_REQUIRE(file.good(), "cannot write '", path, "'");
  file.write(kMagic, kMagicSize);
  const auto length = static_cast<std::uint16_t>(header.size());
  const char version[] = {1, 0, static_cast<char>(length & 0xFF), static_cast<char>(length >> 8)};
  file.write(version, sizeof version);
  file << header;
  file.write(static_cast<const char*>(data), static_cast<std::streamsize>(bytes));
  file.close();
  GRADSPIKE_REQUIRE(file.good(), "cannot write '", path, "'");
}

}  // namespace

bool is_npy(const std::string& path) { return path.size() > 4 && path.compare(path.size() - 4, 4, ".npy") == 0; }

DenseSpikes read_npy(const std::string& path, std::int64_t size) {
  const std::string bytes = read_file(path);
  const Header header = read_header(path, bytes);
  const Reader reader = reader_of(path, header.type);
  GRADSPIKE_REQUIRE(header.shape.size() == 3 && header.shape[2] == size, "'", path, "' must be [time, batch, ", size,
                    "], got ", header.shape.size(), " dimensions",
                    header.shape.empty() ? "" : " with " + std::to_string(header.shape.back()) + " in the last");
  DenseSpikes spikes({path, size, {}}, header.shape[0], header.shape[1]);
  const std::size_t count = spikes.counts.size();
  GRADSPIKE_REQUIRE(bytes.size() - header.data == count * reader.bytes, "'", path, "' must have ", count * reader.bytes,
                    " bytes of numbers, has ", bytes.size() - header.data);
  for (std::size_t k = 0; k < count; ++k) {
    const double value = reader.number(bytes.data() + header.data + k * reader.bytes);
    const auto element = static_cast<std::int64_t>(k);
    GRADSPIKE_REQUIRE(value >= 0.0 && value <= chip::kMaxSpikeCount && value == std::floor(value), "'", path,
                      "': step ", element / (spikes.batch * size), ", batch ", element / size % spikes.batch,
                      ", neuron ", element % size, " must be a whole number in 0..", chip::kMaxSpikeCount, ", got ",
                      value);
    spikes.counts[k] = static_cast<std::uint8_t>(value);
  }
  return spikes;
}

std::int64_t write_spikes_npy(const std::string& path, const chip::Observables& observed,
                              const std::string& population) {
  const chip::PopulationRecord& record = observed.population(population);
  std::vector<std::uint8_t> counts = record.spikes;
  counts.resize(static_cast<std::size_t>(observed.steps * observed.batch * record.size));
  write_npy(path, "|u1", {observed.steps, observed.batch, record.size}, counts.data(), counts.size());
  return std::accumulate(counts.begin(), counts.end(), std::int64_t{0});
}

void write_membrane_npy(const std::string& path, const chip::Observables& observed, const std::string& population) {
  const chip::PopulationRecord& record = observed.population(population);
  GRADSPIKE_REQUIRE(!record.membrane.empty() || observed.steps * observed.batch * record.size == 0,
                    "the target gave no membrane of population '", population, "'");
  write_npy(path, "<f4", {observed.steps, observed.batch, record.size}, record.membrane.data(),
            record.membrane.size() * sizeof(float));
}

}  // namespace gradspike::host
