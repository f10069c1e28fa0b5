// What the functions of the shim call from inside a kernel. Values pass through the executor by value, in 64 bits: a
// collective exchanges registers only, and every lane reads memory itself, so that sanitizers blame the right thread.
#pragma once

#include <cstddef>
#include <cstdint>

namespace executor {

/// A source line of a kernel; errors name it.
struct Position {
  const char* file = nullptr;
  int line = 0;
};

enum class BarrierKind { kPlain, kCount, kAnd, kOr };

/// Waits for all threads of the block; returns the reduced predicate of the kinds that have one.
int block_barrier(BarrierKind kind, int predicate, Position position);
/// Waits for all threads of a cooperative launch.
void grid_barrier(Position position);

std::uint64_t warp_shuffle(unsigned mask, std::uint64_t value, int source_lane, Position position);
unsigned warp_ballot(unsigned mask, bool predicate, Position position);
void warp_barrier(unsigned mask, Position position);

/// Element types of a warp's matrix product.
enum class Product { kSigned, kSignedUnsigned, kHalf };
/// sums += left * right by all 32 lanes of a warp; cuda/common/mma.cuh says what the registers hold.
void warp_product(Product product, std::int32_t (&sums)[4], const std::uint32_t (&left)[4],
                  const std::uint32_t (&right)[2], Position position);
void warp_product(Product product, float (&sums)[4], const std::uint32_t (&left)[4], const std::uint32_t (&right)[2],
                  Position position);

/// Memory fence: orders memory for the race checker only.
void fence();

/// Lane of the running thread within its warp.
int lane();

/// The shared array of the running block that belongs to `site`, filled with 0xFF when the block first asks for it.
void* shared_memory(const void* site, std::size_t bytes, std::size_t alignment, const char* name);
/// The dynamic shared memory of the running block: exactly the bytes of the launch.
void* dynamic_shared_memory();

/// Queues a copy to shared memory of 4, 8 or 16 bytes, of zeros without a source; until it is waited for the target
/// holds 0xFF.
void async_copy(void* target, const void* source, std::size_t bytes, Position position);
/// Ends the running thread's group of queued copies.
void async_copy_commit();
/// Carries out the copies of all but the `pending` youngest groups of the running thread.
void async_copy_wait(int pending);

}  // namespace executor
