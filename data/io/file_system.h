#pragma once
// The few file operations that must survive crashes go through this interface, so that a test double can lose
// unsynced bytes, return ENOSPC or EIO at call n, and prove the order of fsync and rename (checkpoints/store,
// data/shards). Errors are thrown as lathe::Error naming the file, the operation and errno's text.
// Thread-safe per file.
#include <cstddef>
#include <memory>
#include <span>
#include <string_view>
#include <string>

namespace lathe {

class FileSystem {
 public:
  class File {  // an open file for writing, closed by the destructor
   public:
    virtual ~File() = default;
    virtual void write(std::span<const std::byte> bytes) = 0;
    virtual void sync() = 0;   // fsync
    virtual void close() = 0;  // throws on error, idempotent
  };
  virtual ~FileSystem() = default;
  virtual std::unique_ptr<File> create(const std::string& path) = 0;  // truncates
  virtual void make_directory(const std::string& path) = 0;           // with parents, mode 0700 for new ones
  virtual void rename(const std::string& from, const std::string& to) = 0;
  virtual void sync_directory(const std::string& path) = 0;
  virtual void remove_all(const std::string& path) = 0;
};

FileSystem& real_file_system();

// Writes path as a whole or not at all: path.tmp-<pid>, fsync, rename, fsync of the folder.
void write_file_atomically(const std::string& path, std::string_view content,
                           FileSystem& fs = real_file_system());

// Publishes a finished temporary folder under its final name: every file already synced by its writer; syncs
// the folder, renames, syncs the parent. Fails if `final_path` exists.
void publish_directory(const std::string& temporary, const std::string& final_path,
                       FileSystem& fs = real_file_system());

// The whole file as text; Error naming it when absent or larger than max_bytes.
std::string read_file(const std::string& path, std::size_t max_bytes = std::size_t{1} << 30);

}  // namespace lathe
