#include "data/tokenizers/grow.h"

#include "data/tokenizers/load.h"
#include "tests/catch.h"
#include "tests/unit/data/templates/support.h"

using namespace lathe;
using lathe::test::contains;
using lathe::test::error_of;

TEST_CASE(
    "added tokens come behind the vocabulary, plain ones in any text, control ones only where they are "
    "parsed") {
  const auto base = test::byte_tokenizer({"<s>", "</s>"});
  const auto grown = add_tokens(*base, {"[ticket]", "caf."}, {"<|note|>"});
  REQUIRE(base->vocab_size() == 258);
  CHECK(grown->vocab_size() == 261);
  CHECK(grown->token_id("[ticket]") == 258u);
  CHECK(grown->token_id("<|note|>") == 260u);
  CHECK(grown->is_special(260));
  CHECK_FALSE(grown->is_special(258));
  const std::string text = "a[ticket]caf.<|note|>";
  CHECK(grown->ids("a[ticket]caf.") == std::vector<TokenId>{'a', 258, 259});
  const auto as_text = grown->ids("<|note|>");
  CHECK(as_text.size() == 8);  // a user wrote it
  CHECK(grown->encode(text, {.parse_special = true}).ids == std::vector<TokenId>{'a', 258, 259, 260});
  CHECK(grown->decode(grown->ids(text)) == text);
  CHECK(grown->special().eos == base->special().eos);
  CHECK(grown->special().bos == base->special().bos);
  CHECK(grown->fingerprint() != base->fingerprint());
  // Byte-level decoders, tokenizers' own too, take its last letter for one byte.
  CHECK(contains(error_of([&] { add_tokens(*base, {"caf\xC3\xA9"}, {}); }), "would not come back"));
  // Everything else is as it was.
  CHECK(grown->ids("plain \xC3\xA9 text") == base->ids("plain \xC3\xA9 text"));
}

TEST_CASE("its files say the same to who reads them again") {
  const auto grown = add_tokens(*test::byte_tokenizer({"<s>", "</s>"}), {"[a]"}, {"<|b|>"});
  std::string json;
  Companions companions;
  for (const TokenizerFile& file : grown->files()) {
    if (file.name == "tokenizer.json") json = file.content;
    if (file.name == "tokenizer_config.json") companions.config = parse_json(file.content, file.name);
  }
  const auto again = tokenizer_from_json(json, companions, "again");
  CHECK(again->vocab_size() == grown->vocab_size());
  CHECK(again->encode("x[a]<|b|>", {.parse_special = true}).ids ==
        grown->encode("x[a]<|b|>", {.parse_special = true}).ids);
  CHECK(again->special().eos == grown->special().eos);
  const Json entry = parse_json(json, "json")["added_tokens"].back();
  CHECK(entry["content"] == "<|b|>");
  CHECK(entry["special"] == true);
}

TEST_CASE("a token that is there, empty or given twice is refused") {
  const auto base = test::byte_tokenizer({"<s>", "</s>"});
  CHECK(contains(error_of([&] { add_tokens(*base, {"</s>"}, {}); }),
                 "'</s>' is in the tokenizer already (id 257)"));
  CHECK(contains(error_of([&] { add_tokens(*base, {"[a]"}, {"[a]"}); }), "given twice"));
  CHECK(contains(error_of([&] { add_tokens(*base, {""}, {}); }), "empty"));
}
