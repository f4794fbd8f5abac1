// Good recipes: values, precedence, sources, paths, aliases, printing and comparing.
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <locale>

#include "recipes/schema/error.h"
#include "recipes/schema/load.h"
#include "recipes/schema/yaml.h"
#include "tests/catch.h"
#include "tests/temporary_folder.h"

using namespace lathe;
namespace fs = std::filesystem;

namespace {

const std::string kGood =
    "model: {family: llama, size: 1m}\n"
    "tokenizer: {train: byte_bpe}\n"
    "data: {train: corpus.txt, validation: 0.1}\n"
    "train: {max_steps: 10}\n";

std::string problems_of(const LoadedRecipe& loaded) {
  std::string all;
  for (const auto& problem : loaded.problems) all += place_text(problem.place) + ": " + problem.text + "\n";
  return all;
}

LoadedRecipe good(const std::string& text, const std::vector<std::string>& overrides = {},
                  const std::string& file = "/somewhere/x.yaml") {
  LoadedRecipe loaded = load_recipe_text(text, file, overrides);
  INFO(problems_of(loaded));
  REQUIRE(loaded.problems.empty());
  REQUIRE_NOTHROW(throw_problems(loaded));
  return loaded;
}

}  // namespace

TEST_CASE("a short recipe is complete") {
  const Recipe r = good(kGood).recipe;
  REQUIRE(r.name == "x");
  REQUIRE(r.directory == (fs::current_path() / "runs/x").string());
  REQUIRE(r.task == "pretrain");
  REQUIRE(r.model.family == "llama");
  REQUIRE(r.data.train.size() == 1);
  REQUIRE(r.data.train[0].path == "/somewhere/corpus.txt");
  REQUIRE(r.data.train[0].field == "text");
  REQUIRE(r.data.validation.share == 0.1);
  REQUIRE(r.data.overlength == "split");
  REQUIRE(r.train.max_steps == 10);
  REQUIRE_FALSE(r.train.epochs);
  REQUIRE_FALSE(r.train.micro_batch_size);
  REQUIRE(r.optimizer.learning_rate == 1e-3);
}

