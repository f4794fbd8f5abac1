// The reader alone: sections of a layer above, texts that are no YAML, and damaged files.
#include "recipes/schema/reader.h"

#include <algorithm>
#include <fstream>
#include <iterator>

#include "recipes/schema/load.h"
#include "recipes/schema/yaml_text.h"
#include "tests/catch.h"
#include "tests/places.h"

using namespace lathe;

namespace {

struct Rope {
  double theta = 10000;
  static void fields(auto& f, auto& c) {
    f("theta", c.theta, "base of the rotary frequencies", range(1.0, 1e9));
  }
};

struct Config {
  std::optional<std::int64_t> hidden_size;
  bool tie_word_embeddings = true;
  std::vector<std::int64_t> windows;
  Rope rope;
  std::optional<Rope> local_rope;
  std::vector<std::string> names;
  static void fields(auto& f, auto& c) {
    f("hidden_size", c.hidden_size, "width", range(1, 1 << 20));
    f("tie_word_embeddings", c.tie_word_embeddings, "one table for input and output");
    f("windows", c.windows, "attention window of each layer", range(0, 1 << 20));
    f("rope", c.rope, "rotary embedding");
    f("local_rope", c.local_rope, "of layers with a window");
    f("names", c.names, "of nothing");
  }
};

RawSection model_section(const std::string& model) {
  const std::string text =
      "tokenizer: {train: bpe}\ndata: {train: a}\ntrain: {max_steps: 3}\nmodel:\n  family: llama\n" + model;
  const LoadedRecipe loaded = load_recipe_text(text, "m.yaml");
  REQUIRE(loaded.problems.empty());
  return loaded.recipe.model.config;
}

std::vector<std::string> lines(const std::vector<RecipeProblem>& problems) {
  std::vector<std::string> out;
  for (const auto& problem : problems) out.push_back(place_text(problem.place) + ": " + problem.text);
  return out;
}

std::vector<std::string> problems_of(const std::string& text) {
  return lines(load_recipe_text(text, "t.yaml").problems);
}

}  // namespace

TEST_CASE("a family reads its part of `model` as strictly") {
  Config config;
  std::vector<RecipeProblem> problems;
  std::map<std::string, std::string> source;
  decode_section(
      model_section("  hidden_size: 64\n  windows: [1, 2_0]\n  local_rope: {theta: 5}\n  names: [a, 'b']\n"),
      config, problems, &source);
  REQUIRE(lines(problems).empty());
  REQUIRE(config.hidden_size == 64);
  REQUIRE(config.tie_word_embeddings);
  REQUIRE(config.windows == std::vector<std::int64_t>{1, 20});
  REQUIRE(config.rope.theta == 10000);
  REQUIRE(config.local_rope->theta == 5);
  REQUIRE(config.names == std::vector<std::string>{"a", "b"});
  REQUIRE(source.at("model.hidden_size") == "m.yaml:6");
  REQUIRE(source.at("model.rope.theta") == "default");
  REQUIRE(source.at("model.local_rope.theta") == "m.yaml:8");
}

TEST_CASE("a family's errors are the recipe's errors") {
  Config config;
  std::vector<RecipeProblem> problems;
  decode_section(
      model_section("  hiden_size: 64\n  tie_word_embeddings: yes\n  windows: [1, x]\n  rope: {theta: 0}\n"
                    "  famly: gpt2\n  sise: 5m\n  colour: red\n  local_rope:\n"),
      config, problems);
  std::vector<std::string> found = lines(problems);
  std::sort(found.begin(), found.end());
  std::vector<std::string> expected = {
      "m.yaml:6:3: unknown key 'hiden_size' in 'model' (did you mean 'hidden_size'?)",
      "m.yaml:7:24: 'model.tie_word_embeddings' wants true or false, found 'yes' (write true)",
      "m.yaml:8:16: 'model.windows[1]' wants an integer, found 'x'",
      "m.yaml:9:17: 'model.rope.theta' is 0, out of its range 1 to 1000000000",
      "m.yaml:10:3: unknown key 'famly' in 'model' (did you mean 'family'?)",
      "m.yaml:11:3: unknown key 'sise' in 'model' (did you mean 'size'?)",
      "m.yaml:12:3: unknown key 'colour' in 'model'",
      "m.yaml:13:3: 'model.local_rope' has no value; give one, or remove the key",
  };
  std::sort(expected.begin(), expected.end());
  REQUIRE(found == expected);
  REQUIRE(config.windows.empty());
  REQUIRE(config.rope.theta == 10000);
}

