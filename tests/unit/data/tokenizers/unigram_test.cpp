#include "data/tokenizers/unigram_model.h"

#include "tests/catch.h"

namespace lathe {
namespace {

struct Piece {
  const char* text;
  double score;
};

std::vector<std::string> segments(const std::vector<Piece>& pieces, std::string_view text,
                                  bool single_precision) {
  Vocabulary vocabulary;
  std::vector<double> scores;
  for (const Piece& piece : pieces) {
    vocabulary.add(piece.text, static_cast<TokenId>(scores.size()), "test");
    scores.push_back(piece.score);
  }
  UnigramOptions options;
  options.single_precision = single_precision;
  options.unk_score = -5000;
  const UnigramModel model(std::move(vocabulary), std::move(scores), std::move(options));
  std::vector<Symbol> symbols;
  model.tokenize(text, symbols);
  std::vector<std::string> out;
  for (const Symbol& symbol : symbols) out.emplace_back(text.substr(symbol.begin, symbol.end - symbol.begin));
  return out;
}

TEST_CASE("of equal paths the one whose last piece begins first wins") {
  const std::vector<Piece> pieces = {{"a", -1}, {"aa", -2}, {"aaa", -3}};
  using Texts = std::vector<std::string>;
  for (const bool single : {false, true}) {
    CHECK(segments(pieces, "aa", single) == Texts{"aa"});
    CHECK(segments(pieces, "aaa", single) == Texts{"aaa"});
    CHECK(segments(pieces, "aaaa", single) == Texts{"a", "aaa"});
  }
}

TEST_CASE("long texts are segmented as short ones, though sums are floats") {
  // "a" + "b" is better than "ab" by 0.002; at a sum of -100,000 and more floats are 0.008 apart.
  const std::vector<Piece> pieces = {{"a", -1}, {"b", -0.998}, {"ab", -2}, {"x", -100}};
  for (const std::size_t before :
       {std::size_t{1}, std::size_t{1100}, std::size_t{3100}, std::size_t{30100}}) {
    INFO(before);
    const auto found = segments(pieces, std::string(before, 'x') + "ab", true);
    REQUIRE(found.size() >= 2);
    CHECK(found.back() == "b");
  }
  // Below the limit the sum is SentencePiece's, coarse as it is: -99,900 - 2 and - 1.998 are the same float.
  CHECK(segments(pieces, std::string(999, 'x') + "ab", true).back() == "ab");
  CHECK(segments(pieces, std::string(999, 'x') + "ab", false).back() == "b");
}

TEST_CASE("a sum begins anew only where every path passes") {
  // Each place from the limit on lies inside a "xx" but for the last: sums stay as they are.
  const std::vector<Piece> pieces = {{"x", -100}, {"xx", -200}, {"a", -1}, {"b", -0.998}, {"ab", -2}};
  CHECK(segments(pieces, std::string(3000, 'x') + "ab", true).back() == "b");  // no piece crosses into "ab"
}

}  // namespace
}  // namespace lathe
