#include "data/io/line_reader.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "data/io/utf8.h"
#include "recipes/schema/error.h"

namespace lathe {
namespace {
constexpr std::size_t kInputBytes = std::size_t{256} << 10;
}

struct ByteReader::State {
  std::string path;
  int fd = -1;
  std::vector<unsigned char> input = std::vector<unsigned char>(kInputBytes);
  std::size_t begin = 0, end = 0;
  bool gzip = false, in_member = false, at_end = false;
  z_stream stream{};

  explicit State(const std::string& p) : path(p), fd(::open(p.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {
    if (fd < 0) fail(path, ": cannot open: ", std::strerror(errno));
  }
  ~State() {
    if (gzip) ::inflateEnd(&stream);
    ::close(fd);
  }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  // Reads more of the file behind what is still unread; false at its end.
  bool fill() {
    if (begin > 0) {
      std::copy(input.begin() + static_cast<std::ptrdiff_t>(begin),
                input.begin() + static_cast<std::ptrdiff_t>(end), input.begin());
      end -= begin;
      begin = 0;
    }
    for (;;) {
      const ssize_t got = ::read(fd, input.data() + end, input.size() - end);
      if (got > 0) end += static_cast<std::size_t>(got);
      if (got >= 0) return got > 0;
      if (errno != EINTR) fail(path, ": cannot read: ", std::strerror(errno));
    }
  }

  void open() {
    struct stat info {};
    if (::fstat(fd, &info) != 0) fail(path, ": cannot read its size: ", std::strerror(errno));
    if (!S_ISREG(info.st_mode)) {
      fail(path, ": wanted a regular file, found ",
           S_ISDIR(info.st_mode) ? "a folder" : "a pipe or a device");
    }
    while (end < 2 && fill()) {
    }
    gzip = end >= 2 && input[0] == 0x1F && input[1] == 0x8B;
    if (!gzip) return;
    require(::inflateInit2(&stream, 15 + 16) == Z_OK, path, ": gzip: zlib cannot start");
    in_member = true;
  }

  std::size_t read_plain(char* out, std::size_t capacity) {
    if (begin == end && !fill()) return 0;
    const std::size_t count = std::min(capacity, end - begin);
    std::memcpy(out, input.data() + begin, count);
    begin += count;
    return count;
  }

  // After a member: another one, zero padding (as tar leaves it), or the end.
  bool next_member() {
    while (end - begin < 2 && fill()) {
    }
    if (end - begin >= 2 && input[begin] == 0x1F && input[begin + 1] == 0x8B) {
      ::inflateReset(&stream);
      return in_member = true;
    }
    do {
      for (; begin < end; ++begin) {
        if (input[begin] != 0)
          fail(path, ": gzip: bytes after the end of the compressed data; the file is damaged");
      }
    } while (fill());
    at_end = true;
    return false;
  }

  std::size_t read_gzip(char* out, std::size_t capacity) {
    stream.next_out = reinterpret_cast<Bytef*>(out);
    stream.avail_out = static_cast<uInt>(std::min<std::size_t>(capacity, 1u << 30));
    const uInt wanted = stream.avail_out;
    while (stream.avail_out == wanted && !at_end) {
      if (!in_member && !next_member()) break;
      if (begin == end && !fill())
        fail(path, ": gzip: the file is truncated (", stream.total_out, " bytes came out)");
      stream.next_in = input.data() + begin;
      stream.avail_in = static_cast<uInt>(end - begin);
      const int result = ::inflate(&stream, Z_NO_FLUSH);
      begin = end - stream.avail_in;
      if (result == Z_STREAM_END) {
        in_member = false;
      } else if (result != Z_OK && result != Z_BUF_ERROR) {
        fail(path, ": gzip: the file is damaged: ", stream.msg ? stream.msg : "invalid data");
      }
    }
    return wanted - stream.avail_out;
  }
};

ByteReader::ByteReader(const std::string& path) : state_(std::make_unique<State>(path)) { state_->open(); }
ByteReader::~ByteReader() = default;
ByteReader::ByteReader(ByteReader&&) noexcept = default;
ByteReader& ByteReader::operator=(ByteReader&&) noexcept = default;

std::size_t ByteReader::read(char* out, std::size_t capacity) {
  if (capacity == 0) return 0;
  return state_->gzip ? state_->read_gzip(out, capacity) : state_->read_plain(out, capacity);
}

LineReader::LineReader(const std::string& path, std::size_t max_line_bytes)
    : path_(path), reader_(path), max_line_bytes_(max_line_bytes), buffer_(kInputBytes, '\0') {}

std::optional<std::string_view> LineReader::next() {
  const auto too_long = [&] {
    fail(path_, ":", line_number_ + 1, ": the line is longer than ", max_line_bytes_, " bytes");
  };
  std::size_t scanned = 0;  // bytes of the line known to hold no newline
  for (;;) {
    const char* line = buffer_.data() + begin_;
    const auto* newline =
        static_cast<const char*>(std::memchr(line + scanned, '\n', end_ - begin_ - scanned));
    if (newline || (finished_ && begin_ < end_)) {
      const std::size_t length = newline ? static_cast<std::size_t>(newline - line) : end_ - begin_;
      if (length > max_line_bytes_) too_long();
      begin_ += length + (newline ? 1 : 0);
      ++line_number_;
      return std::string_view(line, length);
    }
    if (finished_) return std::nullopt;
    scanned = end_ - begin_;
    if (scanned > max_line_bytes_) too_long();
    std::memmove(buffer_.data(), line, scanned);
    begin_ = 0;
    end_ = scanned;
    if (end_ == buffer_.size()) buffer_.resize(buffer_.size() * 2);
    const std::size_t got = reader_.read(buffer_.data() + end_, buffer_.size() - end_);
    end_ += got;
    finished_ = got == 0;
  }
}

std::vector<std::string> filled_lines(const std::string& path) {
  std::vector<std::string> filled;
  LineReader lines(path);
  while (auto line = lines.next()) {
    if (lines.line_number() == 1 && line->starts_with("\xef\xbb\xbf")) line->remove_prefix(3);
    if (line->ends_with('\r')) line->remove_suffix(1);
    if (const auto bad = first_invalid_utf8(*line))
      fail_usage(path, ":", lines.line_number(), ": byte ", *bad + 1,
                 " of the line is not UTF-8; convert the file (iconv -f CP1252 -t UTF-8)");
    if (line->find_first_not_of(" \t") != line->npos) filled.emplace_back(*line);
  }
  return filled;
}

}  // namespace lathe
