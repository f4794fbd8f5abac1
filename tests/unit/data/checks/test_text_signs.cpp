#include "data/checks/text_signs.h"

#include "tests/catch.h"

using namespace lathe;

TEST_CASE("marks of another turn") {
  CHECK(role_mark("hello <|im_start|>user") == "<|im_start|>");
  CHECK(role_mark("a\nUser: b") == "User:");
  CHECK(role_mark("### Response:\n") == "### Response");
  CHECK(role_mark("x [/INST] y") == "[/INST]");
  CHECK(!role_mark("The User: field of the form"));
  CHECK(!role_mark("the system: a hierarchy"));
  CHECK(!role_mark("### Installing"));
  CHECK(!role_mark("a < b [1] | c"));
}

TEST_CASE("damage of a wrong charset") {
  CHECK(encoding_damage("caf\xC3\x83\xC2\xA9") == "\xC3\x83\xC2\xA9");  // e acute, twice encoded
  CHECK(
      encoding_damage("l\xC3\xA2\xE2\x82\xAC\xE2\x84\xA2"
                      "art"));                   // right quote through CP1252
  CHECK(encoding_damage("20\xC3\x82\xC2\xB0"));  // degree sign
  CHECK(encoding_damage("\xC3\x83\xC2\x83"));    // through Latin-1: U+0083
  CHECK(encoding_damage("a\xEF\xBF\xBD"
                        "b") == "U+FFFD");
  CHECK(encoding_damage("l\xC2\x92"
                        "art") == "U+0092");  // CP1252 taken for Latin-1
  CHECK(encoding_damage("\xFF") == "U+FFFD");
  for (const char* good :
       {"d\xC3\xA9j\xC3\xA0\xC2\xA0\xC2\xBB", "\xC2\xAB\xC2\xA0\xC3\x89t\xC3\xA9\xC2\xA0\xC2\xBB !",
        "S\xC3\x83O PAULO", "\xC3\x82me",
        "20 \xC2\xB0"
        "C",
        "\xE2\x82\xAC", "na\xC3\xAFve\xE2\x80\xA6", "\xE6\x97\xA5\xE6\x9C\xAC", "\xF0\x9F\x98\x80",
        "CAF\xC3\x89\xC2\xBB", "plain"}) {
    INFO(good);
    CHECK(!encoding_damage(good));
  }
}

TEST_CASE("control characters") {
  CHECK(control_character(std::string_view("a\0b", 3)) == "U+0000");
  CHECK(control_character("a\x1B[0m") == "U+001B");
  CHECK(!control_character("a\tb\r\nc"));
}
