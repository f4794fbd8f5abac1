#include "data/sources/documents.h"

#include <zlib.h>

#include <vector>

#include "tests/catch.h"
#include "tests/complaints.h"
#include "tests/temporary_folder.h"

using namespace lathe;

namespace {

struct Read {
  std::vector<Document> documents;
  SourceCounts counts;
};

Read read(const std::string& path, const std::string& encoding = "error", const std::string& field = "text") {
  SourceSection source;
  source.path = path;
  source.field = field;
  Read result;
  for (const auto& file : list_source_files({source})) {
    read_documents(file, source, encoding, result.counts,
                   [&](Document&& d) { result.documents.push_back(std::move(d)); });
  }
  return result;
}

std::string read_error(const std::string& path, const std::string& field = "text") {
  return error_of([&] { read(path, "error", field); });
}

}  // namespace

TEST_CASE("text is kept as it is") {
  const TemporaryFolder folder;
  const std::string text("\xEF\xBB\xBF  a\r\n\0b\t\xC5\x93\xE2\x80\x99\n\n", 17);
  const auto r = read(folder.write("a.txt", text));
  REQUIRE(r.documents.size() == 1);
  CHECK(r.documents[0].text == text);
  CHECK(r.documents[0].origin == "a.txt");
  CHECK(r.counts.bytes == text.size());
  const auto empty = read(folder.write("e.txt", ""));
  CHECK(empty.documents.empty());
  CHECK(empty.counts.empty == 1);
  CHECK(empty.counts.files == 1);
}

TEST_CASE("gzip files are read as their content") {
  const TemporaryFolder folder;
  const std::string path = folder / "a.py.gz", text(300000, 'x');
  gzFile file = gzopen(path.c_str(), "wb");
  gzwrite(file, text.data(), static_cast<unsigned>(text.size()));
  gzclose(file);
  const auto r = read(path);
  REQUIRE(r.documents.size() == 1);
  CHECK(r.documents[0].text == text);
}

TEST_CASE("a jsonl file has one document a line; blank lines are skipped, empty texts counted") {
  const TemporaryFolder folder;
  const auto r = read(folder.write(
      "a.jsonl",
      "{\"text\": \"one\\u0000\", \"id\": 1}\r\n\n  \n{\"text\": \"\"}\n{\"text\": \"\xC3\xA9\"}"));
  REQUIRE(r.documents.size() == 2);
  CHECK(r.documents[0].text == std::string("one\0", 4));
  CHECK(r.documents[0].origin == "a.jsonl:1");
  CHECK(r.documents[1].text == "\xC3\xA9");
  CHECK(r.documents[1].origin == "a.jsonl:5");
  CHECK(r.counts.empty == 1);
  CHECK(r.counts.documents == 2);
  CHECK(r.counts.bytes == 6);
}

TEST_CASE("a JSON array that a source names is a list of documents") {
  const TemporaryFolder folder;
  const std::string array =
      "\xEF\xBB\xBF \n[{\"text\": \"a \\\"]}, \\u00e9\", \"tags\": [\"x\", {\"y\": []}]},\n \"two\\nlines\" ,"
      "{\"text\": \"\"}\n, \"\xC3\xA9\"]\n";
  const auto r = read(folder.write("a.json", array));
  REQUIRE(r.documents.size() == 3);
  CHECK(r.documents[0].text == "a \"]}, \xC3\xA9");
  CHECK(r.documents[0].origin == "a.json:record 1");
  CHECK(r.documents[1].text == "two\nlines");
  CHECK(r.documents[2].text == "\xC3\xA9");
  CHECK(r.documents[2].origin == "a.json:record 4");
  CHECK(r.counts.empty == 1);
  CHECK(r.counts.documents == 3);
  CHECK(read(folder.write("none.json", " [ ] ")).documents.empty());
  // What is in a folder, and what is no array, are texts as they were.
  folder.write("code/list.json", array);
  CHECK(read(folder / "code").documents.at(0).text == array);
  const std::string object = "{\"a\": [1]}\n";
  CHECK(read(folder.write("o.json", object)).documents.at(0).text == object);
  CHECK(read(folder.write("e.json", "")).documents.empty());
  SourceSection field;
  field.path = folder.write("f.json", "[{\"body\": \"b\"}]");
  CHECK(read(field.path, "error", "body").documents.at(0).text == "b");
}

TEST_CASE("a JSON array of many documents in gzip is read an element at a time") {
  const TemporaryFolder folder;
  const std::string path = folder / "many.json.gz";
  gzFile file = gzopen(path.c_str(), "wb");
  gzputs(file, "[");
  for (int i = 0; i < 50000; ++i) gzprintf(file, "%s{\"text\": \"number %d of many\"}", i ? ",\n" : "", i);
  gzputs(file, "]");
  gzclose(file);
  const auto r = read(path);
  REQUIRE(r.documents.size() == 50000);
  for (std::size_t i = 0; i < r.documents.size(); ++i)
    if (r.documents[i].text != cat("number ", i, " of many")) FAIL(i);
}

