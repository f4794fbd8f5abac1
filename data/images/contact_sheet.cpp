#include "data/images/contact_sheet.h"

#include <algorithm>

#include "recipes/schema/error.h"

namespace lathe {

namespace {

constexpr std::int64_t kGap = 2, kSmall = 64, kMostColumns = 16;

struct Place {
  std::int64_t left = 0, top = 0, factor = 1;
};

void lay(const Picture& picture, const Place& place, Picture& sheet) {
  const std::int64_t channels = picture.channels, factor = place.factor;
  for (std::int64_t y = 0; y < picture.height * factor; ++y) {
    for (std::int64_t x = 0; x < picture.width * factor; ++x) {
      const auto* from = picture.values.data() + (y / factor * picture.width + x / factor) * channels;
      std::copy_n(from, channels,
                  sheet.values.data() + ((place.top + y) * sheet.width + place.left + x) * channels);
    }
  }
}

}  // namespace

std::int64_t sheet_columns(std::int64_t count) {
  std::int64_t columns = 1;
  while (columns * columns < count) ++columns;
  return std::min(columns, kMostColumns);
}

Picture contact_sheet(const std::vector<Picture>& pictures, std::int64_t columns) {
  require(!pictures.empty() && columns >= 1, "a contact sheet needs pictures and a column");
  const Picture& first = pictures.front();
  for (const Picture& picture : pictures)
    require(
        picture.width == first.width && picture.height == first.height && picture.channels == first.channels,
        "a contact sheet of ", first.width, " x ", first.height, " x ", first.channels,
        " pictures cannot hold one of ", picture.width, " x ", picture.height, " x ", picture.channels);
  const std::int64_t side = std::min(first.width, first.height);
  const std::int64_t factor = side >= kSmall ? 1 : (kSmall + side - 1) / side;
  const auto count = static_cast<std::int64_t>(pictures.size());
  const std::int64_t across = std::min(columns, count), rows = (count + across - 1) / across;
  const std::int64_t wide = first.width * factor + kGap, high = first.height * factor + kGap;
  Picture sheet;
  sheet.width = across * wide - kGap;
  sheet.height = rows * high - kGap;
  sheet.channels = first.channels;
  sheet.values.assign(static_cast<std::size_t>(sheet.width * sheet.height * sheet.channels), 65535);
  for (std::int64_t i = 0; i < count; ++i)
    lay(pictures[static_cast<std::size_t>(i)], {i % across * wide, i / across * high, factor}, sheet);
  return sheet;
}

}  // namespace lathe
