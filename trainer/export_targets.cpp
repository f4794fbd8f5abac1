#include "trainer/export_targets.h"

#include <algorithm>
#include <filesystem>
#include <functional>

#include "checkpoints/exporters/export_folder.h"
#include "checkpoints/exporters/gguf_model.h"
#include "checkpoints/exporters/gguf_tokenizer.h"
#include "trainer/model_source.h"

namespace lathe {

namespace {

namespace fs = std::filesystem;

std::string message_of(const std::function<void()>& attempt) {
  try {
    attempt();
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

// The tokenizer that the export will hold, as far as it is there before training; null: it is trained.
std::shared_ptr<const Tokenizer> known_tokenizer(const Recipe& recipe) {
  if (!recipe.tokenizer.train.empty()) return nullptr;
  if (!recipe.tokenizer.path.empty()) return load_tokenizer(recipe.tokenizer.path);
  return recipe.model.path.empty() ? nullptr : load_model(resolve_model(recipe.model.path)).tokenizer;
}

// Why llama.cpp would not run the model or its tokenizer.
std::string gguf_objection(const Recipe& recipe, const ModelPlan& plan) {
  if (recipe.tokenizer.train == "unigram")
    return "llama.cpp runs no unigram tokenizer with such models; train with tokenizer: {train: byte_bpe}, "
           "or "
           "export huggingface";
  return message_of([&] {
    Bundle model;
    model.family = plan.family;
    model.config = plan.config;
    model.spec = plan.spec;
    model.tokenizer = known_tokenizer(recipe);
    check_gguf_model(model);
    if (!model.tokenizer) return;
    const auto ids = static_cast<std::int64_t>(model.tokenizer->vocab_size());
    model.spec.vocab_size = std::max(model.spec.vocab_size, ids);
    GgufMetadata metadata;
    add_gguf_tokenizer(model, metadata);
  });
}

}  // namespace

std::string source_would_be_lost(const std::string& output, const std::string& source) {
  std::error_code ignored;
  const fs::path target = fs::weakly_canonical(output, ignored), from = fs::weakly_canonical(source, ignored);
  const auto [end, rest] = std::mismatch(target.begin(), target.end(), from.begin(), from.end());
  if (end != target.end()) return "";
  return cat(output, " holds the model that is exported (", source,
             "), which would be lost; choose another folder");
}

void look_at_exports(LoadedRecipe& loaded, const ModelPlan* plan) {
  const Recipe& recipe = loaded.recipe;
  RunDirectory run;
  run.path = recipe.directory;
  for (std::size_t i = 0; i < recipe.exports.size(); ++i) {
    const ExportSection& target = recipe.exports[i];
    const auto object = [&](const std::string& what) {
      if (what.empty()) return;
      const Place place = place_of(loaded.places, loaded.file, cat("export[", i, "]"));
      loaded.problems.push_back({place, cat("export ", target.format, ": ", what)});
    };
    if (target.format == "gguf" && plan != nullptr) object(gguf_objection(recipe, *plan));
    for (const std::string& source : {recipe.directory, recipe.model.path})
      if (!source.empty()) object(source_would_be_lost(export_folder(run, target), source));
  }
}

void require_export_folders(const RunDirectory& run, const Recipe& recipe) {
  if (run.finished) return;
  for (const ExportSection& target : recipe.exports)
    require_replaceable(export_folder(run, target), /*overwrite=*/true);
}

Json write_exports(const RunDirectory& run, const Recipe& recipe, const WriteExport& write) {
  Json results = Json::array();
  for (const ExportSection& target : recipe.exports) {
    ExportOptions options;
    options.directory = export_folder(run, target);
    options.max_shard_bytes = static_cast<std::uint64_t>(target.max_shard_bytes);
    options.overwrite = true;
    Json entry = Json{{"format", target.format}, {"directory", options.directory}};
    try {
      entry.update(write(target, options));
    } catch (const Error& e) {
      if (e.code() == ExitCode::Interrupted) throw;
      entry["error"] = e.what();
    }
    results.push_back(entry);
  }
  return results;
}

std::string failed_exports(const Json& exports) {
  std::string text;
  for (const Json& entry : exports)
    if (entry.contains("error"))
      text += cat(text.empty() ? "" : "\n", "export ", entry.at("format").get<std::string>(), ": ",
                  entry.at("error").get<std::string>());
  return text;
}

}  // namespace lathe
