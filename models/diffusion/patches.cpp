#include "models/diffusion/patches.h"

#include <ATen/core/Tensor.h>

#include "recipes/schema/error.h"

namespace lathe {

PatchGrid patch_grid(const at::Tensor& pictures, std::int64_t side) {
  require(pictures.size(2) % side == 0 && pictures.size(3) % side == 0, "a picture of ", pictures.size(2),
          " x ", pictures.size(3), " is no whole number of patches of ", side);
  return {pictures.size(2) / side, pictures.size(3) / side, side};
}

at::Tensor cut_patches(const at::Tensor& pictures, const PatchGrid& grid) {
  return pictures.unflatten(3, {grid.wide, grid.side})
      .unflatten(2, {grid.high, grid.side})  // (B, c, high, P, wide, P)
      .permute({0, 2, 4, 1, 3, 5})           // (B, high, wide, c, P, P)
      .reshape({-1, pictures.size(1) * grid.side * grid.side});
}

at::Tensor join_patches(const at::Tensor& rows, const PatchGrid& grid, std::int64_t channels) {
  return rows.view({-1, grid.high, grid.wide, grid.side, grid.side, channels})
      .permute({0, 5, 1, 3, 2, 4})  // (B, c, high, P, wide, P)
      .reshape({-1, channels, grid.high * grid.side, grid.wide * grid.side});
}

}  // namespace lathe
