// JSON of untrusted files: what is accepted is JSON to the library's own strict parser too, and its dump
// reads back to the same value.
#include "data/io/json.h"
#include "tests/fuzz/target.h"

namespace lathe::fuzz {
namespace {

void run(std::string_view bytes) {
  const Json value = parse_json(bytes, "fuzz", {.max_bytes = 1 << 20, .max_depth = 64});
  promise(Json::accept(bytes.begin(), bytes.end()));
  promise(bytes.find('\0') == bytes.npos);
  const std::string text = value.dump();
  promise(parse_json(text, "again").dump() == text);
}

std::vector<std::string> seeds() {
  return {R"({"b": [1, -2, 2.5e-3, true, null, "\u00e9\ud83d\ude00\n"], "a": {"c": {}}, "": []})",
          std::string(63, '[') + "1" + std::string(63, ']'),
          std::string(100, '[') + std::string(100, ']'),
          R"({"a": 1, "a": 2})",
          "[1e999, 18446744073709551615, -9223372036854775808, 0.1]",
          std::string("{}\0x", 4),
          "[\"\\ud800\"]",
          "\xEF\xBB\xBF[1]",
          "nul",
          ""};
}

}  // namespace

Target json_target() {
  return {"json",
          run,
          seeds,
          {"[[[[[[[[", "]]]]]]]]", "{\"a\":", "\"\\u", "\\ud83d\\ude00", "null", "true", "1e308", "-0", ",",
           ":", std::string(1, '\0'), "\xff", "\xed\xa0\x80"},
          150000};
}

}  // namespace lathe::fuzz
