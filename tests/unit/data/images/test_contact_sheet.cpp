#include "data/images/contact_sheet.h"
#include "recipes/schema/error.h"
#include "tests/catch.h"

using namespace lathe;

namespace {

Picture plain(std::int64_t width, std::int64_t height, std::uint16_t value) {
  Picture picture;
  picture.width = width;
  picture.height = height;
  picture.channels = 1;
  picture.values.assign(static_cast<std::size_t>(width * height), value);
  return picture;
}

std::uint16_t at(const Picture& picture, std::int64_t x, std::int64_t y) {
  return picture.values[static_cast<std::size_t>(y * picture.width + x)];
}

}  // namespace

TEST_CASE("a contact sheet lays pictures in rows, white between them") {
  const Picture sheet = contact_sheet({plain(100, 80, 1), plain(100, 80, 2), plain(100, 80, 3)}, 2);
  CHECK(sheet.width == 202);
  CHECK(sheet.height == 162);
  CHECK(at(sheet, 99, 79) == 1);
  CHECK(at(sheet, 100, 0) == 65535);
  CHECK(at(sheet, 102, 0) == 2);
  CHECK(at(sheet, 0, 81) == 65535);
  CHECK(at(sheet, 0, 82) == 3);
  CHECK(at(sheet, 102, 82) == 65535);
}

TEST_CASE("small pictures grow by whole factors") {
  Picture small = plain(16, 16, 7);
  small.values[1] = 9;  // (1, 0)
  const Picture sheet = contact_sheet({small}, 4);
  CHECK(sheet.width == 64);
  CHECK(at(sheet, 3, 3) == 7);
  CHECK(at(sheet, 4, 0) == 9);
  CHECK(at(sheet, 7, 3) == 9);
  CHECK(at(sheet, 8, 0) == 7);
}

TEST_CASE("sheets of nothing or of different sizes are refused; columns make a square") {
  CHECK_THROWS_AS(contact_sheet({}, 3), Error);
  CHECK_THROWS_AS(contact_sheet({plain(4, 4, 0), plain(4, 5, 0)}, 3), Error);
  CHECK(sheet_columns(1) == 1);
  CHECK(sheet_columns(10) == 4);
  CHECK(sheet_columns(10000) == 16);
}
