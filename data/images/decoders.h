#pragma once
// One decoder a format; decode_picture chooses. Each checks the size that the header promises against
// `limits` first.
#include "data/images/picture.h"

namespace lathe {

bool is_png(std::span<const std::byte> bytes);
bool is_jpeg(std::span<const std::byte> bytes);
bool is_webp(std::span<const std::byte> bytes);

Picture decode_png(std::span<const std::byte> bytes, const std::string& where, const PictureLimits& limits);
Picture decode_jpeg(std::span<const std::byte> bytes, const std::string& where, const PictureLimits& limits);
Picture decode_webp(std::span<const std::byte> bytes, const std::string& where, const PictureLimits& limits);

// Error unless width and height are positive and their product is within the limits.
void check_size(std::int64_t width, std::int64_t height, const std::string& where,
                const PictureLimits& limits);

// 1 .. 8 of a TIFF block as EXIF holds it (after "Exif\0\0"); 1 when it says nothing or is damaged.
int exif_orientation(std::span<const std::byte> tiff);
// Turned and mirrored so that orientation `from` becomes 1 (Exif 2.32, section 4.6.4).
Picture upright(Picture picture, int from);

}  // namespace lathe
