// What is printed is read back to the same values; comparing names what differs; reference and schema cover
// every key.
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>

#include "recipes/schema/describe.h"
#include "recipes/schema/error.h"
#include "recipes/schema/load.h"
#include "recipes/schema/reference.h"
#include "recipes/schema/yaml.h"
#include "tests/catch.h"
#include "tests/places.h"

using namespace lathe;
namespace fs = std::filesystem;

namespace {

// Every key away from its default, and text that wants quoting.
const std::string kFull =
    "name: 'no'\n"
    "directory: 'out: #1 \"x\"\\y'\n"
    "device: cpu\n"
    "model:\n"
    "  family: llama\n"
    "  size: 5m\n"
    "  hidden_size: 96\n"
    "  rope_theta: 1e6\n"
    "  quoted: '5'\n"
    "  nested: {list: [1, 'two', [a, b], {c: d, e: []}], empty: {}}\n"
    "tokenizer: {train: unigram, vocab_size: 300, pattern: llama3}\n"
    "data:\n"
    "  train: [{path: a, glob: '**/*.py', field: body, weight: 0.1, name: code, exclude: [x, 'y, z', '-'], "
    "repeats: 3, "
    "caption: 'a: b'}, "
    "\"d\\u00e9j\\u00e0\\tvu\\n\"]\n"
    "  validation: [{name: 'true', path: v}, w]\n"
    "  sequence_length: 64\n"
    "  packing: false\n"
    "  deduplicate: false\n"
    "  overlength: drop\n"
    "  encoding: skip\n"
    "  cache: c\n"
    "  workers: 3\n"
    "  fill_in_middle: {rate: 0.25, spm_rate: 0.75}\n"
    "  resolution: [96, 32]\n"
    "  channels: 1\n"
    "  background: 0.25\n"
    "  flip: true\n"
    "  crops: 3\n"
    "  bucket_step: 16\n"
    "  masks: alpha\n"
    "  trigger: 'sks: x'\n"
    "optimizer: {name: muon, learning_rate: 0.0003333333333333333, weight_decay: 0, beta1: 0.8, beta2: 0.91, "
    "eps: 1e-12,\n"
    "            muon_learning_rate: 0.03, muon_momentum: 0.9}\n"
    "schedule: {name: wsd, warmup_steps: 3, min_lr_ratio: 0.05, decay_ratio: 0.3}\n"
    "train: {max_steps: 50, max_tokens: 10e9, epochs: 1.25, max_minutes: 7, global_batch_size: 12, "
    "micro_batch_size: 4,\n"
    "        precision: bf16, max_grad_norm: 0.5, seed: 4611686018427387903, threads: 2, "
    "activation_checkpointing: true,\n"
    "        dropout: 0.1, on_spike: rollback, spike_sigma: 5}\n"
    "early_stopping: {patience: 3, min_delta: 0.01}\n"
    "evaluate: {every: 5, max_rows: 100, prompts: p.txt, sample_tokens: 7}\n"
    "checkpoint: {every: 10, keep_last: 5, keep_best: false, resume: must}\n"
    "parallel: {strategy: replicate}\n"
    "export: [{format: huggingface, dtype: fp16, directory: e, max_shard_bytes: 100_000}]\n";

// And the keys of tuning, which contradict some of those above.
const std::string kTuned =
    "task: sft\n"
    "model: {path: base, quantization: {kind: nf4, double: false}}\n"
    "adapter: {kind: dora, rank: 4, alpha: 6, dropout: 0.05, targets: [q_proj, v_proj]}\n"
    "data:\n"
    "  train: e.jsonl\n"
    "  validation: {folds: 4, fold: 3}\n"
    "  split_seed: 23\n"
    "  format: alpaca\n"
    "  loss_on: all\n"
    "  columns: {prompt: a, completion: b, input: c, system: d, messages: e, tools: f, text: g, choices: h, "
    "answer: i}\n"
    "  template: {prompt: '{a}: {b}', completion: '{c}'}\n"
    "evaluate: {metrics: [exact_match, chrf], probe: general.txt}\n"
    "train: {seeds: 3}\n"
    "report: {examples: none}\n"
    "tokenizer: {add_tokens: ['[a]'], add_special_tokens: ['<|b|>']}\n"
    "export: [{format: peft}]\n";
const std::string kTemplate =
    "task: sft\nmodel: {path: base, freeze: [embed_tokens, layers.0]}\ndata: {train: e.jsonl, template: "
    "'{a}'}\n";

const std::string kPictures =
    "task: diffusion\nmodel: {family: sd3}\ntokenizer: {train: byte_bpe}\ndata: {train: pictures}\n"
    "train: {epochs: 2}\nema: {decay: 0.99}\n"
    "diffusion: {prediction: velocity, schedule: cosine, shift: 3, zero_terminal_snr: true, timesteps: "
    "uniform,\n"
    "  logit_mean: 0.5, logit_std: 2, min_snr_gamma: 5, offset_noise: 0.05, condition_dropout: 0.2,\n"
    "  text_encoder: {hidden_size: 32, num_hidden_layers: 3, num_attention_heads: 4, max_length: 20},\n"
    "  sampling: {sampler: ddim, steps: 7, count: 4, guidance: 2.5, guidance_from: 0.1, guidance_until: "
    "0.9}}\n";

const std::string kSubject =
    "task: diffusion\nmodel: {path: base}\nadapter: {kind: lora, text_encoder: true}\ndata: {train: "
    "pictures}\n"
    "train: {epochs: 2}\nprior: {weight: 2, prompts: old.txt, pictures: 20, per_picture: 3}\n";

const std::string kWord =
    "task: diffusion\nmodel: {path: base}\ndata: {train: pictures, cache_encodings: false}\ntrain: {epochs: "
    "2}\n"
    "textual_inversion: {token: <wug>, initialise_from: a ring, vectors: 2}\n";

LoadedRecipe good(const std::string& text, const std::vector<std::string>& overrides = {}) {
  LoadedRecipe loaded = load_recipe_text(text, "/somewhere/x.yaml", overrides);
  std::string all;
  for (const auto& problem : loaded.problems) all += place_text(problem.place) + ": " + problem.text + "\n";
  INFO(all);
  REQUIRE(loaded.problems.empty());
  return loaded;
}

}  // namespace

