#pragma once
// Files -> documents, streaming. Order is deterministic: sources in the recipe's order, files sorted by their
// path's bytes, records in file order. Text is kept as it is; invalid UTF-8 follows `encoding`.
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "recipes/schema/data_sections.h"

namespace lathe {

struct Document {
  std::string text;
  std::string origin;        // "folder/file.py" or "file.jsonl:17"
  std::uint32_t source = 0;  // index of its source
};

struct SourceFile {
  std::string path;    // absolute
  std::string origin;  // relative, shown
  std::uint64_t bytes = 0;
  std::int64_t modified_ns = 0;
  std::uint32_t source = 0;
  // What tells other bytes from those seen before: a program may set the time of modification back (cp -p,
  // rsync -t), the kernel's time of change and the inode tell of it all the same.
  std::int64_t changed_ns = 0;
  std::uint64_t inode = 0;
};

// What a file is at this moment, links followed; Error when it cannot be looked at.
SourceFile stamp_file(const std::string& path, const std::string& origin, std::uint32_t source);

// The files of the sources; s3://, .parquet, .xlsx and the like are an Error with the command that converts
// them. An empty result is an Error that says what was looked for. Folders of links that loop are entered
// once.
// left_out gets a line for people on files that no glob names and that are no text by their names; "" when
// there are none.
std::vector<SourceFile> list_source_files(const std::vector<SourceSection>& sources,
                                          std::string* left_out = nullptr);

// documents and bytes (of their text) are those visited; the second line counts documents too. `duplicates`
// is for who filters them (data/shards/survey.h).
struct SourceCounts {
  std::uint64_t files = 0, documents = 0, bytes = 0;
  std::uint64_t empty = 0, invalid_skipped = 0, invalid_replaced = 0, duplicates = 0;
};

// Whether a source names a .json(.gz) file itself: an array in it is a list of documents. One that is found
// in a folder is a text like the code beside it.
bool may_be_array(const SourceSection& source);

// Calls visit(document) for each document of one file. A .jsonl(.gz) file has one a line (key `field`), a
// JSON array (may_be_array) one an element, which may be a text itself; others are one. Empty ones are
// counted, not visited; nothing is trimmed (a byte order mark, NUL and \r stay). More than 1 GiB in one
// document is an Error. Safe to call for different files from several threads, each with its own counts.
void read_documents(const SourceFile& file, const SourceSection& source, const std::string& encoding,
                    SourceCounts& counts, const std::function<void(Document&&)>& visit);

}  // namespace lathe
