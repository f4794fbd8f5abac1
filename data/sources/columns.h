#pragma once
// Names of a record's fields: spreadsheets capitalise them, so they are compared in lower case.
#include <optional>
#include <string>
#include <string_view>

#include "data/io/json.h"

namespace lathe {

// ASCII letters and a capital E with acute (Reponse, as French headers write it) in lower case.
std::string lower_column(std::string_view text);
// The record's own spelling of a column given in lower case; nothing when it lacks it.
std::optional<std::string> find_column(const Json& record, std::string_view column);
// "'a', 'b'", at most eight: for errors.
std::string column_names(const Json& record);

}  // namespace lathe