TEST_CASE("a raw section from text") {
  std::vector<RecipeProblem> problems;
  const RawSection raw = parse_raw_section("hidden_size: 8\n", "f.yaml", "model", problems);
  Config config;
  decode_section(raw, config, problems);
  REQUIRE(problems.empty());
  REQUIRE(config.hidden_size == 8);
}

TEST_CASE("texts that are no YAML text are refused at their place") {
  REQUIRE(problems_of("model: {family: llama}\nname: caf\xE9\n") ==
          std::vector<std::string>{"t.yaml:2:10: byte 0xe9 is not UTF-8; save the file as UTF-8"});
  REQUIRE(problems_of("name: \xC3\xA9 \xED\xA0\x80\n") ==
          std::vector<std::string>{"t.yaml:1:9: byte 0xed is not UTF-8; save the file as UTF-8"});
  REQUIRE(problems_of("name: \xC0\x80\n") ==
          std::vector<std::string>{"t.yaml:1:7: byte 0xc0 is not UTF-8; save the file as UTF-8"});
  REQUIRE(problems_of("\xFF\xFEn\0a\0") ==
          std::vector<std::string>{"t.yaml:1:1: byte 0xff is not UTF-8; save the file as UTF-8"});
  REQUIRE(problems_of(std::string("name: a\0b\n", 10)) ==
          std::vector<std::string>{"t.yaml:1:8: control character 0x00; remove it"});
  REQUIRE(problems_of("# " + std::string(1 << 20, 'x'))
              .at(0)
              .starts_with("t.yaml:1:1: the file has 1048578 bytes"));
}

TEST_CASE("a byte-order mark and carriage returns change nothing") {
  const std::string text =
      "model: {family: llama}\ntokenizer: {train: bpe}\ndata: {train: a}\ntrain: {max_steps: 3, seed: x}\n";
  std::string windows = "\xEF\xBB\xBF";
  for (char c : text) windows += c == '\n' ? std::string("\r\n") : std::string(1, c);
  REQUIRE(problems_of(text) ==
          std::vector<std::string>{"t.yaml:4:29: 'train.seed' wants an integer, found 'x'"});
  REQUIRE(problems_of(windows) == problems_of(text));
}

TEST_CASE("UTF-8 lengths") {
  REQUIRE(utf8_length_at("a", 0) == 1);
  REQUIRE(utf8_length_at("\xC3\xA9", 0) == 2);
  REQUIRE(utf8_length_at("\xE6\x97\xA5", 0) == 3);
  REQUIRE(utf8_length_at("\xF0\x9F\x98\x80", 0) == 4);
  for (const char* bad : {"\x80", "\xC1\x81", "\xC3", "\xE0\x80\x80", "\xED\xA0\x80", "\xF0\x80\x80\x80",
                          "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xE6\x97"}) {
    REQUIRE(utf8_length_at(bad, 0) == 0);
  }
}

TEST_CASE("damaged recipes are read to an end") {
  std::ifstream in(test::source_folder() + "/recipes/pretrain/quickstart.yaml");
  const std::string text((std::istreambuf_iterator<char>(in)), {});
  const std::string pieces = "{}[]:,-&*!|>'\"%@`#?~ \n\t0x<<.\\";
  std::uint64_t state = 12345;
  const auto next = [&](std::size_t below) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return static_cast<std::size_t>(state >> 33) % below;
  };
  std::size_t with_problems = 0;
  for (int round = 0; round < 3000; ++round) {
    std::string damaged = text;
    for (std::size_t edits = 1 + next(4); edits > 0; --edits) {
      const std::size_t at = next(damaged.size());
      if (next(3) == 0)
        damaged.erase(at, 1 + next(20));
      else if (next(2) == 0)
        damaged.insert(at, 1 + next(3), pieces[next(pieces.size())]);
      else
        damaged[at] = pieces[next(pieces.size())];
      if (damaged.empty()) damaged = "x";
    }
    const LoadedRecipe loaded = load_recipe_text(damaged, "t.yaml");
    with_problems += !loaded.problems.empty();
    if (loaded.problems.empty()) {
      const LoadedRecipe again = load_recipe_text(print_recipe(loaded), "t.yaml");
      INFO(damaged);
      INFO(print_recipe(loaded));
      REQUIRE(again.problems.empty());
      REQUIRE(compare_recipes(loaded.recipe, again.recipe).empty());
    }
  }
  REQUIRE(with_problems > 300);
  REQUIRE(with_problems < 3000);
}
