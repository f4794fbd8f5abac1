#include "data/images/fit.h"

#include <algorithm>

#include "recipes/schema/error.h"

namespace lathe {
namespace {

std::int64_t offset_of(std::int64_t extra, std::int64_t crop, std::int64_t crops) {
  if (crops == 1) return extra / 2 + (extra % 4 == 3 ? 1 : 0);  // n + 1/2 goes to the even neighbour
  return (2 * crop * extra + crops - 1) / (2 * (crops - 1));
}

}  // namespace

CoverSize cover_size(std::int64_t width, std::int64_t height, const PictureSize& size) {
  require(width > 0 && height > 0 && size.width > 0 && size.height > 0, "a picture of ", width, " x ", height,
          " cannot be made ", size.width, " x ", size.height);
  if (width * size.height >= height * size.width)
    return {std::max(size.width, width * size.height / height), size.height};
  return {size.width, std::max(size.height, height * size.width / width)};
}

std::int64_t crop_count(std::int64_t width, std::int64_t height, const PictureSize& size,
                        std::int64_t asked) {
  const CoverSize cover = cover_size(width, height, size);
  const std::int64_t extra = cover.width - size.width + cover.height - size.height;
  return std::min(asked, extra + 1);
}

Picture fit_picture(const Picture& picture, const PictureSize& size, std::int64_t crop, std::int64_t crops) {
  require(crop >= 0 && crop < crops, "crop ", crop, " of ", crops, " was asked for");
  const CoverSize cover = cover_size(picture.width, picture.height, size);
  const Picture scaled = resized(picture, cover.width, cover.height);
  if (cover.width == size.width && cover.height == size.height) return scaled;
  return cropped(scaled, offset_of(cover.width - size.width, crop, crops),
                 offset_of(cover.height - size.height, crop, crops), size.width, size.height);
}

}  // namespace lathe
