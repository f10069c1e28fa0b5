// A running program that has been greeted, and one request after the other. Private to the process backend.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "csrc/chip/backend_error.h"
#include "csrc/chip/child_process.h"
#include "csrc/chip/messages.h"
#include "csrc/chip/run_answer.h"

namespace gradspike::chip {

/// How a program is started and called.
struct ProcessOptions {
  std::string name;  // of the backend, for messages
  std::vector<std::string> command;
  double timeout = 0.0;  // [s], longest wait for a whole message
};

/// What a session needs to hold a program, now or after a restart.
struct CompiledNetwork {
  std::uint64_t id = 0;  // unique in this process
  Json description;      // "network", "mapping" and "options"
  std::vector<Blob> integers;
};

/// Every failure is a BackendError. After one that leaves unknown what the program will say next, the program is ended
/// and `usable` is false. One thread at a time.
class ProcessSession {
 public:
  explicit ProcessSession(const ProcessOptions& options);
  ProcessSession(const ProcessSession&) = delete;
  ProcessSession& operator=(const ProcessSession&) = delete;
  ~ProcessSession();

  bool usable();
  /// Closes what a fork has copied, without a word to the program.
  bool belongs_to_this_process() const { return child_.belongs_to_this_process(); }

  std::map<std::string, std::string> health();
  /// Compiles where the program does not hold the network yet; what it calls its target.
  std::string load(const CompiledNetwork& network);
  /// The network with other integers; false where the program takes no updates or does not hold `previous`.
  bool update(const CompiledNetwork& network, std::uint64_t previous);
  void forget(const std::vector<std::uint64_t>& networks);
  /// Adds every answer; throws with what is there where not all batch entries arrive.
  void run(const std::string& request, RunAnswer& answer, const std::string& target);

 private:
  struct Refusal;
  Deadline deadline() const;
  MessageHead exchange(const std::string& kind, const std::string& request, const std::string& expected);
  MessageHead receive();
  std::vector<Blob> receive_blobs(const MessageHead& head);
  void hello();
  /// Runs `action`; turns what goes wrong into a BackendError with what `answer` holds.
  void guarded(const std::string& kind, const RunAnswer* answer, const std::string& target,
               const std::function<void()>& action);
  [[noreturn]] void fail(const std::string& what, const RunAnswer* answer, const std::string& target);

  ProcessOptions options_;
  ChildProcess child_;
  bool broken_ = false;
  bool takes_updates_ = false;
  std::string progress_;                         // what it said last
  std::map<std::uint64_t, std::string> loaded_;  // target by network
};

}  // namespace gradspike::chip
