#include "data/sources/documents.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <utility>

#include "data/io/json.h"
#include "data/io/line_reader.h"
#include "data/io/utf8.h"
#include "data/sources/foreign.h"
#include "data/sources/json_array.h"
#include "recipes/schema/error.h"

namespace lathe {
namespace {

constexpr std::size_t kMostBytes = std::size_t{1} << 30;  // of a document

[[noreturn]] void fail_encoding(const std::string& path, std::string_view text, std::size_t at,
                                std::size_t line) {
  const std::size_t line_begin = at == 0 ? 0 : text.rfind('\n', at - 1) + 1;  // npos + 1 is 0
  char byte[8];
  std::snprintf(byte, sizeof byte, "0x%02X", static_cast<unsigned char>(text[at]));
  const bool wide = text.size() >= 2 && (text.substr(0, 2) == "\xFF\xFE" || text.substr(0, 2) == "\xFE\xFF");
  const std::string where =
      cat(path, ":", line, ": byte ", at - line_begin + 1, " of the line (", byte, ") is not UTF-8");
  if (!wide && text.find('\0') != text.npos)
    fail(where, ", and the file has bytes of 0, as no text has: leave it out (data.train[].exclude or glob)");
  fail(where, "; convert the file (iconv -f ",
       wide ? "UTF-16" : "CP1252",  // which has all of Latin-1's letters
       " -t UTF-8), or set data.encoding to replace or skip");
}

// What one file's documents pass through: encoding, counts, the visitor.
struct Sink {
  const SourceFile& file;
  const std::string& encoding;
  SourceCounts& counts;
  const std::function<void(Document&&)>& visit;

  // False: leave the text out. `line` is that of the text's first byte.
  bool check_encoding(std::string& text, std::size_t line) const {
    const auto at = first_invalid_utf8(text);
    if (!at) return true;
    if (encoding == "skip") {
      ++counts.invalid_skipped;
      return false;
    }
    if (encoding != "replace") {
      const auto newlines = std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(*at), '\n');
      fail_encoding(file.path, text, *at, line + static_cast<std::size_t>(newlines));
    }
    ++counts.invalid_replaced;
    text = replace_invalid_utf8(text);
    return true;
  }

  void give(std::string&& text, std::string origin) const {
    if (text.empty()) {
      ++counts.empty;
      return;
    }
    ++counts.documents;
    counts.bytes += text.size();
    visit({std::move(text), std::move(origin), file.source});
  }
};

void read_text(const Sink& sink) {
  const std::string& path = sink.file.path;
  ByteReader reader(path);
  std::string text(std::min<std::size_t>(sink.file.bytes, kMostBytes) + 1, '\0');
  std::size_t size = 0;
  while (const std::size_t got = reader.read(text.data() + size, text.size() - size)) {
    size += got;
    if (size > kMostBytes) {
      fail(path,
           ": one document of more than 1 GiB; split it into smaller files, or write one document a line as "
           ".jsonl");
    }
    if (size == text.size()) text.resize(std::min(size * 2 + 4096, kMostBytes + 1));
  }
  text.resize(size);
  if (sink.check_encoding(text, 1)) sink.give(std::move(text), sink.file.origin);
}

std::string keys_of(const Json& record) {
  std::string keys;
  std::size_t count = 0;
  for (const auto& [key, value] : record.items()) {
    if (++count > 10) return keys + " ...";
    keys += (keys.empty() ? "'" : ", '") + key + "'";
  }
  return keys.empty() ? "no keys" : keys;
}

std::string text_of_record(Json& record, const std::string& field, const std::string& where) {
  if (!record.is_object()) {
    fail(where, ": wanted an object with the key '", field, "', found ", record.type_name());
  }
  const auto value = record.find(field);
  if (value == record.end()) {
    fail(where, ": wanted the key '", field, "', found ", keys_of(record),
         "; say which holds the text, e.g. field: ",
         record.empty() ? std::string("text") : record.begin().key());
  }
  if (!value->is_string()) fail(where, ": key '", field, "': wanted text, found ", value->type_name());
  return std::move(value->get_ref<std::string&>());
}

void read_records(const Sink& sink, const std::string& field) {
  LineReader reader(sink.file.path, kMostBytes);
  while (const auto line = reader.next()) {
    if (line->find_first_not_of(" \t\r") == line->npos) continue;
    const std::string number = std::to_string(reader.line_number());
    std::string text(*line);
    if (!sink.check_encoding(text, reader.line_number())) continue;
    const std::string where = sink.file.path + ":" + number;
    Json record = parse_json(text, where, {.max_bytes = 4 * kMostBytes});
    sink.give(text_of_record(record, field, where), sink.file.origin + ":" + number);
  }
}

// [{"text": ...}, ...] or ["...", ...], an element at a time.
void read_array(const Sink& sink, const std::string& field) {
  const std::string& path = sink.file.path;
  JsonArrayReader reader(path, kMostBytes);
  while (auto text = reader.next()) {
    if (!sink.check_encoding(*text, reader.line())) continue;
    const std::string where = cat(path, ":", reader.line(), ": element ", reader.number());
    Json element = parse_json(*text, where, {.max_bytes = 4 * kMostBytes});
    if (!element.is_string() && !element.is_object())
      fail(where, ": wanted a text or an object with the key '", field, "', found ", element.type_name(),
           "; a .json file that is to be read as one text wants another name, e.g. .txt");
    sink.give(element.is_string() ? std::move(element.get_ref<std::string&>())
                                  : text_of_record(element, field, where),
              cat(sink.file.origin, ":record ", reader.number()));
  }
}

}  // namespace

bool may_be_array(const SourceSection& source) {
  return text_extension(source.path) == ".json" && !std::filesystem::is_directory(source.path);
}

void read_documents(const SourceFile& file, const SourceSection& source, const std::string& encoding,
                    SourceCounts& counts, const std::function<void(Document&&)>& visit) {
  const Sink sink{file, encoding, counts, visit};
  ++counts.files;
  if (is_record_file(file.path)) {
    read_records(sink, source.field);
  } else if (may_be_array(source) && holds_json_array(file.path)) {
    read_array(sink, source.field);
  } else {
    read_text(sink);
  }
}

}  // namespace lathe
