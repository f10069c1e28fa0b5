#include "csrc/chip/child_process.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <ctime>
#include <thread>
#include <utility>

extern char** environ;

namespace gradspike::chip {
namespace {

constexpr std::size_t kChunk = std::size_t{1} << 16;
constexpr int kErrorPipeBytes = 1 << 20;  // what a program may write to its standard error between two requests
constexpr std::size_t kKeptErrorBytes = 4096;
constexpr std::size_t kQuotedErrorBytes = 300;
constexpr std::chrono::milliseconds kGraceAtEnd{1000};

std::string system_error() { return std::strerror(errno); }

void close_descriptor(int& descriptor) {
  if (descriptor >= 0) {
    ::close(descriptor);
    descriptor = -1;
  }
}

struct Pipe {
  int read = -1;
  int write = -1;
  Pipe() {
    int ends[2];
    GRADSPIKE_REQUIRE(::pipe2(ends, O_CLOEXEC) == 0, "cannot make a pipe: ", system_error());
    read = above_standard(ends[0]);
    write = above_standard(ends[1]);
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  ~Pipe() {
    close_descriptor(read);
    close_descriptor(write);
  }

 private:
  /// In a process without standard descriptors a pipe may get their numbers, which the program's own would overwrite.
  static int above_standard(int descriptor) {
    if (descriptor > 2) {
      return descriptor;
    }
    const int moved = ::fcntl(descriptor, F_DUPFD_CLOEXEC, 3);
    ::close(descriptor);
    GRADSPIKE_REQUIRE(moved >= 0, "cannot make a pipe: ", system_error());
    return moved;
  }
};

/// Attributes of the program to start: default signals, the three standard descriptors and no other.
class Attributes {
 public:
  Attributes(int input, int output, int errors) {
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, input, 0);
    posix_spawn_file_actions_adddup2(&actions, output, 1);
    posix_spawn_file_actions_adddup2(&actions, errors, 2);
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 34)
    posix_spawn_file_actions_addclosefrom_np(&actions, 3);
#endif
    posix_spawnattr_init(&attributes);
    sigset_t signals;
    sigemptyset(&signals);
    posix_spawnattr_setsigmask(&attributes, &signals);
    sigaddset(&signals, SIGPIPE);
    posix_spawnattr_setsigdefault(&attributes, &signals);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  }
  Attributes(const Attributes&) = delete;
  Attributes& operator=(const Attributes&) = delete;
  ~Attributes() {
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
  }

  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
};

std::vector<char*> environment() {
  constexpr char kBackend[] = "GRADSPIKE_BACKEND=";
  std::vector<char*> result;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    if (std::strncmp(*entry, kBackend, sizeof kBackend - 1) != 0) {
      result.push_back(*entry);
    }
  }
  result.push_back(nullptr);
  return result;
}

/// A write to a pipe that nobody reads must not end this process: the signal is blocked and taken away again.
class WithoutPipeSignal {
 public:
  WithoutPipeSignal() {
    sigemptyset(&pipe_);
    sigaddset(&pipe_, SIGPIPE);
    sigset_t pending;
    sigpending(&pending);
    was_pending_ = sigismember(&pending, SIGPIPE) == 1;
    pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
  }
  WithoutPipeSignal(const WithoutPipeSignal&) = delete;
  WithoutPipeSignal& operator=(const WithoutPipeSignal&) = delete;
  ~WithoutPipeSignal() {
    const timespec now{0, 0};
    while (!was_pending_ && sigtimedwait(&pipe_, nullptr, &now) == -1 && errno == EINTR) {
    }
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }

 private:
  sigset_t pipe_{};
  sigset_t before_{};
  bool was_pending_ = false;
};

void set_nonblocking(int descriptor) { ::fcntl(descriptor, F_SETFL, ::fcntl(descriptor, F_GETFL) | O_NONBLOCK); }

}  // namespace

ChildProcess::ChildProcess(const std::vector<std::string>& words) : owner_(::getpid()) {
  const std::string program = find_program(words.at(0));
  Pipe input;
  Pipe output;
  Pipe errors;
  const Attributes attributes(input.read, output.write, errors.write);
  std::vector<char*> arguments;
  for (const std::string& word : words) {
    arguments.push_back(const_cast<char*>(word.c_str()));
  }
  arguments.push_back(nullptr);
  const std::vector<char*> variables = environment();
  const int error = ::posix_spawn(&pid_, program.c_str(), &attributes.actions, &attributes.attributes, arguments.data(),
                                  variables.data());
  GRADSPIKE_REQUIRE(error == 0, "cannot start \"", program, "\": ", std::strerror(error));
  input_ = std::exchange(input.write, -1);
  output_ = std::exchange(output.read, -1);
  errors_ = std::exchange(errors.read, -1);
  ::fcntl(errors_, F_SETPIPE_SZ, kErrorPipeBytes);
  for (const int descriptor : {input_, output_, errors_}) {
    set_nonblocking(descriptor);
  }
}

ChildProcess::~ChildProcess() {
  if (belongs_to_this_process()) {
    end(kGraceAtEnd);
  }
  close_descriptor(input_);
  close_descriptor(output_);
  close_descriptor(errors_);
}

bool ChildProcess::belongs_to_this_process() const { return owner_ == ::getpid(); }

