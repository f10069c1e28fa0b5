// Runs CUDA kernels on the CPU: the threads of a block are fibers of one OS thread.
//
// One warp runs until all its lanes wait at the block's barrier or have returned, then the next warp, then the next
// block. Running all threads in step instead would hide missing barriers, since nobody could run ahead.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string>

namespace executor {

/// Order in which blocks, warps of a block and lanes of a warp get their turn.
enum class Order { kForward, kReverse, kRandom };

struct Options {
  Order order = Order::kForward;
  std::uint64_t seed = 0;             // of Order::kRandom
  bool allow_exited_threads = false;  // a barrier then waits for the threads that still run, as the hardware does
};

/// Options of all following launches.
void set_options(const Options& options);
const Options& options();

enum class Fault {
  kLaunchLimit,       // the driver would refuse the launch
  kSharedLimit,       // more than 48 KiB of shared memory
  kDivergentBarrier,  // threads of a block wait at different barriers
  kExitedThread,      // a barrier waits for a thread that has returned
  kMissingLane,       // a warp operation waits for a lane that has returned or does not exist
  kMaskMismatch,      // the lane is not in its own mask, or lanes of one mask gave different masks
  kDivergentWarp,     // lanes of one mask wait in different warp operations
  kBadShuffle,        // the source lane is outside the mask
  kDeadlock,          // nobody can go on
};

class Error : public std::runtime_error {
 public:
  Error(Fault fault, const std::string& message) : std::runtime_error(message), fault_(fault) {}
  Fault fault() const { return fault_; }

 private:
  Fault fault_;
};

struct Extent {
  unsigned x;
  unsigned y;
  unsigned z;
};

/// Runs `body` once for every thread of every block. Throws Error at the first fault, and what the body throws.
void launch(const char* name, Extent grid, Extent block, std::size_t dynamic_shared_bytes,
            const std::function<void()>& body);

/// The same with all blocks alive at once, so that they may wait for each other in sync_grid().
void launch_cooperative(const char* name, Extent grid, Extent block, std::size_t dynamic_shared_bytes,
                        const std::function<void()>& body);

}  // namespace executor
