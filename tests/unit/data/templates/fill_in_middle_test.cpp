#include "data/templates/fill_in_middle.h"

#include <set>

#include "support.h"
#include "tests/catch.h"

using namespace lathe;
using namespace lathe::test;

namespace {
std::unique_ptr<Tokenizer> code_tokenizer(bool adds_bos = false) {
  return byte_tokenizer({"<s>", "</s>", "<fim_prefix>", "<fim_suffix>", "<fim_middle>"}, adds_bos);
}
}  // namespace

TEST_CASE("prefix-suffix-middle and suffix-prefix-middle, as published") {
  const auto tokenizer = code_tokenizer();
  const FimTokens tokens = *find_fim_tokens(*tokenizer);
  const std::string text = "abcdef";
  const TokenExample psm =
      render_fim(text, {1, 3, FimOrder::PrefixSuffixMiddle}, tokens, *tokenizer, LossOn::Completion);
  CHECK(whole_text(psm) == "<fim_prefix>a<fim_suffix>def<fim_middle>bc</s>");
  CHECK(trained_text(psm) == "bc</s>");
  CHECK(psm.ids[0] == tokens.prefix);
  const TokenExample spm =
      render_fim(text, {1, 3, FimOrder::SuffixPrefixMiddle}, tokens, *tokenizer, LossOn::Completion);
  CHECK(whole_text(spm) == "<fim_prefix><fim_suffix>def<fim_middle>abc</s>");
  CHECK(trained_text(spm) == "bc</s>");
  const auto with_bos = code_tokenizer(true);
  const TokenExample all =
      render_fim(text, {0, 6, FimOrder::PrefixSuffixMiddle}, tokens, *with_bos, LossOn::All);
  CHECK(whole_text(all) == "<s><fim_prefix><fim_suffix><fim_middle>abcdef</s>");
  CHECK(trained_text(all) == "<fim_prefix><fim_suffix><fim_middle>abcdef</s>");
}

TEST_CASE("the prompt at inference is the training row up to the middle") {
  const auto tokenizer = code_tokenizer(true);
  const FimTokens tokens = *find_fim_tokens(*tokenizer);
  for (const FimOrder order : {FimOrder::PrefixSuffixMiddle, FimOrder::SuffixPrefixMiddle}) {
    const TokenExample row = render_fim("abcdef", {2, 4, order}, tokens, *tokenizer, LossOn::Completion);
    const std::vector<TokenId> prompt = render_fim_prompt("ab", "ef", tokens, *tokenizer, order);
    CHECK(prompt == std::vector<TokenId>(row.ids.begin(), row.ids.end() - 3));
  }
}

TEST_CASE("splits fall between characters, everywhere, and depend on the key alone") {
  const std::string text = "a\xC3\xA9\xF0\x9F\x98\x80z";  // 4 characters, 8 bytes
  std::set<std::pair<std::size_t, std::size_t>> seen;
  int spm = 0;
  for (std::uint64_t document = 0; document < 2000; ++document) {
    const FimSplit split = draw_fim_split(text, {.seed = 5, .visit = 1, .document = document});
    const FimSplit again = draw_fim_split(text, {.seed = 5, .visit = 1, .document = document});
    CHECK((split.begin == again.begin && split.end == again.end && split.order == again.order));
    seen.emplace(split.begin, split.end);
    spm += split.order == FimOrder::SuffixPrefixMiddle;
  }
  CHECK(seen.size() == 15);  // pairs begin <= end of the places 0, 1, 3, 7, 8
  CHECK(spm > 850);
  CHECK(spm < 1150);
  CHECK(draw_fim_split(text, {.spm_share = 0}).order == FimOrder::PrefixSuffixMiddle);
  CHECK(draw_fim_split("", {}).end == 0);
}

