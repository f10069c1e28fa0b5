// Choosing backends: names, commands, shared libraries, the environment; and hostile answers.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "csrc/chip/attach.h"
#include "csrc/chip/child_process.h"
#include "csrc/chip/deployment.h"
#include "csrc/chip/messages.h"
#include "csrc/chip/run_answer.h"
#include "tests/cpp/chip/process_backends.h"

namespace gradspike::chip {
namespace {

using test::Random;

template <class Action>
std::string message_of(Action action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return "";
}

class Environment {
 public:
  Environment(const char* name, const std::string& value) : name_(name) { ::setenv(name, value.c_str(), 1); }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;
  ~Environment() { ::unsetenv(name_); }

 private:
  const char* name_;
};

std::string library(const std::string& name) {
  return std::string(GRADSPIKE_TEST_LIBRARIES) + "/libgradspike_backend_" + name + ".so";
}

TEST(Attach, WordsOfACommand) {
  using Words = std::vector<std::string>;
  const std::pair<const char*, Words> cases[] = {
      {"server", {"server"}},
      {"  /a/b  --flag\t1\n", {"/a/b", "--flag", "1"}},
      {"'/with blank/server' \"a b\" c\\ d ''", {"/with blank/server", "a b", "c d", ""}},
      {"a'b'\"c\"d", {"abcd"}},
      {"\"say \\\"hi\\\" \\n\" '\\n' $HOME *", {"say \"hi\" \\n", "\\n", "$HOME", "*"}},
  };
  for (const auto& [line, words] : cases) {
    EXPECT_EQ(split_words(line), words) << line;
    EXPECT_EQ(split_words(join_words(words)), words) << line;
  }
  for (const char* line : {"", "  ", "''", "'open", "a \"open"}) {
    EXPECT_THROW(split_words(line), Error) << line;
  }
}

TEST(Attach, TheBackendOfATarget) {
  EXPECT_EQ(backend_of_target("emulator ideal"), "emulator");
  EXPECT_EQ(backend_of_target("lab"), "lab");
  EXPECT_EQ(backend_of_target("process:/a b --c d"), "process:/a b --c d");
  EXPECT_EQ(backend_of_target("library:./my chip.so"), "library:./my chip.so");
}

TEST(Attach, ByTextAndByEnvironment) {
  Random random(31);
  const test::Example example(test::layered({4, 6, 3}), random);
  const std::string text = "process:" + join_words(test::emulator_server());
  const auto backend = find_backend(text);
  EXPECT_EQ(find_backend(text), backend);  // one program for one text
  const std::vector<std::string> names = backend_names();
  EXPECT_EQ(std::find(names.begin(), names.end(), text), names.end());
  EXPECT_EQ(backend->name(), text);
  const Environment environment("GRADSPIKE_BACKEND", text);
  Deployment deployment(example.network);
  const auto deployed = deployment.compile("", {}, example.weights);
  EXPECT_EQ(deployed->target(), text + " emulator ideal");
  test::expect_entries(deployed->run(example.inputs, test::record_all()), example.run(Emulator(), test::record_all()),
                       test::first_entries(5));
}

TEST(Attach, ATextThatNamesNoProgramIsAnError) {
  EXPECT_NE(message_of([] { find_backend("process:/missing/server --flag"); }).find("there is no program"),
            std::string::npos);
  EXPECT_THROW(find_backend("process:"), Error);
  EXPECT_THROW(find_backend("process:'open"), Error);
  const Environment environment("GRADSPIKE_BACKEND_TIMEOUT", "soon");
  EXPECT_EQ(message_of([] { find_backend("process:" + std::string(GRADSPIKE_TEST_PYTHON) + " --soon"); }),
            "GRADSPIKE_BACKEND_TIMEOUT must be a number of seconds, got \"soon\"");
}

TEST(Attach, TimeoutFromTheEnvironment) {
  const Environment environment("GRADSPIKE_BACKEND_TIMEOUT", "0.25");
  const auto backend = find_backend("process:" + join_words(test::failing_server("deaf")));
  EXPECT_NE(message_of([&] { backend->health(); }).find("gave no answer within 0.25 s"), std::string::npos);
}

/// A server that uses gradspike itself must not start another one, and that one another one.
TEST(Attach, AServerDoesNotSeeTheChoice) {
  const std::string script = "import os,sys; sys.stderr.write(repr(os.environ.get('GRADSPIKE_BACKEND')))";
  const Environment environment("GRADSPIKE_BACKEND", "process:" + join_words({GRADSPIKE_TEST_PYTHON, "-c", script}));
  EXPECT_NE(message_of([] { find_backend()->health(); }).find("\"None\""), std::string::npos);
}

TEST(Attach, Names) {
  attach_process("lab-1", test::emulator_server(), 20.0);
  const std::vector<std::string> names = backend_names();
  EXPECT_NE(std::find(names.begin(), names.end(), "lab-1"), names.end());
  EXPECT_EQ(find_backend("lab-1")->health().at("status"), "ready");
  attach_process("lab-1", test::failing_server("unhealthy"), 20.0);  // replaces it
  EXPECT_THROW(find_backend("lab-1")->health(), Error);
  for (const char* name : {"", "two words", "a/b", "emulator", "cpu", "process:x", "\n"}) {
    EXPECT_EQ(message_of([&] { attach_process(name, {"/bin/true"}); }).rfind("attach: name must", 0), 0U) << name;
  }
  const std::string text = message_of([] { find_backend("lab-2"); });
  EXPECT_EQ(text.rfind("there is no backend \"lab-2\"; there are: ", 0), 0U) << text;
  EXPECT_NE(text.find(", lab-1"), std::string::npos) << text;
  unregister_backend("lab-1");
  EXPECT_THROW(find_backend("lab-1"), Error);
  EXPECT_THROW(unregister_backend("lab-1"), Error);
  EXPECT_THROW(unregister_backend("emulator"), Error);
}

// ---- shared libraries
// ------------------------------------------------------------------------------------------------

TEST(Attach, ASharedLibraryIsABackend) {
  Random random(32);
  const test::Example example(test::layered({4, 6, 3}), random);
  attach_library("mine", library("example"));
  const Observables found = example.run(*find_backend("mine"), test::record_all());
  test::expect_entries(found, example.run(Emulator(), test::record_all()), test::first_entries(5));
  EXPECT_EQ(found.target, "mine emulator ideal");
  unregister_backend("mine");
  const std::string text = "library:" + library("example");
  EXPECT_EQ(find_backend(text), find_backend(text));
}

TEST(Attach, LibrariesThatAreNoBackend) {
  const auto words = [](const std::string& file) { return message_of([&] { attach_library("mine", file); }); };
  EXPECT_NE(words("/missing/library.so").find("the library cannot be loaded: /missing/library.so"), std::string::npos);
  EXPECT_NE(words("missing").find("the library cannot be loaded: libgradspike_backend_missing.so"), std::string::npos);
  EXPECT_NE(words(library("no_entry")).find("it lacks the function gradspike_backend_v1"), std::string::npos);
  EXPECT_NE(words(library("other_version")).find("was built for another gradspike (interface 2"), std::string::npos);
  EXPECT_NE(words(library("throws")).find("cannot make its backend: no chip is attached"), std::string::npos);
  EXPECT_NE(words(library("gives_none")).find("cannot make its backend: it gave none"), std::string::npos);
  EXPECT_THROW(attach_library("mine", ""), Error);
}

// ---- hostile answers
// -------------------------------------------------------------------------------------------------

/// Whatever a program says, the answer is taken or refused with an Error.
TEST(Messages, ChangedAnswersAreTakenOrRefused) {
  Random random(33);
  const Network network = test::layered({4, 6, 3});
  const std::string right =
      "{\"format\":\"gradspike.backend\",\"version\":1,\"message\":\"part\",\"first\":1,\"count\":2,"
      "\"counters\":{\"spikes_on_chip\":3},\"losses\":{\"link\":1},\"blobs\":["
      "{\"name\":\"spikes/layer1\",\"type\":\"i32\",\"shape\":[0,3]},"
      "{\"name\":\"membrane/layer2\",\"type\":\"f32\",\"shape\":[7,2,3]},"
      "{\"name\":\"cadc/layer2\",\"type\":\"i16\",\"shape\":[5,2,3]},"
      "{\"name\":\"cadc_times\",\"type\":\"f64\",\"shape\":[5]}]}";
  int taken = 0;
  for (int round = 0; round < 20000; ++round) {
    std::string line = right;
    for (std::int64_t k = test::pick(random, 0, 2); k > 0; --k) {
      const auto at = static_cast<std::size_t>(test::pick(random, 0, static_cast<std::int64_t>(line.size()) - 1));
      const std::int64_t kind = test::pick(random, 0, 3);
      if (kind == 0) {
        line[at] = static_cast<char>(random() % 256);
      } else if (kind == 1) {
        line.erase(at, static_cast<std::size_t>(test::pick(random, 1, 9)));
      } else {
        line.insert(at, 1, kind == 2 ? static_cast<char>('0' + random() % 10) : line[at]);
      }
      line += line.empty() ? "{" : "";
    }
    RunAnswer answer({&network, 7, 4, {false, true}, {false, false}, {}});
    try {
      const MessageHead head = message_head(line);
      answer.check(head);
      std::vector<Blob> blobs;
      for (const BlobHead& blob : head.blobs) {
        blobs.push_back({blob, std::string(blob.bytes(), static_cast<char>(random() % 3))});
      }
      answer.add(head, blobs);
      const Observables found = answer.observables("lab", "chip");
      EXPECT_EQ(found.batch, static_cast<std::int64_t>(answer.entries().size()));
      ++taken;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()), "");
    }
  }
  EXPECT_GT(taken, 100);
}

