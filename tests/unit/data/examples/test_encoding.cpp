#include "data/sources/encoding.h"

#include "data/io/utf8.h"
#include "recipes/schema/error.h"
#include "tests/catch.h"
#include "tests/complaints.h"

using namespace lathe;

namespace {

const std::string kFrench =
    "question;r\xC3\xA9ponse\nO\xC3\xB9 est l\xE2\x80\x99\xC5\x93uvre \xE2\x82\xAC ?;L\xC3\xA0\n";
const std::string kFrench1252 = "question;r\xE9ponse\nO\xF9 est l\x92\x9Cuvre \x80 ?;L\xE0\n";

std::string utf16(const std::string& text, bool big, bool mark) {
  std::string out;
  const auto put = [&](unsigned unit) {
    const char low = static_cast<char>(unit & 0xFF), high = static_cast<char>(unit >> 8);
    out += big ? high : low;
    out += big ? low : high;
  };
  if (mark) put(0xFEFF);
  for (std::size_t at = 0; at < text.size();) {
    const auto c = decode_utf8(text, at);
    put(static_cast<unsigned>(c.value));  // these texts stay below U+10000
    at += c.length;
  }
  return out;
}

}  // namespace

TEST_CASE("encoding: one text in six charsets") {
  const auto check = [](const std::string& bytes, const std::string& shown) {
    const auto decoded = decode_text(bytes, "a.csv");
    CHECK(decoded.text == kFrench);
    CHECK(decoded.encoding == shown);
  };
  check(kFrench, "UTF-8");
  check("\xEF\xBB\xBF" + kFrench, "UTF-8 with BOM");
  check(utf16(kFrench, false, true), "UTF-16LE");
  check(utf16(kFrench, true, true), "UTF-16BE");
  check(utf16(kFrench, false, false), "UTF-16LE");
  check(utf16(kFrench, true, false), "UTF-16BE");
  check(kFrench1252, "CP1252");
}

TEST_CASE("encoding: CP1252 is shown with words to judge it by") {
  const auto decoded = decode_text(kFrench1252, "a.csv");
  REQUIRE(decoded.notes.size() == 1);
  CHECK(contains(decoded.notes[0], "read as CP1252 (r\xC3\xA9ponse, O\xC3\xB9, l\xE2\x80\x99\xC5\x93uvre)"));
  CHECK(decode_text("plain ascii", "a").notes.empty());
}

TEST_CASE("encoding: damaged UTF-8 is an error, not mojibake") {
  const std::string error =
      error_of([] { decode_text("caf\xC3\xA9 \xC3\xA0 l'\xC3\xA9t\xC3\xA9\nno\xEBl\n", "a.jsonl"); });
  CHECK(contains(error, "a.jsonl:2: byte 3 of the line (0xEB)"));
  CHECK(contains(error, "data.encoding: replace"));
  CHECK(contains(error_of([] { decode_text("\xEF\xBB\xBF\xE9t\xE9", "b"); }), "b:1: byte 4"));
  const auto replaced = decode_text("\xC3\xA9 \xFF.", "a", "replace");
  CHECK(replaced.text == "\xC3\xA9 \xEF\xBF\xBD.");
  CHECK(contains(replaced.notes.at(0), "1 invalid"));
}

TEST_CASE("encoding: bytes of no known charset, other alphabets, unknown names") {
  CHECK(contains(error_of([] { decode_text("a \x81 b \x8D c", "a.csv"); }), "neither UTF-8 nor CP1252"));
  const std::string russian =  // windows-1251
      "\xC2\xF1\xE5 \xF1\xF7\xE0\xF1\xF2\xEB\xE8\xE2\xFB\xE5 \xF1\xE5\xEC\xFC\xE8 \xEF\xEE\xF5\xEE\xE6\xE8 "
      "\xE4\xF0\xF3\xE3 "
      "\xED\xE0 \xE4\xF0\xF3\xE3\xE0, \xEA\xE0\xE6\xE4\xE0\xFF "
      "\xED\xE5\xF1\xF7\xE0\xF1\xF2\xEB\xE8\xE2\xE0\xFF "
      "\xF1\xE5\xEC\xFC\xFF \xED\xE5\xF1\xF7\xE0\xF1\xF2\xEB\xE8\xE2\xE0 \xEF\xEE-\xF1\xE2\xEE\xE5\xEC\xF3.";
  CHECK(contains(error_of([&] { decode_text(russian, "a.csv"); }), "data.encoding: windows-1251"));
  const auto named = decode_text(russian, "a.csv", "windows-1251");
  CHECK(named.text.starts_with("\xD0\x92\xD1\x81\xD0\xB5 "));
  CHECK(contains(error_of([] { decode_text("a", "a.csv", "utf-9"); }), "wanted a charset"));
  CHECK(decode_text("\xE9", "a", "cp1252").text == "\xC3\xA9");
  CHECK(decode_text("\xE9", "a", "latin1").text == "\xC3\xA9");
  CHECK(contains(error_of([] { decode_text("\xE9", "a", "utf-8"); }), "not valid utf-8"));
}
