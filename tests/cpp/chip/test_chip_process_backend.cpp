// The process backend against example programs: one that works, bit for bit like the emulator, and one for each way to
// fail.
#include <gtest/gtest.h>

#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <csignal>
#include <fstream>
#include <set>
#include <thread>

#include "csrc/chip/attach.h"
#include "tests/cpp/chip/process_backends.h"

namespace gradspike::chip {
namespace {

using test::Example;
using test::Random;

constexpr double kTimeout = 20.0;

std::size_t open_descriptors() {
  std::size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    (void)entry;
    ++count;
  }
  return count;
}

/// Processes that this one has started and not reaped.
std::set<pid_t> children() {
  std::set<pid_t> result;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/task")) {
    std::ifstream list(entry.path() / "children");
    pid_t child = -1;
    while (list >> child) {
      result.insert(child);
    }
  }
  return result;
}

template <class Action>
BackendError error_of(Action action) {
  try {
    action();
  } catch (const BackendError& error) {
    const std::string text = error.what();
    EXPECT_EQ(text.find('\n'), std::string::npos) << text;
    EXPECT_LT(text.size(), 2000U);
    return error;
  }
  ADD_FAILURE() << "nothing was thrown";
  return BackendError("");
}

TEST(ProcessBackend, GivesTheBitsOfTheEmulator) {
  Random random(11);
  test::Shape shape;
  shape.max_size = 20;
  shape.max_fan_in = 30;
  shape.several_scales = false;
  const ProcessBackend backend("example", test::emulator_server(), kTimeout);
  for (int round = 0; round < 12; ++round) {
    shape.recurrent = round % 2 == 1;
    const Example example(test::random_network(random, shape), random, test::pick(random, 1, 15),
                          test::pick(random, 1, 4));
    const Observables expected = example.run(Emulator(), test::record_all());
    const Observables found = example.run(backend, test::record_all());
    test::expect_entries(found, expected, test::first_entries(example.batch));
    EXPECT_EQ(found.counters.spikes_on_chip, expected.counters.spikes_on_chip);
    EXPECT_EQ(found.target, "example emulator ideal");

    RunOptions later = test::record_all();  // goes on where the first run ended
    for (const PopulationRecord& record : expected.populations) {
      later.initial_states[record.name] = record.final_state;
    }
    test::expect_entries(example.run(backend, later), example.run(Emulator(), later),
                         test::first_entries(example.batch));
  }
}

TEST(ProcessBackend, RecordsWhatWasAskedFor) {
  Random random(12);
  const Example example(test::layered({4, 6, 3}), random);
  const ProcessBackend backend("example", test::emulator_server(), kTimeout);
  RunOptions options;
  options.record_membrane = {"layer2"};
  const Observables found = example.run(backend, options);
  EXPECT_TRUE(found.population("layer1").membrane.empty());
  EXPECT_FALSE(found.population("layer2").membrane.empty());
  EXPECT_TRUE(found.population("layer2").current.empty());
  options.madc = {"layer1", 0};
  const BackendError error = error_of([&] { example.run(backend, options); });
  EXPECT_STREQ(
      error.what(),
      "backend \"example\" refuses \"run\": the ideal emulator has no MADC; 0 of 5 batch entries are complete");
  EXPECT_EQ(error.partial(), nullptr);
}

TEST(ProcessBackend, EmptyRuns) {
  Random random(13);
  const ProcessBackend backend("example", test::emulator_server(), kTimeout);
  const Example no_steps(test::layered({4, 6, 3}), random, 0, 2);
  const Example no_batch(test::layered({4, 6, 3}), random, 3, 0);
  for (const Example* example : {&no_steps, &no_batch}) {
    const Observables found = example->run(backend, test::record_all());
    EXPECT_EQ(found.steps, example->steps);
    EXPECT_EQ(found.batch, example->batch);
  }
}

TEST(ProcessBackend, InputsAreCheckedBeforeTheyAreSent) {
  Random random(14);
  Example example(test::layered({4, 6, 3}), random);
  const ProcessBackend backend("example", test::emulator_server(), kTimeout);
  example.counts[0][3] = 128;
  try {
    example.run(backend, {});
    FAIL();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(),
                 "example: input \"input0\" must hold whole numbers in 0..127, got 128 at step 0, batch 0, neuron 3");
  }
}

