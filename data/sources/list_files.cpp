// Which files the sources mean. Deterministic: names are sorted by their bytes, real folders come before
// linked ones.
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <map>
#include <set>
#include <utility>

#include "data/sources/documents.h"
#include "data/sources/foreign.h"
#include "data/sources/glob.h"
#include "recipes/schema/error.h"

namespace lathe {
namespace {
namespace stdfs = std::filesystem;

using FolderId = std::pair<dev_t, ino_t>;

bool is_excluded(const std::vector<Glob>& exclude, const std::string& relative, const std::string& name) {
  for (const auto& glob : exclude) {
    if (glob.has_folders() ? glob.matches(relative) : glob.matches_name(name)) return true;
  }
  return false;
}

using Kinds = std::map<std::string, std::size_t>;  // files by extension

// "4 .log, 1 .pdf": the five most.
std::string kinds_text(const Kinds& kinds) {
  std::vector<std::pair<std::size_t, std::string>> order;
  for (const auto& [extension, count] : kinds) order.emplace_back(count, extension);
  std::stable_sort(order.begin(), order.end(),
                   [](const auto& a, const auto& b) { return a.first > b.first; });
  std::string text;
  for (std::size_t i = 0; i < order.size() && i < 5; ++i)
    text += cat(i ? ", " : "", order[i].first, " ",
                order[i].second.empty() ? "without extension" : order[i].second);
  return order.size() > 5 ? text + " ..." : text;
}

// Everything below one folder, chosen by one source.
class FolderWalk {
 public:
  FolderWalk(const SourceSection& source, std::string root)
      : root_(std::move(root)),
        default_glob_(source.glob.empty()),
        glob_(default_glob_ ? "**/*" : source.glob) {
    for (const auto& pattern : source.exclude) exclude_.emplace_back(pattern);
  }

  std::vector<std::string> run() {  // relative paths
    enter("");
    while (!linked_.empty()) {
      const std::vector<std::string> links = std::exchange(linked_, {});
      for (const auto& link : links) enter(link);
    }
    std::sort(found_.begin(), found_.end());
    return std::move(found_);
  }

  // What to say when nothing was found.
  std::string summary() const {
    if (seen_.empty()) return excluded_ ? "found only what `exclude` leaves out" : "found no files";
    return "found only " + kinds_text(seen_);
  }

  const std::string& first_foreign() const { return first_foreign_; }
  bool default_glob() const { return default_glob_; }
  const Kinds& left_out() const { return left_out_; }
  const std::vector<std::string>& dangling() const { return dangling_; }

 private:
  void enter(const std::string& relative) {
    const std::string folder = relative.empty() ? root_ : root_ + "/" + relative;
    struct stat info {};
    if (::stat(folder.c_str(), &info) != 0 || !visited_.insert({info.st_dev, info.st_ino}).second) return;
    std::error_code error;
    std::vector<stdfs::directory_entry> entries;
    stdfs::directory_iterator iterator(folder, error);
    for (; !error && iterator != stdfs::directory_iterator(); iterator.increment(error))
      entries.push_back(*iterator);
    if (error) fail(folder, ": cannot list the folder: ", error.message());
    std::sort(entries.begin(), entries.end(),
              [](const auto& a, const auto& b) { return a.path().native() < b.path().native(); });
    for (const auto& entry : entries) consider(relative, entry);
  }

  void consider(const std::string& folder, const stdfs::directory_entry& entry) {
    const std::string name = entry.path().filename().string();
    const std::string relative = folder.empty() ? name : folder + "/" + name;
    if (name[0] == '.' && !glob_.names_hidden()) return;
    if (is_excluded(exclude_, relative, name)) {
      excluded_ = true;
      return;
    }
    std::error_code ignored;
    if (entry.is_directory(ignored)) {
      if (entry.is_symlink(ignored))
        linked_.push_back(relative);
      else
        enter(relative);
      return;
    }
    if (entry.is_symlink(ignored) && !entry.exists(ignored) && glob_.matches(relative))
      dangling_.push_back(relative);
    if (!entry.is_regular_file(ignored)) return;
    ++seen_[text_extension(name)];
    if (!glob_.matches(relative)) return;
    if (default_glob_ && !is_known_text(name)) {
      if (first_foreign_.empty() || (is_data_format(name) && !is_data_format(first_foreign_))) {
        if (convert_command(name)) first_foreign_ = root_ + "/" + relative;
      }
      ++left_out_[text_extension(name)];
      return;
    }
    found_.push_back(relative);
  }

