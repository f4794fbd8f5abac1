#include "trainer/pictures/latents.h"

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/avg_pool2d.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>

#include "models/diffusion/fill_in.h"
#include "models/diffusion/noise.h"

namespace lathe {

namespace {

constexpr std::int64_t kKeptBytes = std::int64_t{1} << 30;
// Of Purpose::Noise, behind those of models/objectives/denoising.cpp.
constexpr std::uint32_t kLatentSite = 2, kMaskSite = 3;

}  // namespace

at::Tensor to_tensor(const PictureBatch& batch) {
  const at::Tensor all = at::tensor(at::ArrayRef<float>(batch.pixels));
  return all.view({batch.count, batch.channels, batch.height, batch.width});
}

LatentMoments LatentSource::moments(const PictureBatch& batch, std::int64_t row, std::size_t set) {
  const auto key = std::pair(set, batch.ids[static_cast<std::size_t>(row)]);
  if (set < cached_.size())
    if (const auto found = cached_[set].find(key.second)) return *found;
  const auto found = kept_.find(key);
  if (found != kept_.end()) return found->second;
  const LatentMoments made = moments_alone(*vae_, batch, row);
  const auto bytes = static_cast<std::int64_t>(made.mean.nbytes() + made.log_variance.nbytes());
  if (kept_bytes_ + bytes > kKeptBytes) return made;
  kept_bytes_ += bytes;
  return kept_[key] = made;
}

at::Tensor LatentSource::read(const PictureBatch& batch, std::size_t set) {
  if (!vae_) return to_tensor(batch);
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> rows;
  for (std::int64_t row = 0; row < batch.count; ++row) {
    const LatentMoments of = moments(batch, row, set);
    const auto index = static_cast<std::size_t>(row);
    const at::Tensor noise = normal_noise(
        {seed_, Purpose::Noise, kLatentSite, batch.visits[index], batch.ids[index]}, of.mean.sizes());
    rows.push_back(of.mean + at::exp(0.5 * of.log_variance) * noise);
  }
  return vae_->scaled(at::cat(rows)).contiguous();
}

at::Tensor LatentSource::beside(const PictureBatch& batch) const {
  std::vector<at::Tensor> masks;
  for (std::size_t row = 0; row < batch.ids.size(); ++row)
    masks.push_back(random_mask({seed_, Purpose::Noise, kMaskSite, batch.visits[row], batch.ids[row]},
                                batch.height, batch.width));
  return fill_in_condition(*vae_, to_tensor(batch), at::stack(masks));
}

at::Tensor LatentSource::mask(const PictureBatch& batch) const {
  if (batch.masks.empty()) return {};
  const at::Tensor points =
      at::tensor(at::ArrayRef<float>(batch.masks)).view({batch.count, 1, batch.height, batch.width});
  if (!vae_) return points;
  const std::int64_t side = vae_->spec().halvings();
  return at::avg_pool2d(points, {side, side});
}

}  // namespace lathe