TEST(ProcessBackend, UpdateUploadsWeightsAlone) {
  Random random(15);
  const Example example(test::layered({4, 6, 3}), random);
  const ProcessBackend backend("example", test::emulator_server(), kTimeout);
  const auto first = backend.compile(example.network, example.mapping, example.weights, {});
  const Observables before = backend.run(*first, example.inputs, test::record_all());
  const Weights weights = test::random_weights(example.network, random);
  const auto second = backend.update(*first, weights);
  ASSERT_NE(second, nullptr);
  EXPECT_EQ(second->target(), first->target());
  const Emulator emulator;
  const auto expected = emulator.compile(example.network, example.mapping, weights, {});
  test::expect_entries(backend.run(*second, example.inputs, test::record_all()),
                       emulator.run(*expected, example.inputs, test::record_all()), test::first_entries(5));
  test::expect_entries(backend.run(*first, example.inputs, test::record_all()), before, test::first_entries(5));
}

TEST(ProcessBackend, ProgramsBelongToTheirBackend) {
  Random random(16);
  const Example example(test::layered({4, 6, 3}), random);
  const ProcessBackend one("one", test::emulator_server(), kTimeout);
  const ProcessBackend other("other", test::emulator_server(), kTimeout);
  const auto program = one.compile(example.network, example.mapping, example.weights, {});
  EXPECT_THROW(other.run(*program, example.inputs, {}), Error);
  EXPECT_THROW(Emulator().run(*program, example.inputs, {}), Error);
}

// ---- failures
// --------------------------------------------------------------------------------------------------------

struct FailureCase {
  const char* mode;
  const char* words;  // of the message
  double timeout = kTimeout;
};

void PrintTo(const FailureCase& failure, std::ostream* out) { *out << failure.mode; }

class FailingRun : public ::testing::TestWithParam<FailureCase> {};

/// Two batch entries of five are complete when it happens: they are kept, and the next run works.
TEST_P(FailingRun, IsOneErrorThatKeepsWhatWasRecorded) {
  Random random(17);
  const Example example(test::layered({4, 6, 3}), random);
  const Observables expected = example.run(Emulator(), test::record_all());
  const test::TemporaryFolder folder;
  const std::size_t descriptors = open_descriptors();
  const std::set<pid_t> before = children();
  {
    const ProcessBackend backend("lab", test::failing_server(GetParam().mode, folder.path()), GetParam().timeout);
    const auto program = backend.compile(example.network, example.mapping, example.weights, {});
    const BackendError error = error_of([&] { backend.run(*program, example.inputs, test::record_all()); });
    const std::string text = error.what();
    EXPECT_EQ(text.rfind("backend \"lab\" ", 0), 0U) << text;
    EXPECT_NE(text.find(GetParam().words), std::string::npos) << text;
    EXPECT_NE(text.find("; 2 of 5 batch entries are complete"), std::string::npos) << text;
    ASSERT_NE(error.partial(), nullptr);
    EXPECT_EQ(error.entries(), test::first_entries(2));
    test::expect_entries(*error.partial(), expected, error.entries());
    EXPECT_EQ(error.partial()->target, "lab emulator ideal");

    const Observables again = backend.run(*program, example.inputs, test::record_all());
    test::expect_entries(again, expected, test::first_entries(5));
  }
  EXPECT_EQ(open_descriptors(), descriptors);
  EXPECT_EQ(children(), before);
}

const FailureCase kFailures[] = {
    {"dies", "ended with exit code 3 before it had answered \"run\""},
    {"dies", "its last words were \"link lost: no answer from the FPGA\""},
    {"killed", "was ended by signal 9 before it had answered \"run\""},
    {"dies_in_a_blob", "ended with exit code 0 before it had answered \"run\""},
    {"closes_its_output", "before it had answered \"run\""},
    {"silent", "gave no answer within 1 s at \"run\", its last progress was \"waiting for the chip\"", 1.0},
    {"drips", "gave no answer within 1 s at \"run\"", 1.0},
    {"refuses", "refuses \"run\": the chip is busy until noon"},
    {"partly", "answered the run partly"},
    {"garbage", "with nonsense: the answer is no JSON"},
    {"no_json", "with nonsense: the answer is no JSON"},
    {"nested", "nested deeper than 32 levels"},
    {"endless_line", "answered \"run\" with a line of more than 1048576 bytes"},
    {"other_format", "must have the format \"gradspike.backend\""},
    {"other_version", "has version 2 of gradspike.backend, this library speaks version 1"},
    {"other_message", "got \"bonjour\""},
    {"unknown_field", "has a field \"colour\" that version 1 does not know"},
    {"huge_blob", "must have at most"},
    {"overflowing_blob", "must be at most"},
    {"negative_shape", "must be in 0..2147483647, got -1"},
    {"unknown_population", "has a blob \"spikes/layer9\" that was not asked for; nearest: \"spikes/layer1\""},
    {"unasked_blob", "has a blob \"madc\" that was not asked for"},
    {"missing_blob", "lacks the blob \"spikes/layer1\""},
    {"wrong_type", "\"spikes/layer1\" must be i32 [0,3], got f32 [0,3]"},
    {"wrong_shape", "got f32 [1,1,1]"},
    {"not_a_number", "must hold finite numbers, got nan as element 0"},
    {"step_out_of_range", "must hold steps in 0..11"},
    {"negative_neuron", "neurons in 0..5, got 0, 2, -1 as event 0"},
    {"other_entry", "batch entries in 2..2"},
    {"twice", "each at most once; event 1 is not"},
    {"disordered", "must be in order of batch entry, step and neuron"},
    {"entry_twice", "has batch entry 0 for the second time"},
    {"entry_out_of_range", "must be in 0..4, got 5"},
    {"negative_counter", "the answer.counters.spikes_on_chip must be in 0.."},
    {"unknown_counter", "has no \"spikes_on_chips\"; nearest: \"spikes_on_chip\""},
    {"huge_counter", "must be in 0..9007199254740992, got 9223372036854775808"},
    {"infinite_timing", "the answer is no JSON"},
    {"no_target", "must name its target"},
};