void ChildProcess::wait(Wait what, Deadline deadline) {
  while (true) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    if (left.count() < 0) {
      throw ChildFailure(ChildFailure::Kind::kTimeout, what == Wait::kRead ? "gave no answer" : "reads no requests");
    }
    pollfd waited[] = {
        {what == Wait::kRead ? output_ : input_, static_cast<short>(what == Wait::kRead ? POLLIN : POLLOUT), 0},
        {errors_, POLLIN, 0}};
    constexpr std::int64_t kLongest = 3600 * 1000;
    const int ready = ::poll(waited, 2, static_cast<int>(std::min<std::int64_t>(left.count() + 1, kLongest)));
    GRADSPIKE_REQUIRE(ready >= 0 || errno == EINTR, "cannot wait for a program: ", system_error());
    if (ready > 0 && waited[1].revents != 0) {
      drain_errors();
    }
    if (ready > 0 && waited[0].revents != 0) {
      return;
    }
  }
}

void ChildProcess::write(const std::string& bytes, Deadline deadline) {
  const WithoutPipeSignal guard;
  for (std::size_t done = 0; done < bytes.size();) {
    const ssize_t count = ::write(input_, bytes.data() + done, bytes.size() - done);
    if (count >= 0) {
      done += static_cast<std::size_t>(count);
    } else if (errno == EAGAIN) {
      wait(Wait::kWrite, deadline);
    } else if (errno == EPIPE) {
      return;
    } else {
      GRADSPIKE_REQUIRE(errno == EINTR, "cannot write to a program: ", system_error());
    }
  }
}

void ChildProcess::fill(Deadline deadline) {
  unread_.erase(0, position_);
  position_ = 0;
  const std::size_t before = unread_.size();
  unread_.resize(before + kChunk);
  ssize_t count = -1;
  while (count < 0) {
    count = ::read(output_, &unread_[before], kChunk);
    if (count < 0 && errno != EINTR) {
      GRADSPIKE_REQUIRE(errno == EAGAIN, "cannot read from a program: ", system_error());
      unread_.resize(before);
      wait(Wait::kRead, deadline);
      unread_.resize(before + kChunk);
    }
  }
  unread_.resize(before + static_cast<std::size_t>(count));
  if (count == 0) {
    throw ChildFailure(ChildFailure::Kind::kEnded, "");
  }
}

std::string ChildProcess::read_line(std::size_t limit, Deadline deadline) {
  std::size_t searched = position_;
  while (true) {
    const std::size_t end = unread_.find('\n', searched);
    if (end != std::string::npos && end - position_ <= limit) {
      std::string line = unread_.substr(position_, end - position_);
      position_ = end + 1;
      return line;
    }
    if (unread_.size() - position_ > limit) {
      throw ChildFailure(ChildFailure::Kind::kTooLong, "");
    }
    searched = unread_.size() - position_;
    fill(deadline);
  }
}

std::string ChildProcess::read(std::size_t count, Deadline deadline) {
  std::string bytes;
  while (bytes.size() < count) {
    if (position_ == unread_.size()) {
      fill(deadline);
    }
    const std::size_t taken = std::min(count - bytes.size(), unread_.size() - position_);
    bytes.append(unread_, position_, taken);
    position_ += taken;
  }
  return bytes;
}

void ChildProcess::drain_errors() {
  char chunk[kChunk / 16];
  while (errors_ >= 0) {
    const ssize_t count = ::read(errors_, chunk, sizeof chunk);
    if (count > 0) {
      error_text_.append(chunk, static_cast<std::size_t>(count));
      error_text_.erase(0, error_text_.size() - std::min(error_text_.size(), kKeptErrorBytes));
    } else if (count == 0) {
      close_descriptor(errors_);  // poll takes no notice of a negative one
    } else if (errno != EINTR) {
      return;
    }
  }
}

std::string ChildProcess::last_words() {
  drain_errors();
  std::string text = error_text_;
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) {
    text.pop_back();
  }
  text.erase(0, text.size() - std::min(text.size(), kQuotedErrorBytes));
  for (char& letter : text) {
    letter = letter >= ' ' && letter <= '~' ? letter : ' ';
  }
  return text;
}

bool ChildProcess::reap(int options) {
  if (reaped_) {
    return true;
  }
  int status = -1;
  pid_t got = -1;
  do {
    got = ::waitpid(pid_, &status, options);
  } while (got < 0 && errno == EINTR);
  if (got == pid_) {
    status_ = status;
  }
  reaped_ = got != 0;  // an error says that somebody else has reaped it
  return reaped_;
}

bool ChildProcess::running() { return !reap(WNOHANG); }

std::string ChildProcess::end(std::chrono::milliseconds grace) {
  close_descriptor(input_);
  const Deadline deadline = std::chrono::steady_clock::now() + grace;
  while (running() && std::chrono::steady_clock::now() < deadline) {
    drain_errors();
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  if (running()) {
    ::kill(pid_, SIGKILL);
    reap(0);
    return "was stopped";
  }
  if (status_ >= 0 && WIFEXITED(status_)) {
    return "ended with exit code " + std::to_string(WEXITSTATUS(status_));
  }
  return status_ >= 0 && WIFSIGNALED(status_) ? "was ended by signal " + std::to_string(WTERMSIG(status_)) : "ended";
}

}  // namespace gradspike::chip
