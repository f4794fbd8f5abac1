// Memory of this process and the limit it lives under, from /proc and the control groups.
#include <sys/sysinfo.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <limits>
#include <optional>
#include <string>
#include <utility>

#include "trainer/report/memory.h"
#include "trainer/report/metrics.h"

namespace lathe {
namespace {

constexpr std::int64_t kNoLimit = std::numeric_limits<std::int64_t>::max();

std::optional<std::int64_t> number_in(const std::string& text) {
  const auto begin = text.find_first_of("0123456789");
  if (begin == std::string::npos) return std::nullopt;
  std::uint64_t value = 0;
  const auto result = std::from_chars(text.data() + begin, text.data() + text.size(), value);
  if (result.ec != std::errc()) return std::nullopt;
  return static_cast<std::int64_t>(std::min<std::uint64_t>(value, kNoLimit));
}

// "max" (version 2) and numbers near 2^63 (version 1) mean that there is no limit.
std::int64_t limit_in(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  if (!std::getline(file, line)) return kNoLimit;
  return number_in(line).value_or(kNoLimit);
}

// A limit of any group above holds as well.
std::int64_t lowest_up(const std::string& mount, std::string group, const char* name) {
  std::int64_t lowest = kNoLimit;
  for (;;) {
    lowest = std::min(lowest, limit_in(mount + group + "/" + name));
    const auto slash = group.rfind('/');
    if (slash == std::string::npos) return lowest;
    group.resize(slash);
  }
}

bool lists_memory(const std::string& controllers) {
  return ("," + controllers + ",").find(",memory,") != std::string::npos;
}

}  // namespace

MemoryUse parse_memory_status(std::istream& status) {
  MemoryUse use;
  const std::pair<const char*, std::int64_t*> fields[] = {{"VmRSS:", &use.resident},
                                                          {"VmHWM:", &use.peak},
                                                          {"RssAnon:", &use.anonymous},
                                                          {"RssFile:", &use.file},
                                                          {"RssShmem:", &use.shared}};
  std::string line;
  while (std::getline(status, line)) {
    for (const auto& [key, target] : fields) {
      if (line.rfind(key, 0) == 0) *target = number_in(line).value_or(0) * 1024;
    }
  }
  return use;
}

MemoryUse memory_use() {
  std::ifstream status("/proc/self/status");
  return parse_memory_status(status);
}

std::int64_t cgroup_memory_limit(std::istream& groups, const std::string& mount) {
  std::int64_t lowest = kNoLimit;
  std::string line;
  while (std::getline(groups, line)) {  // hierarchy:controllers:group
    const auto first = line.find(':');
    const auto second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    std::string group = line.substr(second + 1);
    if (group == "/") group.clear();
    if (controllers.empty()) {
      lowest = std::min(lowest, lowest_up(mount, group, "memory.max"));
    } else if (lists_memory(controllers)) {
      lowest = std::min(lowest, lowest_up(mount + "/memory", group, "memory.limit_in_bytes"));
    }
  }
  return lowest;
}

std::int64_t memory_limit() {
  struct sysinfo info {};
  const std::int64_t physical = sysinfo(&info) == 0 ? static_cast<std::int64_t>(info.totalram) *
                                                          static_cast<std::int64_t>(info.mem_unit)
                                                    : 0;
  std::ifstream groups("/proc/self/cgroup");
  const std::int64_t limit = cgroup_memory_limit(groups, "/sys/fs/cgroup");
  return physical > 0 ? std::min(physical, limit) : limit;
}

}  // namespace lathe
