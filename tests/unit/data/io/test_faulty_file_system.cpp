#include "data/io/faulty_file_system.h"

#include <cerrno>

#include "recipes/schema/error.h"
#include "tests/catch.h"
#include "tests/complaints.h"
#include "tests/temporary_folder.h"

using namespace lathe;
using Unsynced = FaultyFileSystem::Unsynced;
using Kind = FaultyFileSystem::Kind;

namespace {

std::span<const std::byte> bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

std::string survivor(const FaultyFileSystem& fs, const std::string& name,
                     const FaultyFileSystem::Survival& survival) {
  const TemporaryFolder disk;
  fs.materialise(disk.path(), survival);
  return std::filesystem::exists(disk / name) ? read_file(disk / name) : "(absent)";
}

}  // namespace

TEST_CASE("names and bytes survive a power cut only once synced") {
  const TemporaryFolder folder;
  folder.write("old", "before");
  FaultyFileSystem fs(folder.path());
  const auto file = fs.create(folder / "f");
  file->write(bytes("12"));
  CHECK(survivor(fs, "f", {}) == "(absent)");
  CHECK(survivor(fs, "f", {.names = Unsynced::Keep}) == "");
  file->sync();
  CHECK(survivor(fs, "f", {}) == "(absent)");  // fsync of a file says nothing of its name
  fs.sync_directory(folder.path());
  CHECK(survivor(fs, "f", {}) == "12");
  file->write(bytes("345678"));
  CHECK(survivor(fs, "f", {}) == "12");
  CHECK(survivor(fs, "f", {.bytes = Unsynced::Keep}) == "12345678");
  CHECK(survivor(fs, "f", {.bytes = Unsynced::Tear}) == std::string("12345\0\0\0", 8));
  fs.rename(folder / "f", folder / "g");
  fs.remove_all(folder / "old");
  CHECK(survivor(fs, "f", {}) == "12");
  CHECK(survivor(fs, "g", {}) == "(absent)");
  CHECK(survivor(fs, "old", {}) == "before");
  CHECK(survivor(fs, "old", {.names = Unsynced::Keep}) == "(absent)");
  fs.sync_directory(folder.path());
  CHECK(survivor(fs, "g", {}) == "12");
  CHECK(survivor(fs, "f", {}) == "(absent)");
  CHECK(read_file(folder / "g") == "12345678");  // the living system sees everything
}

TEST_CASE("operations are recorded in order, failures by number") {
  const TemporaryFolder folder;
  FaultyFileSystem fs(folder.path());
  fs.fail_at(3, ENOSPC);
  fs.make_directory(folder / "d");
  const auto file = fs.create(folder / "d/f");
  CHECK(contains(error_of([&] { file->write(bytes("abcd")); }), "cannot write: No space left on device"));
  file->close();
  CHECK(read_file(folder / "d/f") == "ab");
  CHECK(fs.calls() == 4);
  using Operation = FaultyFileSystem::Operation;
  CHECK(fs.operations() == std::vector<Operation>{{Kind::MakeDirectory, "d", "", 0},
                                                  {Kind::Create, "d/f", "", 0},
                                                  {Kind::Close, "d/f", "", 0}});
  CHECK(contains(error_of([&] { fs.create("/elsewhere"); }), "outside of the test folder"));
}

TEST_CASE("an atomic write leaves the old text or the new one, wherever it is cut") {
  const std::string before = "the old text", after = "the new and longer text";
  bool finished = false;
  std::size_t cuts = 0;
  for (std::size_t n = 1; !finished; ++n) {
    const TemporaryFolder folder;
    folder.write("f", before);
    FaultyFileSystem fs(folder.path());
    fs.crash_at(n);
    finished = error_of([&] { write_file_atomically(folder / "f", after, fs); }).empty();
    cuts += !finished;
    for (const auto names : {Unsynced::Drop, Unsynced::Keep}) {
      for (const auto data : {Unsynced::Drop, Unsynced::Keep, Unsynced::Tear}) {
        const std::string text = survivor(fs, "f", {.bytes = data, .names = names});
        REQUIRE((text == before || text == after));
        if (finished) REQUIRE(text == after);
      }
    }
  }
  CHECK(cuts == 6);  // create, write, sync, close, rename, sync of the folder
}

TEST_CASE("the double finds the fault in a write that forgets a sync") {
  const auto careless = [](FileSystem& fs, const std::string& path) {
    const auto file = fs.create(path + ".tmp");
    file->write(bytes("new"));
    file->close();
    fs.rename(path + ".tmp", path);
    fs.sync_directory(std::filesystem::path(path).parent_path().string());
  };
  const TemporaryFolder folder;
  folder.write("f", "old");
  FaultyFileSystem fs(folder.path());
  careless(fs, folder / "f");
  CHECK(survivor(fs, "f", {}) == "");
}

TEST_CASE("a failed write leaves the old file and no temporary") {
  for (std::size_t n = 1; n <= 5; ++n) {
    const TemporaryFolder folder;
    folder.write("f", "old");
    FaultyFileSystem fs(folder.path());
    fs.fail_at(n, ENOSPC);
    CHECK(contains(error_of([&] { write_file_atomically(folder / "f", "new", fs); }),
                   "No space left on device"));
    CHECK(read_file(folder / "f") == "old");
    CHECK(std::distance(std::filesystem::directory_iterator(folder.path()), {}) == 1);
  }
}

TEST_CASE("a published folder is there with all its files or not at all") {
  bool finished = false;
  for (std::size_t n = 1; !finished; ++n) {
    const TemporaryFolder folder;
    FaultyFileSystem fs(folder.path());
    fs.crash_at(n);
    finished = error_of([&] {
                 fs.make_directory(folder / "t/sub");
                 for (const char* name : {"t/a", "t/sub/b"}) {
                   const auto file = fs.create(folder / name);
                   file->write(bytes(name));
                   file->sync();
                   file->close();
                 }
                 publish_directory(folder / "t", folder / "done", fs);
               }).empty();
    for (const auto names : {Unsynced::Drop, Unsynced::Keep}) {
      const TemporaryFolder disk;
      fs.materialise(disk.path(), {.names = names});
      if (finished) REQUIRE(std::filesystem::exists(disk / "done"));
      if (!std::filesystem::exists(disk / "done")) continue;
      REQUIRE(read_file(disk / "done/a") == "t/a");
      REQUIRE(read_file(disk / "done/sub/b") == "t/sub/b");
    }
  }
}
