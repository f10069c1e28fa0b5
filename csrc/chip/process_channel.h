// The session of a process backend: one per process, kept alive, started anew after a failure or a fork. Private.
#pragma once

#include <unistd.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

#include "csrc/chip/process_session.h"

namespace gradspike::chip {

class ProcessChannel {
 public:
  explicit ProcessChannel(ProcessOptions options) : options_(std::move(options)) {}
  ProcessChannel(const ProcessChannel&) = delete;
  ProcessChannel& operator=(const ProcessChannel&) = delete;
  ~ProcessChannel();

  const ProcessOptions& options() const { return options_; }
  /// Calls `action` with a session that is usable, while no other thread has it.
  template <class Action>
  auto with_session(Action action) {
    State& here = state();
    const std::lock_guard<std::mutex> lock(here.mutex);
    return action(session_of(here));
  }
  /// Tells the program at the next occasion that nobody will run this network again.
  void forget(std::uint64_t network);

 private:
  /// Of one process: after a fork, locks and descriptors of the other one are not touched.
  struct State {
    pid_t process = ::getpid();
    std::mutex mutex;
    std::unique_ptr<ProcessSession> session;
    std::mutex forgotten_mutex;
    std::vector<std::uint64_t> forgotten;
  };
  State& state();
  ProcessSession& session_of(State& state);

  ProcessOptions options_;
  std::atomic<State*> state_{nullptr};
};

}  // namespace gradspike::chip
