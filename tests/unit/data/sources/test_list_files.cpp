#include <algorithm>
#include <filesystem>
#include <vector>

#include "data/sources/documents.h"
#include "data/sources/foreign.h"
#include "recipes/schema/error.h"
#include "tests/catch.h"
#include "tests/complaints.h"
#include "tests/temporary_folder.h"

using namespace lathe;
using Names = std::vector<std::string>;

namespace {

SourceSection source(const std::string& path, const std::string& glob = "",
                     std::vector<std::string> exclude = {}) {
  SourceSection s;
  s.path = path;
  s.glob = glob;
  s.exclude = std::move(exclude);
  return s;
}

Names origins(const std::vector<SourceSection>& sources) {
  Names names;
  for (const auto& file : list_source_files(sources)) names.push_back(file.origin);
  return names;
}

std::string list_error(const SourceSection& s) {
  return error_of([&] { list_source_files({s}); });
}

}  // namespace

TEST_CASE("a folder gives its text files in the order of their paths' bytes") {
  const TemporaryFolder folder;
  for (const char* name : {"c/b.py", "c/a.md", "c/B.txt", "c/a/z.jsonl.gz", "c/a-b.txt", "c/photo.png",
                           "c/Makefile", "c/.hidden.txt", "c/.git/x.txt", "c/UPPER.TXT"}) {
    folder.write(name, "x");
  }
  CHECK(origins({source(folder / "c")}) ==
        Names{"c/B.txt", "c/UPPER.TXT", "c/a-b.txt", "c/a.md", "c/a/z.jsonl.gz", "c/b.py"});
  CHECK(origins({source(folder / "c/")}).size() == 6);
  CHECK(origins({source(folder / "c", "**/*.png")}) == Names{"c/photo.png"});
  CHECK(origins({source(folder / "c", "*.{md,py}")}) == Names{"c/a.md", "c/b.py"});
  CHECK(origins({source(folder / "c", ".git/*")}) == Names{"c/.git/x.txt"});
  CHECK(origins({source(folder / "c", "Makefile")}) == Names{"c/Makefile"});
}

TEST_CASE("files that are not read are told, by kind") {
  const TemporaryFolder folder;
  for (const char* name : {"a.txt", "b.log", "d/c.log", "d/Makefile", ".hidden.log", "x/skip.log"})
    folder.write(name, "x");
  std::string left_out = "?";
  CHECK(list_source_files({source(folder.path(), "", {"x"})}, &left_out).size() == 1);
  CHECK(left_out == "left out, no text by their names: 2 .log, 1 without extension (glob: '**/*' reads all)");
  CHECK(list_source_files({source(folder.path(), "*.txt")}, &left_out).size() == 1);
  CHECK(left_out.empty());  // who names a glob knows
  std::filesystem::create_symlink("/nowhere/e.txt", folder / "e.txt");
  CHECK(list_source_files({source(folder.path(), "*.txt")}, &left_out).size() == 1);
  CHECK(left_out.find("1 link leads nowhere: ") == 0);
  CHECK(left_out.ends_with("/e.txt"));
}

TEST_CASE("excluded folders and globs are left out") {
  const TemporaryFolder folder;
  for (const char* name : {"a.py", "test/a.py", "lib/test/b.py", "lib/c.py", "lib/test_d.py"})
    folder.write(name, "x");
  const std::string base = std::filesystem::path(folder.path()).filename().string() + "/";
  CHECK(origins({source(folder.path(), "", {"test"})}) ==
        Names{base + "a.py", base + "lib/c.py", base + "lib/test_d.py"});
  CHECK(origins({source(folder.path(), "", {"test*"})}) == Names{base + "a.py", base + "lib/c.py"});
  CHECK(origins({source(folder.path(), "", {"lib/test"})}) ==
        Names{base + "a.py", base + "lib/c.py", base + "lib/test_d.py", base + "test/a.py"});
  CHECK(origins({source(folder.path(), "", {"lib/**", "[!t]est", "t*"})}) == Names{base + "a.py"});
  CHECK(contains(list_error(source(folder.path(), "", {"lib/**", "a.py"})),
                 "found only what `exclude` leaves out"));
}

