// Small tokenizers of every style against ids of the tokenizers library (scripts/make_tokenizer_goldens.py).
#include <algorithm>

#include "data/tokenizers/tokenizer.h"
#include "tests/catch.h"
#include "tests/unit/data/tokenizers/support.h"

namespace lathe {
namespace {

const char* const kStyles[] = {"gpt2", "llama3", "qwen2",     "cl100k",  "digits",           "roberta",
                               "clip", "llama2", "metaspace", "unigram", "llama2_metaspace", "gemma"};

using Ids = std::vector<TokenId>;

TEST_CASE("ids and texts equal the tokenizers library's") {
  const auto texts = test::hard_texts();
  for (const char* style : kStyles) {
    const auto tokenizer = load_tokenizer(test::fixture(std::string(style) + ".tokenizer.json"));
    const Json expected = read_json(test::fixture(std::string(style) + ".expected.json"));
    REQUIRE(expected.size() == texts.size());
    for (std::size_t i = 0; i < texts.size(); ++i) {
      INFO(style << ", text " << i << ": " << texts[i]);
      const Ids plain = expected[i]["plain"].get<Ids>(), ours = tokenizer->encode(texts[i]).ids;
      // The library finds a written "</s>" (1) as a piece of a unigram vocabulary; here it stays text.
      if (std::string(style) == "unigram" && std::count(plain.begin(), plain.end(), 1) > 0)
        CHECK(std::count(ours.begin(), ours.end(), 1) == 0);
      else
        CHECK(ours == plain);
      CHECK(tokenizer->ids(texts[i]) == ours);
      EncodeOptions options;
      options.parse_special = true;
      const Encoding parsed = tokenizer->encode(texts[i], options);
      CHECK(parsed.ids == expected[i]["parsed"].get<Ids>());
      options.add_special = true;
      CHECK(tokenizer->encode(texts[i], options).ids == expected[i]["special"].get<Ids>());
      const auto decoded = expected[i]["decoded"].get<std::string>();
      if (decoded.find("\xEF\xBF\xBD") == decoded.npos) CHECK(tokenizer->decode(parsed.ids, true) == decoded);
    }
  }
}

TEST_CASE("ids without their spans are those with them, also of long texts") {
  std::string all;
  for (int round = 0; round < 3; ++round)
    for (const std::string& text : test::hard_texts()) all += text + (round == 1 ? " " : "\n");
  for (const char* style : kStyles) {
    const auto tokenizer = load_tokenizer(test::fixture(std::string(style) + ".tokenizer.json"));
    for (std::size_t begin = 0; begin < all.size(); begin += 997) {
      if ((static_cast<unsigned char>(all[begin]) & 0xC0) == 0x80) continue;
      const std::string text = all.substr(begin);
      INFO(style << " from byte " << begin);
      CHECK(tokenizer->ids(text) == tokenizer->encode(text).ids);
    }
  }
}

TEST_CASE("a word of a million bytes is cut into parts: nothing is lost, and what is shorter is left whole") {
  for (const char* style : {"gpt2", "llama3", "qwen2"}) {
    const auto tokenizer = load_tokenizer(test::fixture(std::string(style) + ".tokenizer.json"));
    for (const char* unit : {"a", "\xC3\xA9", "\xE6\x97\xA5", "the", "="}) {
      INFO(style << ", " << unit);
      std::string word;
      while (word.size() < 1'000'000) word += unit;
      const std::string text = "before " + word + " after";
      const Encoding encoding = tokenizer->encode(text);
      CHECK(tokenizer->decode(encoding.ids) == text);
      CHECK(tokenizer->ids(text) == encoding.ids);
      CHECK(encoding.end.back() == text.size());
      bool goes_on = encoding.begin[0] == 0;
      for (std::size_t i = 1; i < encoding.ids.size(); ++i)
        goes_on = goes_on && encoding.begin[i] == encoding.end[i - 1];
      CHECK(goes_on);
    }
  }
}

TEST_CASE("spans stay inside the text and go forward") {
  for (const char* style : kStyles) {
    const auto tokenizer = load_tokenizer(test::fixture(std::string(style) + ".tokenizer.json"));
    for (const std::string& text : test::hard_texts()) {
      INFO(style << ": " << text);
      const Encoding encoding = tokenizer->encode(text, {true, true});
      REQUIRE(encoding.begin.size() == encoding.ids.size());
      REQUIRE(encoding.end.size() == encoding.ids.size());
      for (std::size_t i = 0; i < encoding.ids.size(); ++i) {
        CHECK(encoding.begin[i] <= encoding.end[i]);
        CHECK(encoding.end[i] <= text.size());
        if (i > 0) CHECK(encoding.begin[i - 1] <= encoding.begin[i]);
      }
    }
  }
}

TEST_CASE("a byte-level token is the bytes of its span") {
  for (const char* style : {"gpt2", "llama3", "cl100k", "digits"}) {
    const auto tokenizer = load_tokenizer(test::fixture(std::string(style) + ".tokenizer.json"));
    for (const std::string& text : test::hard_texts()) {
      const Encoding encoding = tokenizer->encode(text);
      std::size_t at = 0;
      for (std::size_t i = 0; i < encoding.ids.size(); ++i) {
        REQUIRE(encoding.begin[i] == at);
        at = encoding.end[i];
        CHECK(tokenizer->decode({encoding.ids[i]}) == text.substr(encoding.begin[i], at - encoding.begin[i]));
      }
      CHECK(at == text.size());
    }
  }
}

TEST_CASE("spans point through normalizers at the original bytes") {
  const auto qwen = load_tokenizer(test::fixture("qwen2.tokenizer.json"));
  const std::string text = "xo\xCC\x88y";  // NFC makes one character of two bytes out of bytes 1 to 4
  const Encoding encoding = qwen->encode(text);
  REQUIRE(encoding.ids.size() == 4);
  CHECK(encoding.begin == std::vector<std::size_t>{0, 1, 1, 4});
  CHECK(encoding.end == std::vector<std::size_t>{1, 4, 4, 5});

  const auto llama = load_tokenizer(test::fixture("llama2.tokenizer.json"));
  const Encoding prefixed = llama->encode("zq z");  // the prepended mark comes from nowhere
  REQUIRE(prefixed.ids.size() >= 3);
  CHECK(prefixed.begin.front() == 0);
  CHECK(prefixed.end.back() == 4);
}

TEST_CASE("control tokens are ordinary text unless asked for; other added tokens always match") {
  const auto tokenizer = load_tokenizer(test::fixture("roberta.tokenizer.json"));
  const TokenId mask = *tokenizer->token_id("<mask>"), keep = *tokenizer->token_id("keepme");
  const auto has = [](const Ids& ids, TokenId id) {
    return std::find(ids.begin(), ids.end(), id) != ids.end();
  };
  const std::string text = "a <mask> keepme";
  CHECK_FALSE(has(tokenizer->encode(text).ids, mask));
  CHECK(has(tokenizer->encode(text).ids, keep));
  const Encoding parsed = tokenizer->encode(text, {false, true});
  CHECK(has(parsed.ids, mask));
  const auto at =
      static_cast<std::size_t>(std::find(parsed.ids.begin(), parsed.ids.end(), mask) - parsed.ids.begin());
  CHECK(parsed.begin[at] == 1);  // lstrip takes the space
  CHECK(parsed.end[at] == 8);
  CHECK(tokenizer->is_special(mask));
  CHECK_FALSE(tokenizer->is_special(keep));
  CHECK(tokenizer->decode({mask}) == "");
  CHECK(tokenizer->decode({mask}, true) == "<mask>");
}

}  // namespace
}  // namespace lathe
