#pragma once
// Places and formats that are not read here, each with the one command that turns it into something that is.
#include <optional>
#include <string>
#include <string_view>

namespace lathe {

// The command that fetches a remote path (s3://, https://, hf:// ...) or nothing. Sees schemes behind a
// folder too: a recipe's relative paths have been joined to its own.
std::optional<std::string> fetch_command(const std::string& path);
// The command that converts a file of a format that holds data or text but is no text; nothing for all
// others.
std::optional<std::string> convert_command(const std::string& path);
// True for tables and archives of records: a folder that holds them is a data set, never to be passed over in
// silence.
bool is_data_format(const std::string& path);
// ".py" of "a/b.py", lower-case; ".jsonl" of "x.jsonl.gz" too.
std::string text_extension(std::string_view path);
bool is_known_text(std::string_view path);   // by extension, plain or .gz
bool is_record_file(std::string_view path);  // .jsonl, .ndjson, plain or .gz

}  // namespace lathe
