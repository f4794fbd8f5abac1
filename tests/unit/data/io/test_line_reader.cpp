#include "data/io/line_reader.h"

#include <zlib.h>

#include <vector>

#include "tests/catch.h"
#include "tests/complaints.h"
#include "tests/temporary_folder.h"

using namespace lathe;

namespace {

std::string gzip(std::string_view text) {
  z_stream stream{};
  REQUIRE(deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK);
  std::string out(deflateBound(&stream, text.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  REQUIRE(deflate(&stream, Z_FINISH) == Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

std::vector<std::string> lines_of(const std::string& path, std::size_t limit = std::size_t{64} << 20) {
  LineReader reader(path, limit);
  std::vector<std::string> lines;
  while (const auto line = reader.next()) {
    lines.emplace_back(*line);
    CHECK(reader.line_number() == lines.size());
  }
  CHECK_FALSE(reader.next());
  return lines;
}

std::string bytes_of(const std::string& path, std::size_t step = 1000) {
  ByteReader reader(path);
  std::string all, part(step, '\0');
  while (const std::size_t got = reader.read(part.data(), step)) all.append(part, 0, got);
  return all;
}

std::string long_text() {
  std::string text;
  for (int i = 0; i < 200000; ++i) text += "line " + std::to_string(i * 7919 % 100003) + "\n";
  return text;
}

}  // namespace

TEST_CASE("lines end at newlines and nowhere else") {
  const TemporaryFolder folder;
  using Lines = std::vector<std::string>;
  CHECK(lines_of(folder.write("a", "one\ntwo\n")) == Lines{"one", "two"});
  CHECK(lines_of(folder.write("b", "one\n\n\r\nlast\r")) == Lines{"one", "", "\r", "last\r"});
  CHECK(lines_of(folder.write("c", "")).empty());
  CHECK(lines_of(folder.write("d", "\n")) == Lines{""});
  CHECK(lines_of(folder.write("e", std::string("a\0b\x0b\x0c", 5) + "\xE2\x80\xA8\n")) ==
        Lines{std::string("a\0b\x0b\x0c", 5) + "\xE2\x80\xA8"});
}

TEST_CASE("lines longer than the buffer are whole, longer than the limit an error with their number") {
  const TemporaryFolder folder;
  const std::string big(3'000'000, 'x');
  const std::string path = folder.write("big", "a\n" + big + "\nb");
  CHECK(lines_of(path) == std::vector<std::string>{"a", big, "b"});
  CHECK(lines_of(path, 3'000'000).size() == 3);
  CHECK(
      contains(error_of([&] { lines_of(path, 2'999'999); }), "big:2: the line is longer than 2999999 bytes"));
  CHECK(lines_of(folder.write("exact", "abcd"), 4).size() == 1);
  CHECK(contains(error_of([&] { lines_of(folder.write("over", "abcde"), 4); }), "over:1:"));
}

TEST_CASE("gzip is seen by its magic bytes and read through all members") {
  const TemporaryFolder folder;
  const std::string text = long_text();
  CHECK(bytes_of(folder.write("plain.gz", text)) == text);  // the name does not decide
  CHECK(bytes_of(folder.write("one", gzip(text))) == text);
  CHECK(bytes_of(folder.write("two", gzip(text) + gzip("") + gzip("tail\n")), 7) == text + "tail\n");
  CHECK(bytes_of(folder.write("padded", gzip("x") + std::string(512, '\0'))) == "x");
  CHECK(bytes_of(folder.write("empty member", gzip(""))).empty());
  CHECK(bytes_of(folder.write("one byte", "\x1f")) == "\x1f");
  CHECK(lines_of(folder.write("lines", gzip("a\nb"))) == std::vector<std::string>{"a", "b"});
}

TEST_CASE("every truncation of a gzip file is an error naming the file") {
  const TemporaryFolder folder;
  const std::string whole = gzip("the quick brown fox jumps over the lazy dog\n");
  std::size_t accepted = 0;
  for (std::size_t length = 2; length < whole.size(); ++length) {
    const std::string path = folder.write("cut", whole.substr(0, length));
    accepted += !contains(error_of([&] { bytes_of(path); }), "cut: gzip: the file is truncated");
  }
  CHECK(accepted == 0);
}

TEST_CASE("damage in a gzip file is found by its checksum") {
  const TemporaryFolder folder;
  const std::string whole = gzip(long_text().substr(0, 5000));
  std::size_t missed = 0;
  for (std::size_t at = 10; at < whole.size(); at += 3) {
    std::string bad = whole;
    bad[at] = static_cast<char>(bad[at] ^ 0x10);
    missed += error_of([&] { bytes_of(folder.write("bad", bad)); }).empty();
  }
  CHECK(missed == 0);
  CHECK(contains(error_of([&] { bytes_of(folder.write("trail", whole + "garbage")); }), "after the end"));
}

TEST_CASE("a bomb is refused at the limit of a line, without being unpacked") {
  const TemporaryFolder folder;
  std::string bomb;  // 200 members of 16 MB, 3.3 MB in all
  const std::string member = gzip(std::string(16 << 20, 'x'));
  for (int i = 0; i < 200; ++i) bomb += member;
  const std::string path = folder.write("bomb.gz", bomb);
  LineReader reader(path, 1 << 20);
  CHECK(contains(error_of([&] { reader.next(); }), "bomb.gz:1: the line is longer than 1048576 bytes"));
  ByteReader bytes(path);  // what came out so far is all that was unpacked
  std::string part(1000, '\0');
  CHECK(bytes.read(part.data(), part.size()) == part.size());
}

TEST_CASE("folders, pipes and absent files are errors") {
  const TemporaryFolder folder;
  CHECK(contains(error_of([&] { ByteReader reader(folder.path()); }), "found a folder"));
  CHECK(contains(error_of([&] { ByteReader reader(folder / "none"); }), "No such file"));
}
