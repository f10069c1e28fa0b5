#include "executor/executor.h"

#include <algorithm>
#include <cstring>
#include <exception>
#include <mutex>
#include <sstream>
#include <utility>

#include "executor/block.h"
#include "executor/shim.h"

uint3 threadIdx;
uint3 blockIdx;
dim3 blockDim;
dim3 gridDim;

namespace executor {

Thread* current_thread = nullptr;
Block* current_block = nullptr;

namespace {

/// With one set of fibers the race checker would see thread i of every block as one thread, and so as ordered.
constexpr std::size_t kFiberSets = kRaceChecker ? 3 : 1;

Options current_options;
std::exception_ptr failure;
using FiberSet = std::vector<std::unique_ptr<Fiber>>;

void thread_entry() { current_block->thread_main(); }

FiberSet& fiber_set(std::size_t set, std::size_t count) {
  static std::vector<FiberSet> sets;
  if (sets.size() <= set) {
    sets.resize(set + 1);
  }
  while (sets[set].size() < count) {
    sets[set].push_back(std::make_unique<Fiber>(&thread_entry));
  }
  return sets[set];
}

void require(bool condition, const char* name, const char* what, std::uint64_t value) {
  if (!condition) {
    std::ostringstream out;
    out << name << ": " << what << " of " << value << " is beyond the limit";
    throw Error(Fault::kLaunchLimit, out.str());
  }
}

void check_limits(const char* name, const Extent& grid, const Extent& block, std::size_t dynamic_shared_bytes) {
  require(grid.x >= 1 && grid.x <= 2147483647U, name, "grid x", grid.x);
  require(grid.y >= 1 && grid.y <= 65535U, name, "grid y", grid.y);
  require(grid.z >= 1 && grid.z <= 65535U, name, "grid z", grid.z);
  require(block.x >= 1 && block.x <= 1024U, name, "block x", block.x);
  require(block.y >= 1 && block.y <= 1024U, name, "block y", block.y);
  require(block.z >= 1 && block.z <= 64U, name, "block z", block.z);
  const std::uint64_t threads = std::uint64_t{block.x} * block.y * block.z;
  require(threads <= 1024U, name, "threads per block", threads);
  require(dynamic_shared_bytes <= 49152U, name, "dynamic shared memory", dynamic_shared_bytes);
}

std::int64_t num_blocks(const Extent& grid) { return std::int64_t{grid.x} * grid.y * grid.z; }

Extent block_index(const Extent& grid, std::int64_t linear) {
  return {static_cast<unsigned>(linear % grid.x), static_cast<unsigned>(linear / grid.x % grid.y),
          static_cast<unsigned>(linear / grid.x / grid.y)};
}

void run_one_by_one(Launch& launch, std::size_t threads) {
  const std::int64_t count = num_blocks(launch.grid);
  std::vector<int> order;
  if (current_options.order == Order::kRandom) {
    order = launch.random.order(static_cast<int>(count), Order::kRandom);
  }
  std::vector<std::unique_ptr<Block>> blocks;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t linear = current_options.order == Order::kForward   ? i
                                : current_options.order == Order::kReverse ? count - 1 - i
                                                                           : order[static_cast<std::size_t>(i)];
    if (!kRaceChecker) {
      blocks.clear();
    }
    FiberSet& fibers = fiber_set(static_cast<std::size_t>(i) % kFiberSets, threads);
    blocks.push_back(std::make_unique<Block>(launch, block_index(launch.grid, linear), fibers));
    try {
      blocks.back()->run();
    } catch (...) {
      blocks.back()->abandon();
      throw;
    }
  }
  order_acquire(&launch.end_tag);
}

void run_together(Launch& launch, std::size_t threads) {
  const int count = static_cast<int>(num_blocks(launch.grid));
  std::vector<std::unique_ptr<Block>> blocks;
  for (int i = 0; i < count; ++i) {
    FiberSet& fibers = fiber_set(static_cast<std::size_t>(i), threads);
    blocks.push_back(std::make_unique<Block>(launch, block_index(launch.grid, i), fibers));
  }
  try {
    int returned = 0;
    while (returned < count) {
      returned = 0;
      for (const int i : launch.random.order(count, current_options.order)) {
        returned += blocks[static_cast<std::size_t>(i)]->run() ? 1 : 0;
      }
      if (returned != 0 && returned != count) {
        throw Error(Fault::kDeadlock, std::string(launch.name) +
                                          ": some blocks wait at the grid's barrier, others have "
                                          "returned");
      }
      ++launch.num_grid_barriers;
      if (returned == 0) {
        for (const auto& block : blocks) {
          block->release_grid_barrier();
        }
      }
    }
  } catch (...) {
    for (const auto& block : blocks) {
      block->abandon();
    }
    throw;
  }
  order_acquire(&launch.end_tag);
}

void run(const char* name, Extent grid, Extent block, std::size_t dynamic_shared_bytes,
         const std::function<void()>& body, bool cooperative) {
  if (Fiber::on_fiber()) {
    fail(Fault::kLaunchLimit, std::string(name) + " was launched from inside a kernel");
  }
  static std::mutex one_launch;
  const std::lock_guard<std::mutex> lock(one_launch);
  check_limits(name, grid, block, dynamic_shared_bytes);
  Launch launch{name, grid, block, dynamic_shared_bytes, &body, Random(current_options.seed), cooperative};
  const std::size_t threads = static_cast<std::size_t>(block.x) * block.y * block.z;
  cooperative ? run_together(launch, threads) : run_one_by_one(launch, threads);
}

void carry_out(const std::vector<AsyncCopy>& copies) {
  for (const AsyncCopy& copy : copies) {
    if (copy.source == nullptr) {
      std::memset(copy.target, 0, copy.bytes);
    } else {
      std::memcpy(copy.target, copy.source, copy.bytes);
    }
  }
}

}  // namespace

