#pragma once
// Ranks as forked processes of a test. The test itself must start no threads, so bodies alone touch tensors.
#include <arpa/inet.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ATen/Parallel.h>

#include <chrono>
#include <cstdio>
#include <functional>
#include <stdexcept>
#include <vector>

#include "trainer/parallel/ranks.h"

namespace lathe::testing {

inline void expect(bool condition, const char* what) {
  if (!condition) throw std::runtime_error(what);
}

struct Forked {
  std::vector<pid_t> children;
  int descriptor = -1;

  // body's exceptions become exit code 1 with their text on standard error.
  Forked(int count, const std::function<void(const RankInfo&)>& body, int timeout_seconds = 60) {
    descriptor = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    if (bind(descriptor, reinterpret_cast<sockaddr*>(&address), length) != 0 || listen(descriptor, 16) != 0 ||
        getsockname(descriptor, reinterpret_cast<sockaddr*>(&address), &length) != 0) {
      throw std::runtime_error("no free port");
    }
    std::fflush(nullptr);
    for (int rank = 0; rank < count; ++rank) {
      const pid_t child = fork();
      if (child == 0) {
        at::set_num_threads(1);
        RankInfo info;
        info.rank = info.local_rank = rank;
        info.world_size = info.local_world_size = count;
        info.master_port = ntohs(address.sin_port);
        info.listen_descriptor = rank == 0 ? descriptor : -1;
        info.timeout_seconds = timeout_seconds;
        int code = 0;
        try {
          body(info);
        } catch (const std::exception& e) {
          std::fprintf(stderr, "rank %d: %s\n", rank, e.what());
          code = 1;
        }
        std::fflush(nullptr);
        _exit(code);
      }
      children.push_back(child);
    }
    close(descriptor);
  }
  Forked(const Forked&) = delete;
  Forked& operator=(const Forked&) = delete;
  ~Forked() {
    for (const pid_t child : children) kill(child, SIGKILL);
    for (const pid_t child : children) waitpid(child, nullptr, 0);
  }

  // Exit code, 128 + signal, or -1 after `seconds`.
  int wait(std::size_t rank, double seconds = 60) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
    while (std::chrono::steady_clock::now() < end) {
      int status = 0;
      if (waitpid(children[rank], &status, WNOHANG) > 0) {
        return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
      }
      usleep(2000);
    }
    return -1;
  }
  std::vector<int> wait_all() {
    std::vector<int> codes;
    for (std::size_t i = 0; i < children.size(); ++i) codes.push_back(wait(i));
    return codes;
  }
};

}  // namespace lathe::testing
