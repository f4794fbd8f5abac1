#pragma once
// The elements of a JSON array in a file, one after another: no more than one of them is held. Plain or gzip.
#include <cstddef>
#include <optional>
#include <string>

#include "data/io/line_reader.h"

namespace lathe {

// Whether a file's first character, behind a byte order mark and white space, opens an array.
bool holds_json_array(const std::string& path);

class JsonArrayReader {
 public:
  // Of a file that holds an array. An element of more than `most_bytes` is an Error.
  JsonArrayReader(const std::string& path, std::size_t most_bytes);

  // The next element as it is written, brackets matched and nothing else checked; none behind the last. What
  // is not between commas and brackets as an array's elements are is an Error with its line.
  std::optional<std::string> next();
  std::size_t line() const { return line_; }      // on which the last element began
  std::size_t number() const { return number_; }  // of the last element, from 1

 private:
  int look();  // the next character, -1 at the end
  int take();
  int skip_space();  // and look
  std::string element();

  std::string path_;
  ByteReader reader_;
  std::size_t most_bytes_, here_ = 1, line_ = 1, number_ = 0;
  std::string buffer_;
  std::size_t begin_ = 0, end_ = 0;
};

}  // namespace lathe
