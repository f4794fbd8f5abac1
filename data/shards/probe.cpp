#include "data/shards/probe.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <new>

#include "data/shards/hdf5_arrays.h"

namespace lathe {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::size_t kMaxAnswer = std::size_t{128} << 20;

#if defined(LATHE_SANITIZED) || defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kLimitAddressSpace = false;  // their shadow memory is terabytes of address space
#else
constexpr bool kLimitAddressSpace = true;
#endif

void set_limit(decltype(RLIMIT_CPU) which, rlim_t value) {
  const rlimit limit{value, value};
  setrlimit(which, &limit);  // a failure leaves the outer limit, which is no worse than none
}

rlim_t mapped_bytes() {
  unsigned long long pages = 0;
  if (std::FILE* statm = std::fopen("/proc/self/statm", "r")) {
    if (std::fscanf(statm, "%llu", &pages) != 1) pages = 0;
    std::fclose(statm);
  }
  return static_cast<rlim_t>(pages) * static_cast<rlim_t>(sysconf(_SC_PAGESIZE));
}

void limit_child(const ProbeLimits& limits) {
  for (const int signal_number : {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL, SIGINT, SIGTERM}) {
    signal(signal_number, SIG_DFL);  // the parent reports; no handler of the program runs here
  }
  signal(SIGPIPE, SIG_IGN);
  set_limit(RLIMIT_CORE, 0);
  set_limit(RLIMIT_FSIZE, 0);
  set_limit(RLIMIT_CPU, static_cast<rlim_t>(limits.seconds));
  if (kLimitAddressSpace) set_limit(RLIMIT_AS, mapped_bytes() + static_cast<rlim_t>(limits.memory_bytes));
}

void write_all(int descriptor, const std::string& text) {
  for (std::size_t done = 0; done < text.size();) {
    const ssize_t n = write(descriptor, text.data() + done, text.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return;
    done += static_cast<std::size_t>(n);
  }
}

using Read = Json (*)(const std::string& path);

[[noreturn]] void run_child(const std::string& path, Read read, const ProbeLimits& limits, int descriptor) {
  // glibc's last words on a heap that HDF5 broke; the caller tells of it. A sanitizer's are wanted.
  if (const int nowhere = ::open("/dev/null", O_WRONLY | O_CLOEXEC); kLimitAddressSpace && nowhere >= 0)
    ::dup2(nowhere, STDERR_FILENO);
  try {
    limit_child(limits);
    write_all(descriptor, "+" + read(path).dump());
  } catch (const Error& error) {
    write_all(descriptor, std::string("-") + error.what());
  } catch (const std::bad_alloc&) {
    write_all(
        descriptor,
        "-" + path + ": HDF5 wants more memory than a shard needs; the file is damaged or made to do harm");
  } catch (...) {
    write_all(descriptor, "-" + path + ": HDF5 failed");
  }
  _exit(0);
}

// Reads to the end of the pipe; false when the deadline passed or the answer is absurdly large.
bool read_answer(int descriptor, Clock::time_point deadline, std::string& answer) {
  char buffer[4096];
  for (;;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
    if (left <= 0 || answer.size() > kMaxAnswer) return false;
    pollfd waiting{descriptor, POLLIN, 0};
    const int ready = poll(&waiting, 1, static_cast<int>(left));
    if (ready < 0 && errno != EINTR) return false;
    if (ready <= 0) continue;
    const ssize_t n = read(descriptor, buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return false;
    if (n == 0) return true;
    answer.append(buffer, static_cast<std::size_t>(n));
  }
}

Json probe(const std::string& path, Read read, const ProbeLimits& limits) {
  int ends[2];
  require(pipe(ends) == 0, path,
          ": cannot make a pipe to the process that checks it: ", std::strerror(errno));
  pid_t child = -1;
  {
    const std::lock_guard lock(hdf5_mutex());  // no thread of ours is inside HDF5 while the process is copied
    child = fork();
    if (child == 0) {
      close(ends[0]);
      run_child(path, read, limits, ends[1]);
    }
  }
  close(ends[1]);
  if (child < 0) {
    const std::string reason = std::strerror(errno);
    close(ends[0]);
    fail(path, ": cannot start the process that checks it: ", reason);
  }
  std::string answer;
  const bool whole = read_answer(ends[0], Clock::now() + std::chrono::seconds(limits.seconds), answer);
  close(ends[0]);
  if (!whole) kill(child, SIGKILL);
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  require(whole, path, ": HDF5 did not finish opening the file within ", limits.seconds,
          " s; it is damaged or made to do harm");
  if (WIFSIGNALED(status) || answer.empty()) {
    fail(path, ": HDF5 crashed on the file (",
         WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "no answer",
         "); it is damaged or made to do harm");
  }
  if (answer[0] == '-') fail(answer.substr(1));
  return parse_json(std::string_view(answer).substr(1), path);
}

}  // namespace

ShardLayout probe_hdf5(const std::string& path, const ProbeLimits& limits) {
  const Read read = [](const std::string& file) { return layout_to_json(read_layout_locked(file)); };
  return layout_from_json(probe(path, read, limits), path);
}

std::string probe_shard_format(const std::string& path, const ProbeLimits& limits) {
  const Read read = [](const std::string& file) { return Json{{"format", read_shard_format(file)}}; };
  return json_get<std::string>(probe(path, read, limits), "format", path);
}

PictureLayout probe_picture_shard(const std::string& path, const ProbeLimits& limits) {
  const Read read = [](const std::string& file) {
    return picture_layout_to_json(read_picture_layout_locked(file));
  };
  return picture_layout_from_json(probe(path, read, limits), path);
}

EncodingLayout probe_encoding_shard(const std::string& path, const ProbeLimits& limits) {
  const Read read = [](const std::string& file) {
    return encoding_layout_to_json(read_encoding_layout_locked(file));
  };
  return encoding_layout_from_json(probe(path, read, limits), path);
}

}  // namespace lathe
