#include "data/images/near_pictures.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <numeric>
#include <unordered_map>

namespace lathe {
namespace {

constexpr double kShape = 1.1;    // ratio of the ratios of width to height
constexpr int kBits = 5;          // of the hash that may differ
constexpr int kColour = 3 * 192;  // sum of the differences of all colours
constexpr std::size_t kCompared = 256;

class Groups {
 public:
  explicit Groups(std::size_t count) : parent_(count) { std::iota(parent_.begin(), parent_.end(), 0u); }
  std::uint32_t find(std::uint32_t i) {
    while (parent_[i] != i) i = parent_[i] = parent_[parent_[i]];
    return i;
  }
  void join(std::uint32_t a, std::uint32_t b) {
    a = find(a);
    b = find(b);
    parent_[std::max(a, b)] = std::min(a, b);  // the root is the smallest index
  }

 private:
  std::vector<std::uint32_t> parent_;
};

}  // namespace

PictureLook look_of(const Picture& picture) {
  const Picture colours = with_channels(resized(over_background(picture, 1), 8, 8), 3);
  const Picture grey = with_channels(resized(over_background(picture, 1), 9, 8), 1);
  PictureLook look;
  look.width = picture.width;
  look.height = picture.height;
  for (std::size_t i = 0; i < look.colours.size(); ++i)
    look.colours[i] = static_cast<std::uint8_t>(colours.values[i] / 257);
  for (std::size_t y = 0; y < 8; ++y)
    for (std::size_t x = 0; x < 8; ++x)
      look.hash = look.hash << 1 | (grey.values[9 * y + x] > grey.values[9 * y + x + 1] ? 1u : 0u);
  return look;
}

bool near_pictures(const PictureLook& a, const PictureLook& b) {
  const auto one = static_cast<double>(a.width * b.height), other = static_cast<double>(b.width * a.height);
  if (std::max(one, other) > kShape * std::min(one, other) || std::popcount(a.hash ^ b.hash) > kBits)
    return false;
  int sum = 0;
  for (std::size_t i = 0; i < a.colours.size(); ++i) sum += std::abs(a.colours[i] - b.colours[i]);
  return sum <= kColour;
}

std::vector<std::uint32_t> near_picture_groups(const std::vector<std::optional<PictureLook>>& looks) {
  Groups groups(looks.size());
  std::unordered_map<std::uint64_t, std::vector<std::uint32_t>> parts;  // (which part, its byte) -> pictures
  for (std::uint32_t i = 0; i < looks.size(); ++i) {
    if (!looks[i]) continue;
    for (std::uint64_t part = 0; part < 8; ++part) {
      auto& list = parts[part << 8 | (looks[i]->hash >> (8 * part) & 0xFF)];
      for (const std::uint32_t other : list)
        if (groups.find(other) != groups.find(i) && near_pictures(*looks[other], *looks[i]))
          groups.join(other, i);
      if (list.size() < kCompared) list.push_back(i);
    }
  }
  std::vector<std::uint32_t> out(looks.size());
  for (std::uint32_t i = 0; i < looks.size(); ++i) out[i] = groups.find(i);
  return out;
}

}  // namespace lathe