  std::string root_;
  bool default_glob_, excluded_ = false;
  Glob glob_;
  std::vector<Glob> exclude_;
  std::set<FolderId> visited_;
  std::vector<std::string> found_, linked_, dangling_;
  Kinds seen_, left_out_;
  std::string first_foreign_;
};

struct LeftOut {
  Kinds kinds;                        // no text by their names
  std::vector<std::string> dangling;  // links to nothing

  std::string text() const {
    std::string text = kinds.empty() ? ""
                                     : cat("left out, no text by their names: ", kinds_text(kinds),
                                           " (glob: '**/*' reads all)");
    if (dangling.empty()) return text;
    return cat(text, text.empty() ? "" : "; ", dangling.size(),
               dangling.size() == 1 ? " link leads nowhere: " : " links lead nowhere, the first: ",
               dangling.front());
  }
};

[[noreturn]] void fail_foreign(const std::string& path, const std::string& hint = "") {
  fail_usage(path, ": this format is not read; convert it with: ", *convert_command(path), hint);
}

std::int64_t nanoseconds(const struct timespec& time) {
  return static_cast<std::int64_t>(time.tv_sec) * 1'000'000'000 + time.tv_nsec;
}

SourceFile describe(const std::string& path, const std::string& origin, std::uint32_t source) {
  SourceFile file = stamp_file(path, origin, source);
  if (convert_command(path)) fail_foreign(path);
  return file;
}

void list_folder(const SourceSection& source, const std::string& root, std::uint32_t index,
                 std::vector<SourceFile>& files, LeftOut& left_out) {
  FolderWalk walk(source, root);
  const auto found = walk.run();
  const std::string foreign = walk.first_foreign();
  if (!foreign.empty() && (found.empty() || is_data_format(foreign))) {
    fail_foreign(foreign, found.empty() ? "" : "; or say which files are meant, e.g. glob: '**/*.txt'");
  }
  if (found.empty()) {
    const std::string pattern = walk.default_glob() ? "text files (.txt, .md, .py, .jsonl ...)"
                                                    : cat("files like '", source.glob, "'");
    const bool flat = !walk.default_glob() && source.glob.find('/') == std::string::npos;
    fail_usage(root, ": wanted ", pattern, ", ", walk.summary(),
               flat                  ? cat("; with folders below: glob: '**/", source.glob, "'")
               : walk.default_glob() ? "; name others with glob, e.g. glob: '**/*.xyz'"
                                     : "");
  }
  for (const auto& [extension, count] : walk.left_out()) left_out.kinds[extension] += count;
  const std::string shown = stdfs::path(root).filename().string();
  for (const auto& relative : walk.dangling()) left_out.dangling.push_back(shown + "/" + relative);
  for (const auto& relative : found) {
    files.push_back(
        describe(root + "/" + relative, shown.empty() ? relative : shown + "/" + relative, index));
  }
}

}  // namespace

SourceFile stamp_file(const std::string& path, const std::string& origin, std::uint32_t source) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) fail(path, ": cannot open: ", std::strerror(errno));
  return {path,
          origin,
          static_cast<std::uint64_t>(info.st_size),
          nanoseconds(info.st_mtim),
          source,
          nanoseconds(info.st_ctim),
          static_cast<std::uint64_t>(info.st_ino)};
}

std::vector<SourceFile> list_source_files(const std::vector<SourceSection>& sources, std::string* left_out) {
  std::vector<SourceFile> files;
  LeftOut unread;
  for (std::size_t i = 0; i < sources.size(); ++i) {
    const SourceSection& source = sources[i];
    const auto index = static_cast<std::uint32_t>(i);
    if (const auto command = fetch_command(source.path)) {
      fail_usage(source.path, ": only local files are read; fetch it first with: ", *command);
    }
    if (source.path.empty()) fail_usage("a data source has no path: wanted a file or a folder");
    stdfs::path path = stdfs::absolute(source.path).lexically_normal();
    if (!path.has_filename()) path = path.parent_path();
    std::error_code ignored;
    if (stdfs::is_directory(path, ignored)) {
      list_folder(source, path.string(), index, files, unread);
    } else {
      files.push_back(describe(path.string(), path.filename().string(), index));
    }
  }
  if (left_out) *left_out = unread.text();
  return files;
}

}  // namespace lathe
