#pragma once
// Comma-separated values by RFC 4180, with what spreadsheets do beyond it: ';', tab or '|' as the separator,
// a first line "sep=;", CRLF, LF or CR at line ends, a quote inside an unquoted field taken as it is. Pure
// functions.
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace lathe {

struct CsvRow {
  std::size_t line = 0;  // of its first character, from 1
  std::vector<std::string> fields;
};

struct CsvTable {
  std::vector<std::string> columns;  // the first row; spaces around names are dropped
  std::vector<CsvRow> rows;          // each with as many fields as there are columns
  char separator = ',';
  std::vector<std::string> notes;
};

// `separator` 0: found from the whole text, the one under which most rows have as many fields as the header;
// text is UTF-8. Rows without any text are left out and noted. One Error with every ragged row, a quote that
// never closes, text behind a closing quote, two columns of one name; `path` names the file in it.
CsvTable parse_csv(std::string_view text, const std::string& path, char separator = 0);
// How a separator is called in messages: "comma", "semicolon", "tab", "bar".
std::string separator_name(char separator);

}  // namespace lathe
