#include "data/sources/shapes.h"

#include <algorithm>

#include "data/sources/columns.h"
#include "data/sources/misplaced.h"
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
          {{"prompt", prompt, true}, {"completion", completion, true}, {"system", "system", false}},
          ""};
}

Pattern choice_of(std::string_view prompt, std::string_view choices, std::string_view answer) {
  return {"choices",
          {{"prompt", prompt, true},
           {"choices", choices, true},
           {"answer", answer, true},
           {"system", "system", false}},
          ""};
}

// In the order of preference. Sources: Alpaca's and Dolly's data cards, TRL's dataset formats, OpenAI's and
// Bedrock's fine-tuning pages.
const std::vector<Pattern>& patterns() {
  static const std::vector<Pattern> all = {
      {"bedrock", {{"messages", "messages", true}, {"system", "system", false}}, "schemaversion"},
      {"messages",
       {{"messages", "messages", true},
        {"tools", "tools", false},
        {"tools", "functions", false},
        {"system", "system", false}},
       ""},
      {"sharegpt",
       {{"messages", "conversations", true}, {"tools", "tools", false}, {"system", "system", false}},
       ""},
      {"alpaca",
       {{"prompt", "instruction", true},
        {"completion", "output", true},
        {"input", "input", false},
        {"system", "system", false},
        {"history", "history", false}},
       ""},
      {"dolly",
       {{"prompt", "instruction", true}, {"completion", "response", true}, {"input", "context", false}},
       "context"},
      choice_of("prompt", "choices", "answer"),
      choice_of("prompt", "choices", "completion"),
      choice_of("question", "choices", "answer"),     // MMLU
      choice_of("question", "choices", "answerkey"),  // ARC
      choice_of("question", "options", "answer"),
      choice_of("ctx", "endings", "label"),  // HellaSwag
      pair_of("prompt", "completion"),
      pair_of("prompt", "response"),
      pair_of("instruction", "response"),
      pair_of("instruction", "completion"),
      pair_of("question", "answer"),
      pair_of("query", "response"),
      pair_of("query", "answer"),
      pair_of("question", "r\xC3\xA9ponse"),
      pair_of("question", "reponse"),
      pair_of("input", "output"),
      pair_of("entr\xC3\xA9"
              "e",
              "sortie"),
      pair_of("user", "assistant"),
      pair_of("source", "target"),
      pair_of("document", "summary"),
      pair_of("text", "summary"),
      pair_of("text", "label"),
      {"text", {{"text", "text", true}}, ""},
      {"text", {{"text", "content", true}}, ""},
      {"text", {{"text", "document", true}}, ""},
      {"text", {{"text", "input", true}}, ""},  // Bedrock's continued pretraining
  };
  return all;
}

bool fits(const Json& record, const Pattern& pattern) {
  return std::all_of(pattern.columns.begin(), pattern.columns.end(),
                     [&](const RoleColumn& c) { return !c.needed || find_column(record, c.column); });
}

std::string wanted_of(const Pattern& pattern) {
  std::string text;
  for (const auto& column : pattern.columns) {
    if (column.needed) text += cat(text.empty() ? "'" : "' and '", column.column);
  }
  return text + "'";
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
    const auto has_marker = [&](const Record& r) { return find_column(r.value, pattern.marker).has_value(); };
    if (!pattern.marker.empty() && std::none_of(file.records.begin(), file.records.end(), has_marker))
      continue;
    const auto count = static_cast<std::size_t>(std::count_if(
        file.records.begin(), file.records.end(), [&](const Record& r) { return fits(r.value, pattern); }));
    if (count > best.count) best = {&pattern, count};
  }
  return best;
}

