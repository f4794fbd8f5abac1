#include "data/io/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>

#include "recipes/schema/error.h"

namespace lathe {
namespace {

struct Descriptor {
  int fd;
  ~Descriptor() { ::close(fd); }
};

struct Mapping {
  void* address;
  std::size_t size;
  Mapping(void* a, std::size_t s) : address(a), size(s) {}
  ~Mapping() { ::munmap(address, size); }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
};

// Whole pages only: those at the ends hold neighbours too.
void drop_pages(std::span<const std::byte> part) {
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = (reinterpret_cast<std::uintptr_t>(part.data()) + page - 1) / page * page;
  const auto end = reinterpret_cast<std::uintptr_t>(part.data() + part.size()) / page * page;
  if (begin < end) ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

}  // namespace

MappedFile::MappedFile(const std::string& path) : path_(path) {
  // O_NONBLOCK: opening a named pipe must not hang; it has no effect on regular files.
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) fail(path, ": cannot open: ", std::strerror(errno));
  const Descriptor guard{fd};
  struct stat info {};
  if (::fstat(fd, &info) != 0) fail(path, ": cannot read its size: ", std::strerror(errno));
  if (!S_ISREG(info.st_mode))
    fail(path, ": wanted a regular file, found ", S_ISDIR(info.st_mode) ? "a folder" : "a device");
  const auto size = static_cast<std::size_t>(info.st_size);
  if (size == 0) return;
  void* address = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0);
  if (address == MAP_FAILED) fail(path, ": cannot map ", size, " bytes: ", std::strerror(errno));
  owner_ = std::make_shared<Mapping>(address, size);
  bytes_ = {static_cast<const std::byte*>(address), size};
}

std::shared_ptr<const void> MappedFile::lend(std::span<const std::byte> part) const {
  return {part.data(), [owner = owner_, part](const void*) { drop_pages(part); }};
}

}  // namespace lathe
