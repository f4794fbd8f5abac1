#pragma once
// Pieces of HTML. Everything that comes from data passes escape_html().
#include <string>
#include <string_view>

#include "data/io/json.h"

namespace lathe {

std::string escape_html(std::string_view text);  // & < > " ', invalid UTF-8 and control characters replaced
std::string json_outline(const Json& value);     // objects as indented "key: value" lines, plain text
std::string json_scalar(const Json& value);      // numbers shortened, strings as they are

}  // namespace lathe