[[noreturn]] void fail_unknown(const RecordFile& file, const std::string& path, const std::string& format) {
  const Json& first = file.records.front().value;
  if (first.contains("chosen") && first.contains("rejected")) {
    fail_usage(path, ": preference data (columns ", column_names(first),
               "): wanted one answer a record; say which to learn, "
               "e.g. data.columns: {prompt: ",
               first.begin().key(), ", completion: chosen}");
  }
  if (!format.empty()) {
    fail_usage(path, ": no record has the columns of data.format '", format, "', found ", column_names(first),
               "; leave format out to detect it, or name the columns with data.columns");
  }
  if (const auto advice = file.records.size() == 1 ? unwrap_advice(first, path) : std::nullopt)
    fail_usage(path, ": ", *advice);
  if (const auto advice = naming_advice(file, path)) fail_usage(path, ": ", *advice);
  const std::string one = first.begin().key(),
                    other = first.size() > 1 ? std::next(first.begin()).key() : one;
  const std::string table = file.container == "csv" ? "; the first row of a table must name its columns: if "
                                                      "these are an example's texts, put such a row "
                                                      "before them"
                                                    : "";
  fail_usage(path,
             ": wanted columns of a known format (prompt and completion, instruction and output, messages, "
             "conversations, text ...), found ",
             column_names(first), "; say which is which, e.g. data.columns: ",
             first.size() > 1 ? cat("{prompt: ", one, ", completion: ", other,
                                    "} (before there is a recipe: lathe recipes "
                                    "new ... --columns prompt=",
                                    one, ",completion=", other, ")")
                              : cat("{text: ", one, "}"),
             table);
}

// What the records that do not fit look like; a second shape among them is named, since two kinds in one file
// are the usual cause.
[[noreturn]] void fail_misfits(const RecordFile& file, const std::string& path, const Match& best) {
  RecordFile others;
  for (const auto& record : file.records)
    if (!fits(record.value, *best.pattern)) others.records.push_back(record);
  Problems problems;  // the cause first: of the records only some are told
  const Match second = best_match(others, "");
  if (second.count == others.records.size()) {
    problems.add(path, ": two formats are mixed, ", best.pattern->format, " and ", second.pattern->format,
                 "; put them into two files");
  }
  for (const auto& record : others.records) {
    problems.add(place_of(record, path), ": wanted ", wanted_of(*best.pattern), " (format ",
                 best.pattern->format, ", as ", best.count, " of ", file.records.size(), " records), found ",
                 column_names(record.value));
  }
  problems.raise();
  fail(path, ": no shape fits");
}

Shape shape_of(const Pattern& pattern, const RecordFile& file) {
  Shape shape{std::string(pattern.format), {}};
  for (const auto& column : pattern.columns) {
    for (const auto& record : file.records) {
      const auto name = find_column(record.value, column.column);
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

constexpr std::string_view kRoles[] = {"prompt", "completion", "input", "system",  "history",
                                       "text",   "messages",   "tools", "choices", "answer"};

bool has_role(const ColumnMap& columns, std::string_view role) {
  return std::any_of(columns.begin(), columns.end(), [&](const auto& entry) { return entry.first == role; });
}

// The user's own map, checked against the file.
Shape shape_of(const ColumnMap& columns, const RecordFile& file, const std::string& path) {
  for (const auto& [role, column] : columns) {
    if (std::find(std::begin(kRoles), std::end(kRoles), role) == std::end(kRoles)) {
      fail_usage(
          "data.columns: '", role,
          "': wanted prompt, completion, input, system, history, text, messages, tools, choices or answer");
    }
    const auto has = [&key = column](const Record& record) { return record.value.contains(key); };
    if (std::none_of(file.records.begin(), file.records.end(), has)) {
      fail_usage(path, ": data.columns: no record has a column '", column, "', found ",
                 column_names(file.records[0].value));
    }
  }
  for (const char* whole : {"text", "messages"}) {
    if (!has_role(columns, whole)) continue;
    for (const auto& [role, column] : columns) {
      const bool fits =
          role == whole || (whole == std::string_view("messages") && (role == "tools" || role == "system"));
      if (!fits)
        fail_usage("data.columns: '", whole, "' is the whole example and '", role, "' a part of one; wanted ",
                   whole, " alone, or prompt and completion");
    }
    return {whole, columns};
  }
  if (has_role(columns, "choices") != has_role(columns, "answer"))
    fail_usage("data.columns: wanted both choices and answer, found one of them");
  if (has_role(columns, "prompt") && has_role(columns, "choices")) return {"choices", columns};
  if (has_role(columns, "prompt") && has_role(columns, "completion")) return {"prompt_completion", columns};
  fail_usage("data.columns: wanted prompt and completion, or text, or messages; found only '",
             columns.front().first, "'");
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

Shape detect_shape(const RecordFile& file, const std::string& path, const std::string& format,
                   const ColumnMap& columns) {
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

}  // namespace lathe
