#pragma once
// Exact duplicates: documents whose bytes have the same SHA-256 (its first 128 bits are kept: 16 bytes a document).
#include <array>
#include <cstdint>
#include <string_view>
#include <unordered_set>

namespace lathe {

class DuplicateFilter {
 public:
  // True for a text not seen before.
  bool add(std::string_view text);
  // The same for who has the hash already: its 64 digits.
  bool add_sha256(std::string_view hex);
  std::uint64_t unique() const { return seen_.size(); }
  std::uint64_t duplicates() const { return duplicates_; }

 private:
  using Key = std::array<std::uint64_t, 2>;
  struct KeyHash {
    std::size_t operator()(const Key& key) const { return static_cast<std::size_t>(key[0]); }
  };
  std::unordered_set<Key, KeyHash> seen_;
  std::uint64_t duplicates_ = 0;
};

}  // namespace lathe
