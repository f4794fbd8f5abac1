// Pictures of every kind beside what Pillow makes of them (scripts/make_picture_goldens.py), and files that
// are no pictures.
#include <cstdlib>

#include "data/images/decoders.h"
#include "data/io/json.h"
#include "data/io/mapped_file.h"
#include "tests/catch.h"
#include "tests/places.h"

using namespace lathe;

namespace {

const std::string kFolder = test::source_folder() + "/tests/fixtures/pictures/";

// Largest difference in units of the file's own depth.
int difference(const Picture& picture, const Json& wanted, bool deep) {
  int worst = 0;
  REQUIRE(picture.values.size() == wanted.size());
  for (std::size_t i = 0; i < picture.values.size(); ++i) {
    const int value = deep ? picture.values[i] : (picture.values[i] + 128) / 257;
    worst = std::max(worst, std::abs(value - wanted[i].get<int>()));
  }
  return worst;
}

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

}  // namespace

TEST_CASE("pictures decode as Pillow decodes them, upright, alpha and depth kept") {
  const Json expected = read_json(kFolder + "expected.json");
  CHECK(expected.size() == 21);
  for (const auto& [name, wanted] : expected.items()) {
    INFO(name);
    const Picture picture = read_picture(kFolder + name);
    CHECK(picture.width == wanted.at("width"));
    CHECK(picture.height == wanted.at("height"));
    CHECK(picture.channels == wanted.at("channels"));
    CHECK(picture.deep == wanted.at("deep"));
    CHECK(picture.turned == wanted.at("turned"));
    CHECK(difference(picture, wanted.at("values"), picture.deep) <= wanted.at("tolerance").get<int>());
    if (!wanted.contains("resized")) continue;
    for (const Json& size : wanted.at("resized"))
      CHECK(difference(resized(picture, size.at("width"), size.at("height")), size.at("values"), false) <= 1);
    CHECK(difference(with_channels(picture, 1), wanted.at("grey"), false) <= 1);
  }
}

TEST_CASE("what is written as PNG is read back the same") {
  for (const char* name : {"rgb.png", "alpha.png", "grey.png", "grey_alpha.png"}) {
    const Picture picture = read_picture(kFolder + name);
    const std::string written = encode_png(picture);
    CHECK(decode_picture(bytes_of(written), "again").values == picture.values);
    CHECK(encode_png(picture) == written);
  }
}

TEST_CASE("alpha is laid over a background, crops and mirrors keep their pixels") {
  Picture picture{.width = 2, .height = 1, .channels = 2, .values = {65535, 0, 10000, 32768}};
  const Picture white = over_background(picture, 1), black = over_background(picture, 0);
  CHECK(white.channels == 1);
  CHECK(white.values == std::vector<std::uint16_t>{65535, 37767});
  CHECK(black.values == std::vector<std::uint16_t>{0, 5000});
  const Picture numbers{.width = 3, .height = 2, .channels = 1, .values = {1, 2, 3, 4, 5, 6}};
  CHECK(mirrored(numbers).values == std::vector<std::uint16_t>{3, 2, 1, 6, 5, 4});
  CHECK_FALSE(mirrored(numbers).turned);
  CHECK(cropped(numbers, 1, 0, 2, 2).values == std::vector<std::uint16_t>{2, 3, 5, 6});
  CHECK_THROWS_WITH(cropped(numbers, 2, 0, 2, 2), lathe::testing::contains_text("outside"));
}

TEST_CASE("every cut and many damages of a picture are one error that names it, or a picture") {
  for (const char* name :
       {"rgb.png", "interlaced.png", "deep.png", "turned_6.jpg", "lossless.webp", "turned_6.png"}) {
    const MappedFile file(kFolder + name);
    const std::string whole(file.text());
    for (std::size_t length = 0; length < whole.size(); ++length) {
      INFO(name << " cut to " << length);
      try {
        decode_picture(bytes_of(whole.substr(0, length)), "cut");
      } catch (const Error& e) {
        CHECK_THAT(e.what(), lathe::testing::contains_text("cut"));
      }
    }
    for (std::size_t at = 0; at < whole.size(); ++at) {
      std::string damaged = whole;
      damaged[at] = static_cast<char>(damaged[at] ^ 0x5A);
      try {
        decode_picture(bytes_of(damaged), "damaged", {.max_pixels = 1 << 20});
      } catch (const Error& e) {
        CHECK_THAT(e.what(), lathe::testing::contains_text("damaged"));
      }
    }
  }
  const MappedFile file(kFolder + "rgb.png");
  CHECK_THROWS_WITH(decode_picture(file.bytes().first(60), "half"),
                    lathe::testing::contains_text("half: damaged PNG"));
}

TEST_CASE("what is no picture for training is refused with what to do") {
  CHECK_THROWS_WITH(decode_picture(bytes_of("GIF89a"), "a.gif"),
                    lathe::testing::contains_text("neither PNG, JPEG nor WebP"));
  CHECK_THROWS_WITH(read_picture(kFolder + "cmyk.jpg"), lathe::testing::contains_text("CMYK"));
  CHECK_THROWS_WITH(read_picture(kFolder + "rgb.png", {.max_pixels = 30}),
                    lathe::testing::contains_text("more than the limit of 30"));
  CHECK(exif_orientation({}) == 1);
}
