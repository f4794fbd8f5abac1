// The launcher behind --processes: one machine, one process a rank.
#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <optional>

#include "data/io/threads.h"
#include "recipes/schema/error.h"
#include "trainer/parallel/ranks.h"

namespace lathe {
namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kGrace = std::chrono::milliseconds(700);  // from the first failure to SIGKILL
constexpr int kInterrupted = 130;

// A socket that listens on a free port. Rank 0 inherits it, so that nobody can take the port in between.
struct Listener {
  int descriptor = -1, port = 0;
  Listener() {
    descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    const bool ready = descriptor >= 0 &&
                       bind(descriptor, reinterpret_cast<sockaddr*>(&address), length) == 0 &&
                       listen(descriptor, 128) == 0 &&
                       getsockname(descriptor, reinterpret_cast<sockaddr*>(&address), &length) == 0;
    if (!ready) fail("no port of 127.0.0.1 can be opened for the ranks to meet: ", std::strerror(errno));
    port = ntohs(address.sin_port);
  }
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;
  ~Listener() { close(descriptor); }
};

// The environment of a child, made before fork: afterwards nothing may allocate.
class Environment {
 public:
  Environment() {
    for (char** entry = environ; *entry; ++entry) entries_.emplace_back(*entry);
  }
  void set(const std::string& name, const std::string& value) {
    std::erase_if(entries_, [&](const std::string& entry) { return entry.rfind(name + "=", 0) == 0; });
    entries_.push_back(name + "=" + value);
  }
  std::vector<char*> pointers() {
    std::vector<char*> out;
    for (auto& entry : entries_) out.push_back(entry.data());
    out.push_back(nullptr);
    return out;
  }

 private:
  std::vector<std::string> entries_;
};

Environment rank_environment(int rank, int processes, const Listener& listener) {
  Environment environment;
  const auto set = [&](const char* name, int value) { environment.set(name, std::to_string(value)); };
  set("LATHE_RANK", rank);
  set("LATHE_WORLD_SIZE", processes);
  set("LATHE_LOCAL_RANK", rank);
  set("LATHE_LOCAL_WORLD_SIZE", processes);
  environment.set("LATHE_MASTER_ADDRESS", "127.0.0.1");
  set("LATHE_MASTER_PORT", listener.port);
  set("LATHE_LISTEN_DESCRIPTOR", rank == 0 ? listener.descriptor : -1);
  if (!std::getenv("OMP_NUM_THREADS")) set("OMP_NUM_THREADS", std::max(1, hardware_threads() / processes));
  return environment;
}

class Signals {  // blocked while children run, so that none is lost between a check and a wait
 public:
  Signals() {
    sigemptyset(&waited_);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGCHLD}) sigaddset(&waited_, signal);
    sigprocmask(SIG_BLOCK, &waited_, &before_);
  }
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;
  ~Signals() { sigprocmask(SIG_SETMASK, &before_, nullptr); }
  const sigset_t& before() const { return before_; }
  // The next signal, 0 when none came within `limit`.
  int wait(std::chrono::milliseconds limit) const {
    const timespec time = {limit.count() / 1000, (limit.count() % 1000) * 1000000};
    const int signal = sigtimedwait(&waited_, nullptr, &time);
    return signal > 0 ? signal : 0;
  }

 private:
  sigset_t waited_{}, before_{};
};

[[noreturn]] void become(char* const* argv, char* const* environment, const sigset_t& mask, int inherited,
                         pid_t parent) {
  setpgid(
      0, 0);  // Ctrl-C reaches the launcher alone, which passes it on once: a second one would mean "at once"
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (getppid() != parent) _exit(1);
  if (inherited >= 0) fcntl(inherited, F_SETFD, 0);
  for (const int signal :
       {SIGINT, SIGTERM, SIGHUP, SIGUSR1}) {  // the launcher's handlers are not for its copy
    struct sigaction action {};
    sigaction(signal, nullptr, &action);
    if (action.sa_handler != SIG_IGN) std::signal(signal, SIG_DFL);
  }
  sigprocmask(SIG_SETMASK, &mask, nullptr);
  execvpe(argv[0], argv, environment);
  const char text[] = "cannot start the program of a rank\n";
  [[maybe_unused]] const auto written = write(STDERR_FILENO, text, sizeof text - 1);
  _exit(127);
}

