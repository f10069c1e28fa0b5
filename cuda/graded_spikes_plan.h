// How the products of graded_spikes are cut into tiles; by the sizes alone, so that a result never depends on the
// device. No CUDA: tests call it on the host.
#pragma once

#include <cstdint>

namespace gradspike::kernels {

/// Blocks below which small tiles are chosen: two for each of 132 multiprocessors. Not measured.
constexpr std::int64_t kEnoughBlocks = 264;
/// Inputs whose products fit the 32 bits that tensor cores sum in: 127 * 128 * 131072 < 2^31 for signed bytes, and
/// 127 * 255 * 131072 < 2^32 for unsigned ones.
constexpr std::int64_t kInputsPerSum = 131072;

enum class ProductTile : std::int32_t {
  kSmall,  // 64 rows x 64 post neurons
  kLarge,  // 128 x 128; weights of two bytes and results of eight would need too many registers
  kLong,   // kSmall with sums in 64 bits
};

struct ProductPlan {
  ProductTile tile;
  std::int64_t blocks;
};

constexpr std::int64_t num_tiles(std::int64_t rows, std::int64_t columns, std::int64_t tile_rows,
                                 std::int64_t tile_columns) {
  return ((rows + tile_rows - 1) / tile_rows) * ((columns + tile_columns - 1) / tile_columns);
}

constexpr ProductPlan plan_product(std::int64_t rows, std::int64_t in_features, std::int64_t out_features,
                                   std::int64_t weight_bytes, std::int64_t result_bytes = 4) {
  const std::int64_t small = num_tiles(rows, out_features, 64, 64);
  const std::int64_t large = num_tiles(rows, out_features, 128, 128);
  if (in_features > kInputsPerSum) {
    return {ProductTile::kLong, small};
  }
  return weight_bytes == 1 && result_bytes == 4 && large >= kEnoughBlocks ? ProductPlan{ProductTile::kLarge, large}
                                                                          : ProductPlan{ProductTile::kSmall, small};
}

}  // namespace gradspike::kernels
