#pragma once
// A FileSystem for tests: works on a real folder, so that ordinary readers see the files, and keeps a second
// account of what a power cut would leave. A test of crash safety is a loop:
//
//   for (std::size_t n = 1;; ++n) {
//     FaultyFileSystem fs(fresh_folder);
//     fs.crash_at(n);                                  // or fs.fail_at(n, ENOSPC)
//     bool finished = false;
//     try { save(fs); finished = true; } catch (const Error&) {}
//     for (auto kept : {FaultyFileSystem::Unsynced::Drop, FaultyFileSystem::Unsynced::Keep}) {
//       fs.materialise(other_folder, {.names = kept});   // the disk after the power cut: open it, check it
//     }
//     if (finished) break;                             // n is past the last call
//   }
//
// The rules are POSIX's weakest: bytes survive once their file was synced, names (new files and folders,
// renames, removals) once the folder that holds them was. What the folder held at construction is durable.
// Calls are numbered from 1 in the order they are made. Thread-safe.
#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "data/io/file_system.h"

namespace lathe {

class FaultyFileSystem : public FileSystem {
 public:
  enum class Kind { Create, Write, Sync, Close, MakeDirectory, Rename, SyncDirectory, RemoveAll };
  struct Operation {
    Kind kind;
    std::string path, to;   // relative to the root; `to` for renames
    std::size_t bytes = 0;  // of a write
    bool operator==(const Operation&) const = default;
  };
  enum class Unsynced {
    Drop,
    Keep,
    Tear
  };  // Tear: the first half of a file's unsynced bytes, the rest zeros
  struct Survival {
    Unsynced bytes = Unsynced::Drop;
    Unsynced names = Unsynced::Drop;  // Drop or Keep
  };

  explicit FaultyFileSystem(const std::string& root);  // an existing folder; every path must lie in it
  ~FaultyFileSystem() override;

  std::unique_ptr<File> create(const std::string& path) override;
  void make_directory(const std::string& path) override;
  void rename(const std::string& from, const std::string& to) override;
  void sync_directory(const std::string& path) override;
  void remove_all(const std::string& path) override;

  // Call number `call` fails with `error` (ENOSPC, EIO ...) and does nothing, but a failing write leaves half
  // its bytes.
  void fail_at(std::size_t call, int error);
  // Call number `call` and all after it fail: the process is dead from there on.
  void crash_at(std::size_t call);
  std::size_t calls() const;
  std::vector<Operation> operations() const;  // those that succeeded
  // Writes what survives into `directory`, emptied first.
  void materialise(const std::string& directory, const Survival& survival) const;
  void materialise(const std::string& directory) const { materialise(directory, Survival{}); }

 private:
  class RecordedFile;
  struct Node;
  using Entries = std::map<std::string, std::shared_ptr<Node>>;
  struct Place {
    Node* folder;
    std::string name;
  };

  std::string relative(const std::string& path) const;
  Place place_of(const std::string& path) const;
  std::shared_ptr<Node> find(const std::string& path) const;
  int next_error();  // counts the call; what it fails with, 0 for nothing
  void begin(const std::string& path, const char* operation);
  void record(Operation operation);
  static void write_node(const Node& node, const std::string& path, const Survival& survival);
  static std::shared_ptr<Node> scan(const std::string& path);

  mutable std::mutex mutex_;
  std::string root_;
  std::shared_ptr<Node> tree_;
  std::vector<Operation> operations_;
  std::map<std::size_t, int> failures_;
  std::size_t calls_ = 0, crash_ = 0;
};

}  // namespace lathe