TEST_CASE("every kind of value is read") {
  const Recipe r =
      good(kGood.substr(0, kGood.find("data:")) +
           "name: \"12\"\n"
           "directory: out/./deep/../here/\n"
           "data:\n"
           "  train: [{path: a, glob: '**/*.py', weight: 2, exclude: [x, 'y z']}, b.txt, {path: /c, field: "
           "body}]\n"
           "  validation: [{name: first, path: v1.txt}, sub/v2.jsonl]\n"
           "  packing: false\n"
           "train: {max_tokens: 10e9, epochs: 1.5, max_minutes: 5, max_steps: 10_000, micro_batch_size: 4,\n"
           "        precision: 'fp32'}\n"
           "optimizer: {name: muon, learning_rate: 6e-4}\n"
           "export: [{format: huggingface, dtype: fp32, directory: ex}]\n")
          .recipe;
  REQUIRE(r.name == "12");
  REQUIRE(r.directory == (fs::current_path() / "out/here").string());
  REQUIRE(r.data.train.size() == 3);
  REQUIRE(r.data.train[0].path == "/somewhere/a");
  REQUIRE(r.data.train[0].glob == "**/*.py");
  REQUIRE(r.data.train[0].weight == 2);
  REQUIRE(r.data.train[0].exclude == std::vector<std::string>{"x", "y z"});
  REQUIRE(r.data.train[1].path == "/somewhere/b.txt");
  REQUIRE(r.data.train[2].path == "/c");
  REQUIRE(r.data.train[2].field == "body");
  REQUIRE(r.data.validation.share == 0);
  REQUIRE(r.data.validation.sets.size() == 2);
  REQUIRE(r.data.validation.sets[0].name == "first");
  REQUIRE(r.data.validation.sets[1].path == "/somewhere/sub/v2.jsonl");
  REQUIRE(r.data.validation.sets[1].name == "v2");
  REQUIRE_FALSE(r.data.packing);
  REQUIRE(r.train.max_tokens == 10'000'000'000);
  REQUIRE(r.train.max_steps == 10'000);
  REQUIRE(r.train.epochs == 1.5);
  REQUIRE(r.train.max_minutes == 5.0);
  REQUIRE(r.train.micro_batch_size == 4);
  REQUIRE(r.exports.at(0).directory == (fs::current_path() / "ex").string());
}

TEST_CASE("folds and seeds of tuning are read, printed and compared") {
  const std::string text =
      "task: sft\nmodel: {path: base}\ndata: {train: a.jsonl, validation: {folds: 5}, split_seed: 3}\n"
      "train: {seeds: 2}\nearly_stopping: {patience: 2}\n";
  const LoadedRecipe loaded = good(text);
  REQUIRE(loaded.recipe.data.validation.folds.folds == 5);
  REQUIRE(loaded.recipe.data.validation.folds.fold == 0);
  REQUIRE(loaded.recipe.data.validation.sets.empty());
  REQUIRE(loaded.recipe.data.split_seed == 3);
  REQUIRE(loaded.recipe.train.seeds == 2);
  const LoadedRecipe one =
      load_recipe_text(text, "/somewhere/x.yaml", {"data.validation={folds: 5, fold: 2}"});
  REQUIRE(one.problems.empty());
  REQUIRE(one.recipe.data.validation.folds.fold == 2);
  const auto differences = compare_recipes(loaded.recipe, one.recipe);
  REQUIRE(differences.size() == 1);
  REQUIRE(differences[0].key == "data.validation");
  REQUIRE(differences[0].after == "{folds: 5, fold: 2}");
  const LoadedRecipe again = load_recipe_text(print_recipe(one), "/somewhere/x.yaml");
  REQUIRE(again.problems.empty());
  REQUIRE(compare_recipes(one.recipe, again.recipe).empty());
}

TEST_CASE("default < base < recipe < --set, and each value names its source") {
  const TemporaryFolder folder;
  folder.write(
      "base.yaml",
      kGood +
          "name: parent\ndirectory: runs/parent\noptimizer: {learning_rate: 5e-4, beta1: 0.8, beta2: 0.9}\n");
  const std::string file = folder.write(
      "child.yaml", "base: base.yaml\noptimizer: {lr: 4e-4, beta2: 0.99}\nevaluate: {prompts: p.txt}\n");
  const LoadedRecipe loaded =
      load_recipe(file, {"optimizer.beta2=0.95", "data.train=[{path: d.txt, weight: 1}, e.txt]"});
  INFO(problems_of(loaded));
  REQUIRE(loaded.problems.empty());
  const Recipe& r = loaded.recipe;
  REQUIRE(r.optimizer.eps == 1e-8);
  REQUIRE(r.optimizer.beta1 == 0.8);
  REQUIRE(r.optimizer.learning_rate == 4e-4);
  REQUIRE(r.optimizer.beta2 == 0.95);
  REQUIRE(r.train.max_steps == 10);
  REQUIRE(r.name == "child");
  REQUIRE(r.directory == (fs::current_path() / "runs/child").string());
  REQUIRE(r.evaluate.prompts == folder / "p.txt");
  REQUIRE(r.data.train.size() == 2);
  REQUIRE(r.data.train[0].path == (fs::current_path() / "d.txt").string());
  const std::string base = folder / "base.yaml";
  REQUIRE(loaded.source.at("optimizer.eps") == "default");
  REQUIRE(loaded.source.at("optimizer.beta1") == base + ":7");
  REQUIRE(loaded.source.at("optimizer.learning_rate") == file + ":2");
  REQUIRE(loaded.source.at("optimizer.beta2") == "--set #1");
  REQUIRE(loaded.source.at("data.train[0].weight") == "--set #2");
  REQUIRE(loaded.source.at("name") == "default");
  REQUIRE(loaded.notes == std::vector<std::string>{"note: " + file + ":2: 'lr' is read as 'learning_rate'"});
}

TEST_CASE("--set enters sections, lists and other spellings") {
  const std::string text = kGood + "export: [{format: huggingface}]\n";
  const Recipe r =
      good(text, {"train.max_steps=20", "train.max_steps=30", "export[0].dtype=fp32", "export.0.directory=o",
                  "schedule={name: wsd, warmup_steps: 2}", "lr=2e-3", "data.validation=v.txt",
                  "evaluate.prompts=p.txt", "name=a=b", "model.hidden_size=96"})
          .recipe;
  REQUIRE(r.train.max_steps == 30);
  REQUIRE(r.exports[0].dtype == "fp32");
  REQUIRE(r.exports[0].directory == (fs::current_path() / "o").string());
  REQUIRE(r.schedule.name == "wsd");
  REQUIRE(r.optimizer.learning_rate == 2e-3);
  REQUIRE(r.data.validation.sets.at(0).path == (fs::current_path() / "v.txt").string());
  REQUIRE(r.evaluate.prompts == (fs::current_path() / "p.txt").string());
  REQUIRE(r.name == "a=b");
  REQUIRE(r.model.config.entries.at(0).key == "hidden_size");

  const std::string list =
      "model: {family: llama}\ntokenizer: {train: bpe}\ndata: {train: [{path: a}, b]}\ntrain: {max_steps: "
      "10}\n";
  const Recipe s = good(list, {"data.train[0].path=c", "data.train[1].glob=*.md"}).recipe;
  REQUIRE(s.data.train[0].path == (fs::current_path() / "c").string());
  REQUIRE(s.data.train[1].path == "/somewhere/b");
  REQUIRE(s.data.train[1].glob == "*.md");
}

TEST_CASE("inputs are relative to their file, ~ is the home folder") {
  ::setenv("HOME", "/home/tester", 1);
  const Recipe r = good(
                       "model: {path: ../bases/m}\ndata: {train: ~/corpus, validation: ./v.txt}\n"
                       "train: {max_steps: 10}\n",
                       {}, "sub/dir/x.yaml")
                       .recipe;
  const fs::path here = fs::current_path();
  REQUIRE(r.model.path == (here / "sub/bases/m").string());
  REQUIRE(r.data.train[0].path == "/home/tester/corpus");
  REQUIRE(r.data.validation.sets.at(0).path == (here / "sub/dir/v.txt").string());
  const Recipe named = good(kGood, {"tokenizer.path=\"~\""}, "sub/dir/x.yaml").recipe;
  REQUIRE(named.tokenizer.path == "/home/tester");
}

TEST_CASE("other spellings are read with a note") {
  const LoadedRecipe loaded = good(
      "base_model: m\nmax_seq_length: 128\nnum_train_epochs: 2\nper_device_train_batch_size: 2\n"
      "gradient_accumulation_steps: 4\nlr_scheduler: linear\nwarmup_steps: 3\ndata: {train: a}\n"
      "training: {max_norm: 0.5, max_steps: 9}\neval: {interval: 5}\n");
  const Recipe& r = loaded.recipe;
  REQUIRE(r.model.path == "/somewhere/m");
  REQUIRE(r.data.sequence_length == 128);
  REQUIRE(r.train.epochs == 2.0);
  REQUIRE(r.train.micro_batch_size == 2);
  REQUIRE(r.train.global_batch_size == 8);
  REQUIRE(r.schedule.name == "linear");
  REQUIRE(r.schedule.warmup_steps == 3);
  REQUIRE(r.train.max_grad_norm == 0.5);
  REQUIRE(r.train.max_steps == 9);
  REQUIRE(r.evaluate.every == 5);
  const auto has = [&](const std::string& note) {
    return std::find(loaded.notes.begin(), loaded.notes.end(), "note: /somewhere/x.yaml:" + note) !=
           loaded.notes.end();
  };
  REQUIRE(has("1: 'base_model' is read as 'model.path'"));
  REQUIRE(has("6: 'lr_scheduler' is read as 'schedule.name'"));
  REQUIRE(has("9: 'training' is read as 'train'"));
  REQUIRE(has("9: 'max_norm' is read as 'max_grad_norm'"));
  REQUIRE(has("5: 'gradient_accumulation_steps' gives 'global_batch_size: 8'; accumulation is derived here"));

  const Recipe pictures =
      good(
          "task: diffusion\ntrain_data_dir: p\nresolution: 32\ntrigger_word: sks\n"
          "data: {flip_aug: true, bucket_reso_steps: 8}\nmodel: {path: m}\ntrain: {max_steps: 1}\n")
          .recipe;
  REQUIRE(pictures.data.train.at(0).path == "/somewhere/p");
  REQUIRE(pictures.data.resolution == std::vector<std::int64_t>{32});
  REQUIRE(pictures.data.trigger == "sks");
  REQUIRE(pictures.data.flip);
  REQUIRE(pictures.data.bucket_step == 8);

  const Recipe both =
      good(kGood + "gradient_accumulation_steps: 4\nglobal_batch_size: 16\nmicro_batch_size: 4\n").recipe;
  REQUIRE(both.train.micro_batch_size == 4);
  REQUIRE(good(kGood + "gradient_accumulation_steps: 4\n").recipe.train.micro_batch_size == 4);
}

TEST_CASE("anchors and aliases are read, with places of their own") {
  const LoadedRecipe loaded = good(
      "model: {family: llama}\ntokenizer: {train: bpe}\ndata: {train: [&a {path: p, weight: 1}, *a]}\ntrain: "
      "{max_steps: 10}\n");
  REQUIRE(loaded.recipe.data.train.at(1).path == "/somewhere/p");
  REQUIRE(loaded.recipe.data.train.at(1).weight == 1);
}

TEST_CASE("what has no effect is a note") {
  const LoadedRecipe loaded = good(kGood + "optimizer: {muon_momentum: 0.9}\n");
  REQUIRE(loaded.notes ==
          std::vector<std::string>{
              "note: /somewhere/x.yaml:5: 'optimizer.muon_momentum' has no effect with adamw"});
}

TEST_CASE("keys of pictures have no effect on texts") {
  const std::string text =
      "model: {family: llama, size: 1m}\ntokenizer: {train: byte_bpe}\n"
      "data: {train: a.txt, trigger: sks}\ntrain: {max_steps: 10}\n";
  REQUIRE(good(text).notes ==
          std::vector<std::string>{
              "note: /somewhere/x.yaml:3: 'data.trigger' has no effect without 'task: diffusion'"});
}

TEST_CASE("what recipes of older runs say is read") {
  const std::string text =
      "model: {family: llama, size: 1m}\ntokenizer: {train: byte_bpe}\ndata: {train: a.txt}\n";
  REQUIRE(good(text + "train: {max_steps: 10, z_loss: 0}\n").notes.empty());
  REQUIRE(good(text + "train: {max_steps: 10, z_loss: 1e-4}\n").notes ==
          std::vector<std::string>{"note: /somewhere/x.yaml:4: 'z_loss' never had an effect and is gone"});
}

TEST_CASE("keys of examples have no effect on texts") {
  const std::string text =
      "model: {family: llama, size: 1m}\ntokenizer: {train: byte_bpe}\n"
      "data: {train: a.jsonl, columns: {text: body}, loss_on: all}\ntrain: {max_steps: 10}\n";
  const std::string why = "' has no effect in pretraining, which reads texts (data.train[].field names them)";
  REQUIRE(good(text).notes == std::vector<std::string>{"note: /somewhere/x.yaml:3: 'data.columns.text" + why,
                                                       "note: /somewhere/x.yaml:3: 'data.loss_on" + why});
}

TEST_CASE("keys of texts have no effect on pictures") {
  const std::string text =
      "task: diffusion\nmodel: {path: base}\ndata: {train: pictures, sequence_length: 64, packing: false}\n"
      "train: {max_tokens: 10}\n";
  const auto none = [](const std::string& key, int line) {
    return cat("note: /somewhere/x.yaml:", line, ": '", key, "' has no effect with 'task: diffusion'");
  };
  REQUIRE(good(text).notes == std::vector<std::string>{
                                  none("data.sequence_length", 3), none("data.packing", 3),
                                  "note: /somewhere/x.yaml:4: 'train.max_tokens' counts pictures with 'task: "
                                  "diffusion'"});
}

TEST_CASE("a clock may stop a constant schedule") {
  const std::string text =
      kGood.substr(0, kGood.find("train: {max")) + "train: {max_minutes: 5}\nschedule: {name: constant}\n";
  REQUIRE(good(text).recipe.train.max_minutes == 5.0);
}

TEST_CASE("what is above chooses between ways that exclude each other") {
  const Recipe tuned = good(kGood, {"model.path=/m"}).recipe;
  REQUIRE(tuned.model.path == "/m");
  REQUIRE(tuned.model.family.empty());
  REQUIRE(tuned.model.size.empty());
  const Recipe named = good(kGood, {"tokenizer.path=/t"}).recipe;
  REQUIRE(named.tokenizer.path == "/t");
  REQUIRE(named.tokenizer.train.empty());
  const Recipe scratch =
      good("model: {path: m}\ntokenizer: {path: t}\ndata: {train: a}\ntrain: {max_steps: 3}\n",
           {"model={family: gpt2}", "tokenizer.train=bpe"})
          .recipe;
  REQUIRE(scratch.model.path.empty());
  REQUIRE(scratch.model.family == "gpt2");
  REQUIRE(scratch.tokenizer.path.empty());
  REQUIRE(good(kGood, {"model.size=5m"}).recipe.model.family == "llama");
  const std::string wide =
      "model: {family: llama, size: 1m, hidden_size: 128, num_hidden_layers: 2, rope_theta: 500}\n"
      "tokenizer: {train: byte_bpe}\ndata: {train: corpus.txt}\ntrain: {max_steps: 10}\n";
  REQUIRE(good(wide).recipe.model.config.entries.size() == 3);  // in one file the keys win
  const auto sized = good(wide, {"model.num_hidden_layers=4", "model.size=5m"}).recipe.model.config.entries;
  REQUIRE(sized.size() == 2);  // what stands below the size is replaced by it, what stands beside it is not
  for (const auto& entry : sized) REQUIRE((entry.key == "rope_theta" || entry.key == "num_hidden_layers"));
}

TEST_CASE("a locale with decimal commas and grouped digits changes nothing") {
  struct Comma : std::numpunct<char> {
    char do_decimal_point() const override { return ','; }
    char do_thousands_sep() const override { return '.'; }
    std::string do_grouping() const override { return "\3"; }
  };
  const std::locale before = std::locale::global(std::locale(std::locale::classic(), new Comma));
  const LoadedRecipe loaded =
      load_recipe_text(std::string(1999, '\n') + kGood + "optimizer: {eps: 1.5e-3, lr: x}\n", "/x.yaml",
                       {"train.max_tokens=1234567"});
  const std::string printed = print_recipe(loaded), problems = problems_of(loaded);
  std::locale::global(before);
  REQUIRE(loaded.recipe.optimizer.eps == 1.5e-3);
  REQUIRE(problems == "/x.yaml:2004:30: 'optimizer.learning_rate' wants a number, found 'x'\n");
  REQUIRE(printed.find("eps: 0.0015\n") != std::string::npos);
  REQUIRE(printed.find("max_tokens: 1234567\n") != std::string::npos);
  REQUIRE(loaded.source.at("optimizer.eps") == "/x.yaml:2004");
}

TEST_CASE("tuning is told to evaluate every epoch by the word or by nothing") {
  const std::string text = "task: sft\nmodel: {path: /m}\ndata: {train: e.jsonl, validation: 0.2}\n";
  REQUIRE(good(text + "evaluate: {every: epoch}\nearly_stopping: {patience: 2}\n").recipe.evaluate.every ==
          0);
  REQUIRE(good(text).recipe.optimizer.learning_rate == 1.8e-5);
  REQUIRE(good(text + "adapter: {kind: lora}\n").recipe.optimizer.learning_rate == 2e-4);
  REQUIRE(good(text + "optimizer: {learning_rate: 1e-3}\n").recipe.optimizer.learning_rate == 1e-3);
  REQUIRE(load_recipe_text(kGood + "evaluate: {every: epoch}\n", "/x.yaml").problems.size() == 1);
}