std::uint64_t Random::next() {
  state_ += 0x9E3779B97F4A7C15ULL;
  std::uint64_t x = state_;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ULL;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBULL;
  return x ^ (x >> 31);
}

std::vector<int> Random::order(int count, Order order) {
  std::vector<int> result(static_cast<std::size_t>(count));
  for (int i = 0; i < count; ++i) {
    result[static_cast<std::size_t>(i)] = order == Order::kReverse ? count - 1 - i : i;
  }
  if (order == Order::kRandom) {
    for (std::size_t i = result.size(); i > 1; --i) {
      std::swap(result[i - 1], result[next() % i]);
    }
  }
  return result;
}

void set_options(const Options& options) { current_options = options; }
const Options& options() { return current_options; }

void launch(const char* name, Extent grid, Extent block, std::size_t dynamic_shared_bytes,
            const std::function<void()>& body) {
  run(name, grid, block, dynamic_shared_bytes, body, false);
}

void launch_cooperative(const char* name, Extent grid, Extent block, std::size_t dynamic_shared_bytes,
                        const std::function<void()>& body) {
  run(name, grid, block, dynamic_shared_bytes, body, true);
}

void set_indices(const Launch& launch, const Extent& block, const Extent& thread) {
  threadIdx = {thread.x, thread.y, thread.z};
  blockIdx = {block.x, block.y, block.z};
  blockDim = dim3(launch.block.x, launch.block.y, launch.block.z);
  gridDim = dim3(launch.grid.x, launch.grid.y, launch.grid.z);
}

std::string describe(const Position& position) {
  return position.file == nullptr ? std::string("none")
                                  : std::string(position.file) + ":" + std::to_string(position.line);
}

void record_failure() {
  failure = std::current_exception();
  order_release(&failure);
}

void rethrow_failure() {
  if (failure != nullptr) {
    order_acquire(&failure);  // the thread that failed allocated the message
    std::rethrow_exception(std::exchange(failure, nullptr));
  }
}

void fail(Fault fault, const std::string& message) {
  failure = std::make_exception_ptr(Error(fault, message));
  order_release(&failure);
  current_thread->state = ThreadState::kReady;  // not returned, so that its fiber is reset
  for (;;) {
    Fiber::suspend();
  }
}

// ---- device functions --------------------------------------------------------------------------------------------

int block_barrier(BarrierKind kind, int predicate, Position position) {
  return current_block->block_barrier(kind, predicate, position);
}

void grid_barrier(Position position) { current_block->grid_barrier(position); }

std::uint64_t warp_shuffle(unsigned mask, std::uint64_t value, int source_lane, Position position) {
  return current_block->meet(Collective::kShuffle, mask, value, source_lane, position);
}

unsigned warp_ballot(unsigned mask, bool predicate, Position position) {
  return static_cast<unsigned>(current_block->meet(Collective::kBallot, mask, predicate ? 1 : 0, 0, position));
}

void warp_barrier(unsigned mask, Position position) { current_block->meet(Collective::kBarrier, mask, 0, 0, position); }

void fence() {
  order_acquire(&current_block->launch().fence_tag);
  order_release(&current_block->launch().fence_tag);
}

int lane() { return current_thread->lane(); }

void* shared_memory(const void* site, std::size_t bytes, std::size_t alignment, const char* name) {
  return current_block->shared_memory(site, bytes, alignment, name);
}

void* dynamic_shared_memory() { return current_block->dynamic_shared_memory(); }

void async_copy(void* target, const void* source, std::size_t bytes, Position position) {
  const auto misaligned = [bytes](const void* pointer) {
    return reinterpret_cast<std::uintptr_t>(pointer) % bytes != 0;
  };
  if ((bytes != 4 && bytes != 8 && bytes != 16) || misaligned(target) || misaligned(source)) {
    fail(Fault::kLaunchLimit, "the asynchronous copy of " + std::to_string(bytes) + " bytes at " + describe(position) +
                                  " is misaligned or of a size that does not exist");
  }
  std::memset(target, 0xFF, bytes);
  current_thread->open_copies.push_back({target, source, bytes});
}

void async_copy_commit() {
  current_thread->copy_groups.push_back(std::move(current_thread->open_copies));
  current_thread->open_copies.clear();
}

void async_copy_wait(int pending) {
  std::deque<std::vector<AsyncCopy>>& groups = current_thread->copy_groups;
  while (groups.size() > static_cast<std::size_t>(pending)) {
    carry_out(groups.front());
    groups.pop_front();
  }
}

}  // namespace executor
