#pragma once
// How a shard comes into being: its large arrays stream to scratch files while HDF5 knows nothing of them;
// HDF5 then lays out a skeleton with holes, and both are merged into the final file through FileSystem:
// create, write, fsync, rename, fsync of the folder. For the writers of this folder.
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "data/io/file_system.h"

namespace lathe {

// Bytes that need not survive a crash: no fsync, removed on destruction. Not thread-safe.
class ScratchFile {
 public:
  explicit ScratchFile(std::string path);
  ~ScratchFile();
  ScratchFile(const ScratchFile&) = delete;
  ScratchFile& operator=(const ScratchFile&) = delete;
  void write(std::span<const std::byte> bytes);
  void close();  // before anyone maps it
  const std::string& path() const { return path_; }

 private:
  void flush();
  std::string path_;
  int descriptor_;
  std::vector<std::byte> buffer_;
};

struct RemoveAtExit {  // removes a file on every way out
  std::string path;
  explicit RemoveAtExit(std::string file) : path(std::move(file)) {}
  ~RemoveAtExit();
  RemoveAtExit(const RemoveAtExit&) = delete;
  RemoveAtExit& operator=(const RemoveAtExit&) = delete;
};

// XXH3-64 of every kBlockBytes of an array.
std::vector<std::uint64_t> hash_blocks(std::span<const std::byte> array);

struct Filling {
  std::uint64_t offset;  // of a hole in the skeleton
  std::string scratch;   // what goes there
};

// Publishes the skeleton's bytes with its holes, which are never read, filled; by ascending offset.
void publish_filled(const std::string& skeleton, const std::vector<Filling>& fillings,
                    const std::string& path, const std::string& suffix, FileSystem& files);

}  // namespace lathe
