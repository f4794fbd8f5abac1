#include "data/images/list_pictures.h"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <optional>
#include <set>

#include "data/images/shapes.h"
#include "data/io/file_system.h"
#include "data/sources/encoding.h"
#include "data/sources/foreign.h"
#include "data/sources/glob.h"
#include "data/sources/records.h"
#include "recipes/schema/error.h"

namespace lathe {
namespace {

namespace stdfs = std::filesystem;
constexpr std::size_t kMaxCaption = std::size_t{1} << 16;
constexpr std::size_t kNamesShown = 5;

enum class Kind { Picture, Unread, Other };

Kind kind_of(const std::string& extension) {
  static const std::set<std::string> pictures = {".png", ".jpg", ".jpeg", ".webp"};
  static const std::set<std::string> unread = {".gif", ".bmp", ".tif", ".tiff", ".heic", ".heif", ".avif",
                                               ".jxl", ".jp2", ".psd", ".svg",  ".dng",  ".cr2",  ".nef"};
  return pictures.count(extension) ? Kind::Picture : unread.count(extension) ? Kind::Unread : Kind::Other;
}

std::string extension_of(const std::string& name) { return text_extension(name); }

std::string trimmed(std::string text) {
  for (char& c : text)
    if (c == '\n' || c == '\r' || c == '\t') c = ' ';
  const auto first = text.find_first_not_of(' ');
  if (first == std::string::npos) return "";
  return text.substr(first, text.find_last_not_of(' ') - first + 1);
}

std::string some(const std::vector<std::string>& names) {
  std::string text;
  for (std::size_t i = 0; i < names.size() && i < kNamesShown; ++i) text += (i ? ", " : "") + names[i];
  return names.size() > kNamesShown ? cat(text, " and ", names.size() - kNamesShown, " more") : text;
}

// One source that is a folder.
class FolderReader {
 public:
  FolderReader(const SourceSection& section, std::uint32_t source, std::string root, PictureList& out)
      : section_(section),
        source_(source),
        root_(std::move(root)),
        out_(out),
        glob_(section.glob.empty() ? "**/*" : section.glob) {
    shown_ = stdfs::path(root_).filename().string();
    for (const auto& pattern : section.exclude) exclude_.emplace_back(pattern);
  }

  void run() {
    enter("");
    std::sort(files_.begin(), files_.end());
    const std::vector<std::string> pictures = sort_files();
    if (pictures.empty()) {
      fail_usage(
          root_, ": wanted pictures (.png, .jpg, .jpeg, .webp)",
          section_.glob.empty() ? "" : " like '" + section_.glob + "'", ", found ",
          files_.empty() ? std::string("no files") : cat(files_.size(), " other file(s): ", some(files_)));
    }
    read_metadata();
    for (const std::string& relative : pictures) add(relative);
    finish();
  }

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
    for (const auto& entry : entries) {
      const std::string name = entry.path().filename().string();
      const std::string below = relative.empty() ? name : relative + "/" + name;
      if (name[0] == '.' && !glob_.names_hidden()) continue;
      const bool excluded = std::any_of(exclude_.begin(), exclude_.end(), [&](const Glob& glob) {
        return glob.has_folders() ? glob.matches(below) : glob.matches_name(name);
      });
      if (excluded) continue;
      std::error_code ignored;
      if (entry.is_directory(ignored))
        enter(below);
      else if (entry.is_regular_file(ignored))
        files_.push_back(below);
      else if (entry.is_symlink(ignored) && !entry.exists(ignored)) {
        out_.notes.push_back(cat(shown(below), " is a link that leads nowhere"));
        out_.left_out.push_back({shown(below), "a link that leads nowhere"});
      }
    }
  }

  // Pictures wanted; masks, caption files and formats that are not read are put aside.
  std::vector<std::string> sort_files() {
    std::vector<std::string> pictures, unread;
    std::set<std::string> stems;
    for (const std::string& file : files_)
      if (kind_of(extension_of(file)) == Kind::Picture) stems.insert(stem_of(file));
    for (const std::string& file : files_) {
      const Kind kind = kind_of(extension_of(file));
      const std::string name = stdfs::path(file).filename().string();
      const std::string extension = extension_of(file);
      if (extension == ".txt" || extension == ".caption") sidecars_[stem_of(file) + extension] = file;
      if (name == "metadata.jsonl" || name == "metadata.csv") tables_.push_back(file);
      if (!glob_.matches(file)) continue;
      if (kind == Kind::Unread) {
        unread.push_back(shown(file));
        out_.left_out.push_back({shown(file), cat(extension_of(file), " is a format that is not read")});
      }
      if (kind != Kind::Picture) continue;
      const std::string stem = stem_of(file);
      if (stem.ends_with("-mask") && stems.count(stem.substr(0, stem.size() - 5)) > 0)
        masks_[stem.substr(0, stem.size() - 5)] = file;
      else
        pictures.push_back(file);
    }
    if (!unread.empty())
      out_.notes.push_back(cat(
          unread.size(), " file(s) are of a format that is not read and are left out (convert them, e.g. ",
          "magick mogrify -format png FILE): ", some(unread)));
    return pictures;
  }