TEST_CASE("a JSON array that is none is an error with its line") {
  const TemporaryFolder folder;
  const auto error = [&](const std::string& text) { return read_error(folder.write("a.json", text)); };
  const auto has = [](const std::string& text, const char* part) { return text.find(part) != text.npos; };
  CHECK(has(error("[\"a\",\n\n[1]]"),
            "a.json:3: element 2: wanted a text or an object with the key 'text', found array"));
  CHECK(has(error("[1, 2]"), "a.json:1: element 1: wanted a text or an object"));
  CHECK(has(error("[{\"body\": \"x\"}]"), "wanted the key 'text', found 'body'"));
  CHECK(has(error("[{\"text\": 1}]"), "wanted text, found number"));
  CHECK(has(error("[\"a\"\n\"b\"]"),
            "a.json:2: wanted ',' or ']' behind element 1 of the JSON array, found '\"'"));
  CHECK(has(error("[\"a\"] x"), "more behind the JSON array's end"));
  for (const char* cut : {"[", "[\"a", "[\"a\"", "[\"a\",", "[{\"text\": \"x\"", "[\"a\\"})
    CHECK(has(error(cut), "the file is cut short"));
  for (const char* wrong : {"[\"a\",]", "[,\"a\"]", "[}]", "[{\"text\": \"x\"]]", "[tru]"})
    CHECK(has(error(wrong), "a.json:1"));
}

TEST_CASE("errors in jsonl name file, line, the key wanted and the keys found") {
  const TemporaryFolder folder;
  const std::string path = folder.write("a.jsonl", "{\"text\": \"x\"}\n{\"content\": \"x\", \"id\": 1}\n");
  const std::string error = read_error(path);
  CHECK(contains(error, path + ":2: wanted the key 'text', found 'content', 'id'"));
  CHECK(contains(error, "field: content"));
  CHECK(contains(read_error(path, "id"), path + ":1: wanted the key 'id', found 'text'"));
  CHECK(contains(read_error(folder.write("b.jsonl", "{\"text\": 3}")),
                 "b.jsonl:1: key 'text': wanted text, found number"));
  CHECK(contains(read_error(folder.write("n.jsonl", "{\"text\": null}")), "found null"));
  CHECK(contains(read_error(folder.write("c.jsonl", "\n[1]")),
                 "c.jsonl:2: wanted an object with the key 'text', found array"));
  CHECK(contains(read_error(folder.write("d.jsonl", "{\"text\": \"a\"")), "d.jsonl:1: byte 12"));
  CHECK(contains(read_error(folder.write("e.jsonl", "{\"text\": \"a\", \"text\": \"b\"}")),
                 "duplicate key 'text'"));
}

TEST_CASE("invalid UTF-8 is an error with file, line and byte, or counted") {
  const TemporaryFolder folder;
  const std::string path = folder.write("latin.txt", "good\nalso good\ncaf\xE9 noir\n");
  const std::string error = read_error(path);
  CHECK(contains(error, path + ":3: byte 4 of the line (0xE9) is not UTF-8"));
  CHECK(contains(error, "iconv -f CP1252"));
  CHECK(contains(read_error(folder.write("binary.txt", std::string("\x89PNG\0\0", 6))), "leave it out"));
  const auto replaced = read(path, "replace");
  REQUIRE(replaced.documents.size() == 1);
  CHECK(replaced.documents[0].text == "good\nalso good\ncaf\xEF\xBF\xBD noir\n");
  CHECK(replaced.counts.invalid_replaced == 1);
  const auto skipped = read(path, "skip");
  CHECK(skipped.documents.empty());
  CHECK(skipped.counts.invalid_skipped == 1);
  CHECK(skipped.counts.documents == 0);
  CHECK(contains(read_error(folder.write("wide.txt", std::string("\xFF\xFEh\0i\0", 6))), "iconv -f UTF-16"));
  CHECK(contains(read_error(folder.write("first.txt", "\x80")), "first.txt:1: byte 1 of the line (0x80)"));
}

TEST_CASE("invalid UTF-8 in a jsonl line concerns that line alone") {
  const TemporaryFolder folder;
  const std::string path =
      folder.write("a.jsonl", "{\"text\": \"a\"}\n{\"text\": \"b\xFF\"}\n{\"text\": \"c\"}\n");
  CHECK(contains(read_error(path), path + ":2: byte 12 of the line (0xFF)"));
  const auto skipped = read(path, "skip");
  REQUIRE(skipped.documents.size() == 2);
  CHECK(skipped.documents[1].text == "c");
  CHECK(skipped.counts.invalid_skipped == 1);
  const auto replaced = read(path, "replace");
  REQUIRE(replaced.documents.size() == 3);
  CHECK(replaced.documents[1].text == "b\xEF\xBF\xBD");
  CHECK(replaced.counts.invalid_replaced == 1);
}

TEST_CASE("a document of more than 1 GiB is an error, found without holding it") {
  const TemporaryFolder folder;
  const std::string path = folder / "bomb.txt.gz";  // 1.1 GB of zeros from 1 MB
  gzFile file = gzopen(path.c_str(), "wb9");
  const std::string block(1 << 24, '\0');
  for (int i = 0; i < 65; ++i) gzwrite(file, block.data(), static_cast<unsigned>(block.size()));
  gzclose(file);
  CHECK(contains(read_error(path), "more than 1 GiB"));
}
