#include "trainer/run_directory.h"

#include <sys/stat.h>

#include <filesystem>

#include "checkpoints/store/store.h"
#include "data/io/file_system.h"
#include "data/io/json.h"
#include "recipes/schema/error.h"

namespace lathe {

namespace fs = std::filesystem;

namespace {

bool has_checkpoint(const std::string& path) { return !CheckpointStore(path).list().empty(); }

void move_aside(const std::string& path) {
  int number = 1;
  while (fs::exists(cat(path, ".", number))) ++number;
  real_file_system().rename(path, cat(path, ".", number));
}

void refuse_changed(const LoadedRecipe& loaded, const std::string& path) {
  const LoadedRecipe old = load_recipe_text(read_file(path + "/recipe.yaml"), path + "/recipe.yaml");
  std::string differences;
  for (const RecipeDifference& difference : compare_recipes(old.recipe, loaded.recipe))
    if (!may_change_on_resume(difference.key))
      differences += cat("\n  ", difference.key, ": ", difference.before, " -> ", difference.after);
  if (differences.empty()) return;
  fail_usage("'", path, "' holds a run of another recipe; these keys differ:", differences,
             "\ngive this one another name (name: or directory:), or start over with --fresh, which keeps the old run as ",
             path, ".1");
}

}  // namespace

bool may_change_on_resume(const std::string& key) {
  static const char* const allowed[] = {"name", "base", "train.max_steps", "train.epochs", "train.max_tokens",
                                        "train.max_minutes", "train.threads", "data.workers", "data.cache",
                                        "evaluate", "checkpoint", "export", "parallel"};
  for (const std::string prefix : allowed)
    if (key == prefix || key.starts_with(prefix + ".") || key.starts_with(prefix + "[")) return true;
  return false;
}

RunDirectory open_run(const LoadedRecipe& loaded, bool fresh) {
  RunDirectory run;
  run.path = loaded.recipe.directory;
  const bool is_run = fs::exists(run.path + "/run.json") || fs::exists(run.path + "/recipe.yaml");
  require(is_run || !fs::exists(run.path) || fs::is_empty(run.path), "'", run.path,
          "' exists and is no run of lathe; choose another directory:");
  if (is_run && (fresh || loaded.recipe.checkpoint.resume == "never")) {
    require(fresh, "'", run.path, "' holds a run and checkpoint.resume is never; --fresh keeps it as ", run.path, ".1");
    move_aside(run.path);
  } else if (is_run) {
    refuse_changed(loaded, run.path);
    run.existed = true;
    if (fs::exists(run.path + "/result.json")) {
      const Json result = read_json(run.path + "/result.json");
      run.finished = result.value("finished", false);
    }
  }
  require(loaded.recipe.checkpoint.resume != "must" || (run.existed && has_checkpoint(run.path)),
          "checkpoint.resume is must, and '", run.path, "' holds no checkpoint to resume");
  if (!run.existed) real_file_system().make_directory(run.path);
  ::chmod(run.path.c_str(), 0700);
  write_file_atomically(run.path + "/recipe.yaml", print_recipe(loaded));
  return run;
}

}  // namespace lathe
