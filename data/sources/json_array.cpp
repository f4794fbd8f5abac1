#include "data/sources/json_array.h"

#include "recipes/schema/error.h"

namespace lathe {
namespace {

constexpr std::size_t kBlock = std::size_t{256} << 10;

bool is_space(int c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

}  // namespace

bool holds_json_array(const std::string& path) {
  ByteReader reader(path);
  std::string start(4096, '\0');
  for (bool first = true; const std::size_t got = reader.read(start.data(), start.size()); first = false) {
    std::size_t at = first && got >= 3 && start.starts_with("\xEF\xBB\xBF") ? 3 : 0;
    while (at < got && is_space(start[at])) ++at;
    if (at < got) return start[at] == '[';
  }
  return false;
}

JsonArrayReader::JsonArrayReader(const std::string& path, std::size_t most_bytes)
    : path_(path), reader_(path), most_bytes_(most_bytes), buffer_(kBlock, '\0') {
  look();
  if (end_ >= 3 && buffer_.starts_with("\xEF\xBB\xBF")) begin_ = 3;
  require(skip_space() == '[', path, ": wanted a JSON array");
  take();
}

int JsonArrayReader::look() {
  if (begin_ == end_) {
    begin_ = 0;
    end_ = reader_.read(buffer_.data(), buffer_.size());
    if (end_ == 0) return -1;
  }
  return static_cast<unsigned char>(buffer_[begin_]);
}

int JsonArrayReader::take() {
  const int c = look();
  if (c < 0) fail(path_, ":", here_, ": the JSON array has no end; the file is cut short");
  here_ += c == '\n' ? 1 : 0;
  ++begin_;
  return c;
}

int JsonArrayReader::skip_space() {
  while (is_space(look())) take();
  return look();
}

std::optional<std::string> JsonArrayReader::next() {
  if (skip_space() == ']') {
    take();
    if (skip_space() >= 0) fail(path_, ":", here_, ": there is more behind the JSON array's end");
    return std::nullopt;
  }
  if (number_ > 0) {
    if (look() != ',') {
      const char found = static_cast<char>(take());
      fail(path_, ":", here_, ": wanted ',' or ']' behind element ", number_, " of the JSON array, found '",
           found, "'");
    }
    take();
    skip_space();
  }
  line_ = here_;
  ++number_;
  return element();
}

std::string JsonArrayReader::element() {
  std::string text;
  std::size_t depth = 0;
  bool quoted = false;
  for (;;) {
    const int c = look();
    const bool outside = depth == 0 && !quoted;
    if (outside && (c == ',' || c == ']' || c == '}' || is_space(c))) break;
    text += static_cast<char>(take());
    if (text.size() > most_bytes_)
      fail(path_, ":", line_, ": element ", number_, " of the JSON array has more than ", most_bytes_,
           " bytes");
    if (quoted) {
      if (c == '\\') text += static_cast<char>(take());
      quoted = c != '"';
    } else {
      quoted = c == '"';
      depth += c == '[' || c == '{' ? 1 : 0;
      depth -= c == ']' || c == '}' ? 1 : 0;
    }
  }
  return text;
}

}  // namespace lathe
