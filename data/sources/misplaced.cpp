#include "data/sources/misplaced.h"

#include <algorithm>
#include <cctype>
#include <filesystem>

#include "data/io/shell_word.h"
#include "data/sources/foreign.h"
#include "recipes/schema/error.h"

namespace lathe {
namespace {

// faq.csv.gz, "named", ".csv" -> faq.named.csv
std::string beside(const std::string& path, std::string_view mark, std::string_view extension) {
  std::filesystem::path stem = path;
  if (text_extension(path) != stem.extension().string()) stem.replace_extension();
  stem.replace_extension();
  return shell_word(cat(stem.string(), ".", mark, extension));
}

bool is_gzip(const std::string& path) { return path.ends_with(".gz") || path.ends_with(".GZ"); }

std::string read_command(const std::string& path) {
  return (is_gzip(path) ? "zcat " : "cat ") + shell_word(path);
}

// Letters as 'a', runs of digits as '0': "q0" and "q17" are alike.
std::string outline(const std::string& text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const char kind = std::isdigit(byte) ? '0' : std::isalpha(byte) || byte >= 0x80 ? 'a' : c;
    if (out.empty() || out.back() != kind) out += kind;
  }
  return out;
}

bool is_sentence(const std::string& name) {
  constexpr std::size_t kLongName = 40, kManyWords = 4;
  const auto spaces = std::count(name.begin(), name.end(), ' ');
  return name.size() > kLongName || spaces + 1 >= static_cast<std::ptrdiff_t>(kManyWords) ||
         name.find('\n') != name.npos || name.ends_with('?') || name.ends_with('.') || name.ends_with('!') ||
         (!name.empty() && std::isdigit(static_cast<unsigned char>(name[0])));
}

// Most cells below look as the name does, and names seldom hold digits; or the name is a value of its own
// column.
bool is_like_its_column(const std::string& name, const RecordFile& table) {
  const std::string form = outline(name);
  std::size_t alike = 0, same = 0;
  for (const Record& record : table.records) {
    const auto& cell = record.value.at(name).get_ref<const std::string&>();
    alike += outline(cell) == form;
    same += cell == name;
  }
  return same > 0 || (form.find('0') != form.npos && 5 * alike >= 4 * table.records.size());
}

std::string separator_text(const std::string& name) {
  return name == "semicolon" ? ";" : name == "tab" ? "\t" : name == "bar" ? "|" : ",";
}

std::string names_for(std::size_t columns, const std::string& separator) {
  std::string names = columns == 1 ? "text" : "prompt" + separator + "completion";
  for (std::size_t i = 3; i <= columns; ++i) names += cat(separator, "column", i);
  return names;
}

// The end of the JSON value that begins at text[0], behind its last bracket; npos where it does not close.
std::size_t end_of_object(std::string_view text) {
  std::size_t depth = 0;
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted) {
      if (c == '\\') ++i;
      quoted = c != '"';
      continue;
    }
    quoted = c == '"';
    depth += c == '{' || c == '[' ? 1 : 0;
    if ((c == '}' || c == ']') && --depth == 0) return i + 1;
  }
  return std::string_view::npos;
}

bool holds_records(const Json& value) {
  return value.is_array() && !value.empty() &&
         std::all_of(value.begin(), value.end(), [](const Json& each) { return each.is_object(); });
}

// A path of jq's: .data, ."my data"
std::string jq_path(const std::string& key) {
  const bool plain = !key.empty() && !std::isdigit(static_cast<unsigned char>(key[0])) &&
                     std::all_of(key.begin(), key.end(), [](char c) {
                       return c == '_' || std::isalnum(static_cast<unsigned char>(c)) != 0;
                     });
  return "." + (plain ? key : Json(key).dump());
}

}  // namespace

std::optional<std::string> naming_advice(const RecordFile& table, const std::string& path) {
  if (table.container != "csv" || table.records.empty()) return std::nullopt;
  const Json& first = table.records.front().value;
  bool data = false;
  for (const auto& [name, value] : first.items())
    data = data || is_sentence(name) || is_like_its_column(name, table);
  if (!data) return std::nullopt;
  std::string advice =
      "the first row looks like an example, and that of a table must name its columns: put a row of names "
      "before "
      "it, which keeps it";
  const bool marked = table.encoding == "UTF-8 with BOM";
  if (!marked && table.encoding != "UTF-8" && table.encoding != "CP1252") return advice;
  const std::string names = names_for(first.size(), separator_text(table.separator));
  return cat(advice, ": (echo ", shell_word(names), "; ", read_command(path), marked ? " | tail -c +4" : "",
             ") > ", beside(path, "named", text_extension(path)),
             first.size() > 2 ? " (each column by what it is)" : "");
}

std::optional<std::string> unwrap_advice(const Json& object, const std::string& path) {
  std::string found, command;
  for (const auto& [key, value] : object.items()) {
    if (!holds_records(value) || key == "messages" || key == "conversations") continue;
    found += cat(found.empty() ? "" : ", ", value.size(), value.size() == 1 ? " record" : " records",
                 " under '", key, "'");
    if (command.empty())
      command =
          cat(is_gzip(path) ? read_command(path) + " | " : "", "jq -c ", shell_word(jq_path(key) + "[]"),
              is_gzip(path) ? "" : " " + shell_word(path), " > ", beside(path, key, ".jsonl"));
  }
  if (found.empty()) return std::nullopt;
  return cat("found a single object that holds ", found,
             "; a list or one record a line is read: take them out with: ", command);
}

std::optional<std::string> spread_advice(std::string_view text, const std::string& path) {
  const std::size_t end = end_of_object(text);
  if (end == text.npos || text.substr(0, end).find('\n') == text.npos || !Json::accept(text.substr(0, end)))
    return std::nullopt;
  const auto lines = 1 + std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(end), '\n');
  return cat("the records span several lines (the first one ", lines,
             "), and one stands on each line of a .jsonl: write them so with: ",
             is_gzip(path) ? read_command(path) + " | jq -c . > " : "jq -c . " + shell_word(path) + " > ",
             beside(path, "lines", ".jsonl"));
}

}  // namespace lathe
