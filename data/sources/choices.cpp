#include "data/sources/choices.h"

#include <algorithm>

#include "data/sources/columns.h"
#include "recipes/schema/error.h"

namespace lathe {
namespace {

std::vector<std::string> text_list(const Json& list, const std::string& where, const char* what) {
  if (!list.is_array()) fail_usage(where, ": '", what, "': wanted a list of texts, found ", list.type_name());
  std::vector<std::string> texts;
  for (const Json& item : list) {
    if (!item.is_string()) {
      fail_usage(where, ": '", what, "': wanted texts, found ", item.dump().substr(0, 40),
                 item.is_number() ? "; write it in quotes" : "");
    }
    texts.push_back(item.get<std::string>());
  }
  return texts;
}

std::optional<std::size_t> place_of(const std::vector<std::string>& list, const std::string& text) {
  const auto found = std::find(list.begin(), list.end(), text);
  if (found == list.end()) return std::nullopt;
  return static_cast<std::size_t>(found - list.begin());
}

std::optional<std::size_t> place_by_index(const Json& answer, const Choices& choices) {
  std::int64_t index = -1;
  if (answer.is_number_integer()) index = answer.get<std::int64_t>();
  if (answer.is_string()) {
    const auto& text = answer.get_ref<const std::string&>();
    if (text.size() == 1 && text[0] >= 'A' && text[0] <= 'Z') index = text[0] - 'A';
    if (text.size() == 1 && text[0] >= '0' && text[0] <= '9') index = text[0] - '0';
  }
  if (index < 0 || index >= static_cast<std::int64_t>(choices.texts.size())) return std::nullopt;
  return static_cast<std::size_t>(index);
}

}  // namespace

Choices read_choices(const Json& choices, const Json& answer, const std::string& where) {
  if (choices.is_string())
    return read_choices(parse_json(choices.get_ref<const std::string&>(), where + ": 'choices'"), answer,
                        where);
  Choices read;
  std::vector<std::string> labels;
  if (choices.is_object()) {
    read.texts = text_list(choices.value("text", Json()), where, "choices.text");
    labels = text_list(choices.value("label", Json::array()), where, "choices.label");
    if (!labels.empty() && labels.size() != read.texts.size())
      fail_usage(where, ": 'choices': ", read.texts.size(), " texts and ", labels.size(), " labels");
  } else {
    read.texts = text_list(choices, where, "choices");
  }
  if (read.texts.size() < 2) fail_usage(where, ": 'choices': wanted two or more, found ", read.texts.size());
  for (std::size_t i = 0; i < read.texts.size(); ++i) {
    if (read.texts[i].find_first_not_of(" \t\r\n") == std::string::npos)
      fail_usage(where, ": 'choices': number ", i + 1, " is empty");
    if (*place_of(read.texts, read.texts[i]) < i)
      fail_usage(where, ": 'choices': '", read.texts[i], "' is there twice");
  }
  std::optional<std::size_t> right;
  if (answer.is_string()) {
    right = place_of(read.texts, answer.get<std::string>());
    if (!right) right = place_of(labels, answer.get<std::string>());
  }
  if (!right && labels.empty()) right = place_by_index(answer, read);
  if (!right) {
    fail_usage(where, ": the answer: wanted one of the ", read.texts.size(), " choices, ",
               labels.empty() ? "its index from 0 or its letter" : "or its label", ", found ",
               answer.dump().substr(0, 60));
  }
  read.right = *right;
  return read;
}

std::optional<std::pair<std::string, std::string>> find_choice_columns(const Json& record) {
  for (const char* list : {"choices", "options", "endings"}) {
    const auto choices = find_column(record, list);
    if (!choices) continue;
    for (const char* right : {"answer", "answerkey", "label", "completion"}) {
      if (const auto answer = find_column(record, right)) return std::pair{*choices, *answer};
    }
  }
  return std::nullopt;
}

}  // namespace lathe