TEST_CASE("a printed recipe reads back to the same values") {
  std::set<std::string> keys;  // the text above must leave no key at its default, or this test proves little
  const Recipe defaults;
  for (const std::string& text : {kFull, kTuned, kTemplate, kPictures, kSubject, kWord}) {
    const LoadedRecipe before = good(text);
    for (const auto& difference : compare_recipes(defaults, before.recipe)) keys.insert(difference.key);
    const LoadedRecipe after = load_recipe_text(print_recipe(before), "/elsewhere/other.yaml");
    REQUIRE(after.problems.empty());
    REQUIRE(compare_recipes(before.recipe, after.recipe).empty());
  }
  const LoadedRecipe before = good(kFull);
  for (const FlatValue& value : flatten(describe_fields(defaults))) {
    INFO(value.key);
    const bool fixed = value.key == "base" || value.key == "task" || value.key == "model.path" ||
                       value.key == "tokenizer.path";
    CHECK((fixed || keys.count(value.key) == 1));
  }
  for (bool with_sources : {false, true}) {
    const std::string text = print_recipe(before, with_sources);
    INFO(text);
    const LoadedRecipe after = load_recipe_text(text, "/elsewhere/other.yaml");
    for (const auto& problem : after.problems) UNSCOPED_INFO(place_text(problem.place) + ": " + problem.text);
    REQUIRE(after.problems.empty());
    for (const auto& d : compare_recipes(before.recipe, after.recipe))
      UNSCOPED_INFO(d.key + ": " + d.before + " | " + d.after);
    REQUIRE(compare_recipes(before.recipe, after.recipe).empty());
    REQUIRE(after.recipe.name == "no");
    REQUIRE(after.recipe.data.train[1].path == "/somewhere/d\u00e9j\u00e0\tvu\n");
    REQUIRE(after.recipe.optimizer.learning_rate == 0.0003333333333333333);
    REQUIRE(after.recipe.train.seed == 4611686018427387903);
    REQUIRE(after.recipe.model.config.entries.size() == 4);
    REQUIRE(after.recipe.model.config.entries[2].value->quoted);
    REQUIRE(print_recipe(after) == print_recipe(before));
  }
}

TEST_CASE("a short recipe and the built-in ones read back too") {
  ::setenv("LATHE_RECIPES", (test::source_folder() + "/recipes").c_str(), 1);
  REQUIRE(builtin_recipes().size() >= 2);
  for (const BuiltinRecipe& recipe : builtin_recipes()) {
    INFO(recipe.name);
    REQUIRE_FALSE(recipe.summary.empty());
    const LoadedRecipe before = load_recipe(recipe.name);
    for (const auto& problem : before.problems)
      UNSCOPED_INFO(place_text(problem.place) + ": " + problem.text);
    REQUIRE(before.problems.empty());
    REQUIRE(before.notes.empty());
    REQUIRE(before.file.empty());
    REQUIRE(before.recipe.name == recipe.name);
    const LoadedRecipe after = load_recipe_text(print_recipe(before), "/x/" + recipe.name + ".yaml");
    REQUIRE(after.problems.empty());
    REQUIRE(compare_recipes(before.recipe, after.recipe).empty());
  }
  ::unsetenv("LATHE_RECIPES");
}

