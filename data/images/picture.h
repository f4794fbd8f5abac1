#pragma once
// A decoded picture and the files it comes from: PNG, JPEG and WebP through their own libraries, upright as a
// viewer shows it (EXIF rotation applied), alpha and 16 bits kept. Files are untrusted: sizes are checked
// before anything is allocated, and a damaged one is an Error naming the file and what its decoder said.
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace lathe {

struct Picture {
  std::int64_t width = 0, height = 0;
  std::int64_t channels = 3;               // 1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha
  bool deep = false;                       // the file had more than 8 bits a channel
  bool turned = false;                     // EXIF asked for another orientation
  std::vector<std::uint16_t> values = {};  // (height, width, channels), 0 .. 65535 whatever the file's depth
  bool has_alpha() const { return channels == 2 || channels == 4; }
};

struct PictureLimits {
  std::int64_t max_pixels = std::int64_t{1} << 28;
};

// By content, not by name. `where` is the file, for errors.
Picture decode_picture(std::span<const std::byte> bytes, const std::string& where,
                       const PictureLimits& limits = {});
Picture read_picture(const std::string& path, const PictureLimits& limits = {});

// Alpha laid over a background (0 .. 1, sRGB values as they are): 1 or 3 channels remain.
Picture over_background(Picture picture, double background);
// 1: Rec. 601 luma of RGB, as Pillow's convert("L"); 3: grey repeated. Alpha must be gone.
Picture with_channels(Picture picture, std::int64_t channels);
Picture mirrored(const Picture& picture);  // left to right
Picture cropped(const Picture& picture, std::int64_t left, std::int64_t top, std::int64_t width,
                std::int64_t height);
// Antialiased: a triangle as wide as the scale (Pillow's BILINEAR with its support stretched), sums in fp64.
Picture resized(const Picture& picture, std::int64_t width, std::int64_t height);

// 8 bits a channel, no metadata, the same bytes for the same picture on every machine with the same zlib.
std::string encode_png(const Picture& picture);

}  // namespace lathe