INSTANTIATE_TEST_SUITE_P(Modes, FailingRun, ::testing::ValuesIn(kFailures),
                         [](const auto& info) { return std::to_string(info.index) + "_" + info.param.mode; });

TEST(ProcessBackend, MissingPrograms) {
  const test::TemporaryFolder folder;
  std::ofstream(folder.path() + "/text") << "no program";
  const auto words = [](const std::string& program) {
    return std::string(error_of([&] { ProcessBackend("lab", {program}); }).what());
  };
  EXPECT_EQ(words("/missing/server"), "backend \"lab\" cannot be started: there is no program \"/missing/server\"");
  EXPECT_EQ(words("gradspike-no-such-program"),
            "backend \"lab\" cannot be started: there is no program \"gradspike-no-such-program\" on PATH");
  EXPECT_NE(words(folder.path() + "/text").find("is no file that may be executed"), std::string::npos);
  EXPECT_NE(words(folder.path()).find("is no file that may be executed"), std::string::npos);
  EXPECT_THROW(ProcessBackend("lab", {}), Error);
  for (const double timeout : {0.0, -1.0, 1e9, std::nan("")}) {
    EXPECT_THROW(ProcessBackend("lab", test::emulator_server(), timeout), Error);
  }
}

/// A script without an interpreter line, and one that vanishes after it was looked up.
TEST(ProcessBackend, ProgramsThatCannotBeStarted) {
  const test::TemporaryFolder folder;
  const std::string path = folder.path() + "/server";
  std::ofstream(path) << "no interpreter";
  std::filesystem::permissions(path, std::filesystem::perms::owner_all);
  const ProcessBackend backend("lab", {path}, kTimeout);
  EXPECT_NE(std::string(error_of([&] { backend.health(); }).what()).find("Exec format error"), std::string::npos);
  std::filesystem::remove(path);
  EXPECT_NE(std::string(error_of([&] { backend.health(); }).what()).find("there is no program"), std::string::npos);
}

TEST(ProcessBackend, FailuresBeforeARun) {
  const std::set<pid_t> before = children();
  Random random(18);
  const Example example(test::layered({4, 6, 3}), random);
  const FailureCase cases[] = {
      {"exits",
       "ended with exit code 7 before it had answered \"hello\"; its last words were \"cannot find the chip\""},
      {"deaf", "gave no answer within 0.5 s at \"hello\"", 0.5},
      {"hello_garbage", "answered \"hello\" with nonsense: the answer lacks the field \"format\""},
      {"hello_version", "has version 7 of gradspike.backend, this library speaks version 1"},
      {"hello_refused", "refuses \"hello\": no chip is attached"},
      {"refuses_compile", "refuses \"compile\": no calibration for this chip"},
      {"dies_in_compile",
       "ended with exit code 4 before it had answered \"compile\"; its last words were \"no licence"}};
  for (const FailureCase& failure : cases) {
    const ProcessBackend backend("lab", test::failing_server(failure.mode), failure.timeout);
    for (int again = 0; again < 2; ++again) {
      const BackendError error = error_of([&] { example.run(backend, {}); });
      EXPECT_NE(std::string(error.what()).find(failure.words), std::string::npos) << error.what();
      EXPECT_EQ(error.partial(), nullptr);
    }
  }
  EXPECT_EQ(children(), before);
}

