#include "trainer/model_source.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <regex>

#include "checkpoints/bundle/fingerprint.h"
#include "checkpoints/bundle/gguf_bundle.h"
#include "checkpoints/bundle/grow.h"
#include "checkpoints/diffusion/adapter_folder.h"
#include "checkpoints/diffusion/textual_inversion.h"
#include "checkpoints/exporters/picture_lora.h"
#include "checkpoints/store/store.h"
#include "data/io/shell_word.h"
#include "models/adapters/attach.h"
#include "recipes/schema/builtin.h"
#include "recipes/schema/load.h"

namespace lathe {

namespace fs = std::filesystem;

namespace {

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

std::string hub_cache() {
  if (std::string path = environment("HF_HUB_CACHE"); !path.empty()) return path;
  if (std::string path = environment("HF_HOME"); !path.empty()) return path + "/hub";
  return environment("HOME") + "/.cache/huggingface/hub";
}

bool in_hub_cache(const std::string& id) {
  std::string name = "models--" + id;
  name.replace(name.find('/'), 1, "--");
  return fs::exists(fs::path(hub_cache()) / name);
}

// "a, b, c ...": for somebody who looked for another.
std::string entries_of(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  std::string told;
  for (std::size_t i = 0; i < names.size() && i < 8; ++i) told += (i == 0 ? "" : ", ") + names[i];
  return names.empty() ? "nothing in it" : told + (names.size() > 8 ? " ..." : "");
}

// A snapshot of org/name in the Hub's local cache: models--org--name/snapshots/<revision in refs/main>.
ModelSource from_hub_cache(const std::string& id) {
  std::string name = "models--" + id;
  name.replace(name.find('/'), 1, "--");
  const fs::path root = fs::path(hub_cache()) / name;
  const fs::path reference = root / "refs" / "main";
  const std::string advice = cat("download it with:  hf download ", id);
  if (const fs::path folder = fs::path(id).parent_path(); !fs::exists(reference) && fs::is_directory(folder))
    fail_usage("model '", id, "' does not exist; ", folder.string(), "/ has ", entries_of(folder));
  if (!fs::exists(reference))
    fail_usage("model '", id, "' is neither a folder nor in the local Hub cache ", hub_cache(), "; ", advice);
  std::string revision = read_file(reference.string(), 4096);
  while (!revision.empty() && std::isspace(static_cast<unsigned char>(revision.back()))) revision.pop_back();
  const bool plain = std::regex_match(revision, std::regex("[0-9A-Za-z._-]+")) && revision != "..";
  require(plain, reference.string(), ": not a revision name: '", revision.substr(0, 80), "'");
  const fs::path snapshot = root / "snapshots" / revision;
  require(fs::exists(snapshot / "config.json") || is_pipeline(snapshot.string()),
          "the Hub cache has no complete copy of '", id, "' (", snapshot.string(),
          " lacks config.json and model_index.json); ", advice);
  return {snapshot.string(), "", -1, cat(id, " (local Hub cache)")};
}

std::int64_t best_step(const std::string& checkpoint) {
  const Json state = read_json(checkpoint + "/state.json");
  return json_get_or<std::int64_t>(state, "best_step", -1, checkpoint + "/state.json");
}

[[noreturn]] void refuse_damaged(const std::string& run, const std::string& damage, std::int64_t whole) {
  fail("run '", run, "': ", damage, "; the newest whole checkpoint is ", run, "@step-", whole,
       ": name it if it will do, or let `lathe train` go on from it");
}

ModelSource from_run(const std::string& run, const std::string& which) {
  CheckpointStore store(run);
  std::vector<CheckpointEntry> whole, damaged;
  std::string why_damaged;
  for (const CheckpointEntry& entry : store.list()) {
    const std::string wrong = CheckpointStore::check(entry.path);
    (wrong.empty() ? whole : damaged).push_back(entry);
    if (!wrong.empty())
      why_damaged += cat(why_damaged.empty() ? "" : "; ", "step ", entry.step, " is damaged (", wrong, ")");
  }
  require(!whole.empty(), "run '", run, "' has no whole checkpoint",
          damaged.empty() ? " yet; let it train until the first one" : ": ", why_damaged);
  const CheckpointEntry& last = whole.back();
  const bool unknown = !damaged.empty() && damaged.back().step > last.step;
  std::int64_t wanted = last.step;
  std::string why = "last";
  if (which.empty() || which == "best") {
    if (unknown) refuse_damaged(run, why_damaged, last.step);  // it may have been the best: only it knows
    const std::int64_t best = best_step(last.path);
    require(best >= 0 || which.empty(), "run '", run,
            "' was not validated, so it has no best checkpoint; use ", run, "@last");
    if (best >= 0) wanted = best, why = "best validation loss";
  } else if (which.starts_with("step-")) {
    wanted = std::strtoll(which.c_str() + 5, nullptr, 10);
    why = "as asked";
  } else if (which != "last") {
    fail_usage("'@", which, "' names no checkpoint; use @last, @best or @step-100");
  } else if (unknown) {
    why = cat("last whole one; ", why_damaged);
  }
  for (const CheckpointEntry& entry : damaged)
    if (entry.step == wanted) refuse_damaged(run, why_damaged, last.step);
  for (const CheckpointEntry& entry : whole)
    if (entry.step == wanted)
      return {entry.path, run, entry.step, cat(run, ", checkpoint step ", entry.step, " (", why, ")")};
  if (which.empty())
    return {last.path, run, last.step,
            cat(run, ", checkpoint step ", last.step, " (last; the best, step ", wanted, ", is not kept)")};
  std::string have;
  for (const CheckpointEntry& entry : whole) have += cat(have.empty() ? "" : ", ", entry.step);
  fail_usage("run '", run, "' has no checkpoint of step ", wanted, "; it has: ", have);
}

void refuse_pictures(const ModelSource& source) {
  require(!is_pipeline(source.folder) && !is_picture_adapter(source.folder) &&
              !is_textual_inversion(source.folder),
          source.description, " draws pictures and has no text model; use lathe sample");
}

}  // namespace

ModelSource resolve_model(const std::string& model) {
  std::string path = model, which;
  if (!fs::exists(path))
    if (const auto at = model.rfind('@'); at != std::string::npos && fs::exists(model.substr(0, at)))
      path = model.substr(0, at), which = model.substr(at + 1);
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  if (fs::exists(fs::path(path) / "run.json")) return from_run(path, which);
  require(which.empty(), "'", path, "' is not a run, so '@", which, "' names nothing in it");
  if (fs::exists(fs::path(path) / "config.json") || is_adapter_folder(path) || is_pipeline(path) ||
      is_textual_inversion(path))
    return {path, "", -1, path};
  if (path.ends_with(".gguf") && fs::is_regular_file(path)) return {path, "", -1, path};
  if (const std::string file = gguf_in_folder(path); !file.empty()) return {file, "", -1, file};
  if (!fs::exists(path)) {
    // A recipe's path was made absolute: its last two parts may name a model of the Hub.
    const fs::path whole = path;
    const std::string id = whole.is_absolute()
                               ? whole.parent_path().filename().string() + "/" + whole.filename().string()
                               : model;
    const bool may_be_id = std::regex_match(id, std::regex("[\\w.-]+/[\\w.-]+"));
    if (may_be_id && (!whole.is_absolute() || in_hub_cache(id))) return from_hub_cache(id);
    const std::string name = whole.filename().string();
    const bool made_here = whole.parent_path().filename() == "runs" && find_builtin(name);
    fail_usage(
        "model '", model, "' does not exist; wanted a run, an export, or a Hugging Face folder",
        whole.is_absolute() ? " (a relative path in a recipe counts from the recipe's own folder)" : "",
        made_here   ? cat("; make it first:  lathe train ", name)
        : may_be_id ? cat(". If the Hub's '", id, "' is meant, download it with:  hf download ", id)
                    : "");
  }
  fail("'", path,
       "' is no model: neither run.json (a run), config.json (a Hugging Face folder), model_index.json (a "
       "diffusers "
       "folder) nor a GGUF file is in it, nor is it Stable Diffusion in one .safetensors file");
}

PreparedData prepare_for(const Recipe& recipe, const PrepareProgress& progress, ReadyCheck check) {
  if (recipe.model.path.empty()) return prepare_data(recipe, progress, check);
  Recipe found = recipe;
  found.model.path = resolve_model(recipe.model.path).folder;
  if (found.model.path.ends_with(".gguf"))
    fail_usage(
        "model.path: ", found.model.path,
        " is a GGUF file, a form for engines; training starts from a Hugging Face folder: name the one that "
        "it was made from");
  return prepare_data(found, progress, check);
}

FoundBase find_base(const std::string& base, const ModelSource& source) {
  try {
    return {base, resolve_model(base)};
  } catch (const Error& e) {
    if (!fs::path(base).is_absolute() || fs::exists(base))
      fail(source.folder, ": its base cannot be found: ", e.what());
  }
  const std::string recipe = source.run + "/recipe.yaml";
  const bool run = !source.run.empty() && fs::exists(recipe);
  const std::string moved = run ? load_recipe(recipe).recipe.model.path : "";
  if (fs::exists(moved)) return {moved, resolve_model(moved)};
  fail(source.folder, ": its base ", base, " is not there any more; put it back, ",
       run ? "tell the run where it is now (lathe train RECIPE --set model.path=NEW_PLACE), " : "",
       "or link its new place there: ln -s NEW_PLACE ", shell_word(base));
}

void refuse_changed_base(const ModelSource& source, const ModelSource& base) {
  const bool run = !source.run.empty();
  const std::string path = run ? source.run + "/run.json" : source.folder + "/reference.json";
  if (!fs::exists(path)) return;
  const std::string learned = json_get_or<std::string>(read_json(path), "base_sha256", "", path);
  require(learned.empty() || learned == model_fingerprint(base.folder), base.folder, " has changed since ",
          run ? "the run '" : "'", run ? source.run : source.folder,
          "' was trained on it: its weights or its config.json are others, and an adapter fits its own base "
          "alone; bring the old one back, or train on the new one");
}

AdaptedModel load_adapted(const ModelSource& source) {
  refuse_pictures(source);
  const PeftAdapter settings = read_peft_config(source.folder);
  require(!settings.base.empty(), source.folder, "/", kPeftConfig,
          ": base_model_name_or_path is empty; name the base there");
  AdaptedModel model;
  const FoundBase base = find_base(settings.base, source);
  try {
    refuse_changed_base(source, base.source);
    model.base = load_model(base.source);
  } catch (const Error& e) {
    fail(source.folder, ": the adapter's base cannot be loaded: ", e.what());
  }
  model.adapter = read_peft(source.folder, *model.base.family, model.base.spec);
  model.adapter.base = base.model;
  const fs::path tokenizer = fs::path(source.folder) / "tokenizer.json";
  if (fs::exists(tokenizer)) model.base.tokenizer = load_tokenizer(source.folder);
  // Rows for tokens that the adapter brings: their values are its own.
  std::int64_t wanted = model.base.spec.vocab_size;
  for (const auto& [table, ids] : model.adapter.token_rows)
    for (const std::int64_t id : ids) wanted = std::max(wanted, id + 1);
  const std::int64_t there = model.base.spec.vocab_size;
  require(wanted == there || (model.base.tokenizer &&
                              wanted <= static_cast<std::int64_t>(model.base.tokenizer->vocab_size())),
          source.folder, ": trains the row of token ", wanted - 1, ", which the tokenizer does not have");
  model.base = grow_vocabulary(model.base, there, wanted - there);
  return model;
}

std::string portable_base(const std::string& base) {
  const ModelSource found = resolve_model(base);
  require(!is_adapter_folder(found.folder), "the base '", base,
          "' is an adapter on a base of its own, which PEFT cannot "
          "stack; export that one merged first (format: huggingface) and train on the result");
  if (found.run.empty() && !fs::exists(base)) {  // of the Hub's cache: its last two parts are the id
    const fs::path whole = base;
    return whole.parent_path().filename().string() + "/" + whole.filename().string();
  }
  return fs::absolute(found.folder).lexically_normal().string();
}

Bundle load_model(const ModelSource& source) {
  refuse_pictures(source);
  if (source.folder.ends_with(".gguf")) return read_gguf_bundle(source.folder);
  const bool whole = fs::exists(fs::path(source.folder) / "config.json") || is_adapter_folder(source.folder);
  if (const std::string file = whole ? "" : gguf_in_folder(source.folder); !file.empty())
    return read_gguf_bundle(file);
  if (!is_adapter_folder(source.folder)) return read_bundle(source.folder);
  return merged_model(load_adapted(source), source);
}

Bundle merged_model(const AdaptedModel& model, const ModelSource& source) {
  Bundle merged = merge_adapter(model.base, model.adapter);
  merged.origin = source.folder;
  return merged;
}

std::string shipped_description(const ModelSource& source) {
  const std::string& path = source.run.empty() ? source.folder : source.run;
  if (!source.description.starts_with(path)) return source.description;  // the Hub's name
  return base_name(fs::absolute(path).string()) + source.description.substr(path.size());
}

std::string shipped_base(const std::string& base) {
  const std::string found = portable_base(base);
  return fs::path(found).is_absolute() ? base_name(found) : found;
}

}  // namespace lathe
