#include "csrc/chip/run_answer.h"

#include <algorithm>
#include <cmath>

#include "csrc/chip/names.h"
#include "csrc/math/lif.h"

namespace gradspike::chip {
namespace {

// Samples of one batch entry: what the chip's external memory holds for the CADC (204,800), and 0.4 s of the MADC.
constexpr std::int64_t kMaxCadcSamples = 204800;
constexpr std::int64_t kMaxMadcSamples = std::int64_t{1} << 24;
constexpr std::size_t kMaxNames = 1024;
constexpr std::size_t kMaxText = 500;
constexpr char kCadcTimes[] = "cadc_times";
constexpr char kMadcTimes[] = "madc_times";
constexpr char kMadc[] = "madc";

const std::vector<std::string> kCounters = {"events_sent",    "spikes_on_chip", "synapse_events",
                                            "events_dropped", "spikes_lost",    "background_spikes"};

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

std::vector<float> finite_floats(const Blob& blob) {
  std::vector<float> values = values_of<float>(blob);
  const auto found = std::find_if(values.begin(), values.end(), [](float value) { return !std::isfinite(value); });
  GRADSPIKE_REQUIRE(found == values.end(), "\"", blob.head.name, "\" must hold finite numbers, got ", *found,
                    " as element ", found - values.begin());
  return values;
}

std::vector<double> ascending_times(const Blob& blob) {
  std::vector<double> values = values_of<double>(blob);
  for (std::size_t i = 0; i < values.size(); ++i) {
    GRADSPIKE_REQUIRE(std::isfinite(values[i]) && (i == 0 || values[i] >= values[i - 1]), "\"", blob.head.name,
                      "\" must hold finite, ascending times [s], got ", values[i], " as element ", i);
  }
  return values;
}

std::vector<std::int16_t> samples(const Blob& blob, int highest) {
  std::vector<std::int16_t> values = values_of<std::int16_t>(blob);
  const auto found =
      std::find_if(values.begin(), values.end(), [highest](int value) { return value < 0 || value > highest; });
  GRADSPIKE_REQUIRE(found == values.end(), "\"", blob.head.name, "\" must hold samples in 0..", highest, ", got ",
                    *found, " as element ", found - values.begin());
  return values;
}

std::map<std::string, double> finite_numbers(const MessageHead& head, const char* field) {
  std::map<std::string, double> result;
  if (!head.json.contains(field)) {
    return result;
  }
  const Json& object = head.json.at(field);
  GRADSPIKE_REQUIRE(object.is_object() && object.size() <= kMaxNames, "\"", field, "\" must be an object of at most ",
                    kMaxNames, " numbers");
  for (const auto& item : object.items()) {
    GRADSPIKE_REQUIRE(item.value().is_number() && std::isfinite(item.value().get<double>()), "\"", field, ".",
                      item.key(), "\" must be a finite number, got ", item.value().dump());
    result[item.key()] = item.value().get<double>();
  }
  return result;
}

/// Copies rows [row, entry, element] of a part into `out`, [row, place, element] with `batch` places.
template <class T>
void scatter(const std::vector<T>& values, std::int64_t first, std::int64_t count, std::int64_t width,
             const std::vector<std::int64_t>& place, std::int64_t batch, std::vector<T>& out) {
  if (values.empty()) {
    return;
  }
  const std::int64_t rows = static_cast<std::int64_t>(values.size()) / (count * width);
  out.resize(at(rows * batch * width));
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t b = 0; b < count; ++b) {
      const auto from = values.begin() + (row * count + b) * width;
      std::copy(from, from + width, out.begin() + (row * batch + place[at(first + b)]) * width);
    }
  }
}

}  // namespace

RunAnswer::Part RunAnswer::range_of(const MessageHead& head) const {
  Part part;
  part.populations.resize(request_.network->populations.size());
  const JsonReader reader(head.json, "the answer");
  const bool is_part = head.kind == "part";
  GRADSPIKE_REQUIRE(is_part || reader.has("first") == reader.has("count"),
                    "the answer must have both \"first\" and \"count\", or neither");
  if (!is_part && !reader.has("first")) {
    return part;
  }
  GRADSPIKE_REQUIRE(request_.batch > 0, "the answer must have no batch entry, as none was asked for");
  part.first = reader.at("first").integer(0, request_.batch - 1);
  part.count = reader.at("count").integer(1, request_.batch - part.first);
  for (std::int64_t b = part.first; b < part.first + part.count; ++b) {
    GRADSPIKE_REQUIRE(!seen_[at(b)], "the answer has batch entry ", b, " for the second time");
  }
  return part;
}

