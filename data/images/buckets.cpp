#include "data/images/buckets.h"

#include <algorithm>

#include "recipes/schema/error.h"

namespace lathe {

PictureSize nominal_size(const DataSection& data) {
  require(!data.resolution.empty() && data.resolution.size() <= 2,
          "data.resolution wants one number, or [width, height]");
  return {data.resolution.front(), data.resolution.back(), data.channels};
}

std::vector<PictureSize> bucket_sizes(const PictureSize& nominal, std::int64_t step) {
  std::vector<PictureSize> sizes = {nominal};
  if (step <= 0) return sizes;
  if (nominal.width % step != 0 || nominal.height % step != 0) {
    fail_usage("data.resolution: ", nominal.width, " x ", nominal.height,
               " is no multiple of data.bucket_step ", step);
  }
  const std::int64_t area = nominal.width * nominal.height;
  const std::int64_t least = std::max(step, std::min(nominal.width, nominal.height) / 2 / step * step);
  const std::int64_t most = 2 * std::max(nominal.width, nominal.height);
  for (std::int64_t width = least; width <= most; width += step) {
    const std::int64_t height = std::min(most, area / width / step * step);
    if (height < least) continue;
    sizes.push_back({width, height, nominal.channels});
    sizes.push_back({height, width, nominal.channels});
  }
  const auto before = [](const PictureSize& a, const PictureSize& b) {
    return std::pair(a.width, a.height) < std::pair(b.width, b.height);
  };
  std::sort(sizes.begin(), sizes.end(), before);
  sizes.erase(std::unique(sizes.begin(), sizes.end()), sizes.end());
  return sizes;
}

std::size_t choose_bucket(std::int64_t width, std::int64_t height, const std::vector<PictureSize>& sizes) {
  std::size_t best = 0;
  double least = 0;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    const auto a = static_cast<double>(width * sizes[i].height),
               b = static_cast<double>(height * sizes[i].width);
    const double misfit = std::max(a, b) / std::min(a, b);
    if (i > 0 && misfit >= least) continue;
    least = misfit;
    best = i;
  }
  return best;
}

double cropped_share(std::int64_t width, std::int64_t height, const PictureSize& size) {
  const auto a = static_cast<double>(width * size.height), b = static_cast<double>(height * size.width);
  return 1 - std::min(a, b) / std::max(a, b);
}

}  // namespace lathe
