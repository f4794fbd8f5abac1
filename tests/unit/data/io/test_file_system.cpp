#include "data/io/file_system.h"

#include <sys/stat.h>
#include <unistd.h>

#include "tests/catch.h"
#include "tests/complaints.h"
#include "tests/temporary_folder.h"

using namespace lathe;

namespace {
unsigned mode_of(const std::string& path) {
  struct stat info {};
  REQUIRE(::stat(path.c_str(), &info) == 0);
  return info.st_mode & 0777;
}
std::size_t entries_in(const std::string& folder) {
  return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(folder), {}));
}
}  // namespace

TEST_CASE("new files and folders are private") {
  const TemporaryFolder folder;
  FileSystem& fs = real_file_system();
  fs.make_directory(folder / "a/b/c/");
  fs.make_directory(folder / "a/b/c");
  CHECK(mode_of(folder / "a") == 0700);
  CHECK(mode_of(folder / "a/b/c") == 0700);
  write_file_atomically(folder / "a/b/file", "text");
  CHECK(mode_of(folder / "a/b/file") == 0600);
  CHECK(read_file(folder / "a/b/file") == "text");
}

TEST_CASE("a file is replaced as a whole and leaves no temporary") {
  const TemporaryFolder folder;
  write_file_atomically(folder / "f", "one");
  write_file_atomically(folder / "f", std::string("two\0three", 9));
  CHECK(read_file(folder / "f") == std::string("two\0three", 9));
  CHECK(entries_in(folder.path()) == 1);
  CHECK(contains(error_of([&] { write_file_atomically(folder / "none/f", "x"); }), "none/f.tmp-"));
}

TEST_CASE("a full disk is named in the error") {
  if (::access("/dev/full", W_OK) != 0) return;
  const auto file = real_file_system().create("/dev/full");
  CHECK(contains(error_of([&] { file->write(std::as_bytes(std::span("x", 1))); }),
                 "/dev/full: cannot write: No space left on device"));
}

TEST_CASE("closing twice is fine, writing after it an error") {
  const TemporaryFolder folder;
  const auto file = real_file_system().create(folder / "f");
  file->close();
  file->close();
  CHECK(contains(error_of([&] { file->write({}); }), "closed"));
}

TEST_CASE("a published folder never replaces one") {
  const TemporaryFolder folder;
  folder.write("t/inner/a", "1");
  publish_directory(folder / "t", folder / "done");
  CHECK(read_file(folder / "done/inner/a") == "1");
  CHECK_FALSE(std::filesystem::exists(folder / "t"));
  folder.write("t2/a", "2");
  CHECK(contains(error_of([&] { publish_directory(folder / "t2", folder / "done"); }), "exists already"));
  CHECK(read_file(folder / "done/inner/a") == "1");
  std::filesystem::create_directory(folder / "empty");
  CHECK(contains(error_of([&] { publish_directory(folder / "t2", folder / "empty"); }), "exists already"));
}

TEST_CASE("reading respects the limit and names what is absent") {
  const TemporaryFolder folder;
  const std::string path = folder.write("f", "12345");
  CHECK(read_file(path, 5) == "12345");
  CHECK(contains(error_of([&] { read_file(path, 4); }), "larger than the limit of 4"));
  CHECK(contains(error_of([&] { read_file(folder / "none"); }), "none: cannot open: No such file"));
  CHECK(contains(error_of([&] { read_file(folder.path()); }), "found a folder"));
  CHECK_FALSE(read_file("/proc/self/status").empty());  // size 0 by stat
}

TEST_CASE("errors name the file, the operation and the cause") {
  const TemporaryFolder folder;
  FileSystem& fs = real_file_system();
  CHECK(contains(error_of([&] { fs.rename(folder / "x", folder / "y"); }), "x: cannot rename to "));
  CHECK(contains(error_of([&] { fs.sync_directory(folder / "x"); }), "No such file"));
  folder.write("file", "");
  CHECK(contains(error_of([&] { fs.make_directory(folder / "file"); }), "Not a directory"));
  CHECK(contains(error_of([&] { fs.make_directory(folder / "file/sub"); }), "Not a directory"));
  fs.remove_all(folder / "nothing there");
}
