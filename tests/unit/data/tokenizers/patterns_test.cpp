// The hand-written scanners against PCRE2 running the published expressions.
#include "data/tokenizers/patterns.h"
#include "data/tokenizers/regex.h"
#include "tests/catch.h"
#include "tests/unit/data/tokenizers/support.h"

namespace lathe {
namespace {

using Ranges = std::vector<std::pair<std::size_t, std::size_t>>;

TEST_CASE("scanners split as the regular expressions do") {
  for (const KnownPattern pattern : {KnownPattern::Gpt2, KnownPattern::Llama3, KnownPattern::Qwen2}) {
    const Regex regex(std::string(pattern_text(pattern)), "test");
    REQUIRE(known_pattern(pattern_text(pattern)) == pattern);
    auto texts = test::hard_texts();
    for (unsigned seed = 0; seed < 3000; ++seed) texts.push_back(test::random_text(seed, 1 + seed % 12));
    for (const std::string& text : texts) {
      Ranges scanned, matched;
      split_by(pattern, text, [&](std::size_t begin, std::size_t end) { scanned.emplace_back(begin, end); });
      regex.each(text, [&](std::size_t begin, std::size_t end) { matched.emplace_back(begin, end); });
      INFO(pattern_text(pattern) << " on: " << text);
      REQUIRE(scanned == matched);
    }
  }
}

std::vector<std::string> pieces(KnownPattern pattern, const std::string& text) {
  std::vector<std::string> out;
  split_by(pattern, text,
           [&](std::size_t begin, std::size_t end) { out.push_back(text.substr(begin, end - begin)); });
  return out;
}

TEST_CASE("known splits") {
  using Words = std::vector<std::string>;
  CHECK(pieces(KnownPattern::Gpt2, "it's  two\n x=12345") ==
        Words{"it", "'s", " ", " two", "\n", " x", "=", "12345"});
  CHECK(pieces(KnownPattern::Llama3, "it'S  two\n x=12345") ==
        Words{"it", "'S", " ", " two", "\n", " x", "=", "123", "45"});
  CHECK(pieces(KnownPattern::Qwen2, "a12;\n\n\tb") == Words{"a", "1", "2", ";\n\n", "\tb"});
  CHECK(pieces(KnownPattern::Gpt2, "\xFF\xC3") ==
        Words{"\xFF\xC3"});  // bytes that are no UTF-8 get through whole
}

TEST_CASE("expressions of another meaning are refused by name") {
  const auto problem = [](const char* pattern) { return test::error_of([&] { Regex(pattern, "f.json"); }); };
  CHECK(test::contains(problem("^a"), "f.json"));
  CHECK(test::contains(problem("^a"), "anchor"));
  CHECK(test::contains(problem("\\h+"), "\\h"));
  CHECK(test::contains(problem("[a&&b]"), "&&"));
  CHECK(test::contains(problem("a{1,2}+"), "braces"));
  CHECK(test::contains(problem("(a"), "does not compile"));
  CHECK(problem("\\p{L}+a{2}").empty());
}

TEST_CASE("white space is Unicode's, not PCRE's") {
  std::size_t matches = 0;
  Regex("\\s", "test").each("\xE1\xA0\x8E\xC2\x85\xE3\x80\x80", [&](std::size_t, std::size_t) { ++matches; });
  CHECK(matches == 2);  // U+180E is none
}

TEST_CASE("an expression that would run for ever gives up") {
  const Regex regex("(a*)*b", "f.json");
  CHECK_THROWS_AS(regex.each(std::string(5000, 'a') + "xb", [](std::size_t, std::size_t) {}), Error);
}

}  // namespace
}  // namespace lathe
