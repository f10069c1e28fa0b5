#include "csrc/chip/process_channel.h"

namespace gradspike::chip {

ProcessChannel::~ProcessChannel() {
  State* const last = state_.load();
  if (last != nullptr && last->process == ::getpid()) {
    delete last;
  }
}

ProcessChannel::State& ProcessChannel::state() {
  State* known = state_.load();
  if (known != nullptr && known->process == ::getpid()) {
    return *known;
  }
  auto* const fresh = new State;
  if (!state_.compare_exchange_strong(known, fresh)) {
    delete fresh;
    return *state_.load();
  }
  // What the fork copied: its locks may be held for ever by threads that this process does not have, so that it is left
  // as it is. Where nobody held them, the copied descriptors are closed.
  if (known != nullptr && known->mutex.try_lock()) {
    known->session.reset();
    known->mutex.unlock();
  }
  return *fresh;
}

ProcessSession& ProcessChannel::session_of(State& state) {
  if (state.session != nullptr && !state.session->usable()) {
    state.session.reset();
  }
  std::vector<std::uint64_t> forgotten;
  {
    const std::lock_guard<std::mutex> lock(state.forgotten_mutex);
    forgotten.swap(state.forgotten);
  }
  if (state.session == nullptr) {
    state.session = std::make_unique<ProcessSession>(options_);
  } else {
    state.session->forget(forgotten);
  }
  return *state.session;
}

void ProcessChannel::forget(std::uint64_t network) {
  State& here = state();
  const std::lock_guard<std::mutex> lock(here.forgotten_mutex);
  here.forgotten.push_back(network);
}

}  // namespace gradspike::chip
