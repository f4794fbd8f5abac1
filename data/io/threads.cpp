#include "data/io/threads.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <fstream>
#include <mutex>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

namespace lathe {
namespace {

int affinity_cores() {
  for (std::size_t count = 1024; count <= (1u << 20);
       count *= 2) {  // the kernel's mask may be wider than cpu_set_t
    cpu_set_t* set = CPU_ALLOC(count);
    const std::size_t bytes = CPU_ALLOC_SIZE(count);
    const int cores = ::sched_getaffinity(0, bytes, set) == 0 ? CPU_COUNT_S(bytes, set) : 0;
    CPU_FREE(set);
    if (cores > 0) return cores;
  }
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

// Cores that `quota` per `period` microseconds pays for; 0 for no limit.
int quota_cores(double quota, double period) {
  return quota > 0 && period > 0 ? std::max(1, static_cast<int>((quota + period - 1) / period)) : 0;
}

int version2_limit(const std::string& folder) {
  std::ifstream file(folder + "/cpu.max");
  file.imbue(std::locale::classic());  // French puts a space between thousands: the fields would be read as
                                       // one number
  std::string quota;
  long long period = 0;
  if (!(file >> quota >> period) || quota == "max") return 0;
  std::istringstream number(quota);
  number.imbue(std::locale::classic());
  long long value = 0;
  number >> value;
  return quota_cores(static_cast<double>(value), static_cast<double>(period));
}

int version1_limit(const std::string& folder) {
  std::ifstream quota_file(folder + "/cpu.cfs_quota_us"), period_file(folder + "/cpu.cfs_period_us");
  long long quota = 0, period = 0;
  if (!(quota_file >> quota) || !(period_file >> period)) return 0;
  return quota_cores(static_cast<double>(quota), static_cast<double>(period));
}

// The tightest limit of a group and all groups above it.
int tightest(const std::string& mount, std::string group, int (*limit)(const std::string&)) {
  int best = 0;
  for (;;) {
    const int cores = limit(mount + group);
    if (cores > 0 && (best == 0 || cores < best)) best = cores;
    if (group.empty() || group == "/") return best;
    group.resize(group.rfind('/') == std::string::npos ? 0 : group.rfind('/'));
  }
}

int cgroup_cores() {
  int best = 0;
  const auto consider = [&](int cores) {
    if (cores > 0 && (best == 0 || cores < best)) best = cores;
  };
  std::ifstream file("/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {  // id:controllers:group
    const auto first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    const std::string group = line.substr(second + 1);
    if (controllers == ",,") {
      consider(tightest("/sys/fs/cgroup", group, version2_limit));
    } else if (controllers.find(",cpu,") != std::string::npos) {
      consider(tightest("/sys/fs/cgroup/cpu", group, version1_limit));
      consider(tightest("/sys/fs/cgroup/cpu,cpuacct", group, version1_limit));
    }
  }
  return best;
}

}  // namespace

int hardware_threads() {
  const int cores = affinity_cores(), quota = cgroup_cores();
  return quota > 0 ? std::min(cores, quota) : cores;
}

void parallel_for(std::size_t count, int threads, const std::function<void(std::size_t)>& body) {
  const std::size_t wanted = static_cast<std::size_t>(threads > 0 ? threads : hardware_threads());
  const std::size_t workers = std::min(count, wanted);
  if (workers <= 1) {
    for (std::size_t i = 0; i < count; ++i) body(i);
    return;
  }
  std::atomic<std::size_t> next{0};
  std::mutex mutex;
  std::exception_ptr error;
  std::size_t error_index = count;
  // Indices are handed out in order, so all below a failing one run to their end: the failure of the lowest
  // index, which one thread would have met first, is the one that is kept.
  const auto work = [&] {
    for (std::size_t i; (i = next.fetch_add(1)) < count;) {
      try {
        body(i);
      } catch (...) {
        const std::lock_guard lock(mutex);
        if (i < error_index) {
          error_index = i;
          error = std::current_exception();
        }
        next.store(count);
      }
    }
  };
  {
    std::vector<std::jthread> pool;
    try {
      for (std::size_t i = 1; i < workers; ++i) pool.emplace_back(work);
    } catch (const std::system_error&) {
      // Fewer threads than asked for is not an error: the results do not depend on it.
    }
    work();
  }
  if (error) std::rethrow_exception(error);
}

}  // namespace lathe
