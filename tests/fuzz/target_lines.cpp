// Lines of a plain or gzip file: read to the end or refused, a line never longer than its limit.
#include <zlib.h>

#include "data/io/line_reader.h"
#include "recipes/schema/error.h"
#include "tests/fuzz/target.h"

namespace lathe::fuzz {
namespace {

constexpr std::size_t kMaxLine = 4096;

void run(std::string_view bytes) {
  static const InputFolder folder;
  LineReader lines(folder.put("x.gz", bytes), kMaxLine);
  std::size_t count = 0;
  while (const auto line = lines.next()) {
    promise(line->size() <= kMaxLine && line->find('\n') == line->npos);
    promise(lines.line_number() == ++count);
  }
}

std::string gzip(const std::string& text) {
  z_stream stream{};
  if (deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK) std::abort();
  std::string out(deflateBound(&stream, static_cast<uLong>(text.size())) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  if (deflate(&stream, Z_FINISH) != Z_STREAM_END) std::abort();
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

std::vector<std::string> seeds() {
  const std::string text = "one\ntwo\n\nfour \xC3\xA9\nlast";
  return {text,
          gzip(text),
          gzip(text) + gzip("more\n"),
          gzip(text) + std::string(512, '\0'),
          gzip(text) + "rubbish",
          gzip(std::string(100'000, 'x')),  // one line of a bomb
          gzip(std::string(300'000, '\n')),
          std::string("\x1f\x8b\x08\x1f\0\0\0\0\0\x03", 10) +
              std::string("\xff\xff", 2),  // extra field beyond the file
          "\x1f\x8b",
          std::string(5000, 'x')};
}

}  // namespace

Target lines_target() {
  return {
      "lines", run, seeds, {"\n", "\r\n", "\x1f\x8b\x08", std::string(4, '\0'), "\xff\xff\xff\xff"}, 8000};
}

}  // namespace lathe::fuzz
