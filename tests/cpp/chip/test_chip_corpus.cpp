// What the fuzzers start from and what they ever found, read again by every build.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "tests/fuzz/targets.h"

namespace gradspike::chip {
namespace {

TEST(Corpus, EveryFileIsReadOrRefused) {
  for (const fuzz::Target& target : fuzz::targets()) {
    int files = 0;
    const std::filesystem::path folder = std::filesystem::path(GRADSPIKE_CORPUS) / target.name;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
      std::ifstream file(entry.path(), std::ios::binary);
      std::ostringstream text;
      text << file.rdbuf();
      SCOPED_TRACE(entry.path().string());
      target.call(text.str());
      ++files;
    }
    EXPECT_GT(files, 0) << target.name;
  }
}

TEST(Corpus, SeedsAreAccepted) {
  const auto text = [](const std::string& path) {
    std::ifstream file(std::string(GRADSPIKE_CORPUS) + "/" + path, std::ios::binary);
    std::ostringstream content;
    content << file.rdbuf();
    return content.str();
  };
  EXPECT_EQ(network_from_json(text("network_json/small.json")).populations.size(), 2U);
  EXPECT_TRUE(network_from_json(text("network_json/background.json")).inputs[0].background.has_value());
  EXPECT_FALSE(mapping_from_json(text("mapping_json/small.json")).synapses.empty());
  EXPECT_EQ(mapping_from_json(text("mapping_json/background.json")).generators.size(), 1U);
  EXPECT_EQ(matrix_from_record(text("record/small.bin"), "hidden").in_features, 2);
  Network network;
  Weights weights;
  parse_network_file(text("network_file/small.json"), network, weights);
  EXPECT_EQ(weights.size(), 2U);
  const Network& known = fuzz::known_network();
  EXPECT_EQ(partition_from_json(text("partition_json/small.json"), known).instances.size(), 1U);
  const std::string answer = text("backend_answer/small.bin");
  EXPECT_EQ(message_head(answer.substr(0, answer.find('\n'))).kind, "part");
}

}  // namespace
}  // namespace gradspike::chip