  static std::string stem_of(const std::string& file) {
    return stdfs::path(file).replace_extension().string();
  }
  std::string shown(const std::string& relative) const {
    return shown_.empty() ? relative : shown_ + "/" + relative;
  }

  void stamp(const std::string& path, const std::string& name) {
    out_.files.push_back(stamp_file(path, name, source_));
  }

  // "" when there is none.
  static std::string text_of(const Record& record, const std::string& key) {
    const auto found = record.value.find(key);
    if (found == record.value.end() || found->is_null()) return "";
    if (!found->is_string())
      fail_usage(record.origin, ": '", key, "' wants a text, found ",
                 found->is_array() ? "a list" : found->type_name(), "; keep one text a picture");
    return found->get<std::string>();
  }

  // A table whose names are others than ours would lose all its captions, one that names some of them
  // otherwise those. A key that stands beside captions elsewhere is none.
  void check_mixed(const RecordFile& records) const {
    std::set<std::string> beside{"file_name"};
    for (const Record& record : records.records)
      if (record.value.contains(section_.field))
        for (const auto& [key, value] : record.value.items()) beside.insert(key);
    for (const Record& record : records.records) {
      if (record.value.contains(section_.field)) continue;
      std::vector<std::string> others;
      for (const auto& [key, value] : record.value.items())
        if (!beside.contains(key) && value.is_string()) others.push_back(key);
      if (!others.empty())
        fail_usage(record.origin, ": '", section_.field,
                   "', the caption, is missing, which other records have; found ", some(others),
                   "; give every record the same key");
    }
  }

  void check_columns(const RecordFile& records) const {
    bool has_field = records.records.empty();
    for (const Record& record : records.records) {
      std::vector<std::string> keys;
      if (record.value.is_object())
        for (const auto& [key, value] : record.value.items()) keys.push_back(key);
      if (!record.value.is_object() || !record.value.contains("file_name"))
        fail_usage(record.origin, ": 'file_name', the picture's name, is missing; found ", some(keys));
      has_field = has_field || record.value.contains(section_.field);
      if (has_field || &record != &records.records.back() || keys.size() < 2) continue;
      std::erase(keys, "file_name");
      fail_usage(record.origin, ": no record has '", section_.field, "', the caption; found ", some(keys),
                 " (name it: data.train 'field: ", keys.front(), "')");
    }
  }

  void read_metadata() {
    for (const std::string& table : tables_) {
      stamp(root_ + "/" + table, shown(table));
      const RecordFile records = read_record_file(root_ + "/" + table);
      const std::string folder = stdfs::path(table).parent_path().string();
      std::vector<std::string> absent;
      check_columns(records);
      check_mixed(records);
      for (const Record& record : records.records) {
        const std::string file = text_of(record, "file_name");
        const std::string relative =
            stdfs::path(folder.empty() ? file : folder + "/" + file).lexically_normal().string();
        if (!std::binary_search(files_.begin(), files_.end(), relative)) {
          std::string with = file;
          std::ranges::replace(with, '\\', '/');
          if (with != file) fail_usage(record.origin, ": '", file, "' has backslashes; write '", with, "'");
          absent.push_back(file);
          continue;
        }
        const std::string caption = text_of(record, section_.field);
        const auto [found, added] = captions_.emplace(relative, caption);
        if (!added && found->second != caption)
          fail_usage(record.origin, ": '", file, "' has a caption already, another one; keep one of them");
      }
      if (!absent.empty())
        out_.notes.push_back(
            cat(shown(table), " names ", absent.size(), " picture(s) that are not there: ", some(absent)));
    }
  }

  // The text beside a picture; nothing when there is none.
  std::optional<std::string> sidecar(const std::string& relative) {
    for (const char* extension : {".txt", ".caption"}) {
      const auto found = sidecars_.find(stem_of(relative) + extension);
      if (found == sidecars_.end()) continue;
      const std::string& file = found->second;
      stamp(root_ + "/" + file, shown(file));
      has_sidecars_ = true;
      return decode_text(read_file(root_ + "/" + file, kMaxCaption), root_ + "/" + file).text;
    }
    return std::nullopt;
  }