TEST(ProcessBackend, CompilesAgainAfterItRefused) {
  Random random(19);
  const Example example(test::layered({4, 6, 3}), random);
  for (const char* mode : {"refuses_compile", "dies_in_compile"}) {
    const test::TemporaryFolder folder;
    const ProcessBackend backend("lab", test::failing_server(mode, folder.path()), kTimeout);
    error_of([&] { example.run(backend, test::record_all()); });
    test::expect_entries(example.run(backend, test::record_all()), example.run(Emulator(), test::record_all()),
                         test::first_entries(5));
  }
}

TEST(ProcessBackend, Health) {
  const ProcessBackend good("lab", test::emulator_server(), kTimeout);
  EXPECT_EQ(good.health(), (std::map<std::string, std::string>{{"status", "ready"}}));
  const ProcessBackend bad("lab", test::failing_server("unhealthy"), kTimeout);
  EXPECT_STREQ(error_of([&] { bad.health(); }).what(), "backend \"lab\" refuses \"health\": the chip does not answer");
}

/// A program that ended by itself between two runs is started again without an error.
TEST(ProcessBackend, IsStartedAgainWhenItEndedInBetween) {
  const std::set<pid_t> before = children();
  Random random(20);
  const Example example(test::layered({4, 6, 3}), random);
  const ProcessBackend backend("lab", test::emulator_server(), kTimeout);
  const auto program = backend.compile(example.network, example.mapping, example.weights, {});
  const Observables expected = example.run(Emulator(), test::record_all());
  for (const pid_t child : children()) {
    if (before.count(child) == 0) {
      ::kill(child, SIGKILL);
    }
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  test::expect_entries(backend.run(*program, example.inputs, test::record_all()), expected, test::first_entries(5));
}

// ---- processes and threads
// -------------------------------------------------------------------------------------------

TEST(ProcessBackend, LeavesNoProcessAndNoDescriptor) {
  Random random(21);
  const Example example(test::layered({4, 6, 3}), random);
  const std::size_t descriptors = open_descriptors();
  const std::set<pid_t> before = children();
  for (int round = 0; round < 3; ++round) {
    const ProcessBackend backend("lab", test::emulator_server(), kTimeout);
    example.run(backend, {});
    EXPECT_EQ(children().size(), before.size() + 1);
  }
  EXPECT_EQ(open_descriptors(), descriptors);
  EXPECT_EQ(children(), before);
}

/// The program has the standard descriptors alone, and no other of this process.
TEST(ProcessBackend, ProgramsInheritNoDescriptor) {
  const int leaky = ::dup(0);  // open across exec
  const ProcessBackend other("other", test::emulator_server(), kTimeout);
  other.health();
  const std::string list = "import os,sys; sys.stderr.write(','.join(sorted(os.listdir('/proc/self/fd'))))";
  const ProcessBackend backend("lab", {GRADSPIKE_TEST_PYTHON, "-c", list}, kTimeout);
  const std::string text = error_of([&] { backend.health(); }).what();
  ::close(leaky);
  EXPECT_NE(text.find("\"0,1,2,3\""), std::string::npos) << text;  // 3 is the folder that is listed
}

TEST(ProcessBackend, ThreadsTakeTurns) {
  Random random(22);
  const Example example(test::layered({4, 6, 3}), random);
  const ProcessBackend backend("lab", test::emulator_server(), kTimeout);
  const Observables expected = example.run(Emulator(), test::record_all());
  std::vector<std::thread> threads;
  for (int k = 0; k < 4; ++k) {
    threads.emplace_back([&] {
      for (int round = 0; round < 3; ++round) {
        test::expect_entries(example.run(backend, test::record_all()), expected, test::first_entries(5));
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
}

TEST(ProcessBackend, AForkedProcessHasItsOwn) {
  Random random(23);
  const Example example(test::layered({4, 6, 3}), random);
  const ProcessBackend backend("lab", test::emulator_server(), kTimeout);
  const auto program = backend.compile(example.network, example.mapping, example.weights, {});
  const Observables expected = backend.run(*program, example.inputs, test::record_all());
  const pid_t child = ::fork();
  if (child == 0) {
    const Observables found = backend.run(*program, example.inputs, test::record_all());
    ::_exit(found.populations[0].membrane == expected.populations[0].membrane ? 0 : 1);
  }
  test::expect_entries(backend.run(*program, example.inputs, test::record_all()), expected, test::first_entries(5));
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  test::expect_entries(backend.run(*program, example.inputs, test::record_all()), expected, test::first_entries(5));
}

}  // namespace
}  // namespace gradspike::chip