TEST_CASE("what cannot be filled in is refused") {
  CHECK_FALSE(find_fim_tokens(*marked_tokenizer()));
  const auto tokenizer = code_tokenizer();
  const FimTokens tokens = *find_fim_tokens(*tokenizer);
  CHECK(contains(error_of([&] {
                   render_fim("\xC3\xA9", {1, 2, {}}, tokens, *tokenizer, LossOn::All);
                 }),
                 "between characters"));
  CHECK(contains(error_of([&] {
                   render_fim("ab", {1, 3, {}}, tokens, *tokenizer, LossOn::All);
                 }),
                 "does not cut"));
}

namespace {

// The text that documents of fim_documents were made from.
struct Restored {
  std::string text;
  int moved = 0, suffix_first = 0, plain = 0;
};

Restored restore(const std::vector<std::vector<TokenId>>& documents, const Tokenizer& tokenizer) {
  Restored out;
  for (std::size_t d = 0; d < documents.size(); ++d) {
    std::string text = tokenizer.decode(documents[d], true);
    const std::string pre = "<fim_prefix>", suf = "<fim_suffix>", mid = "<fim_middle>", eos = "</s>";
    const bool moved = text.starts_with(pre), last = d + 1 == documents.size();
    CHECK(text.ends_with(eos) == (moved || last));
    if (text.ends_with(eos)) text.resize(text.size() - eos.size());
    if (!moved) {
      ++out.plain;
      out.text += text;
      continue;
    }
    ++out.moved;
    const auto s = text.find(suf), m = text.find(mid);
    const std::string prefix = text.substr(pre.size(), s - pre.size());
    const std::string suffix = text.substr(s + suf.size(), m - s - suf.size()),
                      middle = text.substr(m + mid.size());
    out.text += prefix + middle + suffix;  // suffix first: the prefix stands before the middle already
    out.suffix_first += prefix.empty() && !middle.empty() ? 1 : 0;
  }
  return out;
}

}  // namespace

TEST_CASE("a document of a corpus is cut into rows before its middles are moved, and nothing is lost") {
  const auto tokenizer = code_tokenizer(true);
  FimRule rule{*find_fim_tokens(*tokenizer), 0.5, 0.5, 7};
  std::string text;
  for (int i = 0; i < 2000; ++i) text += "line " + std::to_string(i) + " \xC3\xA9\n";
  const auto documents = fim_documents(text, tokenizer->encode(text), 65, rule, *tokenizer);
  const Restored restored = restore(documents, *tokenizer);
  CHECK(restored.text == text);
  CHECK(restored.moved > 160);  // of some 550 pieces
  CHECK(restored.moved < 350);
  CHECK(restored.suffix_first > restored.moved / 3);
  CHECK(restored.suffix_first < 2 * restored.moved / 3);
  for (const auto& ids : documents)
    if (ids[0] == rule.tokens.prefix) CHECK(ids.size() <= 65);
  CHECK(fim_documents(text, tokenizer->encode(text), 65, rule, *tokenizer) == documents);
  rule.seed = 8;
  CHECK(fim_documents(text, tokenizer->encode(text), 65, rule, *tokenizer) != documents);
  rule.rate = 0;
  const auto plain = fim_documents(text, tokenizer->encode(text), 65, rule, *tokenizer);
  REQUIRE(plain.size() == 1);
  CHECK(plain[0].size() == text.size() + 1);  // one EOS, no BOS: the same as without the rule
}

TEST_CASE("all prefix first or all suffix first, and a short text is one piece") {
  const auto tokenizer = code_tokenizer();
  FimRule rule{*find_fim_tokens(*tokenizer), 1, 0, 1};
  const std::string text = "def f(x):\n    return x\n";
  auto documents = fim_documents(text, tokenizer->encode(text), 65, rule, *tokenizer);
  REQUIRE(documents.size() == 1);
  CHECK(documents[0].size() == text.size() + 4);
  CHECK(restore(documents, *tokenizer).text == text);
  rule.spm_rate = 1;
  documents = fim_documents(text, tokenizer->encode(text), 65, rule, *tokenizer);
  CHECK(documents[0][0] == rule.tokens.prefix);
  CHECK(documents[0][1] == rule.tokens.suffix);
}
