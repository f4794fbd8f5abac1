// Real tokenizers and the ids published with them; only where the data folder lies beside the checkout.
#include <filesystem>

#include "data/io/file_system.h"
#include "data/tokenizers/load.h"
#include "data/tokenizers/tokenizer_json.h"
#include "tests/catch.h"
#include "tests/shared_data.h"
#include "tests/unit/data/tokenizers/support.h"

namespace lathe {
namespace {

const std::string kData = test::shared_data("tokenizers/");

bool present() { return !test::skipped_without(kData + "gpt2/encoder.json"); }

std::vector<std::string> split_lines(const std::string& text, const std::string& separator) {
  std::vector<std::string> parts;
  std::size_t at = 0;
  for (std::size_t found; (found = text.find(separator, at)) != text.npos; at = found + separator.size()) {
    parts.push_back(text.substr(at, found - at));
  }
  parts.push_back(text.substr(at));
  return parts;
}

std::unique_ptr<Tokenizer> gpt2() {
  Json model = {{"type", "BPE"}};
  append_key(model, "vocab", read_json(kData + "gpt2/encoder.json"));
  Json merges = Json::array();
  for (const std::string& line : split_lines(read_file(kData + "gpt2/vocab.bpe"), "\n")) {
    if (!line.empty() && line.rfind("#version", 0) != 0) merges.push_back(line);
  }
  append_key(model, "merges", std::move(merges));
  const Json byte_level = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", true}};
  const Json json = {{"pre_tokenizer", byte_level}, {"decoder", byte_level}, {"model", std::move(model)}};
  return tokenizer_from_json(json.dump(), {}, "gpt2");
}

TEST_CASE("GPT-2 gives the published ids on the hard texts") {
  if (!present()) return;
  const auto tokenizer = gpt2();
  CHECK(tokenizer->vocab_size() == 50257);
  CHECK(tokenizer->ids("Hello world") == std::vector<TokenId>{15496, 995});
  const std::string folder = kData + "hard_texts/ggml-vocab-gpt-2.gguf";
  const auto texts = split_lines(read_file(folder + ".inp"), "\n__ggml_vocab_test__\n");
  const auto lines = split_lines(read_file(folder + ".out"), "\n");
  REQUIRE(texts.size() == 47);
  REQUIRE(lines.size() >= texts.size());
  for (std::size_t i = 0; i < texts.size(); ++i) {
    std::istringstream in(lines[i]);
    in.imbue(std::locale::classic());
    std::vector<TokenId> expected;
    for (TokenId id; in >> id;) expected.push_back(id);
    std::string text = texts[i];
    if (i + 1 == texts.size() && !text.empty() && text.back() == '\n') text.pop_back();  // ends the file
    INFO(text);
    CHECK(tokenizer->ids(text) == expected);
    CHECK(tokenizer->decode(expected) == text);
  }
}

TEST_CASE("real tokenizers load; their text comes back") {
  if (!present()) return;
  for (const char* name : {"huggingface/phi-2", "huggingface/whisper.tiny", "mistral/tokenizer.model.v1",
                           "mistral/mistral_instruct_tokenizer_240323.model.v3"}) {
    const auto tokenizer = load_tokenizer(kData + name);
    const Json naughty = read_json(kData + "hard_texts/blns.json");
    for (const Json& entry : naughty) {
      const auto text = entry.get<std::string>();
      INFO(name << ": " << text);
      CHECK(tokenizer->decode(tokenizer->ids(text)) == text);
    }
  }
}

TEST_CASE("special ids of real tokenizers") {
  if (!present()) return;
  const auto mistral = load_tokenizer(kData + "mistral/tokenizer.model.v1");
  CHECK(mistral->special().bos == TokenId{1});
  CHECK(mistral->special().eos == TokenId{2});
  CHECK(mistral->special().unk == TokenId{0});
  CHECK(mistral->vocab_size() == 32000);
  const auto t5 = load_tokenizer(kData + "huggingface/t5-small");
  CHECK(t5->special().eos == TokenId{1});
  CHECK(t5->special().pad == TokenId{0});
  CHECK(t5->encode("Hello", {true, false}).ids.back() == 1);
}

}  // namespace
}  // namespace lathe
