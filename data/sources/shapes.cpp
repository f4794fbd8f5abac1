#include "data/sources/shapes.h"

#include <algorithm>
#include <optional>

#include "data/sources/conversations.h"
#include "data/sources/problems.h"

namespace lathe {
namespace {

struct RoleColumn {
  std::string_view role, column;  // column in lower case: spreadsheets capitalise
  bool needed;
};
struct Pattern {
  std::string_view format;
  std::vector<RoleColumn> columns;
  std::string_view marker;  // a column that at least one record must have; empty: none
};

Pattern pair_of(std::string_view prompt, std::string_view completion) {
  return {"prompt_completion",
          {{"prompt", prompt, true}, {"completion", completion, true}, {"system", "system", false}}, ""};
}

// In the order of preference. Sources: Alpaca's and Dolly's data cards, TRL's dataset formats, OpenAI's and Bedrock's
// fine-tuning pages.
const std::vector<Pattern>& patterns() {
  static const std::vector<Pattern> all = {
      {"bedrock", {{"messages", "messages", true}, {"system", "system", false}}, "schemaversion"},
      {"messages",
       {{"messages", "messages", true}, {"tools", "tools", false}, {"tools", "functions", false},
        {"system", "system", false}},
       ""},
      {"sharegpt",
       {{"messages", "conversations", true}, {"tools", "tools", false}, {"system", "system", false}},
       ""},
      {"alpaca",
       {{"prompt", "instruction", true}, {"completion", "output", true}, {"input", "input", false},
        {"system", "system", false}, {"history", "history", false}},
       ""},
      {"dolly",
       {{"prompt", "instruction", true}, {"completion", "response", true}, {"input", "context", false}},
       "context"},
      pair_of("prompt", "completion"), pair_of("prompt", "response"), pair_of("instruction", "response"),
      pair_of("instruction", "completion"), pair_of("question", "answer"), pair_of("query", "response"),
      pair_of("query", "answer"), pair_of("question", "r\xC3\xA9ponse"), pair_of("question", "reponse"),
      pair_of("input", "output"), pair_of("entr\xC3\xA9" "e", "sortie"), pair_of("user", "assistant"),
      pair_of("source", "target"), pair_of("document", "summary"), pair_of("text", "summary"),
      pair_of("text", "label"),
      {"text", {{"text", "text", true}}, ""}, {"text", {{"text", "content", true}}, ""},
      {"text", {{"text", "document", true}}, ""},
      {"text", {{"text", "input", true}}, ""},  // Bedrock's continued pretraining
  };
  return all;
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  for (std::size_t at = 0; (at = out.find("\xC3\x89", at)) != out.npos;) out.replace(at, 2, "\xC3\xA9");  // E acute
  return out;
}

// The record's own spelling of a column; nothing when it lacks it.
std::optional<std::string> spelling(const Json& record, std::string_view column) {
  if (const std::string exact(column); record.contains(exact)) return exact;
  for (const auto& [key, value] : record.items()) {
    if (lower(key) == column) return key;
  }
  return std::nullopt;
}

bool fits(const Json& record, const Pattern& pattern) {
  return std::all_of(pattern.columns.begin(), pattern.columns.end(),
                     [&](const RoleColumn& c) { return !c.needed || spelling(record, c.column); });
}

std::string wanted_of(const Pattern& pattern) {
  std::string text;
  for (const auto& column : pattern.columns) {
    if (column.needed) text += cat(text.empty() ? "'" : "' and '", column.column);
  }
  return text + "'";
}

std::string keys_of(const Json& record) {
  std::string keys;
  std::size_t count = 0;
  for (const auto& [key, value] : record.items()) {
    if (++count > 8) return keys + " ...";
    keys += (keys.empty() ? "'" : ", '") + key + "'";
  }
  return keys.empty() ? "nothing" : keys;
}

std::string place_of(const Record& record, const std::string& path) {
  return path + record.origin.substr(std::min(record.origin.find(':'), record.origin.size()));
}

struct Match {
  const Pattern* pattern = nullptr;
  std::size_t count = 0;
};

Match best_match(const RecordFile& file, const std::string& format) {
  Match best;
  for (const auto& pattern : patterns()) {
    if (!format.empty() && pattern.format != format) continue;
    const auto has_marker = [&](const Record& r) { return spelling(r.value, pattern.marker).has_value(); };
    if (!pattern.marker.empty() && std::none_of(file.records.begin(), file.records.end(), has_marker)) continue;
    const auto count = static_cast<std::size_t>(std::count_if(
        file.records.begin(), file.records.end(), [&](const Record& r) { return fits(r.value, pattern); }));
    if (count > best.count) best = {&pattern, count};
  }
  return best;
}

[[noreturn]] void fail_unknown(const RecordFile& file, const std::string& path, const std::string& format) {
  const Json& first = file.records.front().value;
  if (first.contains("chosen") && first.contains("rejected")) {
    fail_usage(path, ": preference data (columns ", keys_of(first), "): wanted one answer a record; say which to learn, "
               "e.g. data.columns: {prompt: ", first.begin().key(), ", completion: chosen}");
  }
  if (!format.empty()) {
    fail_usage(path, ": no record has the columns of data.format '", format, "', found ", keys_of(first),
               "; leave format out to detect it, or name the columns with data.columns");
  }
  const std::string one = first.begin().key(), other = first.size() > 1 ? std::next(first.begin()).key() : one;
  fail_usage(path, ": wanted columns of a known format (prompt and completion, instruction and output, messages, "
             "conversations, text ...), found ", keys_of(first), "; say which is which, e.g. data.columns: ",
             first.size() > 1 ? cat("{prompt: ", one, ", completion: ", other, "}") : cat("{text: ", one, "}"));
}

// What the records that do not fit look like; a second shape among them is named, since two kinds in one file are the
// usual cause.
[[noreturn]] void fail_misfits(const RecordFile& file, const std::string& path, const Match& best) {
  RecordFile others;
  Problems problems;
  for (const auto& record : file.records) {
    if (fits(record.value, *best.pattern)) continue;
    others.records.push_back(record);
    problems.add(place_of(record, path), ": wanted ", wanted_of(*best.pattern), " (format ", best.pattern->format,
                 ", as ", best.count, " of ", file.records.size(), " records), found ", keys_of(record.value));
  }
  const Match second = best_match(others, "");
  if (second.count == others.records.size()) {
    problems.add(path, ": two formats are mixed, ", best.pattern->format, " and ", second.pattern->format,
                 "; put them into two files");
  }
  problems.raise();
  fail(path, ": no shape fits");
}

Shape shape_of(const Pattern& pattern, const RecordFile& file) {
  Shape shape{std::string(pattern.format), {}};
  for (const auto& column : pattern.columns) {
    for (const auto& record : file.records) {
      const auto name = spelling(record.value, column.column);
      if (!name) continue;
      const auto same_role = [&](const auto& entry) { return entry.first == column.role; };
      if (std::none_of(shape.columns.begin(), shape.columns.end(), same_role)) {
        shape.columns.emplace_back(column.role, *name);
      }
      break;
    }
  }
  return shape;
}

constexpr std::string_view kRoles[] = {"prompt", "completion", "input", "system", "history", "text", "messages", "tools"};

bool has_role(const ColumnMap& columns, std::string_view role) {
  return std::any_of(columns.begin(), columns.end(), [&](const auto& entry) { return entry.first == role; });
}

// The user's own map, checked against the file.
Shape shape_of(const ColumnMap& columns, const RecordFile& file, const std::string& path) {
  for (const auto& [role, column] : columns) {
    if (std::find(std::begin(kRoles), std::end(kRoles), role) == std::end(kRoles)) {
      fail_usage("data.columns: '", role, "': wanted prompt, completion, input, system, history, text, messages or tools");
    }
    const auto has = [&](const Record& record) { return record.value.contains(column); };
    if (std::none_of(file.records.begin(), file.records.end(), has)) {
      fail_usage(path, ": data.columns: no record has a column '", column, "', found ", keys_of(file.records[0].value));
    }
  }
  if (has_role(columns, "text")) return {"text", columns};
  if (has_role(columns, "messages")) return {"messages", columns};
  if (has_role(columns, "prompt") && has_role(columns, "completion")) return {"prompt_completion", columns};
  fail_usage("data.columns: wanted prompt and completion, or text, or messages; found only '", columns.front().first, "'");
}

const Json* field(const Shape& shape, const Json& record, std::string_view role, std::string* name = nullptr) {
  for (const auto& [r, column] : shape.columns) {
    if (r != role) continue;
    if (name) *name = column;
    const auto found = record.find(column);
    if (found != record.end()) return &*found;
    const auto other = spelling(record, lower(column));
    return other ? &record.at(*other) : nullptr;
  }
  return nullptr;
}

std::string text_field(const Shape& shape, const Json& record, std::string_view role, const std::string& where) {
  std::string name;
  const Json* value = field(shape, record, role, &name);
  if (!value) fail_usage(where, ": wanted a column '", name, "', found ", keys_of(record));
  if (value->is_number() || value->is_boolean()) {
    fail_usage(where, ": '", name, "': wanted text, found ", value->dump(), "; write it in quotes: \"", value->dump(), "\"");
  }
  if (!value->is_string()) {
    fail_usage(where, ": '", name, "': wanted text, found ",
               value->is_null() ? "null" : value->is_array() ? "a list" : "an object");
  }
  const auto& text = value->get_ref<const std::string&>();
  if (text.find_first_not_of(" \t\r\n") == text.npos) {
    fail_usage(where, ": '", name, "' is empty; fill it in or delete the record");
  }
  return text;
}

std::string optional_text(const Shape& shape, const Json& record, std::string_view role, const std::string& where) {
  const Json* value = field(shape, record, role);
  if (!value || value->is_null()) return {};
  if (value->is_string() && value->get_ref<const std::string&>().find_first_not_of(" \t\r\n") == std::string::npos) {
    return {};
  }
  return text_field(shape, record, role, where);
}

Json message(const char* role, const std::string& content) { return Json{{"role", role}, {"content", content}}; }

// Earlier turns of Alpaca's `history`: [[instruction, answer], ...].
void put_history(const Json& history, Json& messages, const std::string& where) {
  if (!history.is_array()) fail_usage(where, ": 'history': wanted [[prompt, answer], ...], found ", history.type_name());
  for (const auto& turn : history) {
    if (!turn.is_array() || turn.size() != 2 || !turn[0].is_string() || !turn[1].is_string()) {
      fail_usage(where, ": 'history': wanted pairs of texts [prompt, answer], found ", turn.dump().substr(0, 60));
    }
    messages.push_back(message("user", turn[0].get<std::string>()));
    messages.push_back(message("assistant", turn[1].get<std::string>()));
  }
}

Example read_pair(const Shape& shape, const Record& record, const std::string& where) {
  Example example;
  example.prompt = text_field(shape, record.value, "prompt", where);
  example.completion = text_field(shape, record.value, "completion", where);
  if (const auto input = optional_text(shape, record.value, "input", where); !input.empty()) {
    example.prompt += "\n\n" + input;
  }
  const std::string system = optional_text(shape, record.value, "system", where);
  const Json* history = field(shape, record.value, "history");
  const bool turns = history && !history->is_null() && !(history->is_array() && history->empty());
  if (system.empty() && !turns) return example;
  example.kind = ExampleKind::Chat;
  example.messages = Json::array();
  if (!system.empty()) example.messages.push_back(message("system", system));
  if (turns) put_history(*history, example.messages, where);
  example.messages.push_back(message("user", std::exchange(example.prompt, {})));
  example.messages.push_back(message("assistant", std::exchange(example.completion, {})));
  return example;
}

Example read_chat(const Shape& shape, const Record& record, const std::string& where) {
  std::string name;
  const Json* list = field(shape, record.value, "messages", &name);
  if (!list) fail_usage(where, ": wanted a column '", name, "', found ", keys_of(record.value));
  Example example;
  example.kind = ExampleKind::Chat;
  if (list->is_string()) {  // a CSV cell holds JSON
    example.messages = read_messages(parse_json(list->get_ref<const std::string&>(), where + ": '" + name + "'"), where);
  } else {
    example.messages = read_messages(*list, where);
  }
  if (const Json* system = field(shape, record.value, "system")) put_system(*system, example.messages, where);
  if (const Json* tools = field(shape, record.value, "tools")) example.tools = read_tools(*tools, where);
  return example;
}

}  // namespace

std::vector<std::string> format_names() {
  std::vector<std::string> names;
  for (const auto& pattern : patterns()) {
    const std::string name(pattern.format);
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  }
  return names;
}

Shape detect_shape(const RecordFile& file, const std::string& path, const std::string& format, const ColumnMap& columns) {
  const auto names = format_names();
  if (!format.empty() && std::find(names.begin(), names.end(), format) == names.end()) {
    std::string known;
    for (const auto& name : names) known += (known.empty() ? "" : ", ") + name;
    fail_usage("data.format: wanted one of ", known, ", found '", format, "'");
  }
  if (!columns.empty()) return shape_of(columns, file, path);
  const Match best = best_match(file, format);
  if (best.count == 0) fail_unknown(file, path, format);
  if (best.count < file.records.size()) fail_misfits(file, path, best);
  return shape_of(*best.pattern, file);
}

Example read_shape(const Shape& shape, const Record& record, const std::string& where) {
  Example example;
  if (has_role(shape.columns, "messages")) {
    example = read_chat(shape, record, where);
  } else if (has_role(shape.columns, "text")) {
    example.kind = ExampleKind::Text;
    example.completion = text_field(shape, record.value, "text", where);
  } else {
    example = read_pair(shape, record, where);
  }
  example.origin = record.origin;
  return example;
}

}  // namespace lathe
