#include "checkpoints/diffusion/positions.h"

#include <cmath>

namespace lathe {

std::vector<float> sincos_positions(const PositionGrid& grid) {
  const std::int64_t side = grid.side, channels = grid.channels, quarter = channels / 4;
  const double scale = static_cast<double>(grid.base) / static_cast<double>(side);
  std::vector<float> table(static_cast<std::size_t>(side * side * channels));
  float* out = table.data();
  for (std::int64_t row = 0; row < side; ++row) {
    for (std::int64_t column = 0; column < side; ++column) {
      for (const std::int64_t place : {column, row}) {
        // diffusers counts places in fp32 and angles in fp64.
        const double at = static_cast<float>(static_cast<double>(place) * scale);
        for (std::int64_t k = 0; k < 2 * quarter; ++k) {
          const double angle =
              at / std::pow(10000.0, static_cast<double>(k % quarter) / static_cast<double>(quarter));
          *out++ = static_cast<float>(k < quarter ? std::sin(angle) : std::cos(angle));
        }
      }
    }
  }
  return table;
}

}  // namespace lathe
