#include "data/shards/scratch.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "data/io/hash.h"
#include "data/io/mapped_file.h"
#include "data/shards/layout.h"
#include "recipes/schema/error.h"

namespace lathe {
namespace {

constexpr std::size_t kBuffer = std::size_t{1} << 20;
constexpr std::size_t kSlice = std::size_t{8} << 20;

void write_slices(FileSystem::File& file, std::span<const std::byte> bytes) {
  for (std::size_t at = 0; at < bytes.size(); at += kSlice) {
    file.write(bytes.subspan(at, std::min(kSlice, bytes.size() - at)));
  }
}

void write_filled(FileSystem::File& file, const MappedFile& outline, const std::vector<Filling>& fillings) {
  std::uint64_t at = 0;
  for (const Filling& filling : fillings) {
    const MappedFile content(filling.scratch);
    require(at <= filling.offset && filling.offset <= outline.size() &&
                content.size() <= outline.size() - filling.offset,
            outline.path(), ": the skeleton has no room for the data");
    write_slices(file, outline.bytes().subspan(at, filling.offset - at));
    write_slices(file, content.bytes());
    at = filling.offset + content.size();
  }
  write_slices(file, outline.bytes().subspan(at));
}

}  // namespace

ScratchFile::ScratchFile(std::string path)
    : path_(std::move(path)),
      descriptor_(open(path_.c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600)) {
  require(descriptor_ >= 0, path_, ": cannot be created: ", std::strerror(errno));
}

ScratchFile::~ScratchFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
  unlink(path_.c_str());
}

void ScratchFile::write(std::span<const std::byte> bytes) {
  for (std::size_t at = 0; at < bytes.size(); at += kBuffer) {
    const auto some = bytes.subspan(at, std::min(kBuffer, bytes.size() - at));
    buffer_.insert(buffer_.end(), some.begin(), some.end());
    if (buffer_.size() >= kBuffer) flush();
  }
}

void ScratchFile::close() {
  flush();
  require(::close(std::exchange(descriptor_, -1)) == 0, path_, ": cannot be closed: ", std::strerror(errno));
}

void ScratchFile::flush() {
  for (std::size_t done = 0; done < buffer_.size();) {
    const ssize_t n = ::write(descriptor_, buffer_.data() + done, buffer_.size() - done);
    if (n < 0 && errno == EINTR) continue;
    require(n > 0, path_, ": cannot be written: ", std::strerror(errno));
    done += static_cast<std::size_t>(n);
  }
  buffer_.clear();
}

RemoveAtExit::~RemoveAtExit() { unlink(path.c_str()); }

std::vector<std::uint64_t> hash_blocks(std::span<const std::byte> array) {
  std::vector<std::uint64_t> hashes;
  for (std::uint64_t at = 0; at < array.size(); at += kBlockBytes) {
    hashes.push_back(xxh3(array.subspan(at, std::min<std::uint64_t>(kBlockBytes, array.size() - at))));
  }
  return hashes;
}

void publish_filled(const std::string& skeleton, const std::vector<Filling>& fillings,
                    const std::string& path, const std::string& suffix, FileSystem& files) {
  const MappedFile outline(skeleton);
  const std::string temporary = path + suffix;
  try {
    const auto file = files.create(temporary);
    write_filled(*file, outline, fillings);
    file->sync();
    file->close();
    files.rename(temporary, path);
    const std::string folder = std::filesystem::path(path).parent_path().string();
    files.sync_directory(folder.empty() ? "." : folder);
  } catch (...) {
    try {
      files.remove_all(temporary);
    } catch (const Error&) {  // what went wrong first is what the caller hears
    }
    throw;
  }
}

}  // namespace lathe
