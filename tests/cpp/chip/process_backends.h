// Example backends and comparisons for the tests of the process backend.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "csrc/chip/backend_error.h"
#include "csrc/chip/emulator.h"
#include "csrc/chip/mapper.h"
#include "csrc/chip/process_backend.h"
#include "tests/cpp/chip/networks.h"

namespace gradspike::chip::test {

inline std::vector<std::string> python(const std::string& script, std::vector<std::string> arguments = {}) {
  std::vector<std::string> command = {GRADSPIKE_TEST_PYTHON, std::string(GRADSPIKE_TEST_SOURCE) + "/" + script};
  command.insert(command.end(), arguments.begin(), arguments.end());
  return command;
}

inline std::vector<std::string> emulator_server() { return python("examples/backends/emulator_server.py"); }

/// A backend that fails in its first run and works when it is started again.
inline std::vector<std::string> failing_server(const std::string& mode, const std::string& folder = "") {
  std::vector<std::string> arguments = {mode};
  if (!folder.empty()) {
    arguments.push_back(folder);
  }
  return python("tests/backends/failing_server.py", arguments);
}

/// A folder of the test that runs, removed with this object.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "gradspike_XXXXXX").string();
    EXPECT_NE(::mkdtemp(&pattern[0]), nullptr);
    path_ = pattern;
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

/// A network with its weights, mapping and inputs [time, batch, neuron].
struct Example {
  Network network;
  Weights weights;
  Mapping mapping;
  std::int64_t steps = 12;
  std::int64_t batch = 5;
  std::vector<std::vector<std::uint8_t>> counts;
  std::vector<SpikeTensor> inputs;

  Example(Network n, Random& random, std::int64_t steps_of = 12, std::int64_t batch_of = 5)
      : network(std::move(n)), weights(random_weights(network, random)), steps(steps_of), batch(batch_of) {
    mapping = map_network(network);
    for (const Input& input : network.inputs) {
      std::vector<std::uint8_t> values;
      for (std::int64_t k = 0; k < steps * batch * input.size; ++k) {
        values.push_back(static_cast<std::uint8_t>(chance(random, 0.3) ? pick(random, 1, 3) : 0));
      }
      counts.push_back(std::move(values));
    }
    for (std::size_t i = 0; i < counts.size(); ++i) {
      inputs.push_back({SpikeTensor::Type::kUint8, counts[i].data(), steps, batch, network.inputs[i].size});
    }
  }
  Example(const Example&) = delete;
  Example& operator=(const Example&) = delete;

  Observables run(const Backend& backend, const RunOptions& options) const {
    return backend.run(*backend.compile(network, mapping, weights, {}), inputs, options);
  }
};

inline RunOptions record_all() {
  RunOptions options;
  options.record_membrane = {"*"};
  options.record_current = {"*"};
  return options;
}

template <class T>
void expect_same_bits(const std::vector<T>& a, const std::vector<T>& b, const std::string& what) {
  ASSERT_EQ(a.size(), b.size()) << what;
  EXPECT_TRUE(a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0) << what;
}

/// Of [row, batch, width] the entries in `chosen`.
template <class T>
std::vector<T> only_entries(const std::vector<T>& values, std::int64_t batch, std::int64_t width,
                            const std::vector<std::int64_t>& chosen) {
  std::vector<T> result;
  const auto rows = static_cast<std::int64_t>(values.size()) / (batch * width);
  for (std::int64_t row = 0; row < rows; ++row) {
    for (const std::int64_t b : chosen) {
      const auto first = values.begin() + (row * batch + b) * width;
      result.insert(result.end(), first, first + width);
    }
  }
  return result;
}

/// `found` has the batch entries `chosen` of `whole`, bit for bit.
inline void expect_entries(const Observables& found, const Observables& whole,
                           const std::vector<std::int64_t>& chosen) {
  ASSERT_EQ(found.batch, static_cast<std::int64_t>(chosen.size()));
  ASSERT_EQ(found.steps, whole.steps);
  ASSERT_EQ(found.populations.size(), whole.populations.size());
  for (std::size_t p = 0; p < whole.populations.size(); ++p) {
    const PopulationRecord& a = found.populations[p];
    const PopulationRecord& b = whole.populations[p];
    EXPECT_EQ(a.name, b.name);
    const auto same = [&](const auto& x, const auto& y, const char* what) {
      expect_same_bits(x, only_entries(y, whole.batch, b.size, chosen), b.name + " " + what);
    };
    same(a.spikes, b.spikes, "spikes");
    same(a.membrane, b.membrane, "membrane");
    same(a.current, b.current, "current");
    same(a.final_state, b.final_state, "state");
  }
}

inline std::vector<std::int64_t> first_entries(std::int64_t count) {
  std::vector<std::int64_t> entries;
  for (std::int64_t b = 0; b < count; ++b) {
    entries.push_back(b);
  }
  return entries;
}

}  // namespace gradspike::chip::test
