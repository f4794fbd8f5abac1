#pragma once
// The table of positions that transformers of pictures add to their patches (arXiv 2010.11929 in two
// dimensions, as diffusers computes it). Plain numbers, thread-safe.
#include <cstdint>
#include <vector>

namespace lathe {

struct PositionGrid {
  std::int64_t side = 0;      // patches of the table
  std::int64_t channels = 0;  // a multiple of 4
  std::int64_t base = 0;      // places that the side spans, 0 .. base: `side` for one patch a place
};

// (side ^ 2, channels) row by row: half of the channels say the column, half the row, each as sines then
// cosines of frequencies 10000^(-k / (channels / 4)).
std::vector<float> sincos_positions(const PositionGrid& grid);

}  // namespace lathe
