#pragma once
// What `export:` asks for. Whether it can be written is told before anything is trained, not hours later: one
// more stage of checking a recipe (checks.h).
#include <functional>
#include <string>

#include "checkpoints/exporters/exporter.h"
#include "trainer/checks.h"
#include "trainer/run_directory.h"

namespace lathe {

// Adds a problem, at its key, for each export that must fail: a model or tokenizer that llama.cpp does not
// run, a folder that holds the base or the run. `plan` is the model's; null: not known, or of pictures.
void look_at_exports(LoadedRecipe& loaded, const ModelPlan* plan);

// Error when a folder that an unfinished run will export to holds something else.
void require_export_folders(const RunDirectory& run, const Recipe& recipe);

// Why `output` may not be written over: it is `source`, the folder of the model that is exported, or one that
// holds it. "" where it may.
std::string source_would_be_lost(const std::string& output, const std::string& source);

// Writes each by `write`, which gives its results: [{format, directory, ...}]. One that fails leaves its
// "error" and holds up no other.
using WriteExport = std::function<Json(const ExportSection&, const ExportOptions&)>;
Json write_exports(const RunDirectory& run, const Recipe& recipe, const WriteExport& write);
// "export gguf: <error>" of each that failed, as result.json's exports say; "" when all were written.
std::string failed_exports(const Json& exports);

}  // namespace lathe
