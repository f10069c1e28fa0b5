// A program that runs beside this one and talks over its standard input and output. Private to the process backend.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <string>
#include <vector>

#include "csrc/core/error.h"

namespace gradspike::chip {

using Deadline = std::chrono::steady_clock::time_point;

/// Words of a command line as a shell takes them: blanks separate, '...' and "..." and \ quote; nothing is expanded.
/// Throws for a quote that does not end and for a line without a word.
std::vector<std::string> split_words(const std::string& line);
/// A line that split_words takes apart into these words.
std::string join_words(const std::vector<std::string>& words);

/// The file that runs as `program`: as given where it holds a '/', else the first executable one on PATH. Throws,
/// saying what is missing.
std::string find_program(const std::string& program);

/// What ends a conversation, and why.
class ChildFailure : public Error {
 public:
  enum class Kind { kEnded, kTimeout, kTooLong };
  ChildFailure(Kind kind, const std::string& message) : Error(message), kind_(kind) {}
  Kind kind() const { return kind_; }

 private:
  Kind kind_;
};

/// Owns the program: it has ended and is reaped when this is destroyed. Its descriptors are closed in programs that
/// other threads start. After a fork the copy in the child only closes its own descriptors. One thread at a time.
class ChildProcess {
 public:
  /// Starts words[0] with these words, without a shell, with no descriptor but the standard ones, default signals and
  /// this environment less GRADSPIKE_BACKEND, lest a server that uses gradspike starts itself.
  explicit ChildProcess(const std::vector<std::string>& words);
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;
  ~ChildProcess();

  /// Writes all; returns without error where the program has closed its input, since it may have left an answer.
  void write(const std::string& bytes, Deadline deadline);
  /// A line without its end.
  std::string read_line(std::size_t limit, Deadline deadline);
  /// `count` bytes; memory grows with what arrives.
  std::string read(std::size_t count, Deadline deadline);

  bool running();
  /// Closes its input, waits `grace`, kills what is left; how it ended, such as "ended with exit code 3".
  std::string end(std::chrono::milliseconds grace);
  /// The last lines of its standard error as one line of printable characters, "" where it wrote none.
  std::string last_words();
  bool belongs_to_this_process() const;

 private:
  enum class Wait { kRead, kWrite };
  void wait(Wait what, Deadline deadline);
  void fill(Deadline deadline);
  void drain_errors();
  bool reap(int options);

  pid_t pid_ = -1;
  pid_t owner_ = -1;
  bool reaped_ = false;
  int status_ = -1;  // of waitpid; -1: unknown
  int input_ = -1;   // of the program
  int output_ = -1;
  int errors_ = -1;
  std::string unread_;
  std::size_t position_ = 0;  // in unread_
  std::string error_text_;
};

}  // namespace gradspike::chip
