#include <chrono>

#include "data/tokenizers/byte_alphabet.h"
#include "data/tokenizers/load.h"
#include "tests/catch.h"
#include "tests/unit/data/tokenizers/support.h"

namespace lathe {
namespace {

TokenizerTraining small(std::size_t vocab_size, const std::string& pattern = "gpt2") {
  TokenizerTraining options;
  options.vocab_size = vocab_size;
  options.pattern = pattern;
  return options;
}

TEST_CASE("the byte alphabet is GPT-2's") {
  CHECK(byte_characters()['!'] == "!");
  CHECK(byte_characters()[' '] == "\xC4\xA0");   // U+0120
  CHECK(byte_characters()['\n'] == "\xC4\x8A");  // U+010A
  CHECK(byte_characters()[0] == "\xC4\x80");     // U+0100
  CHECK(byte_characters()[0xAD] == "\xC5\x83");  // U+0143
  CHECK(byte_characters()[0xFF] == "\xC3\xBF");  // itself, U+00FF
  CHECK(from_byte_alphabet(to_byte_alphabet("\x7F\x80 a")) == "\x7F\x80 a");
  CHECK_FALSE(from_byte_alphabet(" ").has_value());
}

TEST_CASE("merges are learned by count, then by the smaller ids") {
  // Pieces: "low" twice, " low" twice, "\n" three times, "new" twice. "lo" and "ow" both occur 4 times; l <
  // o.
  test::Documents documents({"low low\nlow low\nnew\nnew"});
  const auto tokenizer = train_tokenizer(documents, small(259));
  REQUIRE(tokenizer->vocab_size() == 259);
  CHECK(tokenizer->token_text(0) == "<|endoftext|>");
  CHECK(tokenizer->token_text(1) == "!");
  CHECK(tokenizer->token_text(257) == "lo");
  CHECK(tokenizer->token_text(258) == "low");
  CHECK(tokenizer->ids("low") == std::vector<TokenId>{258});
  CHECK(tokenizer->special().eos == TokenId{0});
  CHECK(tokenizer->is_special(0));
}

TEST_CASE("training stops when no pair occurs twice") {
  test::Documents documents({"abc"});
  CHECK(train_tokenizer(documents, small(1000))->vocab_size() == 257);
}

TEST_CASE("every byte survives, whatever the pattern") {
  for (const char* pattern : {"gpt2", "llama3"}) {
    test::Documents documents(test::hard_texts());
    const auto tokenizer = train_tokenizer(documents, small(400, pattern));
    auto texts = test::hard_texts();
    std::string all;
    for (int byte = 0; byte < 256; ++byte) all.push_back(static_cast<char>(byte));
    texts.push_back(all);  // no UTF-8: bytes are bytes
    for (unsigned seed = 0; seed < 500; ++seed) texts.push_back(test::random_text(seed, 20));
    for (const std::string& text : texts) CHECK(tokenizer->decode(tokenizer->ids(text)) == text);
  }
}

TEST_CASE("the result depends on the documents alone") {
  std::vector<std::string> texts;
  for (unsigned seed = 0; seed < 300; ++seed) texts.push_back(test::random_text(seed, 60));
  const auto print = [&](int threads) {
    test::Documents documents(texts);
    TokenizerTraining options = small(600);
    options.threads = threads;
    return train_tokenizer(documents, options)->fingerprint();
  };
  CHECK(print(1) == print(2));
  CHECK(print(1) == print(5));
}

TEST_CASE("files load back to the same ids and the same fingerprint") {
  test::Documents documents(test::hard_texts());
  const auto trained = train_tokenizer(documents, small(400, "llama3"));
  const auto files = trained->files();
  REQUIRE(files.size() == 2);
  CHECK(files[0].name == "tokenizer.json");
  CHECK(files[1].name == "tokenizer_config.json");
  Companions companions;
  companions.files = {files[1]};
  companions.config = parse_json(files[1].content, "config");
  CHECK(companions.config["tokenizer_class"] == "PreTrainedTokenizerFast");
  CHECK(companions.config["clean_up_tokenization_spaces"] == false);
  CHECK_FALSE(companions.config.contains("model_max_length"));
  const auto loaded = tokenizer_from_json(files[0].content, companions, "test");
  CHECK(loaded->fingerprint() == trained->fingerprint());
  CHECK(loaded->special().eos == TokenId{0});
  for (const std::string& text : test::hard_texts()) CHECK(loaded->ids(text) == trained->ids(text));
}

TEST_CASE("long runs take no quadratic time") {
  test::Documents documents({std::string(300, 'a') + " aaaa aaaa    \n    \n" + std::string(200, ' ') + "x"});
  const auto tokenizer = train_tokenizer(documents, small(280));
  for (const char* unit : {"a", " ", "\n", "ab", "1", "'"}) {
    std::string text;
    while (text.size() < 1000000) text += unit;
    const auto start = std::chrono::steady_clock::now();
    const auto ids = tokenizer->ids(text);
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    INFO("'" << unit << "' took " << seconds.count() << " s");
    CHECK(seconds.count() < 20);  // 0.2 s on an idle machine; a quadratic merge takes hours
    CHECK(tokenizer->decode(ids) == text);
  }
}

TEST_CASE("wrong options are usage errors") {
  test::Documents documents({"x"});
  const auto code = [&](const TokenizerTraining& options) {
    try {
      train_tokenizer(documents, options);
    } catch (const Error& error) {
      return error.code();
    }
    return ExitCode::Done;
  };
  CHECK(code(small(100)) == ExitCode::Usage);
  CHECK(code(small(300, "gpt5")) == ExitCode::Usage);
  TokenizerTraining kind;
  kind.kind = "wordpiece";
  CHECK(code(kind) == ExitCode::Usage);
}

}  // namespace
}  // namespace lathe
