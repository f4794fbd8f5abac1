// tokenizer.json is untrusted: what is wrong or unknown is an Error that names it.
#include "data/tokenizers/load.h"
#include "tests/catch.h"
#include "tests/places.h"
#include "tests/unit/data/tokenizers/support.h"

namespace lathe {
namespace {

Json base() { return read_json(test::fixture("gpt2.tokenizer.json")); }

std::string problem(const Json& json) {
  return test::error_of([&] { tokenizer_from_json(json.dump(), {}, "bad.json"); });
}

template <class Change>
std::string problem_after(Change&& change) {
  Json json = base();
  change(json);
  return problem(json);
}

TEST_CASE("unsupported constructs are named") {
  CHECK(problem(base()).empty());
  CHECK(test::contains(problem_after([](Json& j) {
                         j["normalizer"] = {{"type", "BertNormalizer"}};
                       }),
                       "BertNormalizer"));
  CHECK(test::contains(problem_after([](Json& j) {
                         j["pre_tokenizer"] = {{"type", "UnicodeScripts"}};
                       }),
                       "UnicodeScripts"));
  CHECK(test::contains(problem_after([](Json& j) { j["decoder"] = {{"type", "CTC"}}; }), "CTC"));
  CHECK(test::contains(problem_after([](Json& j) { j["post_processor"] = {{"type", "Odd"}}; }), "Odd"));
  CHECK(test::contains(problem_after([](Json& j) { j["model"]["type"] = "WordPiece"; }), "WordPiece"));
  CHECK(test::contains(problem_after([](Json& j) { j["model"]["dropout"] = 0.1; }), "dropout"));
}

TEST_CASE("wrong values are refused with the file's name") {
  const auto refused = [](const std::string& text, const std::string& part) {
    return test::contains(text, "bad.json") && test::contains(text, part);
  };
  CHECK(refused(problem_after([](Json& j) { j.erase("model"); }), "model"));
  CHECK(refused(problem_after([](Json& j) { j["model"]["vocab"]["!"] = -1; }), "-1"));
  CHECK(refused(problem_after([](Json& j) { j["model"]["vocab"]["!"] = 4000000000u; }), "4000000000"));
  CHECK(refused(problem_after([](Json& j) { j["model"]["vocab"]["!"] = 2; }), "two"));
  CHECK(refused(problem_after([](Json& j) { j["model"]["vocab"] = 3; }), "vocab"));
  CHECK(refused(problem_after([](Json& j) { j["model"]["merges"].push_back("a"); }), "merge"));
  CHECK(refused(problem_after([](Json& j) { j["model"]["merges"].push_back({"zz", "q"}); }), "zz"));
  CHECK(refused(problem_after([](Json& j) { j["added_tokens"][0]["id"] = 7; }), "<|endoftext|>"));
  CHECK(refused(problem_after([](Json& j) { j["added_tokens"][0]["content"] = std::string(5000, 'x'); }),
                "5000"));
  CHECK(refused(problem_after([](Json& j) {
                  j["normalizer"] = {{"type", "Precompiled"}, {"precompiled_charsmap", "////"}};
                }),
                "charsmap"));
}

TEST_CASE("both forms of merges are one") {
  Json pairs = base(), strings = base();
  strings["model"]["merges"] = Json::array();
  for (const Json& merge : pairs["model"]["merges"]) {
    strings["model"]["merges"].push_back(merge[0].get<std::string>() + " " + merge[1].get<std::string>());
  }
  const auto a = tokenizer_from_json(pairs.dump(), {}, "pairs"),
             b = tokenizer_from_json(strings.dump(), {}, "strings");
  for (const std::string& text : test::hard_texts()) CHECK(a->ids(text) == b->ids(text));
}

TEST_CASE("special ids come from the companions in order") {
  Companions companions;
  companions.config = {{"eos_token", {{"content", "<|endoftext|>"}}}, {"pad_token", "!"}};
  companions.map = {{"bos_token", "<|endoftext|>"}};
  companions.generation = {{"eos_token_id", 5}, {"bos_token_id", {6, 7}}};
  const auto tokenizer = tokenizer_from_json(base().dump(), companions, "f");
  CHECK(tokenizer->special().eos == TokenId{0});
  CHECK(tokenizer->special().bos == TokenId{0});
  CHECK(tokenizer->special().pad == TokenId{1});
  CHECK_FALSE(tokenizer->special().unk.has_value());
  companions.config = Json::object();
  companions.map = nullptr;
  const auto by_generation = tokenizer_from_json(base().dump(), companions, "f");
  CHECK(by_generation->special().eos == TokenId{5});
  CHECK(by_generation->special().bos == TokenId{6});
  companions.config = {{"eos_token", "<gone>"}};
  CHECK(
      test::contains(test::error_of([&] { tokenizer_from_json(base().dump(), companions, "f"); }), "<gone>"));
}

TEST_CASE("tokens that only the files beside tokenizer.json name are added") {
  const auto plain = tokenizer_from_json(base().dump(), {}, "f");
  const auto next = static_cast<std::int64_t>(plain->vocab_size());
  Companions decoder, legacy;
  decoder.config = {
      {"eos_token", "<|im_end|>"},
      {"added_tokens_decoder",
       {{std::to_string(next), {{"content", "<|im_end|>"}, {"special", true}, {"normalized", false}}},
        {"0", {{"content", "<|endoftext|>"}, {"special", true}}}}}};
  legacy.added = {{"<|im_end|>", static_cast<std::uint64_t>(next)}};
  legacy.map = {{"additional_special_tokens", {"<|im_end|>"}}};
  for (const Companions& companions : {decoder, legacy}) {
    const auto tokenizer = tokenizer_from_json(base().dump(), companions, "f");
    CHECK(tokenizer->token_id("<|im_end|>") == static_cast<TokenId>(next));
    CHECK(tokenizer->is_special(static_cast<TokenId>(next)));
    CHECK(tokenizer->encode("a<|im_end|>", {false, true}).ids.back() == static_cast<TokenId>(next));
    CHECK(tokenizer->ids("a<|im_end|>").back() != static_cast<TokenId>(next));  // a user's text
    const auto again = tokenizer_from_json(test::file_of(*tokenizer, "tokenizer.json"), {}, "written");
    CHECK(again->vocab_size() == plain->vocab_size() + 1);  // engines that read tokenizer.json alone have it
  }
  CHECK(tokenizer_from_json(base().dump(), decoder, "f")->special().eos == static_cast<TokenId>(next));
  decoder.config["added_tokens_decoder"] = {{"x", {{"content", "<y>"}}}};
  CHECK(test::contains(test::error_of([&] { tokenizer_from_json(base().dump(), decoder, "f"); }),
                       "added_tokens_decoder names the id 'x'"));
}

TEST_CASE("a path that holds no tokenizer says what was wanted") {
  CHECK(test::contains(test::error_of([] { load_tokenizer("/nonexistent/x"); }), "/nonexistent/x"));
  CHECK(test::contains(test::error_of([] { load_tokenizer(test::source_folder() + "/cmake"); }),
                       "tokenizer.json"));
}

TEST_CASE("a post-processor's ids are tokens of the file") {
  CHECK(test::contains(
      problem_after([](Json& j) {
        j["post_processor"] = {{"type", "RobertaProcessing"}, {"sep", {"</s>", 99505}}, {"cls", {"<s>", 0}}};
      }),
      "id 99505 is neither in the vocabulary nor an added token"));
}

TEST_CASE("a special token of a unigram vocabulary that a text writes out stays text") {
  Json vocab = Json::array({{"<unk>", 0.0}, {"</s>", 0.0}});
  for (const char* piece : {"<", "/", "s", ">", "a", "\u2581"}) vocab.push_back({piece, -5.0});
  const Json json = {{"added_tokens", {{{"id", 1}, {"content", "</s>"}, {"special", true}}}},
                     {"model", {{"type", "Unigram"}, {"unk_id", 0}, {"vocab", vocab}}}};
  const auto tokenizer = tokenizer_from_json(json.dump(), {}, "unigram.json");
  CHECK(tokenizer->encode("a</s>a", {}).ids == std::vector<TokenId>{6, 2, 3, 4, 5, 6});
  EncodeOptions asked;
  asked.parse_special = true;
  CHECK(tokenizer->encode("a</s>a", asked).ids == std::vector<TokenId>{6, 1, 6});
}

}  // namespace
}  // namespace lathe
