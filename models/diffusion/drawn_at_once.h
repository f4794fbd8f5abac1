#pragma once
// How many pictures are drawn at a time: what a network holds of them grows with their places. Torch-free.
#include <algorithm>
#include <cstdint>

namespace lathe {

// Of latents (or pictures) of height x width: as many places as 64 of 16 x 16 have, at least one picture.
constexpr std::int64_t drawn_at_once(std::int64_t height, std::int64_t width) {
  constexpr std::int64_t kMost = 64, kPlaces = kMost * 16 * 16;
  return std::clamp<std::int64_t>(kPlaces / (height * width), 1, kMost);
}

}  // namespace lathe
