// One block of a launch: its threads, its shared memory, and what they wait for.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "executor/device_api.h"
#include "executor/executor.h"
#include "executor/fiber.h"

namespace executor {

constexpr int kWarpLanes = 32;

/// Numbers of SplitMix64 for the random order.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next();
  /// 0, 1, ..., count - 1 in the order that the options ask for.
  std::vector<int> order(int count, Order order);

 private:
  std::uint64_t state_;
};

enum class ThreadState { kReady, kAtBarrier, kAtGridBarrier, kAtCollective, kReturned };
enum class Collective { kShuffle, kBallot, kBarrier, kSignedProduct, kSignedUnsignedProduct, kHalfProduct };

/// What one lane brings to a matrix product; `sums` is also what it gets back, as bits.
struct ProductRegisters {
  std::array<std::uint32_t, 4> left;
  std::array<std::uint32_t, 2> right;
  std::array<std::uint32_t, 4> sums;
};

struct AsyncCopy {
  void* target;
  const void* source;
  std::size_t bytes;
};

struct Thread {
  Fiber* fiber = nullptr;
  int linear = 0;
  Extent index{};
  ThreadState state = ThreadState::kReady;
  Position position;  // of the latest synchronisation
  BarrierKind barrier_kind = BarrierKind::kPlain;
  int predicate = 0;
  int barrier_result = 0;
  Collective collective = Collective::kBarrier;
  unsigned mask = 0;
  std::uint64_t value = 0;
  std::uint64_t result = 0;
  int source_lane = 0;
  ProductRegisters registers{};
  std::vector<AsyncCopy> open_copies;
  std::deque<std::vector<AsyncCopy>> copy_groups;
  unsigned num_warp_barriers = 0;
  std::array<char, 2> warp_tags{};     // released at this lane's warp barriers, in turn
  std::vector<void*> tags_to_acquire;  // of the lanes that met at the latest warp barrier

  int lane() const { return linear % kWarpLanes; }
};

/// What all blocks of a launch share.
struct Launch {
  const char* name;
  Extent grid;
  Extent block;
  std::size_t dynamic_shared_bytes;
  const std::function<void()>* body;
  Random random;
  bool cooperative;
  char begin_tag = 0;
  char end_tag = 0;
  char fence_tag = 0;
  std::array<char, 2> grid_tags{};
  unsigned num_grid_barriers = 0;
};

class Block {
 public:
  Block(Launch& launch, Extent index, const std::vector<std::unique_ptr<Fiber>>& fibers);
  ~Block();
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;

  /// Runs until all threads have returned (true) or wait at the grid's barrier (false).
  bool run();
  void release_grid_barrier();
  /// Abandons the threads that have not returned.
  void abandon();

  // Called from the running thread.
  int block_barrier(BarrierKind kind, int predicate, Position position);
  void grid_barrier(Position position);
  std::uint64_t meet(Collective collective, unsigned mask, std::uint64_t value, int source_lane, Position position);
  void* shared_memory(const void* site, std::size_t bytes, std::size_t alignment, const char* name);
  void* dynamic_shared_memory() const { return dynamic_shared_; }
  void thread_main();
  Launch& launch() { return launch_; }

 private:
  struct SharedArray {
    const void* site;
    void* memory;
    std::size_t alignment;
  };
  struct SharedRequest {
    const void* site = nullptr;
    std::size_t bytes = 0;
    std::size_t alignment = 0;
    const char* name = nullptr;
  };

  int num_warps() const { return (static_cast<int>(threads_.size()) + kWarpLanes - 1) / kWarpLanes; }
  bool warp_has_ready(int warp) const;
  void run_warp(int warp);
  void run_until_blocked();
  void resume(Thread& thread);
  void release_barrier();
  void check_barrier(const Thread& first, const Thread& other) const;
  void check_lanes(const Thread& self) const;
  bool all_arrived(const Thread& self) const;
  void complete(const Thread& last);
  void complete_product(const Thread& last, Product product);
  void allocate_shared();
  [[noreturn]] void report_deadlock() const;
  const Thread* lane_of(const Thread& self, int lane) const {
    const std::size_t i = static_cast<std::size_t>(self.linear - self.lane() + lane);
    return i < threads_.size() ? &threads_[i] : nullptr;
  }
  Thread* lane_of(const Thread& self, int lane) {
    return const_cast<Thread*>(static_cast<const Block*>(this)->lane_of(self, lane));
  }
  std::string name_of(const Thread& thread) const;

  Launch& launch_;
  Extent index_;
  std::vector<Thread> threads_;
  std::vector<SharedArray> shared_;
  SharedRequest request_;
  void* dynamic_shared_ = nullptr;
  std::size_t shared_bytes_ = 0;
  char shared_tag_ = 0;
  std::array<char, 2> barrier_tags_{};
  unsigned num_barriers_ = 0;
};

/// The thread whose turn it is, and its block; null outside of a launch.
extern Thread* current_thread;
extern Block* current_block;

/// From a running thread: ends the launch with this error.
[[noreturn]] void fail(Fault fault, const std::string& message);
std::string describe(const Position& position);

/// sums += left * right over the lanes of a warp.
void multiply(Product product, const std::array<ProductRegisters*, kWarpLanes>& lanes);

/// The indices as a kernel sees them.
void set_indices(const Launch& launch, const Extent& block, const Extent& thread);
/// Rethrows what a thread failed with, if any has.
void rethrow_failure();
void record_failure();

}  // namespace executor
