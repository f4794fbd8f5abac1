// The orientation of a picture, from the TIFF structure that EXIF is (TIFF 6.0, section 2; Exif 2.32, tag
// 0x0112).
#include <optional>
#include <utility>

#include "data/images/decoders.h"

namespace lathe {

namespace {

class TiffReader {
 public:
  explicit TiffReader(std::span<const std::byte> bytes) : bytes_(bytes) {
    if (bytes.size() < 8) return;
    const auto first = std::to_integer<char>(bytes[0]), second = std::to_integer<char>(bytes[1]);
    if (first != second || (first != 'I' && first != 'M')) return;
    little_ = first == 'I';
    valid_ = number(2, 2) == 42u;
  }
  bool valid() const { return valid_; }
  std::optional<std::uint32_t> number(std::size_t at, std::size_t width) const {
    if (at > bytes_.size() || width > bytes_.size() - at) return std::nullopt;
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < width; ++i)
      value = value << 8 | std::to_integer<std::uint32_t>(bytes_[at + (little_ ? width - 1 - i : i)]);
    return value;
  }

 private:
  std::span<const std::byte> bytes_;
  bool little_ = true, valid_ = false;
};

}  // namespace

int exif_orientation(std::span<const std::byte> tiff) {
  constexpr std::uint32_t kOrientation = 0x0112, kShort = 3;
  const TiffReader reader(tiff);
  const auto directory = reader.valid() ? reader.number(4, 4) : std::nullopt;
  const auto entries = directory ? reader.number(*directory, 2) : std::nullopt;
  for (std::uint32_t i = 0; entries && i < *entries; ++i) {
    const std::size_t at = *directory + 2 + std::size_t{12} * i;
    if (reader.number(at, 2) != kOrientation) continue;
    const auto value = reader.number(at + 8, 2);
    return reader.number(at + 2, 2) == kShort && value && *value >= 1 && *value <= 8
               ? static_cast<int>(*value)
               : 1;
  }
  return 1;
}

Picture upright(Picture picture, int from) {
  if (from <= 1 || from > 8) return picture;
  const bool swapped = from >= 5;  // rows are columns
  const std::int64_t width = picture.width, height = picture.height, channels = picture.channels;
  Picture out = picture;
  if (swapped) std::swap(out.width, out.height);
  for (std::int64_t y = 0; y < out.height; ++y) {
    for (std::int64_t x = 0; x < out.width; ++x) {
      std::int64_t column = swapped ? y : x, row = swapped ? x : y;
      if (from == 2 || from == 3 || from == 7 || from == 8) column = width - 1 - column;
      if (from == 3 || from == 4 || from == 6 || from == 7) row = height - 1 - row;
      for (std::int64_t c = 0; c < channels; ++c)
        out.values[static_cast<std::size_t>((y * out.width + x) * channels + c)] =
            picture.values[static_cast<std::size_t>((row * width + column) * channels + c)];
    }
  }
  out.turned = true;
  return out;
}

}  // namespace lathe
