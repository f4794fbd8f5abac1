#pragma once
// Aspect buckets: a few sizes of about the same area, so that pictures of any shape lose little to the crop
// while a batch still has one size. Pure functions.
#include <cstdint>
#include <string>
#include <vector>

#include "data/shards/picture_shard.h"
#include "recipes/schema/data_sections.h"

namespace lathe {

// The size that the recipe names.
PictureSize nominal_size(const DataSection& data);

// All sizes that pictures may get, by width, then height: `nominal`, and, with a step, every width that is a
// multiple of it from half of the shorter side to twice the longer one, with the largest height that keeps
// the area, both ways round. Usage Error when a side of `nominal` is not a multiple of the step.
std::vector<PictureSize> bucket_sizes(const PictureSize& nominal, std::int64_t step);

// The one whose shape is nearest to width : height (the smallest ratio of ratios; of equals the first).
std::size_t choose_bucket(std::int64_t width, std::int64_t height, const std::vector<PictureSize>& sizes);

// Share of the picture's area that the crop to `size` leaves out.
double cropped_share(std::int64_t width, std::int64_t height, const PictureSize& size);

}  // namespace lathe
