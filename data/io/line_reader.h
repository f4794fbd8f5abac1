#pragma once
// Streaming bytes and lines of a plain or gzip file with bounded memory.
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace lathe {

// Reads path; gzip is recognised by its magic bytes. Concatenated members are read through; a truncated or
// damaged stream is an Error naming the file.
class ByteReader {
 public:
  explicit ByteReader(const std::string& path);
  ~ByteReader();
  ByteReader(ByteReader&&) noexcept;
  ByteReader& operator=(ByteReader&&) noexcept;
  std::size_t read(char* out, std::size_t capacity);  // 0 at the end

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Lines without their '\n' (a final line without one counts). A line above max_line_bytes is an Error with
// its number.
class LineReader {
 public:
  explicit LineReader(const std::string& path, std::size_t max_line_bytes = std::size_t{64} << 20);
  std::optional<std::string_view> next();                   // valid until the next call
  std::size_t line_number() const { return line_number_; }  // of the last line returned, from 1

 private:
  std::string path_;
  ByteReader reader_;
  std::size_t max_line_bytes_, line_number_ = 0, begin_ = 0, end_ = 0;
  bool finished_ = false;
  std::string buffer_;
};

// All lines of a file but the blank ones: prompts, one a line. Without a byte order mark and returns at ends.
// A line that is not UTF-8 is a usage Error.
std::vector<std::string> filled_lines(const std::string& path);

}  // namespace lathe
