#pragma once
// Questions with a list of possible answers, as the published sets have them: a list of texts (MMLU,
// HellaSwag) or {text: [...], label: [...]} (ARC), and the right one as its text, its label, its letter or
// its index from 0. Pure functions; errors are usage errors that begin with `where`.
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "data/io/json.h"

namespace lathe {

struct Choices {
  std::vector<std::string> texts;  // two or more, none empty, all different
  std::size_t right = 0;
};

// `choices` may also be a string that holds the JSON list, as a CSV cell does.
Choices read_choices(const Json& choices, const Json& answer, const std::string& where);

// The record's own names of its choices and of their answer; nothing when it has none.
std::optional<std::pair<std::string, std::string>> find_choice_columns(const Json& record);

}  // namespace lathe
