#pragma once
// Records that do not stand where a reader looks for them: a table without a row of names, records under a
// key, or each over several lines. Nothing is guessed and read; the advice names what was found and a command
// that puts it right, into a file of its own. Pure functions.
#include <optional>
#include <string>
#include <string_view>

#include "data/sources/records.h"

namespace lathe {

// Of a table whose first row looks like an example, not like names of columns: how to put names before it,
// which keeps it. Nothing for others.
std::optional<std::string> naming_advice(const RecordFile& table, const std::string& path);

// Of an object that holds lists of records: {"data": [{...}, {...}]}. Nothing for others.
std::optional<std::string> unwrap_advice(const Json& object, const std::string& path);

// Of a text whose first JSON object ends on a later line than it begins. Nothing for others.
std::optional<std::string> spread_advice(std::string_view text, const std::string& path);

}  // namespace lathe