  void add(const std::string& relative) {
    PictureFile picture{.path = root_ + "/" + relative,
                        .name = shown(relative),
                        .caption = "",
                        .mask = "",
                        .source = source_};
    stamp(picture.path, picture.name);
    if (const auto mask = masks_.find(stem_of(relative)); mask != masks_.end()) {
      picture.mask = root_ + "/" + mask->second;
      stamp(picture.mask, shown(mask->second));
    }
    const auto said = captions_.find(relative);
    if (said != captions_.end())
      picture.caption = said->second;
    else if (const auto text = sidecar(relative))
      picture.caption = *text;
    relatives_.push_back(relative);
    pictures_.push_back(std::move(picture));
  }

  void finish() {
    const bool by_names = tables_.empty() && !has_sidecars_ && section_.caption.empty();
    std::vector<std::string> silent;
    std::uint64_t decomposed = 0;
    for (std::size_t i = 0; i < pictures_.size(); ++i) {
      PictureFile& picture = pictures_[i];
      if (by_names) picture.caption = caption_of_names(relatives_[i], shown_);
      picture.caption = trimmed(picture.caption);
      if (picture.caption.empty()) picture.caption = trimmed(section_.caption);
      const std::string composed = composed_text(picture.caption, picture.name);
      decomposed += composed != picture.caption ? 1 : 0;
      picture.caption = composed;
      picture.name = composed_text(picture.name, picture.path);
      if (picture.caption.empty()) silent.push_back(picture.name);
      out_.pictures.push_back(std::move(picture));
    }
    out_.without_caption += silent.size();
    if (by_names)
      out_.notes.push_back(cat(shown_,
                               ": no metadata.jsonl, metadata.csv or .txt files: the names of folders and "
                               "files are the captions"));
    if (by_names) note_repeats();
    if (!silent.empty())
      out_.notes.push_back(
          cat(silent.size(), " picture(s) of ", shown_, " have no caption of their own: ", some(silent)));
    if (decomposed > 0)
      out_.notes.push_back(cat(decomposed, " caption(s) of ", shown_,
                               " had accents as separate characters; they are kept composed (NFC)"));
  }

  void note_repeats() {
    std::set<std::string> folders;
    const auto look = [&](const std::string& folder) {
      if (repeats_prefix(folder) > 0) folders.insert(folder);
    };
    look(shown_);
    for (const std::string& relative : relatives_)
      for (const auto& folder : stdfs::path(relative).parent_path()) look(folder.string());
    if (folders.empty()) return;
    out_.notes.push_back(
        cat("the number before ", some({folders.begin(), folders.end()}),
            " is left out of the captions; it repeats nothing here: give data.train a source "
            "for each such folder, with 'repeats'"));
  }

  const SourceSection& section_;
  std::uint32_t source_;
  std::string root_, shown_;
  PictureList& out_;
  Glob glob_;
  std::vector<Glob> exclude_;
  std::set<std::pair<dev_t, ino_t>> visited_;
  std::vector<std::string> files_, tables_, relatives_;     // relative, sorted
  std::map<std::string, std::string> masks_;                // stem -> file
  std::map<std::string, std::string> captions_, sidecars_;  // of the second: stem.txt -> file, stem.TXT too
  std::vector<PictureFile> pictures_;
  bool has_sidecars_ = false;
};

void list_generated(const SourceSection& section, std::uint32_t source, std::uint64_t seed,
                    std::uint32_t world, PictureList& out) {
  for (std::int64_t i = 0; i < section.count; ++i) {
    const auto index = static_cast<std::uint64_t>(i);
    std::string number = std::to_string(i);
    number.insert(0, number.size() < 5 ? 5 - number.size() : 0, '0');
    out.pictures.push_back({.path = "",
                            .name = section.generate + "/" + number,
                            .caption = draw_shape(seed, index, world + source).caption,
                            .mask = "",
                            .index = index,
                            .world = world + source,
                            .source = source});
  }
  out.files.push_back({"", section.generate, static_cast<std::uint64_t>(section.count), 0, source});
}

}  // namespace

PictureList list_pictures(const std::vector<SourceSection>& sources, std::uint64_t seed,
                          std::uint32_t world) {
  require(sources.size() < 65536, "data: at most 65535 sources, found ", sources.size());
  PictureList list;
  for (std::size_t i = 0; i < sources.size(); ++i) {
    const SourceSection& section = sources[i];
    const auto source = static_cast<std::uint32_t>(i);
    if (!section.generate.empty()) {
      list_generated(section, source, seed, world, list);
      continue;
    }
    if (const auto command = fetch_command(section.path))
      fail_usage(section.path, ": only local files are read; fetch it first with: ", *command);
    if (section.path.empty()) fail_usage("a source of pictures has no path: wanted a folder");
    stdfs::path path = stdfs::absolute(section.path).lexically_normal();
    if (!path.has_filename()) path = path.parent_path();
    if (!stdfs::is_directory(path)) fail_usage(path.string(), ": wanted a folder of pictures");
    FolderReader(section, source, path.string(), list).run();
  }
  return list;
}

}  // namespace lathe
