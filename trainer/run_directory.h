#pragma once
// One run lives in one directory. Opened again unchanged it resumes; with a changed recipe it refuses, naming
// the keys;
// --fresh moves the old one aside. Run folders are private (0700). One process at a time trains a run:
// <run>/lock is held (flock) as long as a RunDirectory or a copy of it lives, and goes with the process,
// however that ends.
#include <memory>
#include <optional>
#include <string>

#include "recipes/schema/load.h"

namespace lathe {

struct RunDirectory {
  std::string path;
  bool existed = false;             // has a recipe and possibly checkpoints
  bool finished = false;            // result.json says so
  std::shared_ptr<const int> lock;  // a descriptor
};

// A recipe that stands in a run's folder is that run's, wherever the folder was moved or copied to: its
// directory becomes that folder, with a note. --set directory= is obeyed.
void follow_moved_run(LoadedRecipe& loaded);

// Where an export of the run goes: its own directory, or <run>/export/<format>.
std::string export_folder(const RunDirectory& run, const ExportSection& target);

// Creates or opens the directory; writes recipe.yaml when new. `fresh` moves an old one to <path>.1, .2 ...
RunDirectory open_run(const LoadedRecipe& loaded, bool fresh);

}  // namespace lathe
