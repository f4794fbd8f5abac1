#include "checkpoints/store/temporary.h"

#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cctype>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <mutex>
#include <optional>
#include <set>

namespace lathe {

namespace {

constexpr const char* kMark = ".tmp-";

std::string host() {
  char name[256] = {};
  if (gethostname(name, sizeof name - 1) != 0) return "host";
  std::string text = name;
  for (char& c : text)
    if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
  return text.empty() ? "host" : text;
}

std::mutex names_mutex;
std::set<std::string>& names_in_use() {
  static std::set<std::string> names;
  return names;
}

std::string key_of(const std::string& path) {
  return std::filesystem::absolute(path).lexically_normal().string();
}

// The process in "<host>-<process>-<n>" when the host is this one.
std::optional<pid_t> local_process(const std::string& owner) {
  const std::string prefix = host() + "-";
  if (owner.compare(0, prefix.size(), prefix) != 0) return std::nullopt;
  pid_t process = 0;
  const char* begin = owner.data() + prefix.size();
  const auto [end, error] = std::from_chars(begin, owner.data() + owner.size(), process);
  if (error != std::errc() || process <= 0) return std::nullopt;
  return process;
}

bool is_leftover(const std::string& name, const std::string& path, bool only_writer) {
  {
    const std::lock_guard lock(names_mutex);
    if (names_in_use().contains(key_of(path))) return false;
  }
  if (only_writer) return true;
  const auto process = local_process(name.substr(name.find(kMark) + std::string(kMark).size()));
  if (!process) return false;
  return *process == getpid() || (kill(*process, 0) != 0 && errno == ESRCH);
}

}  // namespace

TemporaryName::TemporaryName(const std::string& final_path) {
  static std::atomic<unsigned> counter{0};
  path_ = final_path + kMark + host() + "-" + std::to_string(getpid()) + "-" + std::to_string(counter++);
  const std::lock_guard lock(names_mutex);
  names_in_use().insert(key_of(path_));
}

TemporaryName::~TemporaryName() {
  const std::lock_guard lock(names_mutex);
  names_in_use().erase(key_of(path_));
}

void remove_leftovers(const std::string& folder, const std::string& prefix, bool only_writer,
                      FileSystem& fs) {
  std::error_code error;
  std::vector<std::string> found;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string(), path = folder + "/" + name;
    if (name.compare(0, prefix.size(), prefix) != 0 || name.find(kMark) == std::string::npos) continue;
    if (is_leftover(name, path, only_writer)) found.push_back(path);
  }
  for (const std::string& path : found) fs.remove_all(path);
}

}  // namespace lathe
