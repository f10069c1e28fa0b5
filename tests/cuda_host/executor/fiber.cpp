#include "executor/fiber.h"

#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>
#include <new>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(EXECUTOR_RACE_CHECKER)
#include <sanitizer/tsan_interface.h>
#endif
#if defined(__SANITIZE_THREAD__)
#error "the executor itself must not be instrumented by ThreadSanitizer: it would report threadIdx as a race"
#endif
#if !defined(__x86_64__)
#error "the context switch is written for x86-64 with the System V calling convention"
#endif

// Saves the callee-saved registers on the running stack, stores its pointer in *rdi and takes up the stack rsi.
asm(R"(
.text
.globl gradspike_executor_switch
.type gradspike_executor_switch, @function
gradspike_executor_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size gradspike_executor_switch, .-gradspike_executor_switch
.section .note.GNU-stack, "", @progbits
.text
)");
extern "C" void gradspike_executor_switch(void** save, void* load);

namespace executor {
namespace {

constexpr std::size_t kGuardBytes = 4096;
#if defined(__SANITIZE_ADDRESS__) || defined(EXECUTOR_RACE_CHECKER)
constexpr std::size_t kStackBytes = 256 * 1024;  // instrumented frames are larger
#else
constexpr std::size_t kStackBytes = 64 * 1024;
#endif

struct SchedulerContext {
  void* stack_pointer = nullptr;
  void* fake_stack = nullptr;
  const void* stack_bottom = nullptr;
  std::size_t stack_bytes = 0;
  void* race_checker = nullptr;
};
SchedulerContext scheduler;
Fiber* running = nullptr;

}  // namespace

Fiber::Fiber(Entry entry) : entry_(entry) {
  mapping_ = mmap(nullptr, kGuardBytes + kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapping_ == MAP_FAILED || mprotect(mapping_, kGuardBytes, PROT_NONE) != 0) {
    throw std::bad_alloc();
  }
  reset();
}

Fiber::~Fiber() {
#if defined(EXECUTOR_RACE_CHECKER)
  __tsan_destroy_fiber(race_checker_);
#endif
  munmap(mapping_, kGuardBytes + kStackBytes);
}

void Fiber::reset() {
  char* const bottom = static_cast<char*>(mapping_) + kGuardBytes;
#if defined(__SANITIZE_ADDRESS__)
  __asan_unpoison_memory_region(bottom, kStackBytes);
  fake_stack_ = nullptr;
#endif
#if defined(EXECUTOR_RACE_CHECKER)
  if (race_checker_ != nullptr) {
    __tsan_destroy_fiber(race_checker_);
  }
  race_checker_ = __tsan_create_fiber(0);
#endif
  // A function finds its stack pointer at 8 modulo 16. From the top: that slot, the entry's address, six registers.
  auto* slot = reinterpret_cast<std::uint64_t*>(bottom + kStackBytes);
  *--slot = 0;
  *--slot = reinterpret_cast<std::uint64_t>(&Fiber::trampoline);
  for (int i = 0; i < 6; ++i) {
    *--slot = 0;
  }
  stack_pointer_ = slot;
}

void Fiber::trampoline() {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(nullptr, &scheduler.stack_bottom, &scheduler.stack_bytes);
#endif
  for (;;) {
    running->entry_();
    suspend();
  }
}

void Fiber::resume() {
  running = this;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&scheduler.fake_stack, static_cast<char*>(mapping_) + kGuardBytes, kStackBytes);
#endif
#if defined(EXECUTOR_RACE_CHECKER)
  scheduler.race_checker = __tsan_get_current_fiber();
  __tsan_switch_to_fiber(race_checker_, 1);  // 1: a switch orders nothing
#endif
  gradspike_executor_switch(&scheduler.stack_pointer, stack_pointer_);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(scheduler.fake_stack, nullptr, nullptr);
#endif
  running = nullptr;
}

void Fiber::suspend() {
  Fiber* const self = running;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&self->fake_stack_, scheduler.stack_bottom, scheduler.stack_bytes);
#endif
#if defined(EXECUTOR_RACE_CHECKER)
  __tsan_switch_to_fiber(scheduler.race_checker, 1);
#endif
  gradspike_executor_switch(&self->stack_pointer_, scheduler.stack_pointer);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(self->fake_stack_, &scheduler.stack_bottom, &scheduler.stack_bytes);
#endif
}

bool Fiber::on_fiber() { return running != nullptr; }

void order_release([[maybe_unused]] void* tag) {
#if defined(EXECUTOR_RACE_CHECKER)
  __tsan_release(tag);
#endif
}

void order_acquire([[maybe_unused]] void* tag) {
#if defined(EXECUTOR_RACE_CHECKER)
  __tsan_acquire(tag);
#endif
}

}  // namespace executor
