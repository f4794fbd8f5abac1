#include <sentencepiece_processor.h>

#include <algorithm>

#include "data/tokenizers/load.h"
#include "data/tokenizers/sentencepiece_model.h"
#include "tests/catch.h"
#include "tests/unit/data/tokenizers/support.h"

namespace lathe {
namespace {

std::vector<std::string> corpus() {
  std::vector<std::string> texts = test::hard_texts();
  for (int i = 0; i < 30; ++i) {
    texts.push_back(
        "def encode(self, text):\n    for token in self.tokens:\n        return token\n\n\tthe end " +
        std::to_string(i * 37) + ". Le c\xC5\x93ur a ses raisons; l\xE2\x80\x99\xC3\xA9t\xC3\xA9 viendra.\n");
  }
  return texts;
}

std::unique_ptr<Tokenizer> trained(const std::string& kind) {
  test::Documents documents(corpus());
  TokenizerTraining options;
  options.kind = kind;
  options.vocab_size = 520;
  return train_tokenizer(documents, options);
}

std::vector<TokenId> reference_ids(const sentencepiece::SentencePieceProcessor& processor,
                                   const std::string& text) {
  std::vector<int> ids;
  REQUIRE(processor.Encode(text, &ids).ok());
  return {ids.begin(), ids.end()};
}

double score(const sentencepiece::SentencePieceProcessor& processor, const std::vector<TokenId>& ids) {
  double sum = 0;
  for (const TokenId id : ids) sum += static_cast<double>(processor.GetScore(static_cast<int>(id)));
  return sum;
}

TEST_CASE("trained SentencePiece tokenizers lose nothing") {
  for (const char* kind : {"bpe", "unigram"}) {
    const auto tokenizer = trained(kind);
    CHECK(tokenizer->special().eos == TokenId{1});
    CHECK(tokenizer->token_text(1) == "<|endoftext|>");
    auto texts = test::hard_texts();
    for (unsigned seed = 0; seed < 300; ++seed) texts.push_back(test::random_text(seed, 20));
    texts.push_back(
        "\xF3\xB2\x96\x81\xE2\x96\x81\xF3\xB2\x96\x82\xF3\xB2\x96\x81");  // marks and the escape itself
    texts.push_back("\xE2\x96\x85 \xE2\x96\x81 <0x41> <unk>");
    for (const std::string& text : texts) {
      INFO(kind << ": " << text);
      const auto ids = tokenizer->ids(text);
      CHECK(tokenizer->decode(ids) == text);
      CHECK(std::count(ids.begin(), ids.end(), TokenId{0}) == 0);  // never unknown
    }
  }
}

TEST_CASE("tokenizer.model and tokenizer.json of one training agree, and with the library") {
  for (const char* kind : {"bpe", "unigram"}) {
    const auto tokenizer = trained(kind);
    const std::string model = test::file_of(*tokenizer, "tokenizer.model");
    REQUIRE_FALSE(model.empty());
    sentencepiece::SentencePieceProcessor library;
    REQUIRE(library.LoadFromSerializedProto(model).ok());
    const auto native = tokenizer_from_sentencepiece(model, {}, "test.model");
    CHECK(native->vocab_size() == tokenizer->vocab_size());
    auto texts = test::hard_texts();
    for (unsigned seed = 0; seed < 300; ++seed) texts.push_back(test::random_text(seed, 20));
    for (const std::string& text : texts) {
      INFO(kind << ": " << text);
      const auto expected = reference_ids(library, text);
      if (std::string(kind) == "bpe") {
        CHECK(native->ids(text) == expected);
        // U+2581 itself is a space to SentencePiece.
        if (!test::contains(text, "\xE2\x96\x81")) CHECK(tokenizer->ids(text) == expected);
      } else {  // which of two equal paths wins differs between releases of the library; that they are best
                // does not
        CHECK(score(library, native->ids(text)) == Approx(score(library, expected)).epsilon(1e-5));
        CHECK(native->decode(native->ids(text)) == native->decode(expected));
      }
    }
  }
}

// The wire format's rule for a message that comes again: its fields replace those of the first.
std::string with_fields(const std::string& model, const std::string& trainer, const std::string& normalizer) {
  const auto message = [](char tag, const std::string& fields) {
    return std::string{tag, static_cast<char>(fields.size())} + fields;
  };
  return model + message('\x12', trainer) + message('\x1a', normalizer);
}

TEST_CASE("words that end in their space: ids, bytes and text as the library's, from tokenizer.json too") {
  using namespace std::string_literals;
  const std::string suffix = "\xC0\x01\x01", dummy = "\x18\x01", strip = "\x20\x01", keep = "\x20\x00"s;
  for (const char* kind : {"bpe", "unigram"}) {
    for (const std::string& normalizer : {dummy + keep, dummy + strip, "\x18\x00"s + strip}) {
      const std::string model =
          with_fields(test::file_of(*trained(kind), "tokenizer.model"), suffix, normalizer);
      sentencepiece::SentencePieceProcessor library;
      REQUIRE(library.LoadFromSerializedProto(model).ok());
      const auto native = tokenizer_from_sentencepiece(model, {}, "test.model");
      const auto converted = tokenizer_from_json(test::file_of(*native, "tokenizer.json"), {}, "test");
      auto texts = test::hard_texts();
      for (unsigned seed = 0; seed < 300; ++seed) texts.push_back(test::random_text(seed, 20));
      for (const char* text : {"", " ", "  two  words ", "\n", "\xE2\x96\x81"}) texts.emplace_back(text);
      for (const std::string& text : texts) {
        INFO(kind << ": " << text);
        const auto expected = reference_ids(library, text);
        const Encoding found = native->encode(text);
        if (std::string(kind) == "bpe") {
          CHECK(found.ids == expected);
        } else {  // of two equal paths releases of the library choose another
          CHECK(score(library, found.ids) == Approx(score(library, expected)).epsilon(1e-5));
        }
        std::string decoded;
        REQUIRE(library.Decode(std::vector<int>(expected.begin(), expected.end()), &decoded).ok());
        if (normalizer == dummy + keep && !text.empty() && text.front() != ' ' &&
            !test::contains(text, "\xE2\x96\x81")) {
          CHECK(native->decode(expected) == decoded);
          CHECK(native->decode(expected) == text + " ");
        }
        for (std::size_t i = 0; i < found.ids.size(); ++i) {
          CHECK(found.begin[i] <= found.end[i]);
          CHECK(found.end[i] <= text.size());
          CHECK((i == 0 || found.begin[i] >= found.end[i - 1]));
        }
        // tokenizers' Strip takes any white space, SentencePiece's own rule spaces alone.
        const bool plain = std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c < 127; });
        if (test::contains(text, "<") || (!plain && normalizer != dummy + keep)) continue;
        const auto again = converted->ids(text);
        if (std::string(kind) == "bpe") CHECK(again == found.ids);
        CHECK(score(library, again) == Approx(score(library, found.ids)).epsilon(1e-5));
      }
    }
  }
}

