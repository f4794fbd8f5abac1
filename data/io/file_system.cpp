#include "data/io/file_system.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <vector>

#include "recipes/schema/error.h"

namespace lathe {
namespace {

[[noreturn]] void fail_errno(const std::string& path, const char* operation, int error) {
  fail(path, ": cannot ", operation, ": ", std::strerror(error));
}

class RealFile : public FileSystem::File {
 public:
  explicit RealFile(const std::string& path)
      : path_(path), fd_(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)) {
    if (fd_ < 0) fail_errno(path_, "create", errno);
  }
  ~RealFile() override {
    if (fd_ >= 0) ::close(fd_);
  }
  void write(std::span<const std::byte> bytes) override {
    require(fd_ >= 0, path_, ": cannot write: the file is closed");
    constexpr std::size_t kMost = std::size_t{1} << 30;  // one write() takes at most 2 GiB
    while (!bytes.empty()) {
      const ssize_t count = ::write(fd_, bytes.data(), std::min(bytes.size(), kMost));
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) fail_errno(path_, "write", errno);
      bytes = bytes.subspan(static_cast<std::size_t>(count));
    }
  }
  void sync() override {
    require(fd_ >= 0, path_, ": cannot sync: the file is closed");
    while (::fsync(fd_) != 0) {
      if (errno != EINTR) fail_errno(path_, "sync", errno);
    }
  }
  void close() override {
    if (fd_ < 0) return;
    const int fd = fd_;
    fd_ = -1;  // Linux releases the descriptor whatever close() says: never retried
    if (::close(fd) != 0 && errno != EINTR) fail_errno(path_, "close", errno);
  }

 private:
  std::string path_;
  int fd_;
};

class RealFileSystem : public FileSystem {
 public:
  std::unique_ptr<File> create(const std::string& path) override { return std::make_unique<RealFile>(path); }

  void make_directory(const std::string& path) override {
    std::vector<std::filesystem::path> missing;
    for (std::filesystem::path p = std::filesystem::path(path).lexically_normal(); !p.empty();
         p = p.parent_path()) {
      if (!p.has_filename()) p = p.parent_path();
      std::error_code ignored;
      if (p.empty() || std::filesystem::exists(p, ignored)) break;
      missing.push_back(p);
      if (p == p.parent_path()) break;
    }
    for (auto p = missing.rbegin(); p != missing.rend(); ++p) {
      if (::mkdir(p->c_str(), 0700) != 0 && errno != EEXIST)
        fail_errno(p->string(), "make the folder", errno);
    }
    std::error_code ignored;
    if (!std::filesystem::is_directory(path, ignored)) fail_errno(path, "make the folder", ENOTDIR);
  }

  void rename(const std::string& from, const std::string& to) override {
    if (::rename(from.c_str(), to.c_str()) != 0) {
      const int error = errno;
      fail(from, ": cannot rename to ", to, ": ", std::strerror(error));
    }
  }

  void sync_directory(const std::string& path) override {
    const int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) fail_errno(path, "open the folder", errno);
    int result;
    while ((result = ::fsync(fd)) != 0 && errno == EINTR) {
    }
    const int error = errno;
    ::close(fd);
    // Some network file systems cannot sync folders and say EINVAL; they order renames themselves.
    if (result != 0 && error != EINVAL) fail_errno(path, "sync the folder", error);
  }

  void remove_all(const std::string& path) override {
    std::error_code error;
    std::filesystem::remove_all(path, error);
    if (error) fail(path, ": cannot remove: ", error.message());
  }
};

std::string parent_of(const std::string& path) {
  std::filesystem::path p = std::filesystem::path(path).lexically_normal();
  if (!p.has_filename()) p = p.parent_path();
  const std::string parent = p.parent_path().string();
  return parent.empty() ? "." : parent;
}

void remove_quietly(FileSystem& fs, const std::string& path) {
  try {
    fs.remove_all(path);
  } catch (const Error&) {
    // The failure that led here is the one to report.
  }
}

}  // namespace

FileSystem& real_file_system() {
  static RealFileSystem fs;
  return fs;
}

void write_file_atomically(const std::string& path, std::string_view content, FileSystem& fs) {
  static std::atomic<unsigned> counter{0};  // two threads may write the same file
  const std::string temporary = cat(path, ".tmp-", ::getpid(), "-", counter.fetch_add(1));
  try {
    const auto file = fs.create(temporary);
    file->write(std::as_bytes(std::span(content)));
    file->sync();
    file->close();
    fs.rename(temporary, path);
  } catch (const Error&) {
    remove_quietly(fs, temporary);
    throw;
  }
  fs.sync_directory(parent_of(path));
}

void publish_directory(const std::string& temporary, const std::string& final_path, FileSystem& fs) {
  std::error_code error;
  if (std::filesystem::exists(std::filesystem::symlink_status(final_path, error))) {
    fail(final_path, ": exists already; it is never overwritten");
  }
  // Names inside are durable only once each folder that holds them is: inner ones first.
  std::vector<std::string> folders{temporary};
  std::filesystem::recursive_directory_iterator entries(temporary, error);
  if (error) fail(temporary, ": cannot list the folder: ", error.message());
  for (const auto& entry : entries) {
    if (entry.is_directory() && !entry.is_symlink()) folders.push_back(entry.path().string());
  }
  for (auto folder = folders.rbegin(); folder != folders.rend(); ++folder) fs.sync_directory(*folder);
  fs.rename(temporary, final_path);
  fs.sync_directory(parent_of(final_path));
  if (parent_of(temporary) != parent_of(final_path)) fs.sync_directory(parent_of(temporary));
}

std::string read_file(const std::string& path, std::size_t max_bytes) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) fail_errno(path, "open", errno);
  struct Closer {
    int fd;
    ~Closer() { ::close(fd); }
  } const closer{fd};
  struct stat info {};
  if (::fstat(fd, &info) != 0) fail_errno(path, "read its size", errno);
  if (S_ISDIR(info.st_mode)) fail(path, ": wanted a file, found a folder");
  const auto too_large = [&] { fail(path, ": larger than the limit of ", max_bytes, " bytes"); };
  if (S_ISREG(info.st_mode) && static_cast<std::uintmax_t>(info.st_size) > max_bytes) too_large();
  std::string text;
  text.resize(static_cast<std::size_t>(info.st_size) +
              1);  // + 1: sees the end without another round; /proc says size 0
  std::size_t size = 0;
  for (;;) {
    if (size == text.size()) text.resize(size * 2 + 4096);
    const ssize_t got = ::read(fd, text.data() + size, text.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail_errno(path, "read", errno);
    if (got == 0) break;
    size += static_cast<std::size_t>(got);
    if (size > max_bytes) too_large();
  }
  text.resize(size);
  return text;
}

}  // namespace lathe
