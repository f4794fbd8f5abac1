#include "data/images/render_pictures.h"

#include <algorithm>

#include "data/images/fit.h"
#include "data/io/threads.h"
#include "recipes/schema/error.h"

namespace lathe {
namespace {

constexpr std::uint64_t kChunkValues = std::uint64_t{1} << 25;  // 64 MiB of made pictures wait for their turn

struct Made {
  std::vector<Picture> crops, masks;  // parallel; masks may be empty
};

Picture white_mask(const Picture& picture) {
  Picture mask;
  mask.width = picture.width;
  mask.height = picture.height;
  mask.channels = 1;
  mask.values.assign(static_cast<std::size_t>(mask.width * mask.height), 65535);
  return mask;
}

Made make(const RenderItem& item, const PictureSize& size, const RenderOptions& options) {
  Picture picture = load_picture(*item.file, options.seed, options.side);
  require(picture.width == item.facts->width && picture.height == item.facts->height, item.file->path,
          ": the file changed while it was being prepared; run again");
  Made made;
  const std::int64_t crops = crop_count(picture.width, picture.height, size, options.crops);
  if (options.masks != MaskKind::None) {
    const auto own = load_mask(*item.file, picture, options.masks);
    const Picture mask = own ? *own : white_mask(picture);
    for (std::int64_t c = 0; c < crops; ++c) made.masks.push_back(fit_picture(mask, size, c, crops));
  }
  picture = with_channels(over_background(std::move(picture), options.background), size.channels);
  for (std::int64_t c = 0; c < crops; ++c) made.crops.push_back(fit_picture(picture, size, c, crops));
  return made;
}

void add(PictureShardWriter& writer, const RenderItem& item, const Made& made) {
  for (std::size_t c = 0; c < made.crops.size(); ++c) {
    const StoredPicture stored{.number = item.number,
                               .crop = static_cast<std::uint16_t>(c),
                               .source = static_cast<std::uint16_t>(item.file->source),
                               .name = item.file->name,
                               .caption = item.file->caption};
    writer.add(stored, made.crops[c].values,
               made.masks.empty() ? std::span<const std::uint16_t>()
                                  : std::span<const std::uint16_t>(made.masks[c].values));
  }
}

}  // namespace

void render_pictures(PictureShardWriter& writer, const PictureSize& size, std::span<const RenderItem> items,
                     const RenderOptions& options) {
  const std::uint64_t each = size.values() * static_cast<std::uint64_t>(options.crops);
  const std::size_t chunk = std::clamp<std::size_t>(kChunkValues / each, 16, 4096);
  for (std::size_t at = 0; at < items.size(); at += chunk) {
    const auto part = items.subspan(at, std::min(chunk, items.size() - at));
    std::vector<Made> made(part.size());
    parallel_for(part.size(), options.threads,
                 [&](std::size_t k) { made[k] = make(part[k], size, options); });
    for (std::size_t k = 0; k < part.size(); ++k) add(writer, part[k], made[k]);
  }
}

}  // namespace lathe