std::map<std::string, RunAnswer::Expected> RunAnswer::expected(const MessageHead& head, const Part& part) const {
  std::map<std::string, Expected> result;
  std::int64_t cadc_samples = 0;
  std::int64_t madc_samples = 0;
  for (const BlobHead& blob : head.blobs) {
    cadc_samples = blob.name == kCadcTimes ? blob.shape[0] : cadc_samples;
    madc_samples = blob.name == kMadcTimes ? blob.shape[0] : madc_samples;
  }
  const bool has_entries = part.count > 0;
  for (std::size_t p = 0; p < request_.network->populations.size() && has_entries; ++p) {
    const Population& population = request_.network->populations[p];
    const std::vector<std::int64_t> trace = {request_.steps, part.count, population.size};
    if (population.kind == NeuronKind::kLif) {
      const std::int64_t most = request_.steps * part.count * population.size;
      result["spikes/" + population.name] = {BlobType::kInt32, {-1, 3}, most, true};
    }
    if (request_.membrane[p]) {
      result["membrane/" + population.name] = {BlobType::kFloat32, trace, 0, true};
      result["cadc/" + population.name] = {BlobType::kInt16, {cadc_samples, part.count, population.size}, 0, false};
      result[kCadcTimes] = {BlobType::kFloat64, {-1}, kMaxCadcSamples, false};
    }
    if (request_.current[p]) {
      result["current/" + population.name] = {BlobType::kFloat32, trace, 0, true};
    }
    result["state/" + population.name] = {
        BlobType::kFloat32, {num_states(*request_.network, p), part.count, population.size}, 0, false};
  }
  if (has_entries && !request_.madc.population.empty()) {
    result[kMadcTimes] = {BlobType::kFloat64, {-1}, kMaxMadcSamples, true};
    result[kMadc] = {BlobType::kInt16, {madc_samples, part.count}, 0, true};
  }
  return result;
}

void RunAnswer::check_shape(const BlobHead& blob, const std::map<std::string, Expected>& expected) const {
  const auto found = expected.find(blob.name);
  if (found == expected.end()) {
    std::vector<std::string> names;
    for (const auto& [name, value] : expected) {
      names.push_back(name);
    }
    GRADSPIKE_FAIL("the answer has a blob \"", blob.name, "\" that was not asked for", nearest_text(blob.name, names));
  }
  const Expected& wanted = found->second;
  std::vector<std::int64_t> shape = wanted.shape;
  if (shape[0] < 0) {
    GRADSPIKE_REQUIRE(blob.shape[0] <= wanted.longest, "\"", blob.name, "\" must have at most ", wanted.longest,
                      " rows, got ", blob.shape[0]);
    shape[0] = blob.shape[0];
  }
  GRADSPIKE_REQUIRE(blob.type == wanted.type && blob.shape == shape, "\"", blob.name, "\" must be ",
                    name_of(wanted.type), " ", shape_text(shape), ", got ", name_of(blob.type), " ",
                    shape_text(blob.shape));
}

void RunAnswer::check(const MessageHead& head) const {
  if (head.kind == "part") {
    require_fields(head, {"first", "count"}, {"counters", "losses"});
  } else {
    GRADSPIKE_REQUIRE(head.kind == "result", "a run is answered by part, progress, result or error, got \"", head.kind,
                      "\"");
    require_fields(head, {"target"}, {"first", "count", "counters", "losses", "timing", "constants", "not_modelled"});
  }
  const Part part = range_of(head);
  const std::map<std::string, Expected> wanted = expected(head, part);
  std::set<std::string> given;
  bool has_cadc = false;
  for (const BlobHead& blob : head.blobs) {
    check_shape(blob, wanted);
    given.insert(blob.name);
    has_cadc = has_cadc || blob.name.compare(0, 5, "cadc/") == 0;
  }
  GRADSPIKE_REQUIRE(has_cadc == (given.count(kCadcTimes) != 0), "the answer must have \"", kCadcTimes,
                    "\" where it has samples of the CADC, and only there");
  for (const auto& [name, blob] : wanted) {
    GRADSPIKE_REQUIRE(!blob.required || given.count(name) != 0, "the answer lacks the blob \"", name, "\"");
  }
}