TEST_CASE("built-in recipes are found by name, and a wrong name is told") {
  ::setenv("LATHE_RECIPES", (test::source_folder() + "/recipes").c_str(), 1);
  REQUIRE(load_recipe("quickstart.yaml").recipe.model.size == "5m");
  REQUIRE(load_recipe("pretrain/tiny").recipe.train.max_steps == 20);
  try {
    load_recipe("quickstat");
    FAIL("found");
  } catch (const Error& error) {
    REQUIRE(std::string(error.what()).find("(did you mean 'quickstart'?)") != std::string::npos);
    REQUIRE(error.code() == ExitCode::Usage);
  }
  REQUIRE_THROWS_AS(load_recipe(test::source_folder()), Error);
  ::unsetenv("LATHE_RECIPES");
}

TEST_CASE("comparing names the keys that differ") {
  const Recipe a = good(kFull).recipe;
  REQUIRE(compare_recipes(a, a).empty());
  const Recipe b = good(kFull, {"train.seed=18", "model.hidden_size=128", "data.train[0].weight=2",
                                "model.nested.list=[1]"})
                       .recipe;
  const auto differences = compare_recipes(a, b);
  std::vector<std::string> lines;
  for (const auto& d : differences) lines.push_back(d.key + ": " + d.before + " -> " + d.after);
  REQUIRE(lines == std::vector<std::string>{
                       "model.hidden_size: 96 -> 128", "model.nested.list[1]: \"two\" -> not set",
                       "model.nested.list[2][0]: a -> not set", "model.nested.list[2][1]: b -> not set",
                       "model.nested.list[3].c: d -> not set", "model.nested.list[3].e: [] -> not set",
                       "data.train[0].weight: 0.1 -> 2", "train.seed: 4611686018427387903 -> 18"});
  Recipe c = a;
  c.train.max_steps.reset();
  c.train.micro_batch_size.reset();
  const auto unset = compare_recipes(a, c);
  REQUIRE(unset.size() == 2);
  REQUIRE(unset[0].after == "not set");
  REQUIRE(unset[1].after == "auto");
}

TEST_CASE("sources are printed beside the values") {
  const std::string text = print_recipe(good(kFull, {"train.seed=18"}), true);
  REQUIRE(text.find("seed: 18") != std::string::npos);
  REQUIRE(text.find("# --set #1") != std::string::npos);
  REQUIRE(text.find("# /somewhere/x.yaml:5") != std::string::npos);
  REQUIRE(text.find("# default") != std::string::npos);
}

TEST_CASE("the reference names every key with type, default and help") {
  const std::string table = recipe_reference();
  for (const std::string& key : all_recipe_keys()) {
    INFO(key);
    REQUIRE(table.find("| `" + key + "` |") != std::string::npos);
  }
  REQUIRE(
      table.find(
          "| `optimizer.learning_rate` | number, 0 to 10 | `0.001` | peak rate of AdamW after warm-up |\n") !=
      std::string::npos);
  REQUIRE(table.find("| `train.micro_batch_size` | integer, 1 to 1048576, or auto | `auto` |") !=
          std::string::npos);
  REQUIRE(table.find("| `data.train[].path` |") != std::string::npos);
  REQUIRE(table.find("| `data.train[].exclude` | list of text |") != std::string::npos);
}

// Validated by a library of its own in tests/peers/test_recipe_schema.py.
TEST_CASE("the JSON Schema knows every key, and a family's only beside it", "[recipes]") {
  Field width;
  width.key = "n_wide";
  width.kind = Field::Kind::Integer;
  const std::string schema = recipe_json_schema({{"wide", "", {width}}});
  for (const std::string& key : all_recipe_keys()) {
    const std::string last = key.substr(key.find_last_of(".]") + 1);
    INFO(key);
    CHECK((last.empty() || schema.find("\"" + last + "\": {\"description\"") != std::string::npos));
  }
  CHECK(schema.find("\"const\": \"wide\"") != std::string::npos);
  CHECK(schema.find("\"n_wide\": {") > schema.find("\"const\": \"wide\""));
  CHECK(schema.find("\"additionalProperties\": true") == std::string::npos);
}
