#include "ops/host/spike_csv.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <iostream>
#include <sstream>

#include "csrc/core/error.h"

namespace gradspike::host {
namespace {

/// Dense counts of one input; the operators take four times as many bytes.
constexpr std::int64_t kMaxElements = std::int64_t{1} << 30;

/// The file may be no text at all.
std::string printable(std::string text) {
  for (char& letter : text) {
    letter = letter >= ' ' && letter <= '~' ? letter : '?';
  }
  return text;
}

std::string trimmed(std::string text) {
  while (!text.empty() && (text.back() == '\r' || text.back() == ' ')) {
    text.pop_back();
  }
  return text;
}

std::vector<std::int64_t> numbers(const std::string& text, const std::string& place) {
  std::vector<std::int64_t> result;
  for (std::size_t start = 0; start <= text.size();) {  // a comma at the end leaves an empty field
    const std::size_t comma = std::min(text.find(',', start), text.size());
    const std::string field = text.substr(start, comma - start);
    start = comma + 1;
    std::int64_t value = 0;
    const char* end = field.data() + field.size();
    const auto [stop, error] = std::from_chars(field.data(), end, value);
    GRADSPIKE_REQUIRE(error == std::errc() && stop == end && value >= 0, place, ": '", field,
                      "' must be a whole number from 0");
    GRADSPIKE_REQUIRE(value <= kMaxElements, place, ": ", value, " is too large");
    result.push_back(value);
  }
  return result;
}

std::vector<SpikeLine> read_lines(const std::string& path, std::int64_t size) {
  std::ifstream file(path);
  GRADSPIKE_REQUIRE(file.good(), "cannot open '", path, "'");
  std::string text;
  std::getline(file, text);
  GRADSPIKE_REQUIRE(!file.bad(), "cannot read '", path, "'");  // a directory
  const std::string header = trimmed(text);
  GRADSPIKE_REQUIRE(header == "step,batch,neuron" || header == "step,batch,neuron,count", "'", path,
                    "': the header must be step,batch,neuron[,count], got '", printable(header.substr(0, 40)), "'");
  const std::size_t columns = header == "step,batch,neuron" ? 3 : 4;
  std::vector<SpikeLine> lines;
  for (std::int64_t number = 2; std::getline(file, text); ++number) {
    text = trimmed(text);
    if (text.empty()) {
      continue;
    }
    const std::string place = "'" + path + "' line " + std::to_string(number);
    const std::vector<std::int64_t> fields = numbers(text, place);
    GRADSPIKE_REQUIRE(fields.size() == columns, place, ": must have ", columns, " fields, got ", fields.size());
    GRADSPIKE_REQUIRE(fields[2] < size, place, ": neuron must be below ", size, ", got ", fields[2]);
    lines.push_back({fields[0], fields[1], fields[2], columns == 4 ? fields[3] : 1});
    GRADSPIKE_REQUIRE(lines.back().count <= chip::kMaxSpikeCount, place, ": count must be at most ",
                      chip::kMaxSpikeCount, ", got ", lines.back().count);
  }
  return lines;
}

/// A file, or standard output for an empty path.
class Output {
 public:
  explicit Output(const std::string& path) : path_(path) {
    if (!path.empty()) {
      file_.open(path);
      GRADSPIKE_REQUIRE(file_.good(), "cannot write '", path, "'");
    }
  }
  std::ostream& stream() { return path_.empty() ? std::cout : file_; }
  void close() {
    stream().flush();
    GRADSPIKE_REQUIRE(stream().good(), "cannot write '", path_.empty() ? "standard output" : path_, "'");
  }

