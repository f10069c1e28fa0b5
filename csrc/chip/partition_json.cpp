#include <algorithm>
#include <iomanip>

#include "csrc/chip/mapping_json.h"
#include "csrc/chip/partition.h"

namespace gradspike::chip {
namespace {

constexpr char kFormat[] = "gradspike.partition";
constexpr std::int64_t kVersion = 1;

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

Json write(const std::vector<PopulationSlice>& slices) {
  Json list = Json::array();
  for (const PopulationSlice& slice : slices) {
    list.push_back({slice.population, slice.first, slice.count});
  }
  return list;
}

std::vector<PopulationSlice> read_slices(const JsonReader& reader, const Network& network) {
  std::vector<PopulationSlice> slices;
  GRADSPIKE_REQUIRE(reader.array_size() > 0, reader.path(), " must not be empty");
  for (std::size_t p = 0; p < reader.array_size(); ++p) {
    const JsonReader entry = reader.element(p);
    GRADSPIKE_REQUIRE(entry.array_size() == 3, entry.path(), " must be [population, first, count]");
    PopulationSlice slice;
    const auto last = static_cast<std::int64_t>(network.populations.size()) - 1;
    slice.population = static_cast<std::int32_t>(entry.element(0).integer(0, last));
    const std::int64_t size = network.populations[at(slice.population)].size;
    slice.first = entry.element(1).integer(0, size - 1);
    slice.count = entry.element(2).integer(1, size - slice.first);
    const bool ascending =
        slices.empty() || slices.back().population < slice.population ||
        (slices.back().population == slice.population && slices.back().first + slices.back().count <= slice.first);
    GRADSPIKE_REQUIRE(ascending, entry.path(), " must lie behind the slice before it");
    slices.push_back(slice);
  }
  return slices;
}

Instance read_instance(const JsonReader& reader, const Network& network, std::int64_t number, bool alone) {
  reader.require_keys({"wish", "slices", "mapping"});
  const std::vector<PopulationSlice> slices = read_slices(reader.at("slices"), network);
  Mapping mapping = read_mapping(reader.at("mapping"));
  Instance instance;
  if (alone) {
    instance = std::move(single_instance(network, std::move(mapping)).instances[0]);
    GRADSPIKE_REQUIRE(slices == instance.populations, reader.at("slices").path(),
                      " must be all populations: there is one instance");
  } else {
    instance = make_instance(network, number, slices);
    instance.mapping = std::move(mapping);
  }
  instance.wish = reader.at("wish").text();
  return instance;
}

/// Neurons of an input that are sent to the chip.
std::int64_t sent(const InputRoute& input) {
  return std::count_if(input.labels.begin(), input.labels.end(),
                       [](const std::vector<EventLabel>& labels) { return !labels.empty(); });
}

std::string contents_of(const Instance& instance) {
  std::string text;
  for (const Population& population : instance.network.populations) {
    text += (text.empty() ? "" : ", ") + population.name + " (" + std::to_string(population.size) + ")";
  }
  return text + (instance.wish.empty() ? "" : "; wish \"" + instance.wish + "\"");
}

}  // namespace

Holdings holdings_of(const Instance& instance) {
  Holdings holdings;
  holdings.synapses = static_cast<std::int64_t>(instance.mapping.synapses.size());
  for (const PopulationPlacement& population : instance.mapping.populations) {
    for (const PlacedNeuron& neuron : population.neurons) {
      holdings.circuits += static_cast<std::int64_t>(neuron.circuits.size());
    }
  }
  for (const BusUsage& usage : bus_usage(instance.mapping)) {
    holdings.rows += usage.excitatory_rows + usage.inhibitory_rows;
  }
  for (std::size_t i = 0; i < instance.inputs.size(); ++i) {
    const bool replayed = instance.inputs[i].kind == NodeRef::Kind::kPopulation;
    (replayed ? holdings.replayed : holdings.inputs) += sent(instance.mapping.inputs[i]);
  }
  holdings.generators = static_cast<std::int64_t>(instance.mapping.generators.size());
  return holdings;
}

std::string PartitionedMapping::text() const {
  std::ostringstream out;
  const std::size_t count = instances.size();
  out << "network \"" << network << "\": " << count << " execution instance" << (count == 1 ? "" : "s")
      << (count == 1 ? "" : ", one after the other on one chip or side by side on as many") << "\n"
      << "  instance  circuits      rows  synapses    inputs  replayed  holds\n";
  for (std::size_t k = 0; k < count; ++k) {
    const Holdings holdings = holdings_of(instances[k]);
    out << "  " << std::setw(8) << k << std::setw(10) << holdings.circuits << std::setw(10) << holdings.rows
        << std::setw(10) << holdings.synapses << std::setw(10) << holdings.inputs << std::setw(10) << holdings.replayed
        << "  " << contents_of(instances[k]) << "\n";
  }
  out << "  " << std::setw(8) << "limit" << std::setw(10) << kNeuronCircuits << std::setw(10)
      << kHemispheres * kSynapseRows << std::setw(10) << kSynapses << "\n";
  return out.str();
}

std::vector<std::string> differences(const PartitionedMapping& a, const PartitionedMapping& b, std::size_t limit) {
  std::vector<std::string> result;
  if (a.network != b.network) {
    result.push_back("network \"" + a.network + "\" against \"" + b.network + "\"");
  }
  if (a.populations != b.populations) {
    result.emplace_back("the populations have other names");
  }
  if (a.instances.size() != b.instances.size()) {
    result.push_back(detail::concatenate(a.instances.size(), " instances against ", b.instances.size()));
  }
  for (std::size_t k = 0; k < std::min(a.instances.size(), b.instances.size()); ++k) {
    const std::string where = detail::concatenate("instance ", k, ": ");
    if (a.instances[k].populations != b.instances[k].populations) {
      result.push_back(where + "holds " + contents_of(a.instances[k]) + " against " + contents_of(b.instances[k]));
    }
    if (a.instances[k].wish != b.instances[k].wish) {
      result.push_back(where + "wish \"" + a.instances[k].wish + "\" against \"" + b.instances[k].wish + "\"");
    }
    for (const std::string& sentence : differences(a.instances[k].mapping, b.instances[k].mapping, limit)) {
      result.push_back(where + sentence);
    }
  }
  result.resize(std::min(result.size(), limit));
  return result;
}

/// Keys in sorted order, as dump_json writes them: mappings are large, so their text is not parsed again.
std::string to_json(const PartitionedMapping& partition) {
  const std::string what = "partition of network \"" + partition.network + "\"";
  std::string instances;
  for (const Instance& instance : partition.instances) {
    instances += (instances.empty() ? "{\"mapping\":" : ",{\"mapping\":") + to_json(instance.mapping) +
                 ",\"slices\":" + dump_json(write(instance.populations), what) +
                 ",\"wish\":" + dump_json(instance.wish, what) + "}";
  }
  return detail::concatenate(
      "{\"format\":\"", kFormat, "\",\"instances\":[", instances, "],\"network\":", dump_json(partition.network, what),
      ",\"populations\":", dump_json(partition.populations, what), ",\"version\":", kVersion, "}");
}

std::string placement_to_json(const PartitionedMapping& partition) {
  return partition.instances.size() == 1 ? to_json(partition.instances[0].mapping) : to_json(partition);
}

PartitionedMapping placement_from_json(const std::string& text, const Network& network) {
  const Json json = parse_json(text, "mapping");
  if (json.is_object() && json.contains("instances")) {
    return partition_from_json(text, network);
  }
  Mapping mapping = read_mapping(JsonReader(json, "mapping"));
  validate(mapping, network);
  return single_instance(network, std::move(mapping));
}

PartitionedMapping partition_from_json(const std::string& text, const Network& network) {
  const Json json = parse_json(text, "partition");
  const JsonReader reader(json, "partition");
  reader.require_format(kFormat, kVersion);
  reader.require_keys({"format", "version", "network", "populations", "instances"});
  PartitionedMapping partition;
  partition.network = reader.at("network").text();
  const JsonReader populations = reader.at("populations");
  for (std::size_t p = 0; p < populations.array_size(); ++p) {
    partition.populations.push_back(populations.element(p).text());
  }
  require_populations(partition, network);
  const JsonReader instances = reader.at("instances");
  const std::size_t count = instances.array_size();
  for (std::size_t k = 0; k < count; ++k) {
    partition.instances.push_back(
        read_instance(instances.element(k), network, static_cast<std::int64_t>(k), count == 1));
  }
  validate(partition, network);
  return partition;
}

}  // namespace gradspike::chip
