#pragma once
// What the frozen parts of a picture model made of the data, as the cache on disk has it
// (prepare_encodings.h), mapped. Reading is thread-safe.
#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "data/images/picture_loader.h"
#include "data/shards/encodings.h"
#include "models/diffusion/autoencoder_kl.h"
#include "models/diffusion/text_to_picture.h"

namespace lathe {

// What the VAE says of one picture of a batch, its own memory. Always of one alone: products of other sizes
// may round differently, and what is cached must be what would be made.
LatentMoments moments_alone(const AutoencoderKL& vae, const PictureBatch& batch, std::int64_t row);

// Of one set, by picture_id().
class CachedLatents {
 public:
  // `shape` (L, h, w) of the mean, which the log variance of the same shape follows.
  void add(Encodings values, const std::vector<std::int64_t>& shape, const std::vector<std::uint64_t>& ids);
  std::optional<LatentMoments> find(std::uint64_t id) const;  // (1, L, h, w), mapped
  std::size_t size() const { return places_.size(); }

 private:
  struct Bucket {
    Encodings values;
    std::vector<std::int64_t> shape;
  };
  struct Place {
    std::size_t bucket;
    std::uint64_t item;
  };
  std::vector<Bucket> buckets_;
  std::unordered_map<std::uint64_t, Place> places_;
};

// Of captions, "" among them.
class CachedTexts {
 public:
  CachedTexts() = default;
  // Of each caption `length` rows of `channels`, then `pooled` values (0: none).
  CachedTexts(Encodings values, const std::vector<std::string>& captions, std::int64_t length,
              std::int64_t channels, std::int64_t pooled);
  std::optional<TextCondition> find(const std::string& caption) const;  // (1, L, C), (1, P), fp32, mapped
  std::size_t size() const { return items_.size(); }

 private:
  Encodings values_;
  std::int64_t length_ = 0, channels_ = 0, pooled_ = 0;
  std::unordered_map<std::string, std::uint64_t> items_;
};

struct PictureEncodings {
  std::vector<CachedLatents> latents;  // of the training set, then of each validation set; empty: none
  CachedTexts texts;
};

}  // namespace lathe
