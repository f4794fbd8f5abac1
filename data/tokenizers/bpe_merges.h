#pragma once
// The merge table of a byte pair encoding and the merging itself: the pair of lowest rank first, the leftmost
// among equals, until no pair of neighbours is in the table.
#include <cstddef>
#include <cstdint>
#include <vector>

#include "data/tokenizers/tokenizer.h"

namespace lathe {

struct Symbol {
  TokenId id;
  std::uint32_t begin, end;  // bytes of the piece
};

class MergeTable {
 public:
  struct Merge {
    std::uint32_t rank;
    TokenId id;
  };
  void reserve(std::size_t count);
  void insert(TokenId left, TokenId right, Merge merge);  // a pair inserted again takes the new rank
  const Merge* find(TokenId left, TokenId right) const {
    if (slots_.empty()) return nullptr;
    const std::uint64_t key = pair_key(left, right);
    for (std::size_t at = hash(key) & mask_;; at = (at + 1) & mask_) {
      if (slots_[at].key == key) return &slots_[at].merge;
      if (slots_[at].key == kEmpty) return nullptr;
    }
  }
  std::size_t size() const { return count_; }

 private:
  static constexpr std::uint64_t kEmpty = ~std::uint64_t{0};
  struct Slot {
    std::uint64_t key = kEmpty;
    Merge merge{};
  };
  static std::uint64_t pair_key(TokenId left, TokenId right) { return std::uint64_t{left} << 32 | right; }
  static std::size_t hash(std::uint64_t key) {
    key *= 0x9E3779B97F4A7C15ull;
    return static_cast<std::size_t>(key ^ key >> 32);
  }
  void rebuild(std::size_t capacity);

  std::vector<Slot> slots_;
  std::size_t mask_ = 0, count_ = 0;
};

// Merges `symbols` in place. Short pieces are scanned, long ones go through a heap: n log n for any input.
void merge_symbols(const MergeTable& merges, std::vector<Symbol>& symbols);

}  // namespace lathe
