#pragma once
// What a network that fills in masked pictures reads beside noisy latents (Stable Diffusion's inpainting UNet
// of nine channels, arXiv 2112.10752): the mask, 1 where it draws anew, at the latents' size (every points-th
// place, as diffusers' nearest does), and the latents of the picture without what the mask hides (0, a grey),
// at their mean. Letters: B pictures, C their channels, L those of latents.
#include <ATen/core/Tensor.h>

#include <cstdint>

#include "data/random/philox.h"
#include "models/diffusion/autoencoder_kl.h"

namespace lathe {

// pictures (B, C, H, W), -1 .. 1, and masks (B, 1, H, W), 1 where hidden, 0 elsewhere -> (B, 1 + L, h, w)
// fp32. No gradient.
at::Tensor fill_in_condition(const AutoencoderKL& vae, const at::Tensor& pictures, const at::Tensor& masks);
// The same for pictures of which everything is hidden: (1, 1 + L, h, w) for latents of h x w.
at::Tensor all_hidden(const AutoencoderKL& vae, std::int64_t h, std::int64_t w);

// A mask to train with, (1, height, width) fp32: a quarter hide everything, as the published network was
// trained (its model card), the others a rectangle or an ellipse of any size at any place inside the picture
// (as diffusers' dreambooth_inpaint). A function of the key.
at::Tensor random_mask(const RandomKey& key, std::int64_t height, std::int64_t width);

}  // namespace lathe