TEST_CASE("the space behind a text belongs to its end, and to the last word's token") {
  using namespace std::string_literals;
  SentencePieceModel model;
  model.kind = SentencePieceModel::Kind::Bpe;
  model.whitespace_suffix = true;
  model.remove_extra_whitespaces = false;
  const std::string mark = "\xE2\x96\x81";
  model.pieces = {{"<unk>", 0, PieceType::Unknown}, {"a", -5}, {"b", -6}, {mark, -7}, {"a" + mark, -1}};
  const PipelineTokenizer tokenizer(sentencepiece_parts(model, "test"));
  const Encoding found = tokenizer.encode("ba a");
  CHECK(found.ids == std::vector<TokenId>{2, 4, 4});
  CHECK(found.begin == std::vector<std::size_t>{0, 1, 3});
  CHECK(found.end == std::vector<std::size_t>{1, 3, 4});
}

TEST_CASE("a model whose config names no special tokens is handed on with those that it has") {
  const std::string model = test::file_of(*trained("bpe"), "tokenizer.model");
  for (const char* given :
       {R"({"tokenizer_class": "LlamaTokenizer"})", R"({"eos_token": "<|endoftext|>", "unk_token": null})"}) {
    Companions companions;
    companions.config = parse_json(given, "config");
    companions.files.push_back({"tokenizer_config.json", given});
    const auto tokenizer = tokenizer_from_sentencepiece(model, companions, "test.model");
    const Json config = parse_json(test::file_of(*tokenizer, "tokenizer_config.json"), "config");
    CHECK(config["tokenizer_class"] == "PreTrainedTokenizerFast");  // which has no names of its own
    CHECK(config["eos_token"] == "<|endoftext|>");
    CHECK(config["unk_token"].is_null() == companions.config.contains("unk_token"));
  }
}

TEST_CASE("tokens that only the files beside a .model name are added") {
  const std::string model = test::file_of(*trained("bpe"), "tokenizer.model");
  const auto next = static_cast<TokenId>(trained("bpe")->vocab_size());
  Companions companions;
  companions.added = {{"<|im_start|>", next + 1}, {"<|im_end|>", next}};
  companions.map = {{"additional_special_tokens", {"<|im_start|>", "<|im_end|>"}}};
  const auto tokenizer = tokenizer_from_sentencepiece(model, companions, "test.model");
  const auto ids = tokenizer->encode("<|im_start|>abc<|im_end|>", {false, true}).ids;
  CHECK(ids.front() == next + 1);
  CHECK(ids.back() == next);
  const auto written = tokenizer_from_json(test::file_of(*tokenizer, "tokenizer.json"), {}, "written");
  CHECK(written->encode("<|im_start|>abc<|im_end|>", {false, true}).ids == ids);
}

