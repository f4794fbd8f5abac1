#include "trainer/pictures/cached_encodings.h"

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/tensor.h>

#include <span>

namespace lathe {

namespace {

// Over mapped memory, which is only read.
at::Tensor over(const float* values, at::IntArrayRef shape) {
  return at::from_blob(const_cast<float*>(values), shape, at::kFloat);
}

}  // namespace

LatentMoments moments_alone(const AutoencoderKL& vae, const PictureBatch& batch, std::int64_t row) {
  const at::NoGradGuard no_grad;
  const std::int64_t size = batch.channels * batch.height * batch.width;
  const auto values =
      std::span(batch.pixels).subspan(static_cast<std::size_t>(row * size), static_cast<std::size_t>(size));
  const at::Tensor picture = at::tensor(at::ArrayRef<float>(values.data(), values.size()))
                                 .view({1, batch.channels, batch.height, batch.width});
  const LatentMoments halves = vae.encode(picture);  // of one array, with the network's layout
  return {halves.mean.contiguous().clone(), halves.log_variance.contiguous().clone()};
}

void CachedLatents::add(Encodings values, const std::vector<std::int64_t>& shape,
                        const std::vector<std::uint64_t>& ids) {
  for (std::uint64_t item = 0; item < ids.size(); ++item) places_[ids[item]] = {buckets_.size(), item};
  buckets_.push_back({std::move(values), shape});
}

std::optional<LatentMoments> CachedLatents::find(std::uint64_t id) const {
  const auto found = places_.find(id);
  if (found == places_.end()) return std::nullopt;
  const Bucket& bucket = buckets_[found->second.bucket];
  const std::span<const float> values = bucket.values[found->second.item];
  std::vector<std::int64_t> shape{1};
  shape.insert(shape.end(), bucket.shape.begin(), bucket.shape.end());
  return LatentMoments{over(values.data(), shape), over(values.data() + values.size() / 2, shape)};
}

CachedTexts::CachedTexts(Encodings values, const std::vector<std::string>& captions, std::int64_t length,
                         std::int64_t channels, std::int64_t pooled)
    : values_(std::move(values)), length_(length), channels_(channels), pooled_(pooled) {
  for (std::uint64_t item = 0; item < captions.size(); ++item) items_[captions[item]] = item;
}

std::optional<TextCondition> CachedTexts::find(const std::string& caption) const {
  const auto found = items_.find(caption);
  if (found == items_.end()) return std::nullopt;
  const float* values = values_[found->second].data();
  TextCondition text{over(values, {1, length_, channels_}), {}};
  if (pooled_ > 0) text.pooled = over(values + length_ * channels_, {1, pooled_});
  return text;
}

}  // namespace lathe
