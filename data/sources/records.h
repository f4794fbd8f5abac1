#pragma once
// A file of records as JSON values, whatever holds them: JSON Lines, a JSON array, CSV or plain text; told
// apart by content, so that a .json of lines and a .jsonl of one array are read too. Plain or gzip. Nothing
// is interpreted here.
#include <string>
#include <vector>

#include "data/io/json.h"

namespace lathe {

struct Record {
  Json value;  // an object; every value of a CSV row is text
  std::string
      origin;  // "examples.csv:12": the line it begins on; "x.json:record 3" in a file written as one line
};

struct RecordFile {
  std::string container;  // "jsonl", "json", "csv", "text"
  std::string encoding;   // as decode_text names it
  std::string separator;  // of CSV: "semicolon" ...; empty otherwise
  std::vector<Record> records;
  std::vector<std::string> notes;
};

// Reads `path`, at most 1 GiB of text. Formats that are not read (xlsx, parquet, archives) and addresses give
// the command that converts or fetches them. One Error lists everything that does not parse; a plain text is
// one record {text}.
RecordFile read_record_file(const std::string& path, const std::string& encoding = "");

}  // namespace lathe
