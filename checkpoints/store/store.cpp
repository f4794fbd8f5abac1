#include "checkpoints/store/store.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <set>
#include <span>

#include "data/io/plain_name.h"
#include "checkpoints/formats/safetensors.h"
#include "checkpoints/store/manifest.h"
#include "checkpoints/store/temporary.h"
#include "data/io/hash.h"

namespace lathe {

namespace {

namespace files = std::filesystem;

constexpr const char* kFormat = "lathe-checkpoint";
constexpr const char* kPrefix = "step-";

std::string step_name(std::int64_t step) {
  char name[32];
  std::snprintf(name, sizeof name, "step-%08lld", static_cast<long long>(step));
  return name;
}

std::optional<std::int64_t> step_of(const std::string& name) {
  const std::string prefix = kPrefix;
  if (name.compare(0, prefix.size(), prefix) != 0) return std::nullopt;
  std::int64_t step = -1;
  const auto [end, error] = std::from_chars(name.data() + prefix.size(), name.data() + name.size(), step);
  if (error != std::errc() || end != name.data() + name.size() || step < 0 || step_name(step) != name)
    return std::nullopt;
  return step;
}

std::string write_text(const std::string& path, const std::string& text, FileSystem& fs) {
  const auto file = fs.create(path);
  file->write(std::as_bytes(std::span(text)));
  file->sync();
  file->close();
  return sha256_hex(text);
}

void write_step(const std::string& folder, std::int64_t step, const std::vector<CheckpointFile>& content,
                FileSystem& fs) {
  fs.make_directory(folder);
  CheckpointManifest manifest{kFormat, step, {}};
  std::set<std::string> names{kManifestName}, folders;
  for (const CheckpointFile& file : content) {
    require(is_plain_path(file.name) && names.insert(file.name).second, folder, ": file name '", file.name,
            "' is not plain or is there twice");
    const std::string path = folder + "/" + file.name;
    const std::string parent = files::path(path).parent_path().string();
    if (parent != folder && folders.insert(parent).second) fs.make_directory(parent);
    const std::string sha256 = file.tensors.empty()
                                   ? write_text(path, file.text, fs)
                                   : write_safetensors(path, file.tensors, {{"format", "pt"}}, fs);
    manifest.files.push_back({file.name, files::file_size(path), sha256});
  }
  for (const std::string& inner : folders) fs.sync_directory(inner);
  write_checkpoint_manifest(folder, manifest, fs);
}

// The name goes first, and durably: what a crash leaves of a removal never looks like a damaged checkpoint.
void discard(const std::string& path, FileSystem& fs) {
  const TemporaryName trash(path);
  fs.rename(path, trash.path());
  fs.sync_directory(files::path(path).parent_path().string());
  fs.remove_all(trash.path());
}

void remove_quietly(const std::string& path, FileSystem& fs) {
  try {
    fs.remove_all(path);
  } catch (const Error&) {
    // The failure that led here is the one to report; the next save removes what is left.
  }
}

// An Error's text when the step cannot be trusted.
std::string problem_of(const std::string& path, ManifestCheck depth) {
  try {
    const CheckpointManifest manifest = read_checkpoint_manifest(path);
    if (manifest.format != kFormat)
      return cat(path, "/", kManifestName, ": format '", manifest.format, "', wanted '", kFormat, "'");
    const auto step = step_of(files::path(path).filename().string());
    if (!step || manifest.step != *step)
      return cat(path, "/", kManifestName, ": is of step ", manifest.step, ", its folder has another name");
    return check_manifest(path, manifest, depth);
  } catch (const std::exception& e) {
    return e.what();
  }
}

void prune(const std::vector<CheckpointEntry>& all, std::int64_t saved, std::int64_t keep_last,
           std::optional<std::int64_t> best, FileSystem& fs) {
  std::int64_t kept = 0;
  std::vector<std::string> old;
  for (auto entry = all.rbegin(); entry != all.rend(); ++entry) {
    if (kept >= keep_last && entry->step != saved && entry->step != best)
      old.push_back(entry->path);
    else if (problem_of(entry->path, ManifestCheck::Sizes).empty())
      ++kept;  // damaged ones take nobody's place
  }
  try {
    for (const std::string& path : old) discard(path, fs);
  } catch (const Error& e) {
    fail("checkpoint ", step_name(saved), " is saved; an older one could not be removed: ", e.what());
  }
}

}  // namespace

CheckpointStore::CheckpointStore(std::string run_directory, FileSystem& fs)
    : directory_(std::move(run_directory) + "/checkpoints"), fs_(fs) {}

std::string CheckpointStore::save(std::int64_t step, const std::vector<CheckpointFile>& content,
                                  std::int64_t keep_last, std::optional<std::int64_t> best) {
  require(step >= 0 && keep_last >= 1, "checkpoint of step ", step, ", keep_last ", keep_last,
          ": the step must be at least 0, keep_last at least 1");
  if (!files::is_directory(directory_)) {
    fs_.make_directory(directory_);
    fs_.sync_directory(files::path(directory_).parent_path().string());
  }
  const std::string path = directory_ + "/" + step_name(step);
  if (!files::exists(path) || !check(path).empty()) {
    remove_leftovers(directory_, kPrefix, true, fs_);
    const TemporaryName temporary(path);
    try {
      write_step(temporary.path(), step, content, fs_);
      if (files::exists(path)) discard(path, fs_);
      publish_directory(temporary.path(), path, fs_);
    } catch (...) {
      remove_quietly(temporary.path(), fs_);
      throw;
    }
  }
  prune(list(), step, keep_last, best, fs_);
  return path;
}

std::vector<CheckpointEntry> CheckpointStore::list() const {
  std::vector<CheckpointEntry> entries;
  std::error_code error;
  for (const auto& entry : files::directory_iterator(directory_, error)) {
    const std::string name = entry.path().filename().string();
    const auto step = step_of(name);
    if (step && entry.is_directory()) entries.push_back({*step, directory_ + "/" + name});
  }
  std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) { return a.step < b.step; });
  return entries;
}

std::string CheckpointStore::check(const std::string& path) {
  return problem_of(path, ManifestCheck::Hashes);
}

std::optional<CheckpointEntry> CheckpointStore::newest(const std::function<void(const std::string&)>& warn) {
  try {
    remove_leftovers(directory_, kPrefix, false, fs_);
  } catch (const Error&) {
    // A reader of a folder that it may not write to still gets its checkpoint.
  }
  const std::vector<CheckpointEntry> all = list();
  for (auto entry = all.rbegin(); entry != all.rend(); ++entry) {
    const std::string problem = check(entry->path);
    if (problem.empty()) return *entry;
    if (warn) warn("skipping the damaged checkpoint " + step_name(entry->step) + ": " + problem);
  }
  return std::nullopt;
}

std::vector<std::string> CheckpointStore::put_aside_after(std::int64_t step) {
  std::vector<std::string> names;
  for (const CheckpointEntry& entry : list()) {
    if (entry.step <= step) continue;
    std::string aside = entry.path + ".damaged";
    for (int again = 2; files::exists(aside); ++again) aside = cat(entry.path, ".damaged-", again);
    fs_.rename(entry.path, aside);
    names.push_back(files::path(aside).filename().string());
  }
  if (!names.empty()) fs_.sync_directory(directory_);
  return names;
}

}  // namespace lathe
