#include "data/tokenizers/isolated.h"

#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

#include "recipes/schema/error.h"

namespace lathe {
namespace {

constexpr int kThrew = 3;  // exit code of a child whose work threw; its text stands on standard error

struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};

void write_all(int descriptor, const std::string& bytes) {
  for (std::size_t at = 0; at < bytes.size();) {
    const ssize_t written = ::write(descriptor, bytes.data() + at, bytes.size() - at);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) _exit(1);
    at += static_cast<std::size_t>(written);
  }
}

[[noreturn]] void child(int out, int error, const std::function<std::string()>& work) {
  ::dup2(error, STDERR_FILENO);
  ::dup2(error, STDOUT_FILENO);
  try {
    write_all(out, work());
  } catch (const std::exception& e) {
    write_all(STDERR_FILENO, e.what());
    _exit(kThrew);
  }
  _exit(0);
}

std::string read_all(int descriptor) {
  std::string bytes;
  char buffer[1 << 16];
  for (;;) {
    const ssize_t count = ::read(descriptor, buffer, sizeof buffer);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return bytes;
    bytes.append(buffer, static_cast<std::size_t>(count));
  }
}

std::string said(std::FILE* file) {
  constexpr std::size_t kMost = 2000;
  std::string text(1 << 16, '\0');
  std::rewind(file);
  text.resize(std::fread(text.data(), 1, text.size(), file));
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text.size() > kMost ? text.substr(text.size() - kMost) : text;
}

}  // namespace

std::string run_isolated(const std::string& what, const std::function<std::string()>& work) {
  const std::unique_ptr<std::FILE, CloseFile> log(std::tmpfile());
  int ends[2];
  require(log && ::pipe(ends) == 0, what, ": cannot start a child process: ", std::strerror(errno));
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::close(ends[0]);
    child(ends[1], ::fileno(log.get()), work);
  }
  ::close(ends[1]);
  std::string bytes = pid > 0 ? read_all(ends[0]) : std::string();
  ::close(ends[0]);
  require(pid > 0, what, ": cannot start a child process: ", std::strerror(errno));
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return bytes;
  if (WIFEXITED(status) && WEXITSTATUS(status) == kThrew) throw Error(said(log.get()));
  fail(what, ": ", WIFSIGNALED(status) ? cat("it was killed by signal ", WTERMSIG(status)) : "it gave up",
       ": ", said(log.get()));
}

}  // namespace lathe
