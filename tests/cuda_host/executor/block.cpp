#include "executor/block.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <sstream>

namespace executor {
namespace {

constexpr std::size_t kMaxSharedBytes = 49152;  // without opt-in, static and dynamic together
constexpr unsigned char kPoison = 0xFF;         // NaN as a float, -1 as an integer

bool same_position(const Position& a, const Position& b) {
  return a.line == b.line && (a.file == b.file || std::strcmp(a.file, b.file) == 0);
}

/// Exactly `bytes` bytes from the heap, so that AddressSanitizer sees every access beyond them.
void* allocate_poisoned(std::size_t bytes, std::size_t alignment) {
  void* const memory = ::operator new(bytes, std::align_val_t(alignment < 16 ? 16 : alignment));
  std::memset(memory, kPoison, bytes);
  return memory;
}

int reduce_predicate(BarrierKind kind, const std::vector<Thread>& threads) {
  int count = 0;
  int participants = 0;
  for (const Thread& thread : threads) {
    if (thread.state == ThreadState::kAtBarrier) {
      count += thread.predicate != 0 ? 1 : 0;
      ++participants;
    }
  }
  switch (kind) {
    case BarrierKind::kCount:
      return count;
    case BarrierKind::kAnd:
      return count == participants ? 1 : 0;
    case BarrierKind::kOr:
      return count > 0 ? 1 : 0;
    case BarrierKind::kPlain:
      break;
  }
  return 0;
}

}  // namespace

Block::Block(Launch& launch, Extent index, const std::vector<std::unique_ptr<Fiber>>& fibers)
    : launch_(launch),
      index_(index),
      threads_(static_cast<std::size_t>(launch.block.x) * launch.block.y * launch.block.z) {
  for (std::size_t i = 0; i < threads_.size(); ++i) {
    Thread& thread = threads_[i];
    const unsigned linear = static_cast<unsigned>(i);
    thread.fiber = fibers[i].get();
    thread.linear = static_cast<int>(i);
    thread.index = {linear % launch.block.x, linear / launch.block.x % launch.block.y,
                    linear / (launch.block.x * launch.block.y)};
  }
  dynamic_shared_ = allocate_poisoned(launch.dynamic_shared_bytes, 16);
  shared_bytes_ = launch.dynamic_shared_bytes;
}

Block::~Block() {
  for (const SharedArray& array : shared_) {
    ::operator delete(array.memory, std::align_val_t(array.alignment));
  }
  ::operator delete(dynamic_shared_, std::align_val_t(16));
}

bool Block::run() {
  order_release(&launch_.begin_tag);
  for (;;) {
    run_until_blocked();
    int returned = 0;
    int at_grid_barrier = 0;
    int at_barrier = 0;
    for (const Thread& thread : threads_) {
      returned += thread.state == ThreadState::kReturned ? 1 : 0;
      at_grid_barrier += thread.state == ThreadState::kAtGridBarrier ? 1 : 0;
      at_barrier += thread.state == ThreadState::kAtBarrier ? 1 : 0;
    }
    const int all = static_cast<int>(threads_.size());
    if (returned == all) {
      return true;
    }
    if (launch_.cooperative && at_grid_barrier == all) {
      return false;
    }
    if (returned + at_barrier != all) {
      report_deadlock();
    }
    release_barrier();
  }
}

void Block::run_until_blocked() {
  const std::vector<int> order = launch_.random.order(num_warps(), options().order);
  bool any = true;
  while (any) {
    any = false;
    for (const int warp : order) {
      while (warp_has_ready(warp)) {
        any = true;
        run_warp(warp);
        // At random another warp gets its turn in between.
        if (options().order == Order::kRandom && launch_.random.next() % 8 == 0) {
          break;
        }
      }
    }
  }
}

bool Block::warp_has_ready(int warp) const {
  const int begin = warp * kWarpLanes;
  for (int i = begin; i < begin + kWarpLanes && i < static_cast<int>(threads_.size()); ++i) {
    if (threads_[static_cast<std::size_t>(i)].state == ThreadState::kReady) {
      return true;
    }
  }
  return false;
}

void Block::run_warp(int warp) {
  const int begin = warp * kWarpLanes;
  const int lanes = std::min(kWarpLanes, static_cast<int>(threads_.size()) - begin);
  for (const int lane : launch_.random.order(lanes, options().order)) {
    Thread& thread = threads_[static_cast<std::size_t>(begin + lane)];
    if (thread.state == ThreadState::kReady) {
      resume(thread);
    }
  }
}

void Block::resume(Thread& thread) {
  do {
    request_ = {};
    current_block = this;
    current_thread = &thread;
    set_indices(launch_, index_, thread.index);
    thread.fiber->resume();
    current_thread = nullptr;
    current_block = nullptr;
    rethrow_failure();
    if (request_.site != nullptr) {
      allocate_shared();
    }
  } while (request_.site != nullptr);
}

void Block::thread_main() {
  Thread* const self = current_thread;
  order_acquire(&launch_.begin_tag);
  try {
    (*launch_.body)();
  } catch (...) {
    record_failure();
  }
  order_release(&launch_.end_tag);
  self->state = ThreadState::kReturned;
  for (int lane = 0; lane < kWarpLanes; ++lane) {
    const Thread* const other = lane_of(*self, lane);
    if (other != nullptr && other->state == ThreadState::kAtCollective && (other->mask >> self->lane() & 1U) != 0) {
      fail(Fault::kMissingLane, name_of(*other) + " waits in a warp operation at " + describe(other->position) +
                                    " for lane " + std::to_string(self->lane()) +
                                    ", which has returned (its last synchronisation: " + describe(self->position) +
                                    ")");
    }
  }
}

// ---- barriers ----------------------------------------------------------------------------------------------------

int Block::block_barrier(BarrierKind kind, int predicate, Position position) {
  Thread& self = *current_thread;
  self.state = ThreadState::kAtBarrier;
  self.position = position;
  self.barrier_kind = kind;
  self.predicate = predicate;
  // Two tags in turn: a thread that is already at the next barrier must not seem ordered before one that has not yet
  // left this one.
  void* const tag = &barrier_tags_[num_barriers_ % 2];
  order_release(tag);
  Fiber::suspend();
  order_acquire(tag);
  return self.barrier_result;
}

void Block::check_barrier(const Thread& first, const Thread& other) const {
  if (other.state == ThreadState::kReturned && !options().allow_exited_threads) {
    throw Error(Fault::kExitedThread, name_of(first) + " waits at the barrier at " + describe(first.position) +
                                          ", but " + name_of(other) +
                                          " has returned (its last synchronisation: " + describe(other.position) + ")");
  }
  if (other.state == ThreadState::kAtBarrier &&
      (first.barrier_kind != other.barrier_kind || !same_position(first.position, other.position))) {
    throw Error(Fault::kDivergentBarrier, name_of(first) + " waits at the barrier at " + describe(first.position) +
                                              ", but " + name_of(other) + " at that at " + describe(other.position));
  }
}

void Block::release_barrier() {
  const Thread* first = nullptr;
  for (const Thread& thread : threads_) {
    if (first == nullptr && thread.state == ThreadState::kAtBarrier) {
      first = &thread;
    }
  }
  for (const Thread& thread : threads_) {
    check_barrier(*first, thread);
  }
  const int result = reduce_predicate(first->barrier_kind, threads_);
  for (Thread& thread : threads_) {
    if (thread.state == ThreadState::kAtBarrier) {
      thread.barrier_result = result;
      thread.state = ThreadState::kReady;
    }
  }
  ++num_barriers_;
}

void Block::grid_barrier(Position position) {
  if (!launch_.cooperative) {
    fail(Fault::kDeadlock, "the grid's barrier at " + describe(position) + " needs a cooperative launch");
  }
  Thread& self = *current_thread;
  self.state = ThreadState::kAtGridBarrier;
  self.position = position;
  void* const tag = &launch_.grid_tags[launch_.num_grid_barriers % 2];
  order_release(tag);
  Fiber::suspend();
  order_acquire(tag);
}

void Block::release_grid_barrier() {
  for (Thread& thread : threads_) {
    thread.state = ThreadState::kReady;
  }
}

// ---- warp operations ---------------------------------------------------------------------------------------------

std::uint64_t Block::meet(Collective collective, unsigned mask, std::uint64_t value, int source_lane,
                          Position position) {
  Thread& self = *current_thread;
  self.state = ThreadState::kAtCollective;
  self.position = position;
  self.collective = collective;
  self.mask = mask;
  self.value = value;
  self.source_lane = source_lane;
  check_lanes(self);
  void* const tag = &self.warp_tags[self.num_warp_barriers % 2];
  if (collective == Collective::kBarrier) {  // only __syncwarp orders memory
    ++self.num_warp_barriers;
    order_release(tag);
  }
  if (all_arrived(self)) {
    complete(self);
  } else {
    Fiber::suspend();
  }
  if (collective == Collective::kBarrier && kRaceChecker) {
    for (void* const arrived : self.tags_to_acquire) {
      order_acquire(arrived);
    }
  }
  return self.result;
}

void Block::check_lanes(const Thread& self) const {
  const auto here = [&] { return name_of(self) + " in the warp operation at " + describe(self.position); };
  if ((self.mask >> self.lane() & 1U) == 0) {
    fail(Fault::kMaskMismatch, here() + " is not in its own mask");
  }
  if (self.collective == Collective::kShuffle &&
      (self.source_lane < 0 || self.source_lane >= kWarpLanes || (self.mask >> self.source_lane & 1U) == 0)) {
    fail(Fault::kBadShuffle, here() + " reads from lane " + std::to_string(self.source_lane) + " outside its mask");
  }
  for (int lane = 0; lane < kWarpLanes; ++lane) {
    const Thread* const other = lane_of(self, lane);
    if ((self.mask >> lane & 1U) == 0 || other == &self) {
      continue;
    }
    if (other == nullptr || other->state == ThreadState::kReturned) {
      fail(Fault::kMissingLane,
           here() + " waits for lane " + std::to_string(lane) +
               (other == nullptr
                    ? ", which the block does not have"
                    : ", which has returned (its last synchronisation: " + describe(other->position) + ")"));
    }
    // A lane whose mask leaves this one out finishes its own operation first and comes here later.
    if (other->state != ThreadState::kAtCollective || (other->mask >> self.lane() & 1U) == 0) {
      continue;
    }
    if (other->collective != self.collective || !same_position(other->position, self.position)) {
      fail(Fault::kDivergentWarp, here() + " waits for lane " + std::to_string(lane) + ", which waits in that at " +
                                      describe(other->position));
    }
    if (other->mask != self.mask) {
      fail(Fault::kMaskMismatch, here() + " and lane " + std::to_string(lane) + " gave different masks");
    }
  }
}

bool Block::all_arrived(const Thread& self) const {
  for (int lane = 0; lane < kWarpLanes; ++lane) {
    if ((self.mask >> lane & 1U) != 0) {
      const Thread& other = *lane_of(self, lane);
      if (other.state != ThreadState::kAtCollective || other.mask != self.mask) {
        return false;
      }
    }
  }
  return true;
}

void Block::complete_product(const Thread& last, Product product) {
  std::array<ProductRegisters*, kWarpLanes> registers{};
  for (int lane = 0; lane < kWarpLanes; ++lane) {
    Thread* const member = lane_of(last, lane);
    registers[static_cast<std::size_t>(lane)] = &member->registers;
    member->state = ThreadState::kReady;
  }
  multiply(product, registers);
}

void Block::complete(const Thread& last) {
  switch (last.collective) {
    case Collective::kSignedProduct:
      return complete_product(last, Product::kSigned);
    case Collective::kSignedUnsignedProduct:
      return complete_product(last, Product::kSignedUnsigned);
    case Collective::kHalfProduct:
      return complete_product(last, Product::kHalf);
    default:
      break;
  }
  const unsigned mask = last.mask;
  std::uint64_t ballot = 0;
  std::vector<void*> tags;
  for (int lane = 0; lane < kWarpLanes; ++lane) {
    if ((mask >> lane & 1U) != 0) {
      Thread* const member = lane_of(last, lane);
      ballot |= (member->value != 0 ? std::uint64_t{1} : std::uint64_t{0}) << lane;
      if (kRaceChecker && last.collective == Collective::kBarrier) {
        tags.push_back(&member->warp_tags[(member->num_warp_barriers - 1) % 2]);
      }
    }
  }
  for (int lane = 0; lane < kWarpLanes; ++lane) {
    if ((mask >> lane & 1U) != 0) {
      Thread* const member = lane_of(last, lane);
      member->result = member->collective == Collective::kShuffle ? lane_of(last, member->source_lane)->value : ballot;
      if (kRaceChecker) {
        member->tags_to_acquire = tags;
      }
      member->state = ThreadState::kReady;
    }
  }
}

// ---- shared memory -----------------------------------------------------------------------------------------------

void* Block::shared_memory(const void* site, std::size_t bytes, std::size_t alignment, const char* name) {
  for (;;) {
    for (const SharedArray& array : shared_) {
      if (array.site == site) {
        order_acquire(&shared_tag_);
        return array.memory;
      }
    }
    // The scheduler allocates: to ThreadSanitizer an allocation is a write by whoever asked for it.
    request_ = {site, bytes, alignment, name};
    Fiber::suspend();
  }
}

void Block::allocate_shared() {
  shared_bytes_ += request_.bytes;
  if (shared_bytes_ > kMaxSharedBytes) {
    std::ostringstream out;
    out << launch_.name << " needs " << shared_bytes_ << " bytes of shared memory with `" << request_.name
        << "`; a block has " << kMaxSharedBytes;
    throw Error(Fault::kSharedLimit, out.str());
  }
  const std::size_t alignment = std::max<std::size_t>(request_.alignment, 16);
  shared_.push_back({request_.site, allocate_poisoned(request_.bytes, alignment), alignment});
  order_release(&shared_tag_);
}

// ---- reports -----------------------------------------------------------------------------------------------------

std::string Block::name_of(const Thread& thread) const {
  std::ostringstream out;
  out << "thread (" << thread.index.x << ", " << thread.index.y << ", " << thread.index.z << ") of block (" << index_.x
      << ", " << index_.y << ", " << index_.z << ") of " << launch_.name;
  return out.str();
}

void Block::report_deadlock() const {
  constexpr int kMaxListed = 8;
  std::string message = std::string("no thread of ") + launch_.name + " can go on:";
  int listed = 0;
  const Thread* previous = nullptr;
  for (const Thread& thread : threads_) {
    const bool repeats = previous != nullptr && previous->state == thread.state &&
                         (thread.state == ThreadState::kReturned || same_position(previous->position, thread.position));
    previous = &thread;
    if (repeats || ++listed > kMaxListed) {
      continue;
    }
    const char* const what = thread.state == ThreadState::kReturned        ? " has returned after "
                             : thread.state == ThreadState::kAtBarrier     ? " waits at the barrier at "
                             : thread.state == ThreadState::kAtGridBarrier ? " waits at the grid's barrier at "
                                                                           : " waits in a warp operation at ";
    message += "\n  " + name_of(thread) + what + describe(thread.position);
  }
  throw Error(Fault::kDeadlock, message);
}

void Block::abandon() {
  for (Thread& thread : threads_) {
    if (thread.state != ThreadState::kReturned) {
      thread.fiber->reset();
    }
  }
}

}  // namespace executor
