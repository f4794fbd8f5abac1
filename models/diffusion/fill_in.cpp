#include "models/diffusion/fill_in.h"

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>

namespace lathe {

namespace {

constexpr double kHideAll = 0.25;

// From the smallest of one point to the whole side, and where it begins.
struct Stretch {
  double begin = 0, length = 0;
};
Stretch stretch(double length_share, double place, std::int64_t side) {
  const auto whole = static_cast<double>(side);
  const double length = 1 + length_share * (whole - 1);
  return {place * (whole - length), length};
}

}  // namespace

at::Tensor fill_in_condition(const AutoencoderKL& vae, const at::Tensor& pictures, const at::Tensor& masks) {
  const at::NoGradGuard no_grad;
  const at::Tensor hidden = masks.to(at::kFloat).ge(0.5).to(at::kFloat);  // (B, 1, H, W)
  const at::Tensor latents =
      vae.scaled(vae.encode(pictures * (1 - hidden)).mean).to(at::kFloat);  // (B, L, h, w)
  const std::int64_t step = vae.spec().halvings();
  const at::Tensor small = hidden.slice(2, 0, hidden.size(2), step).slice(3, 0, hidden.size(3), step);
  return at::cat({small, latents}, 1).contiguous();
}

at::Tensor all_hidden(const AutoencoderKL& vae, std::int64_t h, std::int64_t w) {
  const std::int64_t step = vae.spec().halvings();
  return fill_in_condition(vae, at::zeros({1, vae.spec().in_channels, h * step, w * step}),
                           at::ones({1, 1, h * step, w * step}));
}

at::Tensor random_mask(const RandomKey& key, std::int64_t height, std::int64_t width) {
  const RandomStream draws(key);
  if (draws.uniform(0) < kHideAll) return at::ones({1, height, width});
  const Stretch down = stretch(draws.uniform(2), draws.uniform(3), height),
                across = stretch(draws.uniform(4), draws.uniform(5), width);
  const bool ellipse = draws.uniform(1) < 0.5;
  at::Tensor mask = at::zeros({1, height, width});
  float* values = mask.data_ptr<float>();
  for (std::int64_t y = 0; y < height; ++y)
    for (std::int64_t x = 0; x < width; ++x) {
      // Of the place's middle, -1 .. 1 inside.
      const double v = 2 * (static_cast<double>(y) + 0.5 - down.begin) / down.length - 1,
                   u = 2 * (static_cast<double>(x) + 0.5 - across.begin) / across.length - 1;
      const bool inside = ellipse ? u * u + v * v <= 1 : u >= -1 && u <= 1 && v >= -1 && v <= 1;
      values[y * width + x] = inside ? 1.0F : 0.0F;
    }
  return mask;
}

}  // namespace lathe
