#pragma once
// What the network of a picture model is trained to denoise: pictures themselves, or a frozen VAE's latents
// of them, drawn from their distribution as Stable Diffusion was trained (arXiv 2112.10752). The
// distributions are those of the cache (cached_encodings.h); what it lacks is kept in memory, a picture's
// made once, as far as kKeptBytes reach. One thread at a time.
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <memory>
#include <utility>

#include "data/images/picture_loader.h"
#include "models/diffusion/autoencoder_kl.h"
#include "trainer/pictures/cached_encodings.h"

namespace lathe {

at::Tensor to_tensor(const PictureBatch& batch);  // (B, c, H, W) fp32, its own memory

class LatentSource {
 public:
  LatentSource() = default;  // pictures themselves
  // `cached`: of the sets that read() counts, or nothing.
  LatentSource(std::shared_ptr<const AutoencoderKL> vae, std::uint64_t seed,
               std::vector<CachedLatents> cached = {})
      : vae_(std::move(vae)), seed_(seed), cached_(std::move(cached)) {}
  // (B, c, h, w) fp32, scaled as the network sees them; the noise in them is a function of (seed, visit,
  // picture). `set` tells pictures of several sets apart, whose ids are the same.
  at::Tensor read(const PictureBatch& batch, std::size_t set);
  // What a network that fills in reads beside them (fill_in.h), under masks that are functions of (seed,
  // visit, picture).
  at::Tensor beside(const PictureBatch& batch) const;
  // Weights of the loss (B, 1, h, w): means over the points of a place. Undefined when everything counts.
  at::Tensor mask(const PictureBatch& batch) const;

 private:
  LatentMoments moments(const PictureBatch& batch, std::int64_t row, std::size_t set);

  std::shared_ptr<const AutoencoderKL> vae_;  // null: without
  std::uint64_t seed_ = 0;
  std::vector<CachedLatents> cached_;
  std::map<std::pair<std::size_t, std::uint64_t>, LatentMoments> kept_;  // by set and picture: (1, L, h, w)
  std::int64_t kept_bytes_ = 0;
};

}  // namespace lathe
