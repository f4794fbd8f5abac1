#pragma once
// The shapes that a record of tuning data can have, each a row of one table: which columns play which role. A
// shape is chosen from all records of a file, so that record 40 cannot surprise, and only an exact fit is
// taken.
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "data/sources/example.h"
#include "data/sources/records.h"

namespace lathe {

// Which column plays which role; roles: prompt, completion, input (context below the prompt), system,
// history, text, messages, tools, choices, answer.
using ColumnMap = std::vector<std::pair<std::string, std::string>>;

struct Shape {
  std::string format;  // prompt_completion, alpaca, dolly, messages, sharegpt, bedrock, choices, text
  ColumnMap columns;   // only those that occur in the records
};

// The names accepted as data.format, in the order of detection.
std::vector<std::string> format_names();
// The shape of every record of `file`; `format` (or empty) and `columns` (or none) of the user come first.
// Error with the records that do not fit (file:line, wanted, found), with the two shapes that are mixed, or
// with what the columns are called when no shape is known.
Shape detect_shape(const RecordFile& file, const std::string& path, const std::string& format,
                   const ColumnMap& columns);
// One record as an example; `where` begins errors (a missing, empty, null or otherwise typed field).
Example read_shape(const Shape& shape, const Record& record, const std::string& where);

}  // namespace lathe
