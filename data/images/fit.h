#pragma once
// A picture made the size that a model reads: scaled until it covers the size (no side is stretched against
// the other), then cropped. Pure functions.
#include <cstdint>

#include "data/images/picture.h"
#include "data/shards/picture_shard.h"

namespace lathe {

// Width and height after scaling: one side exact, the other rounded down but never short.
struct CoverSize {
  std::int64_t width, height;
};
CoverSize cover_size(std::int64_t width, std::int64_t height, const PictureSize& size);

// How many different crops there are of those asked for: one when nothing is left over.
std::int64_t crop_count(std::int64_t width, std::int64_t height, const PictureSize& size, std::int64_t asked);

// Crop number `crop` of `crops`, evenly spaced along the longer side; of one: the middle, halves rounded to
// even.
Picture fit_picture(const Picture& picture, const PictureSize& size, std::int64_t crop = 0,
                    std::int64_t crops = 1);

}  // namespace lathe
