#include "checkpoints/exporters/export_folder.h"

#include <sys/stat.h>

#include <filesystem>
#include <set>
#include <span>

#include "data/io/plain_name.h"
#include "data/io/hash.h"
#include "recipes/schema/error.h"

namespace lathe {

namespace {

namespace files = std::filesystem;

constexpr const char* kFormat = "lathe-export";

std::string without_trailing_slash(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

std::string parent_of(const std::string& path) {
  const std::string parent = files::path(path).parent_path().string();
  return parent.empty() ? "." : parent;
}

}  // namespace

// Our own export holds what its manifest lists and nothing that somebody added.
void require_replaceable(const std::string& target, bool overwrite) {
  if (!files::exists(files::symlink_status(target))) return;
  require(files::is_directory(target) && !files::is_symlink(files::symlink_status(target)), target,
          ": exists and is not a folder; choose another name");
  if (files::is_empty(target)) return;
  CheckpointManifest manifest;
  try {
    manifest = read_checkpoint_manifest(target);
  } catch (const std::exception&) {
    manifest.format.clear();
  }
  require(manifest.format == kFormat, target,
          ": exists and is not an export of this program; choose another name");
  require(overwrite, target, ": exists; choose another name, or replace that export (--overwrite)");
  const std::string added = added_file(target, manifest);
  require(added.empty(), added, ": is not part of the export and would be lost; move it away");
}

std::string added_file(const std::string& folder, const CheckpointManifest& manifest) {
  std::set<std::string> known{kManifestName, "verification.json"};  // written once the rest can be read
  for (const ManifestFile& file : manifest.files) {
    known.insert(file.name);
    known.insert(files::path(file.name).parent_path().string());
  }
  for (const auto& entry : files::recursive_directory_iterator(folder))
    if (!known.contains(files::path(entry.path()).lexically_relative(folder).string()))
      return entry.path().string();
  return "";
}

void follow_umask(const std::string& folder) {
  const mode_t mask = ::umask(077);
  ::umask(mask);
  const auto open_to = [&](const files::path& path, mode_t mode) { ::chmod(path.c_str(), mode & ~mask); };
  open_to(folder, 0777);
  for (const auto& entry : files::recursive_directory_iterator(folder))
    open_to(entry.path(), entry.is_directory() ? 0777 : 0666);
}

ExportFolder::ExportFolder(std::string target, bool overwrite, FileSystem& fs)
    : target_(without_trailing_slash(std::move(target))), fs_(fs), temporary_(target_) {
  require(!target_.empty(), "the export needs a directory");
  require_replaceable(target_, overwrite);
  fs_.make_directory(parent_of(target_));
  fs_.make_directory(temporary_.path());
  manifest_.format = kFormat;
}

ExportFolder::~ExportFolder() {
  if (published_) return;
  try {
    fs_.remove_all(temporary_.path());
  } catch (const std::exception&) {
    // The error that stopped the export is the one to report.
  }
}

void ExportFolder::add_text(const std::string& name, std::string_view text) {
  require(is_plain_path(name), path(), ": file name '", name, "' is not plain");
  if (name.find('/') != std::string::npos) fs_.make_directory(parent_of(path() + "/" + name));
  const auto file = fs_.create(path() + "/" + name);
  file->write(std::as_bytes(std::span(text)));
  file->sync();
  file->close();
  manifest_.files.push_back({name, text.size(), sha256_hex(text)});
}

void ExportFolder::add_written(const std::string& name) {
  const std::string file = path() + "/" + name;
  manifest_.files.push_back({name, files::file_size(file), sha256_file(file)});
}

void ExportFolder::add_card(const ExportOptions& options) {
  if (!options.card.empty()) add_text("README.md", options.card);
  for (const TokenizerFile& notice : options.notices) add_text(notice.name, notice.content);
}

void ExportFolder::publish() {
  std::set<std::string> inner;
  for (const ManifestFile& file : manifest_.files)
    if (file.name.find('/') != std::string::npos) inner.insert(parent_of(path() + "/" + file.name));
  for (const std::string& folder : inner) fs_.sync_directory(folder);
  write_checkpoint_manifest(path(), manifest_, fs_);
  if (!files::exists(target_)) {
    publish_directory(path(), target_, fs_);
    published_ = true;
    follow_umask(target_);
    return;
  }
  // The old export steps aside and comes back when the new one cannot take its place.
  const TemporaryName aside(target_);
  fs_.rename(target_, aside.path());
  try {
    publish_directory(path(), target_, fs_);
  } catch (...) {
    if (!files::exists(target_)) fs_.rename(aside.path(), target_);
    throw;
  }
  published_ = true;
  follow_umask(target_);
  fs_.remove_all(aside.path());
}

}  // namespace lathe