void RunAnswer::read_spikes(const Blob& blob, std::int64_t size, const Part& part,
                            std::vector<std::int32_t>& events) const {
  std::vector<std::int32_t> values = values_of<std::int32_t>(blob);
  std::int64_t previous = -1;
  for (std::size_t i = 0; i < values.size(); i += 3) {
    const std::int64_t step = values[i];
    const std::int64_t entry = values[i + 1];
    const std::int64_t neuron = values[i + 2];
    const bool inside = step >= 0 && step < request_.steps && entry >= part.first && entry < part.first + part.count &&
                        neuron >= 0 && neuron < size;
    GRADSPIKE_REQUIRE(inside, "\"", blob.head.name, "\" must hold steps in 0..", request_.steps - 1,
                      ", batch entries in ", part.first, "..", part.first + part.count - 1, " and neurons in 0..",
                      size - 1, ", got ", step, ", ", entry, ", ", neuron, " as event ", i / 3);
    const std::int64_t place = (entry * request_.steps + step) * size + neuron;
    GRADSPIKE_REQUIRE(place > previous, "\"", blob.head.name,
                      "\" must be in order of batch entry, step and neuron, each at most once; event ", i / 3,
                      " is not");
    previous = place;
  }
  events = std::move(values);
}

void RunAnswer::read_blob(const Blob& blob, Part& part) const {
  const std::string& name = blob.head.name;
  part.given.insert(name);
  if (name == kCadcTimes || name == kMadcTimes) {
    (name == kCadcTimes ? part.cadc_times : part.madc_times) = ascending_times(blob);
    return;
  }
  if (name == kMadc) {
    part.madc = samples(blob, kMaxMadcReading);
    return;
  }
  const std::size_t slash = name.find('/');
  const std::string kind = name.substr(0, slash);
  const std::int32_t index = request_.network->population(name.substr(slash + 1));
  PopulationPart& population = part.populations[at(index)];
  if (kind == "spikes") {
    read_spikes(blob, request_.network->populations[at(index)].size, part, population.spikes);
  } else if (kind == "cadc") {
    population.cadc = samples(blob, kMaxCadcReading);
  } else {
    (kind == "membrane"  ? population.membrane
     : kind == "current" ? population.current
                         : population.state) = finite_floats(blob);
  }
}

void RunAnswer::require_same_kind(const Part& part) const {
  if (parts_.empty()) {
    return;
  }
  const Part& other = parts_.front();
  GRADSPIKE_REQUIRE(part.given == other.given, "the answer must have the same blobs for batch entries ", other.first,
                    " and ", part.first);
  GRADSPIKE_REQUIRE(part.cadc_times == other.cadc_times && part.madc_times == other.madc_times,
                    "the answer must have the same sample times for batch entries ", other.first, " and ", part.first);
}

void RunAnswer::add_counts(const Json& json, const char* field, std::map<std::string, std::int64_t>& totals,
                           const std::vector<std::string>& known) const {
  if (!json.contains(field)) {
    return;
  }
  const Json& object = json.at(field);
  GRADSPIKE_REQUIRE(object.is_object(), "\"", field, "\" must be an object, got ", object.type_name());
  for (const auto& item : object.items()) {
    const bool is_known = known.empty() || std::find(known.begin(), known.end(), item.key()) != known.end();
    GRADSPIKE_REQUIRE(is_known, "\"", field, "\" has no \"", item.key(), "\"", nearest_text(item.key(), known));
    const JsonReader reader(item.value(), "the answer." + std::string(field) + "." + item.key());
    totals[item.key()] += reader.integer(0, kMaxCount - totals[item.key()]);
  }
  GRADSPIKE_REQUIRE(totals.size() <= kMaxNames, "\"", field, "\" must have at most ", kMaxNames, " names");
}