TEST_CASE("sources keep the recipe's order, sizes and times are the files'") {
  const TemporaryFolder folder;
  folder.write("z.txt", "12345");
  folder.write("a.txt", "1");
  const auto files = list_source_files({source(folder / "z.txt"), source(folder / "a.txt")});
  REQUIRE(files.size() == 2);
  CHECK(files[0].path == folder / "z.txt");
  CHECK(files[0].origin == "z.txt");
  CHECK(files[0].bytes == 5);
  CHECK(files[0].modified_ns > 1'500'000'000'000'000'000);
  CHECK(files[0].source == 0);
  CHECK(files[1].source == 1);
}

TEST_CASE("links that loop are entered once, and real folders win over links to them") {
  const TemporaryFolder folder, outside;
  folder.write("d/real/a.txt", "x");
  outside.write("o.txt", "y");
  std::filesystem::create_directory_symlink(folder / "d", folder / "d/real/loop");
  std::filesystem::create_directory_symlink(folder / "d/real", folder / "d/alias");
  std::filesystem::create_directory_symlink(outside.path(), folder / "d/out");
  std::filesystem::create_symlink("/nowhere", folder / "d/dangling.txt");
  CHECK(origins({source(folder / "d")}) == Names{"d/out/o.txt", "d/real/a.txt"});
}

TEST_CASE("nothing found is an error that says what was looked for and what is there") {
  const TemporaryFolder folder;
  CHECK(contains(list_error(source(folder.path())), "found no files"));
  folder.write("a/x.png", "");
  folder.write("a/y.png", "");
  folder.write("a/z.py", "");
  const std::string error = list_error(source(folder.path(), "*.py"));
  CHECK(contains(error, folder.path() + ": wanted files like '*.py', found only "));
  CHECK(contains(error, "2 .png, 1 .py"));
  CHECK(contains(error, "glob: '**/*.py'"));
  CHECK(contains(list_error(source(folder / "none")), "none: cannot open: No such file"));
  CHECK_THROWS_AS(list_source_files({source("")}), Error);
}

TEST_CASE("formats that are not read are an error with the one command that converts them") {
  const TemporaryFolder folder;
  folder.write("x.parquet", "PAR1");
  const std::string error = list_error(source(folder / "x.parquet"));
  CHECK(contains(error, "convert it with: python -c \"import pandas as pd; pd.read_parquet('" +
                            (folder / "x.parquet") + "').to_json('" + (folder / "x.jsonl") +
                            "', orient='records', lines=True, force_ascii=False)\""));
  folder.write("README.md", "a data set");  // one text file must not hide the tables
  CHECK(contains(list_error(source(folder.path())), "read_parquet"));
  CHECK(origins({source(folder.path(), "*.md")}).size() == 1);
  CHECK(contains(list_error(source(folder.path(), "*.parquet")), "read_parquet"));
  CHECK(*convert_command("a/b.tar.gz") == "mkdir -p 'a/b' && tar -xf 'a/b.tar.gz' -C 'a/b'");
  CHECK(*convert_command("a/b.XLSX") ==
        "python -c \"import pandas as pd; pd.read_excel('a/b.XLSX').to_json('a/b.jsonl', "
        "orient='records', lines=True, force_ascii=False)\"");
  CHECK(*convert_command("x.jsonl.zst") == "zstd -d 'x.jsonl.zst'");
  CHECK(*convert_command("x.zip") == "unzip -d 'x' 'x.zip'");
  CHECK_FALSE(convert_command("x.jsonl.gz"));
  CHECK_FALSE(convert_command("folder.zip/x.txt"));
}

TEST_CASE("remote places are an error with the one command that fetches them") {
  CHECK(contains(list_error(source("s3://bucket/a")), "aws s3 cp --recursive s3://bucket/a corpus/"));
  CHECK(contains(list_error(source("gs://b/a")), "gcloud storage cp --recursive gs://b/a"));
  CHECK(contains(list_error(source("https://example.org/x.txt")), "-O https://example.org/x.txt"));
  CHECK(contains(list_error(source("hf://datasets/org/name")),
                 "hf download --repo-type dataset --local-dir corpus org/name"));
  // As a recipe's relative path looks once it has been joined and normalised.
  CHECK(*fetch_command("/home/me/s3:/bucket/a") == "aws s3 cp --recursive s3://bucket/a corpus/");
  CHECK_FALSE(fetch_command("/home/me/s3/bucket"));
  CHECK_FALSE(fetch_command("/home/me/class3:/x"));
}
