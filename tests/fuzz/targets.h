// What the fuzzers call, and the tests with the committed corpus: a reader gets any bytes, and either refuses them with
// an Error or gives something that is valid and comes back the same when it is written and read again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "csrc/chip/backend.h"
#include "csrc/chip/capacity.h"
#include "csrc/chip/checker.h"
#include "csrc/chip/mapper.h"
#include "csrc/chip/mapping.h"
#include "csrc/chip/messages.h"
#include "csrc/chip/network.h"
#include "csrc/chip/partition.h"
#include "csrc/chip/run_answer.h"
#include "csrc/core/error.h"
#include "tests/cpp/chip/networks.h"

namespace gradspike::chip::fuzz {

inline void require(bool condition, const char* what) {
  if (!condition) {
    std::fprintf(stderr, "broken promise: %s\n", what);
    std::abort();
  }
}

/// Small enough to be mapped and run for every input of a fuzzer.
inline bool is_small(const Network& network) {
  std::int64_t neurons = 0;
  std::int64_t weights = 0;
  for (const Population& population : network.populations) {
    neurons += population.size;
  }
  for (const Input& input : network.inputs) {
    neurons += input.size;
  }
  for (const Projection& projection : network.projections) {
    weights += projection.in_features * projection.out_features;
  }
  return neurons < 64 && weights < 512;
}

inline void run(const Network& network, const Mapping& mapping, const Weights& weights) {
  constexpr std::int64_t kSteps = 3;
  std::vector<std::vector<std::uint8_t>> spikes;
  std::vector<SpikeTensor> inputs;
  for (const Input& input : network.inputs) {
    spikes.emplace_back(static_cast<std::size_t>(kSteps * input.size), std::uint8_t{1});
  }
  for (std::size_t i = 0; i < spikes.size(); ++i) {
    inputs.push_back({SpikeTensor::Type::kUint8, spikes[i].data(), kSteps, 1, network.inputs[i].size});
  }
  const auto backend = find_backend("emulator");
  for (const char* preset : {"ideal", "calibrated"}) {
    try {
      CompileOptions options;
      options.preset = preset;
      backend->run(*backend->compile(network, mapping, weights, options), inputs, {});
    } catch (const Error&) {  // such as a time constant that is not finite
    }
  }
}

/// A network that was accepted: mapped where it is small, and then right, and it runs.
inline void use(const Network& network, const Weights* weights) {
  const Capacity capacity = check_capacity(network);
  if (!capacity.mappable() || !is_small(network)) {
    return;
  }
  const MapResult result = try_map(network);
  if (result.mapping.has_value()) {
    require(check_mapping(network, *result.mapping).empty(), "the checker accepts what the mapper makes");
    if (weights != nullptr) {
      run(network, *result.mapping, *weights);
    }
  }
}

inline void network_json(const std::string& text) {
  try {
    const Network network = network_from_json(text);
    validate(network);
    require(to_json(network_from_json(to_json(network))) == to_json(network),
            "a description is written as it was read");
    use(network, nullptr);
  } catch (const Error&) {
  }
}

inline void mapping_json(const std::string& text) {
  try {
    const Mapping mapping = mapping_from_json(text);
    require(mapping_from_json(to_json(mapping)) == mapping, "a mapping is written as it was read");
    require(differences(mapping, mapping).empty(), "a mapping does not differ from itself");
    require(!mapping.text().empty(), "a mapping has a text");
  } catch (const Error&) {
  }
}

inline void record(const std::string& bytes) {
  try {
    const IntegerMatrix matrix = matrix_from_record(bytes, "projection");
    require(static_cast<std::int64_t>(matrix.values.size()) == matrix.out_features * matrix.in_features,
            "a record holds as many integers as it says");
  } catch (const Error&) {
  }
}

inline void network_file(const std::string& text) {
  try {
    Network network;
    Weights weights;
    parse_network_file(text, network, weights);
    validate(network, weights);
    require(
        to_network_file(network, weights) ==
            [&] {
              Network again;
              Weights weights_again;
              parse_network_file(to_network_file(network, weights), again, weights_again);
              return to_network_file(again, weights_again);
            }(),
        "a network file is written as it was read");
    use(network, &weights);
  } catch (const Error&) {
  }
}

/// The network that the partitions and answers of the corpus belong to.
inline const Network& known_network() {
  static const Network network = test::layered({2, 3, 1});
  return network;
}

inline void partition_json(const std::string& text) {
  try {
    const PartitionedMapping partition = partition_from_json(text, known_network());
    validate(partition, known_network());
    const PartitionedMapping again = partition_from_json(to_json(partition), known_network());
    require(differences(partition, again).empty(), "a partition is written as it was read");
  } catch (const Error&) {
  }
}

/// The answers of a backend program to a run of two batch entries with everything recorded: lines with their blobs.
inline void backend_answer(const std::string& bytes) {
  RunRequest request;
  request.network = &known_network();
  request.steps = 4;
  request.batch = 2;
  request.membrane = {true, true};
  request.current = {true, false};
  request.madc = {"layer1", 1};
  RunAnswer answer(request);
  try {
    std::size_t at = 0;
    for (std::size_t end = bytes.find('\n'); end != std::string::npos; end = bytes.find('\n', at)) {
      const MessageHead head = message_head(bytes.substr(at, end - at));
      answer.check(head);
      at = end + 1;
      std::vector<Blob> blobs;
      for (const BlobHead& blob : head.blobs) {
        if (blob.bytes() > bytes.size() - at) {
          return;  // the program ended here
        }
        blobs.push_back({blob, bytes.substr(at, blob.bytes())});
        at += blob.bytes();
      }
      answer.add(head, blobs);
    }
  } catch (const Error&) {
  }
  const Observables observed = answer.observables("fuzzed", "target");
  require(observed.batch == static_cast<std::int64_t>(answer.entries().size()), "whole batch entries are kept");
}

struct Target {
  const char* name;
  void (*call)(const std::string& bytes);
};

inline const std::vector<Target>& targets() {
  static const std::vector<Target> all = {
      {"network_json", network_json}, {"mapping_json", mapping_json},     {"record", record},
      {"network_file", network_file}, {"partition_json", partition_json}, {"backend_answer", backend_answer}};
  return all;
}

}  // namespace gradspike::chip::fuzz
