// Picture files: PNG, JPEG and WebP through their libraries, the orientation in their EXIF by our own reader.
// What is decoded has the values it says it has, and can be turned into a training picture.
#include "data/images/picture.h"
#include "tests/fuzz/target.h"

namespace lathe::fuzz {
namespace {

void run(std::string_view bytes) {
  constexpr PictureLimits kSmall{1 << 20};
  const Picture picture = decode_picture(std::as_bytes(std::span(bytes)), "fuzz", kSmall);
  promise(picture.width >= 1 && picture.height >= 1 && picture.width * picture.height <= kSmall.max_pixels);
  promise(picture.values.size() ==
          static_cast<std::size_t>(picture.width * picture.height * picture.channels));
  const Picture small = resized(with_channels(over_background(picture, 0.5), 3), 8, 8);
  promise(small.values.size() == 8 * 8 * 3);
}

Picture drawn(std::int64_t channels) {
  Picture picture{5, 4, channels};
  for (std::uint16_t i = 0; i < 5 * 4 * channels; ++i)
    picture.values.push_back(static_cast<std::uint16_t>(3001 * i));
  return picture;
}

std::vector<std::string> seeds() {
  std::vector<std::string> all = {"", "\x89PNG\r\n\x1a\n", "\xff\xd8\xff\xe0", "RIFF\x10\0\0\0WEBPVP8 ",
                                  "GIF89a"};
  for (const std::int64_t channels : {1, 2, 3, 4}) all.push_back(encode_png(drawn(channels)));
  for (const char* name : {"turned_6.jpg", "cmyk.jpg", "turned_8.webp", "lossless.webp", "deep.png",
                           "interlaced.png", "palette_clear.png"})
    all.push_back(read_source_file(std::string("tests/fixtures/pictures/") + name));
  return all;
}

}  // namespace

Target picture_target() {
  return {"picture",
          run,
          seeds,
          {"IHDR", "IDAT", "IEND", "eXIf", "tRNS", "PLTE", "gAMA", std::string("Exif\0\0", 6),
           std::string("II*\0", 4), std::string("MM\0*", 4), "\xff\xe1", "\xff\xda", "VP8L", "VP8X", "ALPH",
           "EXIF"},
          1500};
}

}  // namespace lathe::fuzz
