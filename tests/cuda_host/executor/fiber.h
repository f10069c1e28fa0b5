// A stack of its own on the one OS thread, with the annotations that AddressSanitizer and ThreadSanitizer need to
// follow a switch of stacks.
#pragma once

#include <cstddef>

namespace executor {

class Fiber {
 public:
  using Entry = void (*)();

  /// `entry` runs at the first resume() and again at each resume() after it has returned.
  explicit Fiber(Entry entry);
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  /// From the scheduler: runs the fiber until it suspends itself or its entry returns.
  void resume();
  /// From the running fiber: back to the scheduler.
  static void suspend();
  /// True where the caller runs on a fiber.
  static bool on_fiber();
  /// From the scheduler: forgets where the fiber stands, without running destructors.
  void reset();

 private:
  static void trampoline();

  Entry entry_;
  void* mapping_ = nullptr;
  void* stack_pointer_ = nullptr;
  void* fake_stack_ = nullptr;
  void* race_checker_ = nullptr;
};

/// Edges for ThreadSanitizer, which sees every fiber as a thread: acquire follows release on the same address.
void order_release(void* tag);
void order_acquire(void* tag);
/// True where ThreadSanitizer watches; blocks then keep their memory until the launch ends.
constexpr bool kRaceChecker =
#if defined(EXECUTOR_RACE_CHECKER)
    true;
#else
    false;
#endif

}  // namespace executor