TEST_CASE("training twice gives the same files") {
  CHECK(trained("bpe")->fingerprint() == trained("bpe")->fingerprint());
  CHECK(trained("unigram")->fingerprint() == trained("unigram")->fingerprint());
}

TEST_CASE("what SentencePiece refuses is an Error, and the program lives") {
  test::Documents documents({"abc"});
  TokenizerTraining options;
  options.kind = "bpe";
  options.vocab_size = 100000;
  CHECK(test::contains(test::error_of([&] { train_tokenizer(documents, options); }), "100000"));
  options.vocab_size = 20;
  CHECK(test::contains(test::error_of([&] { train_tokenizer(documents, options); }), "20"));
}

TEST_CASE("merges of a piece are its splits, the best pieces first") {
  SentencePieceModel model;
  model.kind = SentencePieceModel::Kind::Bpe;
  model.pieces = {
      {"<unk>", 0, PieceType::Unknown}, {"ab", -1}, {"abc", 0}, {"a", -3}, {"b", -4}, {"c", -5}, {"bc", -2}};
  const auto merges = piece_merges(model);
  REQUIRE(merges.size() == 4);
  const auto is = [&](std::size_t i, TokenId left, TokenId right, TokenId id) {
    return merges[i].left == left && merges[i].right == right && merges[i].id == id;
  };
  CHECK(is(0, 1, 5, 2));  // ab c
  CHECK(is(1, 3, 6, 2));  // a bc
  CHECK(is(2, 3, 4, 1));  // a b
  CHECK(is(3, 4, 5, 6));  // b c
}

TEST_CASE("damaged models are errors, never crashes") {
  const std::string model = test::file_of(*trained("bpe"), "tokenizer.model");
  for (std::size_t size = 0; size < model.size(); size += 37) {
    try {
      tokenizer_from_sentencepiece(model.substr(0, size), {}, "cut.model");
    } catch (const Error& error) {
      CHECK(test::contains(error.what(), "cut.model"));
    }
  }
  unsigned seed = 5;
  for (int round = 0; round < 300; ++round) {
    std::string damaged = model;
    for (int i = 0; i < 4; ++i) {
      seed = seed * 1664525u + 1013904223u;
      damaged[seed % damaged.size()] = static_cast<char>(seed >> 24);
    }
    try {
      tokenizer_from_sentencepiece(damaged, {}, "damaged.model")->ids("some text \xC3\xA9\n");
    } catch (const Error&) {
    }
  }
  CHECK(test::contains(test::error_of([] { tokenizer_from_sentencepiece("hello", {}, "x.model"); }),
                       "x.model"));
}

TEST_CASE("lengths and numbers of the wire format that lie are each one error") {
  using namespace std::string_literals;
  const auto refused = [](const std::string& bytes) {
    return test::error_of([&] { parse_sentencepiece(bytes, "x.model"); });
  };
  CHECK(test::contains(refused(""), "x.model: not a SentencePiece model: it holds no pieces"));
  CHECK(test::contains(refused("\x0a\x05"
                               "abc"),
                       "wanted 5 bytes at byte 2, found 3"));
  CHECK(test::contains(refused("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
                       "wanted 18446744073709551615 bytes"));
  CHECK(test::contains(refused("\x0a\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"), "more than 10 bytes"));
  CHECK(test::contains(refused("\x0a\x80"), "ends in the middle of a number"));
  CHECK(test::contains(refused("\x09"
                               "1234567"),
                       "wanted 8 bytes"));
  CHECK(test::contains(refused("\x0b"), "wire type 3"));  // groups, which the format never uses
  CHECK(test::contains(refused("\x0f"), "wire type 7"));
  CHECK(test::contains(refused("\x0a\x04\x0a\x7f"
                               "ab"),
                       "wanted 127 bytes"));  // an inner length beyond the outer
  CHECK(test::contains(refused("\x0a\x05\x0a\x01"
                               "a\x18\x09"),
                       "piece type 9"));
  CHECK(test::contains(refused("\x0a\x08\x0a\x01"
                               "a\x15\x00\x00\xc0\x7f"s),
                       "not finite"));
  CHECK(test::contains(refused("\x0a\x06\x0a\x01"
                               "a\x12\x01"
                               "b"),
                       "a score of 1 bytes"));
  CHECK(test::contains(refused("\x0a\x04\x0a\x02\xc3\x28"), "not valid UTF-8"));
  CHECK(test::contains(refused("\x0a\x02\x0a\x00"s), "a piece of 0 bytes"));
}

}  // namespace
}  // namespace lathe
