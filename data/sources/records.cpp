#include "data/sources/records.h"

#include <algorithm>
#include <set>
#include <utility>

#include "data/io/line_reader.h"
#include "data/sources/csv.h"
#include "data/sources/encoding.h"
#include "data/sources/foreign.h"
#include "data/sources/misplaced.h"
#include "data/sources/problems.h"

namespace lathe {
namespace {

constexpr std::size_t kMostBytes = std::size_t{1} << 30;

std::string read_bytes(const std::string& path) {
  ByteReader reader(path);
  std::string bytes(std::size_t{1} << 20, '\0');
  std::size_t size = 0;
  while (const std::size_t got = reader.read(bytes.data() + size, bytes.size() - size)) {
    size += got;
    if (size > kMostBytes) fail(path, ": more than 1 GiB of examples; split the file");
    if (size == bytes.size()) bytes.resize(2 * size);
  }
  bytes.resize(size);
  return bytes;
}

std::string name_of(const std::string& path) { return path.substr(path.rfind('/') + 1); }

// Lines on which the elements of a JSON array begin; the text has been parsed, so brackets and quotes match.
std::vector<std::size_t> element_lines(std::string_view text) {
  std::vector<std::size_t> lines;
  std::size_t line = 1, depth = 0;
  bool quoted = false, waiting = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted) {
      if (c == '\\') ++i;
      quoted = c != '"';
      continue;
    }
    line += c == '\n';
    if (c == ' ' || c == '\t' || c == '\r' || c == '\n') continue;
    if (depth == 1 && waiting && c != ']') {
      lines.push_back(line);
      waiting = false;
    }
    quoted = c == '"';
    if (c == '[' || c == '{') waiting = ++depth == 1;
    if (c == ']' || c == '}') --depth;
    if (c == ',' && depth == 1) waiting = true;
  }
  return lines;
}

void check_object(const Json& value, const std::string& where, Problems& problems) {
  if (!value.is_object()) {
    problems.add(where, ": wanted an object with named fields, found ",
                 value.is_array() ? "a list" : value.type_name());
  } else if (value.empty()) {
    problems.add(where, ": the record has no fields");
  }
}

void read_array(std::string_view text, const std::string& path, RecordFile& file) {
  file.container = "json";
  Json array = parse_json(text, path, {.max_bytes = kMostBytes});
  const auto lines = element_lines(text);
  const bool distinct = std::set<std::size_t>(lines.begin(), lines.end()).size() == lines.size();
  Problems problems;
  for (std::size_t i = 0; i < array.size(); ++i) {
    const std::string place = distinct && i < lines.size() ? cat(":", lines[i]) : cat(":record ", i + 1);
    check_object(array[i], path + place, problems);
    file.records.push_back({std::move(array[i]), name_of(path) + place});
  }
  problems.raise();
}

void read_lines(std::string_view text, const std::string& path, RecordFile& file) {
  file.container = "jsonl";
  Problems problems;
  std::size_t line = 0, blank = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view one = text.substr(at, end - at);
    at = end + 1;
    ++line;
    if (one.find_first_not_of(" \t\r") == one.npos) {
      ++blank;
      continue;
    }
    const std::string where = cat(path, ":", line);
    try {
      Json value = parse_json(one, where, {.max_bytes = kMostBytes});
      check_object(value, where, problems);
      file.records.push_back({std::move(value), cat(name_of(path), ":", line)});
    } catch (const Error& e) {
      problems.add(e.what());
    }
  }
  problems.raise();
  if (blank)
    file.notes.push_back(cat(path, ": ", blank, blank == 1 ? " empty line" : " empty lines", " left out"));
}

// A pretty-printed single object is a record too (a file of one example), or someone's settings.
bool is_one_object(std::string_view text) {
  const std::size_t end = text.find('\n');
  return end != text.npos && !Json::accept(text.substr(0, end)) && Json::accept(text);
}

void read_json_text(std::string_view text, const std::string& path, RecordFile& file) {
  const auto first = text.find_first_not_of(" \t\r\n");
  if (first == text.npos) fail_usage(path, ": the file is empty; wanted one JSON object a line");
  if (text[first] == '[') return read_array(text, path, file);
  if (text[first] == '{' && is_one_object(text.substr(first))) {
    const auto advice = unwrap_advice(Json::parse(text.substr(first)), path);
    fail_usage(
        path, ": ",
        advice.value_or(cat("wanted a list of records ([{...}, {...}]) or one object a line, found a single "
                            "object; ",
                            spread_advice(text.substr(first), path).value_or(""))));
  }
  if (const auto advice = text[first] == '{' ? spread_advice(text.substr(first), path) : std::nullopt)
    fail_usage(path, ": ", *advice);
  read_lines(text, path, file);
}

void read_table(std::string_view text, const std::string& path, RecordFile& file) {
  CsvTable table = parse_csv(text, path, text_extension(path) == ".tsv" ? '\t' : '\0');
  file.container = "csv";
  file.separator = separator_name(table.separator);
  file.notes.insert(file.notes.end(), table.notes.begin(), table.notes.end());
  for (auto& row : table.rows) {
    Json value = Json::object();
    for (std::size_t i = 0; i < table.columns.size(); ++i) value[table.columns[i]] = std::move(row.fields[i]);
    file.records.push_back({std::move(value), cat(name_of(path), ":", row.line)});
  }
}

}  // namespace

RecordFile read_record_file(const std::string& path, const std::string& encoding) {
  if (const auto command = fetch_command(path)) {
    fail_usage(path, ": only local files are read; fetch it first with: ", *command);
  }
  if (const auto command = convert_command(path)) {
    fail_usage(path, ": this format is not read; convert it with: ", *command);
  }
  DecodedText decoded = decode_text(read_bytes(path), path, encoding);
  RecordFile file;
  file.encoding = std::move(decoded.encoding);
  file.notes = std::move(decoded.notes);
  const std::string extension = text_extension(path);
  if (is_record_file(path) || extension == ".json") {
    read_json_text(decoded.text, path, file);
  } else if (extension == ".csv" || extension == ".tsv") {
    read_table(decoded.text, path, file);
  } else if (is_known_text(path) || extension.empty()) {
    file.container = "text";
    file.records.push_back({Json{{"text", std::move(decoded.text)}}, name_of(path)});
  } else {
    fail_usage(path, ": wanted .jsonl, .json, .csv, .tsv or a text file, found '", extension,
               "'; rename or convert it");
  }
  if (file.records.empty()) fail_usage(path, ": no records; wanted at least one example");
  return file;
}

}  // namespace lathe
