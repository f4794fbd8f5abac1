#include "trainer/run_directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <map>

#include "checkpoints/store/store.h"
#include "data/io/file_system.h"
#include "data/io/json.h"
#include "recipes/schema/describe.h"
#include "recipes/schema/error.h"

namespace lathe {

namespace fs = std::filesystem;

namespace {

constexpr const char* kNotSet = "not set";  // compare_recipes()

bool has_checkpoint(const std::string& path) { return !CheckpointStore(path).list().empty(); }

// A small file of a run, which is written again when it is not there.
Json read_kept(const std::string& path) {
  try {
    Json json = read_json(path);
    require(json.is_object(), path, ": wanted an object, found ", json.type_name());
    return json;
  } catch (const Error& e) {
    throw Error(cat(e.what(), "\nThe run itself is in its checkpoints: remove ", path,
                    ", and the same command goes on from the newest"),
                e.code());
  }
}

void move_aside(const std::string& path) {
  int number = 1;
  while (fs::exists(cat(path, ".", number))) ++number;
  real_file_system().rename(path, cat(path, ".", number));
}

// Held until the last copy is gone; this process may open a run again (folds do). An Error when another one
// holds it.
std::shared_ptr<const int> lock_run(const std::string& path) {
  static std::map<std::string, std::weak_ptr<const int>> held_here;  // runs are opened by one thread
  std::weak_ptr<const int>& mine = held_here[fs::canonical(path).string()];
  if (auto lock = mine.lock()) return lock;
  const std::string name = path + "/lock";
  const int descriptor = ::open(name.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
  require(descriptor >= 0, name, ": cannot be created: ", std::strerror(errno));
  std::shared_ptr<const int> lock(new int(descriptor), [](const int* held) {
    ::close(*held);
    delete held;
  });
  if (::flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
    require(errno == EWOULDBLOCK, name, ": cannot be locked: ", std::strerror(errno));
    const std::string who = read_file(name, 32);
    fail("another process", who.empty() ? "" : " (" + who + ")", " trains '", path,
         "'; wait until it ends, stop it, or give this run another name (name: or directory:)");
  }
  const std::string who = cat("pid ", ::getpid());
  if (::ftruncate(descriptor, 0) != 0 || ::pwrite(descriptor, who.data(), who.size(), 0) < 0)
    fail(name, ": cannot be written: ", std::strerror(errno));
  mine = lock;
  return lock;
}

// A run of which nothing was kept, neither by itself nor by a fold or seed of it: what was learned is
// nothing, so the recipe that its owner mended takes the place.
bool holds_nothing(const std::string& path) {
  if (has_checkpoint(path) || fs::exists(path + "/result.json")) return false;
  std::error_code none;
  for (const auto& part : fs::directory_iterator(path + "/parts", none))
    if (!holds_nothing(part.path().string())) return false;
  return true;
}

// What a run leaves before its first checkpoint; the log of steps that nobody can go back to among it.
void clear(const std::string& path) {
  for (const char* name : {"run.json", "recipe.yaml", "base.json", "metrics.jsonl", "samples", "parts"})
    fs::remove_all(fs::path(path) / name);
  for (const auto& entry : fs::directory_iterator(path))
    if (entry.path().filename().string().starts_with("events.out.tfevents.")) fs::remove(entry.path());
}

// Whether `difference` is a value that a source has without anybody writing it, of a source that only one of
// the two recipes names: `data.validation[1].repeats: not set -> 1` tells nobody what was changed.
bool goes_without_saying(const RecipeDifference& difference,
                         const std::vector<RecipeDifference>& differences) {
  static const std::vector<FlatValue> usual = flatten(describe_fields(SourceSection{}));
  const bool added = difference.before == kNotSet;
  const std::size_t end = difference.key.find("].");
  if (end == std::string::npos || added == (difference.after == kNotSet)) return false;
  const std::string entry = difference.key.substr(0, end + 2), key = difference.key.substr(end + 2);
  const std::string& value = added ? difference.after : difference.before;
  const auto is_usual = [&](const FlatValue& one) { return one.key == key && one.value == value; };
  if (std::any_of(usual.begin(), usual.end(), is_usual)) return true;
  const auto named = std::find_if(differences.begin(), differences.end(),
                                  [&](const RecipeDifference& one) { return one.key == entry + "path"; });
  if (key != "name" || named == differences.end()) return false;
  std::string file = added ? named->after : named->before, name = value;
  for (std::string* text : {&file, &name}) std::erase(*text, '"');
  return fs::path(file).stem().string() == name;  // a set is called after its file
}

// max_steps and the other ends, evaluate, checkpoint, export, threads, parallel.
bool may_change_on_resume(const std::string& key) {
  static const char* const allowed[] = {"name",
                                        "base",
                                        "directory",
                                        "train.max_steps",
                                        "train.epochs",
                                        "train.max_tokens",
                                        "train.max_minutes",
                                        "train.threads",
                                        "data.workers",
                                        "data.cache",
                                        "data.cache_encodings",
                                        "evaluate",
                                        "checkpoint",
                                        "export",
                                        "parallel"};
  for (const std::string prefix : allowed)
    if (key == prefix || key.starts_with(prefix + ".") || key.starts_with(prefix + "[")) return true;
  return false;
}

// Whether `difference` is the place of something that both recipes have; Task::identity compares what is
// there.
bool other_place(const RecipeDifference& difference) {
  for (const std::string& value : {difference.before, difference.after})
    if (value == kNotSet || value == "\"\"") return false;
  const std::string& key = difference.key;
  const bool data = key.starts_with("data.train[") || key.starts_with("data.validation[");
  return key == "model.path" || key == "tokenizer.path" || (data && key.ends_with("].path"));
}

// The keys in which the recipe of the run differs, a line each; "" when it may go on.
std::string changed_keys(const LoadedRecipe& loaded, const std::string& path) {
  const LoadedRecipe old = load_recipe_text(read_file(path + "/recipe.yaml"), path + "/recipe.yaml");
  std::string told;
  const std::vector<RecipeDifference> differences = compare_recipes(old.recipe, loaded.recipe);
  for (const RecipeDifference& difference : differences)
    if (!may_change_on_resume(difference.key) && !other_place(difference) &&
        !goes_without_saying(difference, differences))
      told += cat("\n  ", difference.key, ": ", difference.before, " -> ", difference.after);
  return told;
}

void refuse_changed(const std::string& differences, const std::string& path) {
  fail_usage("'", path, "' holds a run of another recipe; these keys differ:", differences,
             "\ngive this one another name (name: or directory:), or start over with --fresh, which keeps "
             "the old run as ",
             path, ".1");
}

}  // namespace

void follow_moved_run(LoadedRecipe& loaded) {
  const fs::path file = loaded.file;
  if (file.filename() != "recipe.yaml" || loaded.source["directory"].starts_with("--set")) return;
  const std::string here = fs::absolute(file).parent_path().lexically_normal().string();
  std::error_code ignored;
  if (!fs::exists(here + "/run.json") || fs::equivalent(here, loaded.recipe.directory, ignored)) return;
  loaded.notes.push_back(cat("note: ", loaded.file,
                             ": is the recipe of the run that stands beside it; it was in ",
                             loaded.recipe.directory, " before"));
  loaded.recipe.directory = here;
}

std::string export_folder(const RunDirectory& run, const ExportSection& target) {
  return target.directory.empty() ? run.path + "/export/" + target.format : target.directory;
}

RunDirectory open_run(const LoadedRecipe& loaded, bool fresh) {
  RunDirectory run;
  run.path = loaded.recipe.directory;
  const bool is_run = fs::exists(run.path + "/run.json") || fs::exists(run.path + "/recipe.yaml");
  require(is_run || !fs::exists(run.path) || fs::is_empty(run.path), "'", run.path,
          "' exists and is no run of lathe; choose another directory:");
  if (is_run) run.lock = lock_run(run.path);
  if (is_run && (fresh || loaded.recipe.checkpoint.resume == "never")) {
    require(fresh, "'", run.path, "' holds a run and checkpoint.resume is never; --fresh keeps it as ",
            run.path, ".1");
    move_aside(run.path);
    run.lock.reset();  // of the old one
  } else if (const std::string changed = is_run ? changed_keys(loaded, run.path) : "";
             !changed.empty() && holds_nothing(run.path)) {
    clear(run.path);
  } else if (is_run) {
    if (!changed.empty()) refuse_changed(changed, run.path);
    run.existed = true;
    if (fs::exists(run.path + "/run.json")) read_kept(run.path + "/run.json");
    if (fs::exists(run.path + "/result.json")) {
      const Json result = read_kept(run.path + "/result.json");
      run.finished = result.value("finished", false);
    }
  }
  require(loaded.recipe.checkpoint.resume != "must" || (run.existed && has_checkpoint(run.path)),
          "checkpoint.resume is must, and '", run.path, "' holds no checkpoint to resume");
  if (!run.existed) {
    real_file_system().make_directory(run.path);
    run.lock = lock_run(run.path);
  }
  ::chmod(run.path.c_str(), 0700);
  write_file_atomically(run.path + "/recipe.yaml", print_recipe(loaded));
  return run;
}

}  // namespace lathe
