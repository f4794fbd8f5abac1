// A recipe's YAML: every problem is reported, nothing is thrown; a good recipe prints to one that reads back
// to the same values.
#include "recipes/schema/load.h"
#include "tests/fuzz/target.h"

namespace lathe::fuzz {
namespace {

void run(std::string_view bytes) {
  const LoadedRecipe loaded = load_recipe_text(std::string(bytes), "fuzz.yaml");
  if (!loaded.problems.empty()) {
    for (const RecipeProblem& problem : loaded.problems) promise(!problem.text.empty());
    return;
  }
  const LoadedRecipe again = load_recipe_text(print_recipe(loaded), "fuzz.yaml");
  promise(again.problems.empty());
  promise(compare_recipes(loaded.recipe, again.recipe).empty());
}

std::vector<std::string> seeds() {
  std::string laughs = "a: &a [x, x, x, x, x, x, x, x, x]\n";
  for (char name = 'b'; name < 'j'; ++name) {
    laughs += std::string(1, name) + ": &" + name + " [";
    for (int i = 0; i < 9; ++i) laughs += std::string(i ? ", *" : "*") + static_cast<char>(name - 1);
    laughs += "]\n";
  }
  return {read_source_file("recipes/pretrain/quickstart.yaml"),
          read_source_file("recipes/pretrain/tiny.yaml"),
          "model: {family: llama, size: 5m}\ntokenizer: {train: byte_bpe, vocab_size: 512}\ndata: {train: "
          "corpus}\n"
          "train: {max_steps: 10, global_batch_size: 4, micro_batch_size: auto}\n",
          "name: x\ndata: &d\n  train: [{path: a, glob: \"**/*.py\", weight: 2.5}]\nevaluate: *d\n",
          laughs,
          "a: &a\n  b: *a\n",
          std::string(200, '[') + std::string(200, ']'),
          "? [complex, key]\n: !!binary aGVsbG8=\n",
          "a: |+2\n    text\n  more\nb: >-\n  folded\n  text\n",
          "--- x\n...\n--- y\n",
          "a: 'unclosed\nb: \"\\x41\\u00e9\\U0001F600\\N\"\n",
          ""};
}

}  // namespace

Target recipe_target() {
  return {"recipe",
          run,
          seeds,
          {"&a ", "*a",   "<<: ",  "- ",   "? ",     ": ",     "|\n",        ">-\n",   "!!str ",   "{",
           "}",   "[",    "]",     "\n",   "  ",     "\t",     "'",          "\"",     "0x10",     "010",
           "yes", ".inf", "1e400", "auto", "name: ", "base: ", "train:\n  ", "--- \n", "\xc3\xa9", "\xff"},
          6000};
}

}  // namespace lathe::fuzz
