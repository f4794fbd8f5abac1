// One record as an example, by the shape that was detected.
#include <algorithm>
#include <utility>

#include "data/sources/choices.h"
#include "data/sources/columns.h"
#include "data/sources/conversations.h"
#include "data/sources/shapes.h"
#include "recipes/schema/error.h"

namespace lathe {
namespace {

bool has_role(const ColumnMap& columns, std::string_view role) {
  return std::any_of(columns.begin(), columns.end(), [&](const auto& entry) { return entry.first == role; });
}

const Json* field(const Shape& shape, const Json& record, std::string_view role,
                  std::string* name = nullptr) {
  for (const auto& [r, column] : shape.columns) {
    if (r != role) continue;
    if (name) *name = column;
    const auto found = record.find(column);
    if (found != record.end()) return &*found;
    const auto other = find_column(record, lower_column(column));
    return other ? &record.at(*other) : nullptr;
  }
  return nullptr;
}

std::string text_field(const Shape& shape, const Json& record, std::string_view role,
                       const std::string& where) {
  std::string name;
  const Json* value = field(shape, record, role, &name);
  if (!value) fail_usage(where, ": wanted a column '", name, "', found ", column_names(record));
  if (value->is_number() || value->is_boolean()) {
    fail_usage(where, ": '", name, "': wanted text, found ", value->dump(), "; write it in quotes: \"",
               value->dump(), "\"");
  }
  if (!value->is_string()) {
    fail_usage(where, ": '", name, "': wanted text, found ",
               value->is_null()    ? "null"
               : value->is_array() ? "a list"
                                   : "an object");
  }
  const auto& text = value->get_ref<const std::string&>();
  if (text.find_first_not_of(" \t\r\n") == text.npos) {
    fail_usage(where, ": '", name, "' is empty; fill it in or delete the record");
  }
  return text;
}

std::string optional_text(const Shape& shape, const Json& record, std::string_view role,
                          const std::string& where) {
  const Json* value = field(shape, record, role);
  if (!value || value->is_null()) return {};
  if (value->is_string() &&
      value->get_ref<const std::string&>().find_first_not_of(" \t\r\n") == std::string::npos) {
    return {};
  }
  return text_field(shape, record, role, where);
}

Json message(const char* role, const std::string& content) {
  return Json{{"role", role}, {"content", content}};
}

// Earlier turns of Alpaca's `history`: [[instruction, answer], ...].
void put_history(const Json& history, Json& messages, const std::string& where) {
  if (!history.is_array())
    fail_usage(where, ": 'history': wanted [[prompt, answer], ...], found ", history.type_name());
  for (const auto& turn : history) {
    if (!turn.is_array() || turn.size() != 2 || !turn[0].is_string() || !turn[1].is_string()) {
      fail_usage(where, ": 'history': wanted pairs of texts [prompt, answer], found ",
                 turn.dump().substr(0, 60));
    }
    messages.push_back(message("user", turn[0].get<std::string>()));
    messages.push_back(message("assistant", turn[1].get<std::string>()));
  }
}

// TRL's conversational pairs: prompt and completion are lists of messages.
Example read_pair_of_messages(const Json& prompt, const Json& completion, const std::string& where) {
  if (!completion.is_array())
    fail_usage(where, ": the prompt is a list of messages, the completion is not; wanted both");
  Json all = prompt;
  for (const auto& message : completion) all.push_back(message);
  Example example;
  example.kind = ExampleKind::Chat;
  example.messages = read_messages(all, where);
  return example;
}

// The prompt with what belongs to it, and the given completion.
Example finish_pair(const Shape& shape, const Record& record, const std::string& where,
                    std::string completion) {
  Example example;
  example.prompt = text_field(shape, record.value, "prompt", where);
  example.completion = std::move(completion);
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

Example read_pair(const Shape& shape, const Record& record, const std::string& where) {
  const Json *prompt = field(shape, record.value, "prompt"),
             *completion = field(shape, record.value, "completion");
  if (prompt && completion && prompt->is_array()) return read_pair_of_messages(*prompt, *completion, where);
  return finish_pair(shape, record, where, text_field(shape, record.value, "completion", where));
}

// A question with choices is the pair with the right one.
Example read_choice_question(const Shape& shape, const Record& record, const std::string& where) {
  const Json *list = field(shape, record.value, "choices"), *answer = field(shape, record.value, "answer");
  if (!list || !answer)
    fail_usage(where, ": wanted choices and their answer, found ", column_names(record.value));
  Choices choices = read_choices(*list, *answer, where);
  Example example = finish_pair(shape, record, where, choices.texts[choices.right]);
  example.choices = std::move(choices.texts);
  return example;
}

Example read_chat(const Shape& shape, const Record& record, const std::string& where) {
  std::string name;
  const Json* list = field(shape, record.value, "messages", &name);
  if (!list) fail_usage(where, ": wanted a column '", name, "', found ", column_names(record.value));
  Example example;
  example.kind = ExampleKind::Chat;
  if (list->is_string()) {  // a CSV cell holds JSON
    example.messages =
        read_messages(parse_json(list->get_ref<const std::string&>(), where + ": '" + name + "'"), where);
  } else {
    example.messages = read_messages(*list, where);
  }
  if (const Json* system = field(shape, record.value, "system")) put_system(*system, example.messages, where);
  if (const Json* tools = field(shape, record.value, "tools")) example.tools = read_tools(*tools, where);
  return example;
}

}  // namespace

Example read_shape(const Shape& shape, const Record& record, const std::string& where) {
  Example example;
  if (has_role(shape.columns, "messages")) {
    example = read_chat(shape, record, where);
  } else if (has_role(shape.columns, "choices")) {
    example = read_choice_question(shape, record, where);
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
