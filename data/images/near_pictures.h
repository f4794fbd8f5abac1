#pragma once
// Pictures that look the same though their files differ: saved again, scaled, a little brighter. A picture's
// look is its shape, a difference hash (64 bits: is the grey picture of 9 x 8 brighter than its right
// neighbour?) and 8 x 8 mean colours; two of about the same shape are near when at most 5 bits differ and the
// colours by at most 3 / 255 in the mean. Pure functions, 220 bytes a picture.
#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "data/images/picture.h"

namespace lathe {

struct PictureLook {
  std::int64_t width = 1, height = 1;  // of the picture
  std::uint64_t hash = 0;
  std::array<std::uint8_t, 192> colours{};  // (8, 8, RGB)
};

PictureLook look_of(const Picture& picture);  // alpha is laid over white
bool near_pictures(const PictureLook& a, const PictureLook& b);

// For each picture the smallest index in its group: its own when it stands alone or has no look. Pairs are
// found by equal parts of the hash (of 8, at least 3 are equal when 5 bits differ), each against the first
// 256 pictures of its part.
std::vector<std::uint32_t> near_picture_groups(const std::vector<std::optional<PictureLook>>& looks);

}  // namespace lathe
