#include "data/metrics/text_metrics.h"

#include "tests/catch.h"

using namespace lathe;

namespace {

constexpr double kClose = 1e-12;
bool close(double a, double b) { return std::abs(a - b) <= kClose; }

}  // namespace

TEST_CASE("normalise_answer drops case, punctuation, articles and spaces") {
  CHECK(normalise_answer(" The  quick, brown fox's an a-the apple! ") == "quick brown foxs athe apple");
  CHECK(normalise_answer("A B the") == "b");
  CHECK(normalise_answer("the\xCC\x81 X") ==
        "\xCC\x81 x");  // a combining mark is no word character to Python
  CHECK(normalise_answer("L\xE2\x80\x99\xC3\x89T\xC3\x89\xC2\xA0"
                         "a") == "l\xE2\x80\x99\xC3\xA9t\xC3\xA9");
  CHECK(normalise_answer("") == "");
}

TEST_CASE("exact match: bytes, or normalised") {
  CHECK(exact_match("a", "a") == 1);
  CHECK(exact_match("a", "a ") == 0);
  CHECK(exact_match_normalised("The Answer!", "answer") == 1);
  CHECK(exact_match_normalised("answers", "answer") == 0);
}

TEST_CASE("rouge_l by hand") {
  // LCS of "police killed the gunman" and "police kill the gunman" is 3 of 4 and 4.
  CHECK(close(rouge_l("police kill the gunman", "police killed the gunman"), 0.75));
  CHECK(close(rouge_l("the gunman kill police", "police killed the gunman"), 0.5));
  CHECK(close(rouge_l("a b c d e f", "a c"), 2 * (2.0 / 6) * 1 / (2.0 / 6 + 1)));
  CHECK(rouge_l("", "a") == 0);
  CHECK(rouge_l("...", "...") == 0);                   // no words at all
  CHECK(close(rouge_l("\xC3\xA9t\xC3\xA9", "t"), 1));  // an accent ends a word there
  CHECK(rouge_l("\xE2\x84\xAA\xC4\xB0", "k i") == 0);  // Kelvin sign and dotted I: "ki", one word
  CHECK(rouge_l("\xE2\x84\xAA\xC4\xB0", "ki") == 1);
}

TEST_CASE("chrf by hand") {
  CHECK(close(chrf("abc", "abc"), 100));
  CHECK(close(chrf("a b\tc", "ab c"), 100));  // white space does not count
  // "ab" against "ac": unigrams 1 of 2, bigrams 0 of 1: precision = recall = (1/2 + 0) / 2.
  CHECK(close(chrf("ab", "ac"), 25));
  // "a" against "ab": order 1 only: precision 1, recall 1/2; F2 = 5 * 0.5 / (4 * 1 + 0.5).
  CHECK(close(chrf("a", "ab"), 100 * 5 * 0.5 / 4.5));
  CHECK(chrf("", "a") == 0);
  CHECK(chrf("x", "a") == 0);
  CHECK(close(
      chrf("aab", "ab"), 100 * [] {
        const double p = (2.0 / 3 + 1.0 / 2) / 2, r = 1;  // matches clipped; order 3 lacks a reference
        return 5 * p * r / (4 * p + r);
      }()));
  CHECK(close(chrf("\xC3\xA9", "\xC3\xA8"), 0));  // characters, not bytes
}

TEST_CASE("span_f1 by hand") {
  CHECK(close(span_f1("the cat sat", "a cat"), 2 * 0.5 * 1 / 1.5));
  CHECK(close(span_f1("cat cat", "cat"), 2 * 0.5 * 1 / 1.5));
  CHECK(span_f1("dog", "cat") == 0);
  CHECK(span_f1("", "") == 1);
  CHECK(span_f1("", "cat") == 0);
}

TEST_CASE("json_valid is RFC 8259") {
  for (const char* good : {"{}", " {\"a\": [1, 2.5e3, null, true]}\n", "\"x\"", "3", "[]"}) {
    INFO(good);
    CHECK(json_valid(good) == 1);
  }
  for (const char* bad :
       {"", "{'a': 1}", "{\"a\": 1,}", "{\"a\": NaN}", "{} {}", "```json\n{}\n```", "{\"a\": 1", "[01]"}) {
    INFO(bad);
    CHECK(json_valid(bad) == 0);
  }
  CHECK(json_valid(std::string_view("{}\0x", 4)) == 0);
  CHECK(json_valid("\"\xFF\"") == 0);
}
