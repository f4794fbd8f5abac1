// CLIP's tokenizer: merges worked out by hand, and ids of transformers' CLIPTokenizer
// (scripts/make_clip_goldens.py).
#include "data/tokenizers/clip.h"

#include <filesystem>
#include <fstream>

#include "data/tokenizers/load.h"
#include "tests/catch.h"
#include "tests/complaints.h"
#include "tests/temporary_folder.h"
#include "tests/unit/data/tokenizers/support.h"

namespace lathe {
namespace {

using Ids = std::vector<TokenId>;

TokenizerTraining clip(std::size_t vocab_size) {
  TokenizerTraining options;
  options.kind = "clip_bpe";
  options.vocab_size = vocab_size;
  return options;
}

void write_files(const std::filesystem::path& folder, const std::vector<TokenizerFile>& files,
                 const std::string& left_out = "") {
  std::filesystem::create_directories(folder);
  for (const TokenizerFile& file : files) {
    if (file.name != left_out) std::ofstream(folder / file.name, std::ios::binary) << file.content;
  }
}

TEST_CASE("merges inside words that carry their end, worked out by hand") {
  // low 3 times, lower once: "l o" 4, then "lo w</w>" 3; every other pair occurs once, which ends it.
  const auto tokenizer = train_tokenizer(std::vector<std::string>{"Low low\n LOW", "lower"}, clip(600));
  CHECK(tokenizer->vocab_size() == 516);
  CHECK(tokenizer->token_text(0) == "!");
  CHECK(tokenizer->token_text(255) == "\xC5\x83");  // U+0143, the last of the alphabet
  CHECK(tokenizer->token_text(256) == "!</w>");
  CHECK(tokenizer->token_text(512) == "lo");
  CHECK(tokenizer->token_text(513) == "low</w>");
  CHECK(tokenizer->special().bos == TokenId{514});
  CHECK(tokenizer->special().eos == TokenId{515});
  CHECK(tokenizer->special().pad == TokenId{515});
  const Encoding encoding = tokenizer->encode("  LOW\t lower", {.add_special = true});
  CHECK(encoding.ids == Ids{514, 513, 512, 'w' - '!', 'e' - '!', 256 + 'r' - '!', 515});
  CHECK(encoding.begin == std::vector<std::size_t>{0, 2, 7, 9, 10, 11, 12});
  CHECK(encoding.end == std::vector<std::size_t>{0, 5, 9, 10, 11, 12, 12});
  CHECK(tokenizer->decode(encoding.ids) == "low lower");
  CHECK(tokenizer->decode(encoding.ids, true) == "<|startoftext|>low lower <|endoftext|>");
}

TEST_CASE("asked for a size, the vocabulary has it, and any byte has a token") {
  std::vector<std::string> captions;
  for (const char* colour : {"red", "green", "blue", "yellow"}) {
    for (const char* shape : {"circle", "square", "triangle"}) {
      for (const char* place : {"on the left", "on the right", "in the middle"})
        captions.push_back(cat("a ", colour, " ", shape, " ", place));
    }
  }
  const auto tokenizer = train_tokenizer(captions, clip(550));
  CHECK(tokenizer->vocab_size() == 550);
  CHECK(tokenizer->decode(tokenizer->ids("a Yellow triangle")) == "a yellow triangle");
  CHECK(tokenizer->decode(tokenizer->ids("\xF0\x9F\x98\x80 \xC3\x89t\xC3\xA9?")) ==
        "\xF0\x9F\x98\x80 \xC3\xA9t\xC3\xA9 ?");
  CHECK(train_tokenizer(captions, clip(550))->fingerprint() == tokenizer->fingerprint());
}

TEST_CASE("ids, rows and texts equal those of transformers' CLIPTokenizer") {
  const auto tokenizer = load_tokenizer(test::fixture("clip_folder"));
  const Json cases = read_json(test::fixture("clip_folder/expected.json"));
  REQUIRE(cases.size() > 50);
  for (const Json& expected : cases) {
    const auto text = expected["text"].get<std::string>();
    INFO(text);
    const Ids ids = tokenizer->encode(text, {.add_special = true}).ids;
    CHECK(ids == expected["ids"].get<Ids>());
    const Ids row = expected["row"].get<Ids>();
    const PromptIds prompt = prompt_ids(*tokenizer, text, row.size());
    CHECK(prompt.ids == row);
    CHECK(prompt.wanted == ids.size());
    const bool separator = text.find('\x1c') != text.npos;  // white space to Python's strip(), not to \s
    if (!separator) CHECK(tokenizer->decode(ids) == expected["decoded"].get<std::string>());
  }
}

TEST_CASE("control tokens in a caption are text unless asked for") {
  const auto tokenizer = load_tokenizer(test::fixture("clip_folder"));
  const TokenId end = *tokenizer->special().eos;
  for (const TokenId id : tokenizer->ids("a <|endoftext|> b")) CHECK(id != end);
  CHECK(tokenizer->encode("<|endoftext|>", {.parse_special = true}).ids == Ids{end});
}

TEST_CASE("the older folder, tokenizer.json alone and what is written back agree") {
  const auto old = load_tokenizer(test::fixture("clip_folder"));
  const TemporaryFolder folder;
  write_files(folder / "whole", old->files());
  const auto again = load_tokenizer(folder / "whole");
  CHECK(again->fingerprint() == old->fingerprint());
  write_files(folder / "old", old->files(), "tokenizer.json");
  CHECK(load_tokenizer(folder / "old")->fingerprint() == old->fingerprint());
  write_files(folder / "alone", {{"tokenizer.json", test::file_of(*old, "tokenizer.json")}});
  const auto alone = load_tokenizer(folder / "alone");
  CHECK(alone->special().bos == old->special().bos);
  CHECK(alone->special().pad == old->special().pad);
  CHECK(read_json(test::fixture("clip_folder/vocab.json")) ==
        parse_json(test::file_of(*alone, "vocab.json"), "vocab.json"));
  std::ifstream merges(test::fixture("clip_folder/merges.txt"), std::ios::binary);
  CHECK(std::string(std::istreambuf_iterator<char>(merges), {}) == test::file_of(*alone, "merges.txt"));
  CHECK(parse_json(test::file_of(*alone, "tokenizer_config.json"), "config")["tokenizer_class"] ==
        "CLIPTokenizer");
}

TEST_CASE("padding is what the folder says, as in Stable Diffusion 2") {
  auto files = load_tokenizer(test::fixture("clip_folder"))->files();
  for (TokenizerFile& file : files) {
    if (file.name == "tokenizer_config.json")
      file.content = R"({"tokenizer_class": "CLIPTokenizer", "pad_token": "!"})";
    if (file.name == "special_tokens_map.json") file.content = R"({"pad_token": "!"})";
  }
  const TemporaryFolder folder;
  write_files(folder.path(), files);
  const auto tokenizer = load_tokenizer(folder.path());
  CHECK(tokenizer->special().pad == TokenId{0});
  CHECK(tokenizer->special().eos == TokenId{672});
  CHECK(prompt_ids(*tokenizer, "", 4).ids == Ids{671, 672, 0, 0});
}

TEST_CASE("files for engines: class, length and names") {
  TokenizerTraining options = clip(514);
  options.model_max_length = 32;
  const auto tokenizer = train_tokenizer(std::vector<std::string>{"a b"}, options);
  const Json config = parse_json(test::file_of(*tokenizer, "tokenizer_config.json"), "config");
  CHECK(config["tokenizer_class"] == "CLIPTokenizer");
  CHECK(config["model_max_length"] == 32);
  const Json map = parse_json(test::file_of(*tokenizer, "special_tokens_map.json"), "map");
  CHECK(map["bos_token"] == "<|startoftext|>");
  CHECK(map["pad_token"] == "<|endoftext|>");
  CHECK(parse_json(test::file_of(*tokenizer, "vocab.json"), "vocab").size() == 514);
  CHECK(test::file_of(*tokenizer, "merges.txt") == "#version: 0.2\n");
}

TEST_CASE("what is no vocabulary of CLIP's is named") {
  const TemporaryFolder folder;
  const auto problem = [&](const char* vocabulary, const char* config, const char* merges) {
    write_files(folder.path(),
                {{"vocab.json", vocabulary}, {"tokenizer_config.json", config}, {"merges.txt", merges}});
    return test::error_of([&] { load_tokenizer(folder.path()); });
  };
  CHECK(test::contains(problem("{}", R"({"tokenizer_class": "GPT2Tokenizer"})", ""), "GPT2Tokenizer"));
  CHECK(test::contains(problem(R"({"a": 0})", "{}", ""), "<|startoftext|>"));
  const char* small = R"({"a": 0, "b</w>": 1, "<|startoftext|>": 2, "<|endoftext|>": 3})";
  CHECK(test::contains(problem(small, "{}", "#version: 0.2\na b</w>\n"), "merge 0"));
  CHECK(test::contains(problem("[]", "{}", ""), "not a vocabulary"));
  CHECK(test::contains(problem(small, R"({"unk_token": 3})", ""), "unk_token"));
  CHECK(problem(small, "{}", "#version: 0.2\n").empty());
}

TEST_CASE("wrong sizes are usage errors; a row needs its names") {
  const std::vector<std::string> texts{"x"};
  CHECK(test::contains(test::error_of([&] { train_tokenizer(texts, clip(513)); }), "514"));
  TokenizerTraining options = clip(600);
  options.eos = "</s>";
  CHECK(test::contains(test::error_of([&] { train_tokenizer(texts, options); }), "<|endoftext|>"));
  const auto text_model = load_tokenizer(test::fixture("gpt2.tokenizer.json"));
  CHECK(test::contains(test::error_of([&] { prompt_ids(*text_model, "x", 8); }), "padding"));
  const auto tokenizer = train_tokenizer(texts, clip(514));
  CHECK(test::contains(test::error_of([&] { prompt_ids(*tokenizer, "x", 1); }), "room"));
}

}  // namespace
}  // namespace lathe
