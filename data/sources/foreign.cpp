#include "data/sources/foreign.h"

#include <algorithm>
#include <iterator>

#include "recipes/schema/error.h"

namespace lathe {
namespace {

constexpr std::string_view kTextExtensions[] = {".txt",  ".md",   ".rst",   ".py",    ".c",   ".h",  ".cc",
                                                ".cpp",  ".hpp",  ".rs",    ".go",    ".js",  ".ts", ".java",
                                                ".json", ".yaml", ".toml",  ".html",  ".css", ".sh", ".sql",
                                                ".tex",  ".csv",  ".jsonl", ".ndjson"};

struct Scheme {
  std::string_view name, before, after;  // the command is before + address + after
};
constexpr Scheme kSchemes[] = {
    {"s3", "aws s3 cp --recursive ", " corpus/"},
    {"gs", "gcloud storage cp --recursive ", " corpus/"},
    {"hf", "hf download --repo-type dataset --local-dir corpus ", ""},
    {"http", "curl -L --create-dirs --output-dir corpus -O ", ""},
    {"https", "curl -L --create-dirs --output-dir corpus -O ", ""},
};

struct Conversion {
  std::string_view extension, command;  // {in}: the file, {out}: its path without the extension
  bool data;
};
constexpr Conversion kConversions[] = {
    {".parquet", "{pandas}read_parquet('{in}'){jsonl}", true},
    {".feather", "{pandas}read_feather('{in}'){jsonl}", true},
    {".xlsx", "{pandas}read_excel('{in}'){jsonl}", true},
    {".xls", "{pandas}read_excel('{in}'){jsonl}", true},
    {".arrow",
     "python -c \"from datasets import Dataset; Dataset.from_file('{in}').to_json('{out}.jsonl', "
     "force_ascii=False)\"",
     true},
    {".zst", "zstd -d '{in}'", true},
    {".bz2", "bunzip2 -k '{in}'", true},
    {".xz", "unxz -k '{in}'", true},
    {".zip", "unzip -d '{out}' '{in}'", false},
    {".7z", "7z x -o'{out}' '{in}'", false},
    {".tar", "mkdir -p '{out}' && tar -xf '{in}' -C '{out}'", false},
    {".tgz", "mkdir -p '{out}' && tar -xzf '{in}' -C '{out}'", false},
    {".pdf", "pdftotext '{in}' '{out}.txt'", false},
    {".docx", "pandoc '{in}' -t plain --wrap=none -o '{out}.txt'", false},
    {".odt", "pandoc '{in}' -t plain --wrap=none -o '{out}.txt'", false},
    {".epub", "pandoc '{in}' -t plain --wrap=none -o '{out}.txt'", false},
};

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
  }
  return out;
}

std::string_view file_name(std::string_view path) {
  const auto slash = path.rfind('/');
  return slash == path.npos ? path : path.substr(slash + 1);
}

std::string_view without_gz(std::string_view path) {
  return path.size() > 3 && lower(path.substr(path.size() - 3)) == ".gz" ? path.substr(0, path.size() - 3)
                                                                         : path;
}

std::string last_extension(std::string_view path) {
  const auto name = file_name(path);
  const auto dot = name.rfind('.');
  return dot == name.npos || dot == 0 ? "" : lower(name.substr(dot));
}

const Conversion* conversion_of(std::string_view path) {
  const std::string extension = last_extension(path);
  const bool archive = last_extension(without_gz(path)) == ".tar";
  for (const auto& c : kConversions) {
    if (c.extension == (archive ? ".tar" : extension)) return &c;
  }
  return nullptr;
}

void replace_all(std::string& text, std::string_view slot, std::string_view value) {
  for (std::size_t at = 0; (at = text.find(slot, at)) != std::string::npos; at += value.size()) {
    text.replace(at, slot.size(), value);
  }
}

}  // namespace

std::optional<std::string> fetch_command(const std::string& path) {
  for (const auto& scheme : kSchemes) {
    const std::string mark = std::string(scheme.name) + ":/";
    auto at = path.rfind(mark, 0) == 0 ? 0 : path.find("/" + mark);
    if (at == std::string::npos) continue;
    if (path[at] == '/') ++at;
    std::string rest = path.substr(at + mark.size());
    rest.erase(0, rest.find_first_not_of('/'));
    if (scheme.name == "hf") {
      if (rest.rfind("datasets/", 0) == 0) rest.erase(0, 9);
    } else {
      rest = std::string(scheme.name) + "://" + rest;
    }
    std::string before(scheme.before);  // one object, by its name, is no prefix to walk
    if (const auto recursive = before.find("--recursive ");
        recursive != before.npos && !last_extension(rest).empty())
      before.erase(recursive, 12);
    return cat(before, rest, scheme.after);
  }
  return std::nullopt;
}

std::optional<std::string> convert_command(const std::string& path) {
  const Conversion* conversion = conversion_of(path);
  if (!conversion) return std::nullopt;
  std::string_view stem = without_gz(path);
  stem.remove_suffix(stem.size() - stem.rfind('.'));
  std::string command(conversion->command);
  replace_all(command, "{pandas}", "python -c \"import pandas as pd; pd.");
  replace_all(command, "{jsonl}",
              ".to_json('{out}.jsonl', orient='records', lines=True, force_ascii=False)\"");
  replace_all(command, "{in}", path);
  replace_all(command, "{out}", stem);
  return command;
}

bool is_data_format(const std::string& path) {
  const Conversion* conversion = conversion_of(path);
  return conversion && conversion->data;
}

std::string text_extension(std::string_view path) { return last_extension(without_gz(path)); }

bool is_known_text(std::string_view path) {
  const std::string extension = text_extension(path);
  return std::find(std::begin(kTextExtensions), std::end(kTextExtensions), extension) !=
         std::end(kTextExtensions);
}

bool is_record_file(std::string_view path) {
  const std::string extension = text_extension(path);
  return extension == ".jsonl" || extension == ".ndjson";
}

}  // namespace lathe
