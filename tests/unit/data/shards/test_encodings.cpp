// Encodings: what is written is read back; a change of any kind gives another shard, what stays is found; an
// interrupted preparation goes on; damage and a full disk are noticed.
#include <algorithm>
#include <atomic>
#include <cerrno>

#include "data/io/faulty_file_system.h"
#include "data/shards/encodings.h"
#include "data/shards/probe.h"
#include "tests/unit/data/shards/support.h"

using namespace lathe;

namespace {

// Ten items in shards of four, whose values are functions of their keys; counts what is encoded and hashed.
struct Work {
  std::vector<std::string> keys;
  std::string encoder = "a", quick;
  int encoded = 0, damaged = 0;
  std::atomic<int> hashed = 0;
  std::uint64_t told_items = 0, told_bytes = 0;
  int stop_after = 1000;

  Work() {
    for (int i = 0; i < 10; ++i) keys.push_back("key" + std::to_string(i));
  }
  float value(std::size_t item) const {
    float sum = 0;
    for (const char c : keys[item] + encoder) sum = sum * 3 + static_cast<float>(c) / 64;
    return sum;
  }
  Encodings prepare(const std::string& cache, FileSystem& files = real_file_system()) {
    encoded = damaged = 0;
    hashed = 0;
    told_items = told_bytes = 0;
    EncodingJob job;
    job.what = "latents";
    job.encoder = {{"name", encoder}};
    job.items = keys.size();
    job.width = 3;
    job.each = 4;
    job.quick = quick;
    job.key = [this](std::uint64_t item) {
      ++hashed;
      return keys[item];
    };
    job.encode = [this](std::uint64_t item, std::span<float> values) {
      if (encoded == stop_after) fail("stopped");
      ++encoded;
      for (std::size_t i = 0; i < values.size(); ++i) values[i] = value(item) + static_cast<float>(i);
    };
    const auto before = [this](const EncodingWork& work) {
      told_items = work.items;
      told_bytes = work.bytes;
      damaged = static_cast<int>(work.damaged);
    };
    return prepare_encodings(cache, job, before, {}, files);
  }
  void check(const Encodings& found) const {
    for (std::size_t i = 0; i < keys.size(); ++i)
      CHECK(std::ranges::equal(found[i], std::vector<float>{value(i), value(i) + 1, value(i) + 2}));
  }
};

std::vector<std::string> shards_in(const TemporaryFolder& folder) {
  std::vector<std::string> paths;
  for (const auto& entry : std::filesystem::directory_iterator(folder / "encodings"))
    if (entry.path().extension() == ".h5") paths.push_back(entry.path().string());
  std::sort(paths.begin(), paths.end());
  return paths;
}

void flip(const std::string& path, std::size_t from_end) {
  std::string bytes = read_bytes(path);
  bytes[bytes.size() - from_end] ^= 1;
  write_text(path, bytes);
}

// Where a shard's values begin.
std::size_t values_begin(const std::string& path) {
  const EncodingShard whole(path, ShardTrust::Own);
  const std::string values(reinterpret_cast<const char*>(whole.values(0).data()), 12);
  return read_bytes(path).find(values);
}

TEST_CASE("encodings are made once and read back") {
  const TemporaryFolder folder;
  Work work;
  work.check(work.prepare(folder.path()));
  CHECK(work.encoded == 10);
  CHECK(work.told_items == 10);
  CHECK(work.told_bytes > 10 * 3 * 4);
  CHECK(shards_in(folder).size() == 3);
  work.check(work.prepare(folder.path()));
  CHECK(work.encoded == 0);
  CHECK(work.told_items == 0);
  const EncodingShard shard(shards_in(folder)[0]);  // as a file of others, in a process of its own
  CHECK(shard.width() == 3);
  CHECK(shard.info().settings.at("encoder").at("name") == "a");
  CHECK(probe_shard_format(shards_in(folder)[0]) == kEncodingShardFormat);
}

TEST_CASE("what changes is encoded anew, what stays is found again") {
  const TemporaryFolder folder;
  Work work;
  work.prepare(folder.path());
  work.keys[5] = "another";
  work.check(work.prepare(folder.path()));
  CHECK(work.encoded == 4);  // its shard
  work.keys.push_back("one more");
  work.check(work.prepare(folder.path()));
  CHECK(work.encoded == 3);  // the last shard
  work.encoder = "b";
  work.check(work.prepare(folder.path()));
  CHECK(work.encoded == 11);
  Work before;
  before.check(before.prepare(folder.path()));
  CHECK(before.encoded == 0);
}

TEST_CASE("items that are named together need not be hashed one by one") {
  const TemporaryFolder folder;
  Work work;
  work.quick = "a folder";
  work.prepare(folder.path());
  CHECK(work.hashed == 10);
  work.check(work.prepare(folder.path()));
  CHECK(work.hashed == 0);
  CHECK(work.encoded == 0);
  const std::string victim = shards_in(folder)[1];
  flip(victim, read_bytes(victim).size() - values_begin(victim));
  work.check(work.prepare(folder.path()));
  CHECK(work.damaged == 1);
  work.quick = "another folder with the same items";
  work.check(work.prepare(folder.path()));
  CHECK(work.hashed == 10);
  CHECK(work.encoded == 0);
}

TEST_CASE("an interrupted preparation goes on with what it had finished") {
  const TemporaryFolder folder;
  Work work;
  work.stop_after = 7;
  CHECK_THROWS_AS(work.prepare(folder.path()), Error);
  CHECK(shards_in(folder).size() == 1);
  work.stop_after = 1000;
  work.check(work.prepare(folder.path()));
  CHECK(work.encoded == 6);
  CHECK(work.told_items == 6);
}

TEST_CASE("a damaged shard is noticed wherever the damage is, and made again") {
  const TemporaryFolder folder;
  Work work;
  work.prepare(folder.path());
  const std::string victim = shards_in(folder)[0], before = read_bytes(victim);
  int noticed = 0;
  for (std::size_t at = 1; at < before.size(); at += 37) {
    flip(victim, at);
    work.check(work.prepare(folder.path()));
    noticed += work.damaged;  // gaps between the arrays do not count
    if (work.damaged == 0) write_text(victim, before);
    REQUIRE(read_bytes(victim) == before);
  }
  CHECK(noticed >= 5);
  const std::size_t begin = values_begin(victim);
  for (std::size_t byte = 0; byte < 12; ++byte) {
    flip(victim, before.size() - begin - byte);
    work.check(work.prepare(folder.path()));
    CHECK(work.damaged == 1);
  }
  write_text(victim, before.substr(0, before.size() / 2));
  work.check(work.prepare(folder.path()));
  CHECK(work.damaged == 1);
  write_text(victim, "");
  work.check(work.prepare(folder.path()));
  CHECK(read_bytes(victim) == before);
}

TEST_CASE("a disk that is too small is told before any work") {
  const TemporaryFolder folder;
  EncodingJob job;
  job.what = "latents";
  job.items = 1000;
  job.width = std::uint64_t{1} << 44;
  job.key = [](std::uint64_t item) { return std::to_string(item); };
  job.encode = [](std::uint64_t, std::span<float>) { FAIL("it was encoded"); };
  CHECK_THROWS_WITH(prepare_encodings(folder.path(), job), testing::contains_text("MiB are free"));
}

TEST_CASE("a full disk or a power cut at any call leaves encodings that the next start completes") {
  bool finished = false;
  int failures = 0;
  for (std::size_t n = 1; !finished; ++n) {
    const TemporaryFolder folder;
    FaultyFileSystem faulty(folder.path());
    Work work;
    work.quick = "q";
    if (n % 2 == 0)
      faulty.fail_at(n, ENOSPC);
    else
      faulty.crash_at(n);
    try {
      work.prepare(folder.path(), faulty);
      finished = true;
    } catch (const Error&) {
      ++failures;
    }
    faulty.materialise(folder.path() + "-cut");  // the disk after a power cut, seen from the same path
    std::filesystem::remove_all(folder.path());
    std::filesystem::rename(folder.path() + "-cut", folder.path());
    work.check(work.prepare(folder.path()));
  }
  CHECK(failures > 15);
}

}  // namespace