 private:
  std::string path_;
  std::ofstream file_;
};

}  // namespace

SpikeLines read_spikes(const std::string& path, std::int64_t size) { return {path, size, read_lines(path, size)}; }

std::int64_t SpikeLines::steps() const {
  std::int64_t result = 0;
  for (const SpikeLine& line : lines) {
    result = std::max(result, line.step + 1);
  }
  return result;
}

std::int64_t SpikeLines::batch() const {
  std::int64_t result = 0;
  for (const SpikeLine& line : lines) {
    result = std::max(result, line.batch + 1);
  }
  return result;
}

chip::SpikeTensor DenseSpikes::tensor() const {
  chip::SpikeTensor result;
  result.type = chip::SpikeTensor::Type::kUint8;
  result.data = counts.data();
  result.steps = steps;
  result.batch = batch;
  result.size = size;
  return result;
}

DenseSpikes::DenseSpikes(const SpikeLines& read, std::int64_t num_steps, std::int64_t num_batch) {
  const std::string& path = read.path;
  const std::vector<SpikeLine>& lines = read.lines;
  DenseSpikes& spikes = *this;
  size = read.size;
  steps = num_steps;
  batch = num_batch;
  for (const SpikeLine& line : lines) {
    GRADSPIKE_REQUIRE(line.step < steps, "'", path, "': step must be below ", steps, ", got ", line.step);
    GRADSPIKE_REQUIRE(line.batch < batch, "'", path, "': batch must be below ", batch, ", got ", line.batch);
  }
  GRADSPIKE_REQUIRE(
      spikes.steps < kMaxElements && spikes.batch < kMaxElements &&
          static_cast<double>(spikes.steps) * static_cast<double>(spikes.batch) * static_cast<double>(size) <
              static_cast<double>(kMaxElements),
      "'", path, "': ", spikes.steps, " steps of ", spikes.batch, " entries are too many");
  spikes.counts.assign(static_cast<std::size_t>(spikes.steps * spikes.batch * size), 0);
  for (const SpikeLine& line : lines) {
    std::uint8_t& count =
        spikes.counts[static_cast<std::size_t>((line.step * spikes.batch + line.batch) * size + line.neuron)];
    GRADSPIKE_REQUIRE(count + line.count <= chip::kMaxSpikeCount, "'", path, "': step ", line.step, ", batch ",
                      line.batch, ", neuron ", line.neuron, " has more than ", chip::kMaxSpikeCount, " spikes");
    count = static_cast<std::uint8_t>(count + line.count);
  }
}

std::int64_t write_spikes(const std::string& path, const chip::Observables& observed, const std::string& population) {
  const chip::PopulationRecord& record = observed.population(population);
  const bool counts =
      std::any_of(record.spikes.begin(), record.spikes.end(), [](std::uint8_t count) { return count > 1; });
  Output output(path);
  output.stream() << "step,batch,neuron" << (counts ? ",count" : "") << '\n';
  std::int64_t written = 0;
  for (std::int64_t b = 0; b < observed.batch; ++b) {
    for (std::int64_t t = 0; t < observed.steps; ++t) {
      for (std::int64_t n = 0; n < record.size && !record.spikes.empty(); ++n) {
        const int count = record.spikes[static_cast<std::size_t>((t * observed.batch + b) * record.size + n)];
        if (count > 0) {
          output.stream() << t << ',' << b << ',' << n;
          if (counts) {
            output.stream() << ',' << count;
          }
          output.stream() << '\n';
          written += count;
        }
      }
    }
  }
  output.close();
  return written;
}

void write_membranes(const std::string& path, const chip::Observables& observed) {
  Output output(path);
  output.stream() << "population,step,batch,neuron,membrane\n";
  for (const chip::PopulationRecord& record : observed.populations) {
    if (!record.spikes.empty() || record.membrane.empty()) {
      continue;
    }
    for (std::size_t k = 0; k < record.membrane.size(); ++k) {
      const auto element = static_cast<std::int64_t>(k);
      char text[64];
      const auto [end, error] = std::to_chars(text, text + sizeof text, record.membrane[k]);
      GRADSPIKE_CHECK(error == std::errc(), "to_chars");
      output.stream() << record.name << ',' << element / (observed.batch * record.size) << ','
                      << element / record.size % observed.batch << ',' << element % record.size << ','
                      << std::string(text, end) << '\n';
    }
  }
  output.close();
}

}  // namespace gradspike::host
