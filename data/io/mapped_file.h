#pragma once
// A file mapped read-only. Copies share the mapping; the last one unmaps. Thread-safe to read.
#include <cstddef>
#include <memory>
#include <span>
#include <string_view>
#include <string>

namespace lathe {

class MappedFile {
 public:
  MappedFile() = default;
  explicit MappedFile(
      const std::string& path);  // Error when it cannot be opened; an empty file maps to no bytes
  std::span<const std::byte> bytes() const { return bytes_; }
  std::size_t size() const { return bytes_.size(); }
  std::string_view text() const { return {reinterpret_cast<const char*>(bytes_.data()), bytes_.size()}; }
  const std::string& path() const { return path_; }
  std::shared_ptr<const void> owner() const { return owner_; }  // keeps the mapping alive
  // The same for one part, whose pages leave the process's memory when the last copy goes; read again, they
  // come back from the file. Who copies a large file part by part so never holds it twice.
  std::shared_ptr<const void> lend(std::span<const std::byte> part) const;

 private:
  std::string path_;
  std::shared_ptr<const void> owner_;
  std::span<const std::byte> bytes_;
};

}  // namespace lathe
