#include "data/io/utf8.h"

#include <vector>

#include "tests/catch.h"

using namespace lathe;

namespace {

// Independent of the implementation: a byte string is valid when some scalar value encodes to it by the
// definition.
std::string reference_encoding(char32_t c) {
  std::string out;
  append_utf8(out, c);
  return out;
}

}  // namespace

TEST_CASE("encodings of known characters") {
  CHECK(reference_encoding(U'A') == "A");
  CHECK(reference_encoding(0x7FF) == "\xDF\xBF");
  CHECK(reference_encoding(0x20AC) == "\xE2\x82\xAC");
  CHECK(reference_encoding(0x1F600) == "\xF0\x9F\x98\x80");
  CHECK(reference_encoding(0x10FFFF) == "\xF4\x8F\xBF\xBF");
}

TEST_CASE("every scalar value is valid and decodes to itself; every surrogate is not") {
  std::size_t wrong = 0;
  for (char32_t c = 0; c <= 0x10FFFF; ++c) {
    const std::string text = reference_encoding(c);
    const bool surrogate = c >= 0xD800 && c <= 0xDFFF;
    if (first_invalid_utf8(text).has_value() != surrogate) ++wrong;
    if (surrogate) continue;
    const CodePoint decoded = decode_utf8(text, 0);
    if (decoded.value != c || decoded.length != text.size() || count_characters(text) != 1) ++wrong;
  }
  CHECK(wrong == 0);
}

TEST_CASE("of all two and three byte strings exactly the encodings are valid") {
  std::size_t valid2 = 0, valid3 = 0;
  std::string text(3, '\0');
  for (int a = 0x80; a < 256; ++a) {
    for (int b = 0; b < 256; ++b) {
      text[0] = static_cast<char>(a);
      text[1] = static_cast<char>(b);
      valid2 += !first_invalid_utf8(text.substr(0, 2));
      for (int c = 0; c < 256; ++c) {
        text[2] = static_cast<char>(c);
        valid3 += !first_invalid_utf8(text);
      }
    }
  }
  const std::size_t two = 0x800 - 0x80;  // U+0080 .. U+07FF
  CHECK(valid2 == two);
  CHECK(valid3 ==
        (0x10000 - 0x800 - 0x800) + two * 128);  // three-byte ones; a two-byte one and an ASCII byte
}

TEST_CASE("the place of the first fault is exact behind any run of good text") {
  const std::vector<std::string> bad = {
      "\x80",     "\xC0\xAF", "\xE0\x9F\x80",    "\xED\xA0\x80", "\xF5\x80\x80\x80", "\xF4\x90\x80\x80",
      "\xE2\x82", "\xFF",     "\xF0\x8F\xBF\xBF"};
  for (const auto& fault : bad) {
    for (std::size_t length = 0; length < 40; ++length) {
      const std::string good = std::string(length, 'x') + "\xC3\xA9" + std::string(length % 9, 'y');
      CHECK(first_invalid_utf8(good + fault + "tail tail tail") == good.size());
    }
  }
  CHECK(first_invalid_utf8("") == std::nullopt);
  CHECK(first_invalid_utf8(std::string("a\0b", 3)) == std::nullopt);
}

TEST_CASE("one U+FFFD replaces one maximal subpart, as Unicode's table 3-8 shows") {
  const std::string fffd = "\xEF\xBF\xBD";
  std::size_t replaced = 99;
  const std::string text =
      "a\xF1\x80\x80\xE1\x80\xC2"
      "b\x80"
      "c\x80\xBF"
      "d";
  CHECK(replace_invalid_utf8(text, &replaced) ==
        "a" + fffd + fffd + fffd + "b" + fffd + "c" + fffd + fffd + "d");
  CHECK(replaced == 6);
  CHECK(replace_invalid_utf8("\xC0\xAF\xE0\x80\xBF\xF0\x81\x82", &replaced) ==
        fffd + fffd + fffd + fffd + fffd + fffd + fffd + fffd);  // table 3-8 of non-shortest forms
  CHECK(replaced == 8);
  CHECK(replace_invalid_utf8("na\xC3\xAFve", &replaced) == "na\xC3\xAFve");
  CHECK(replaced == 0);
}

TEST_CASE("characters are code points") {
  CHECK(count_characters("a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80") == 4);
}