TEST(Messages, SamplesComeWithTheirTimes) {
  const Network network = test::layered({4, 6, 3});
  RunAnswer answer({&network, 2, 2, {false, true}, {false, false}, {"layer1", 5}});
  const auto send = [&](std::int64_t entry, const std::vector<double>& times, std::int16_t sample) {
    const std::vector<Blob> blobs = {
        to_blob<std::int32_t>("spikes/layer1", BlobType::kInt32, {0, 3}, {}),
        to_blob<float>("membrane/layer2", BlobType::kFloat32, {2, 1, 3}, std::vector<float>(6, 0.5F)),
        to_blob<std::int16_t>("cadc/layer2", BlobType::kInt16, {2, 1, 3}, std::vector<std::int16_t>(6, sample)),
        to_blob("cadc_times", BlobType::kFloat64, {2}, times),
        to_blob<std::int16_t>("madc", BlobType::kInt16, {3, 1}, {1, 2, 1023}),
        to_blob<double>("madc_times", BlobType::kFloat64, {3}, {0.0, 1e-7, 2e-7})};
    const std::string bytes = to_bytes("part", {{"first", entry}, {"count", 1}}, blobs);
    const MessageHead head = message_head(bytes.substr(0, bytes.find('\n')));
    answer.check(head);
    answer.add(head, blobs);
  };
  send(1, {0.0, 2e-6}, 7);
  EXPECT_NE(message_of([&] { send(0, {0.0, 1e-6}, 7); }).find("must have the same sample times"), std::string::npos);
  EXPECT_NE(message_of([&] { send(0, {2e-6, 0.0}, 7); }).find("ascending times"), std::string::npos);
  EXPECT_NE(message_of([&] { send(0, {0.0, std::nan("")}, 7); }).find("finite"), std::string::npos);
  EXPECT_NE(message_of([&] { send(0, {0.0, 2e-6}, 256); }).find("samples in 0..255, got 256"), std::string::npos);
  EXPECT_EQ(answer.entries(), (std::vector<std::int64_t>{1}));
  send(0, {0.0, 2e-6}, 9);
  const Observables found = answer.observables("lab", "chip 7");
  EXPECT_EQ(found.target, "lab chip 7");
  EXPECT_EQ(found.cadc_times, (std::vector<double>{0.0, 2e-6}));
  EXPECT_EQ(found.population("layer2").cadc, (std::vector<std::int16_t>{9, 9, 9, 7, 7, 7, 9, 9, 9, 7, 7, 7}));
  EXPECT_EQ(found.madc.samples, (std::vector<std::int16_t>{1, 1, 2, 2, 1023, 1023}));
  EXPECT_EQ(found.madc.neuron, 5);
}

TEST(Messages, TextOfStrangersIsOneLine) {
  EXPECT_EQ(one_line("a\nb\x01\x7f"
                     "c",
                     10),
            "a b  c");
  EXPECT_EQ(one_line("\xC3\xA4\xC3\xA4", 3), "\xC3\xA4...");  // never half a character
}

}  // namespace
}  // namespace gradspike::chip
