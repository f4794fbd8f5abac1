#include "tests/catch.h"

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <limits>
#include <sstream>
#include <vector>

#include "trainer/report/memory.h"

using namespace lathe;
namespace fs = std::filesystem;

TEST_CASE("the status page is read in kilobytes") {
  std::istringstream text(
      "Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t 1024 kB\nRssAnon:\t 512 kB\nRssFile:\t 256 kB\n"
      "RssShmem:\t 128 kB\n");
  const MemoryUse use = parse_memory_status(text);
  CHECK(use.peak == 2048 * 1024);
  CHECK(use.resident == 1024 * 1024);
  CHECK(use.anonymous == 512 * 1024);
  CHECK(use.file == 256 * 1024);
  CHECK(use.shared == 128 * 1024);
}

TEST_CASE("memory in use grows by what is touched") {
  const auto before = memory_use();
  std::vector<char> block(64 << 20, 1);
  const auto after = memory_use();
  CHECK(after.resident - before.resident > (60 << 20));
  CHECK(after.peak >= after.resident);
  CHECK(memory_limit() > (64 << 20));
  CHECK(block[1] == 1);
}

TEST_CASE("limits of groups: both versions, parents count, max is none") {
  const fs::path mount = fs::temp_directory_path() / "lathe_memory_test";
  fs::remove_all(mount);
  fs::create_directories(mount / "a/b");
  fs::create_directories(mount / "memory/job");
  std::ofstream(mount / "a/memory.max") << "4096000\n";
  std::ofstream(mount / "a/b/memory.max") << "max\n";
  std::ofstream(mount / "memory/job/memory.limit_in_bytes") << "8192\n";
  std::ofstream(mount / "memory/memory.limit_in_bytes") << "9223372036854771712\n";
  std::istringstream second("0::/a/b\n"), first("12:cpu:/x\n5:memory,hugetlb:/job\n"), none("0::/\n");
  CHECK(cgroup_memory_limit(second, mount) == 4096000);
  CHECK(cgroup_memory_limit(first, mount) == 8192);
  CHECK(cgroup_memory_limit(none, mount) == std::numeric_limits<std::int64_t>::max());
  fs::remove_all(mount);
}
