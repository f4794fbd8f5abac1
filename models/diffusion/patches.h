#pragma once
// Pictures as rows of squares and back, as the transformers of diffusers read and write them. Letters: B
// pictures, c their channels, P side of a patch, T patches of a picture.
#include <ATen/core/Tensor.h>

#include <cstdint>

namespace lathe {

struct PatchGrid {
  std::int64_t high = 0, wide = 0, side = 0;  // patches down, patches across, P
};
// Error when a side of pictures (B, c, H, W) is no multiple of P.
PatchGrid patch_grid(const at::Tensor& pictures, std::int64_t side);
// (B, c, H, W) -> (B * T, c * P * P): what a convolution of stride P sees, as the rows of one product.
at::Tensor cut_patches(const at::Tensor& pictures, const PatchGrid& grid);
// (B * T, P * P * c), values of a place side by side -> (B, c, H, W).
at::Tensor join_patches(const at::Tensor& rows, const PatchGrid& grid, std::int64_t channels);

}  // namespace lathe