void RunAnswer::read_result(const MessageHead& head, Observables& result) const {
  const JsonReader reader(head.json, "the answer");
  result.target = one_line(reader.at("target").text(), kMaxText);
  GRADSPIKE_REQUIRE(!result.target.empty(), "the answer must name its target, got an empty text");
  result.timing = finite_numbers(head, "timing");
  result.constants = finite_numbers(head, "constants");
  if (reader.has("not_modelled")) {
    const JsonReader list = reader.at("not_modelled");
    for (std::size_t i = 0; i < list.array_size(); ++i) {
      result.not_modelled.push_back(one_line(list.element(i).text(), kMaxText));
    }
  }
}

void RunAnswer::add(const MessageHead& head, const std::vector<Blob>& blobs) {
  Part part = range_of(head);
  for (const Blob& blob : blobs) {
    read_blob(blob, part);
  }
  std::map<std::string, std::int64_t> counters = counters_;
  std::map<std::string, std::int64_t> losses = losses_;
  add_counts(head.json, "counters", counters, kCounters);
  add_counts(head.json, "losses", losses, {});
  if (part.count > 0) {
    require_same_kind(part);
  }
  Observables said = said_;
  if (head.kind == "result") {
    read_result(head, said);
  }
  said_ = std::move(said);
  counters_ = std::move(counters);
  losses_ = std::move(losses);
  if (part.count > 0) {
    std::fill_n(seen_.begin() + part.first, part.count, true);
    parts_.push_back(std::move(part));
  }
}

std::vector<std::int64_t> RunAnswer::entries() const {
  std::vector<std::int64_t> result;
  for (std::size_t b = 0; b < seen_.size(); ++b) {
    if (seen_[b]) {
      result.push_back(static_cast<std::int64_t>(b));
    }
  }
  return result;
}

void RunAnswer::fill_spikes(Observables& result, const std::vector<std::int64_t>& place) const {
  for (const Part& part : parts_) {
    for (std::size_t p = 0; p < part.populations.size(); ++p) {
      PopulationRecord& record = result.populations[p];
      const std::vector<std::int32_t>& events = part.populations[p].spikes;
      for (std::size_t i = 0; i < events.size(); i += 3) {
        const std::int64_t row = events[i] * result.batch + place[at(events[i + 1])];
        record.spikes[at(row * record.size + events[i + 2])] = 1;
      }
    }
  }
}

void RunAnswer::fill_traces(Observables& result, const std::vector<std::int64_t>& place) const {
  for (const Part& part : parts_) {
    for (std::size_t p = 0; p < part.populations.size(); ++p) {
      PopulationRecord& record = result.populations[p];
      const PopulationPart& from = part.populations[p];
      const auto copy = [&](const auto& values, auto& out) {
        scatter(values, part.first, part.count, record.size, place, result.batch, out);
      };
      copy(from.membrane, record.membrane);
      copy(from.current, record.current);
      copy(from.state, record.final_state);
      copy(from.cadc, record.cadc);
    }
    scatter(part.madc, part.first, part.count, 1, place, result.batch, result.madc.samples);
  }
}

Observables RunAnswer::observables(const std::string& backend, const std::string& target) const {
  Observables result = said_;
  result.target = backend + " " + (said_.target.empty() ? target : said_.target);
  const std::vector<std::int64_t> there = entries();
  std::vector<std::int64_t> place(seen_.size(), -1);
  for (std::size_t i = 0; i < there.size(); ++i) {
    place[at(there[i])] = static_cast<std::int64_t>(i);
  }
  result.steps = request_.steps;
  result.batch = static_cast<std::int64_t>(there.size());
  for (const Population& population : request_.network->populations) {
    PopulationRecord record;
    record.name = population.name;
    record.size = population.size;
    record.spikes.resize(population.kind == NeuronKind::kLif ? at(result.steps * result.batch * population.size) : 0);
    result.populations.push_back(std::move(record));
  }
  fill_spikes(result, place);
  fill_traces(result, place);
  const auto count = [this](const char* name) {
    const auto found = counters_.find(name);
    return found != counters_.end() ? found->second : 0;
  };
  result.counters = {count("events_sent"),    count("spikes_on_chip"), count("synapse_events"),
                     count("events_dropped"), count("spikes_lost"),    count("background_spikes")};
  result.losses = losses_;
  if (!parts_.empty()) {
    result.cadc_times = parts_.front().cadc_times;
    result.madc.times = parts_.front().madc_times;
    result.madc.population = request_.madc.population;
    result.madc.neuron = request_.madc.neuron;
  }
  return result;
}

}  // namespace gradspike::chip