class Children {
 public:
  void add(pid_t child) {
    running_.push_back(child);
    ranks_.push_back(static_cast<int>(ranks_.size()));
  }
  bool any() const { return !running_.empty(); }
  void signal_all(int signal) const {
    for (const pid_t child : running_) kill(child, signal);
  }
  void stop(int signal) {
    stopping_ = true;
    signal_all(signal);
  }
  // Collects those that ended. The first that fails decides the code; 130 (saved and stopped) is no failure.
  void collect() {
    for (std::size_t i = 0; i < running_.size();) {
      int status = 0;
      const pid_t ended = waitpid(running_[i], &status, WNOHANG);
      if (ended == 0 || (ended < 0 && errno == EINTR)) {
        ++i;
        continue;
      }
      const int rank = ranks_[i];
      running_.erase(running_.begin() + static_cast<std::ptrdiff_t>(i));
      ranks_.erase(ranks_.begin() + static_cast<std::ptrdiff_t>(i));
      int code = ended < 0 ? 1 : WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
      if (stopping_ && WIFSIGNALED(status)) code = kInterrupted;  // asked to stop before it could listen
      interrupted_ = interrupted_ || code == kInterrupted;
      if (code == 0 || code == kInterrupted || failure_) continue;  // after the first failure we end the rest
      failure_ = code;
      if (ended > 0 && WIFSIGNALED(status)) {  // it could not tell why by itself
        const int signal = WTERMSIG(status);
        killed_ = cat("rank ", rank, " was ended by signal ", signal, " (", strsignal(signal), ")");
      }
    }
  }
  std::optional<int> failure() const { return failure_; }
  const std::string& killed() const { return killed_; }
  int code() const { return failure_ ? *failure_ : interrupted_ ? kInterrupted : 0; }

 private:
  std::vector<pid_t> running_;
  std::vector<int> ranks_;  // of running_
  std::string killed_;
  std::optional<int> failure_;
  bool interrupted_ = false, stopping_ = false;
};

int supervise(Children& children, const Signals& signals) {
  std::optional<Clock::time_point> kill_at;
  while (children.any()) {
    const int signal = signals.wait(std::chrono::milliseconds(kill_at ? 20 : 500));
    // All of them mean: save and stop. A closed terminal and a batch system's warning are passed on as
    // SIGTERM.
    if (signal != 0 && signal != SIGCHLD) children.stop(signal == SIGINT ? SIGINT : SIGTERM);
    children.collect();
    if (children.failure() && !kill_at) {
      children.signal_all(kLostRank);
      kill_at = Clock::now() + kGrace;
    }
    if (kill_at && Clock::now() >= *kill_at) children.signal_all(SIGKILL);
  }
  require(children.killed().empty(), children.killed(),
          "; the other ranks were stopped. The same command goes on from the last checkpoint");
  return children.code();
}

}  // namespace

int launch_processes(int processes, const std::vector<std::string>& argv) {
  require(processes >= 1 && !argv.empty(), "launch_processes: nothing to start");
  const Listener listener;
  const Signals signals;
  Children children;
  std::vector<std::string> arguments = argv;
  std::vector<char*> argument_pointers;
  for (auto& argument : arguments) argument_pointers.push_back(argument.data());
  argument_pointers.push_back(nullptr);
  const pid_t parent = getpid();
  for (int rank = 0; rank < processes; ++rank) {
    Environment environment = rank_environment(rank, processes, listener);
    const auto environment_pointers = environment.pointers();
    const pid_t child = fork();
    if (child == 0) {
      become(argument_pointers.data(), environment_pointers.data(), signals.before(),
             rank == 0 ? listener.descriptor : -1, parent);
    }
    if (child < 0) {
      const int error = errno;
      children.signal_all(SIGKILL);
      while (children.any()) children.collect();
      fail("rank ", rank, " of ", processes, " cannot be started: ", std::strerror(error));
    }
    children.add(child);
  }
  return supervise(children, signals);
}

}  // namespace lathe
