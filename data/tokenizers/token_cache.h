#pragma once
// Ids of pieces met before, one small table a thread: direct-mapped, fixed memory, nothing to lock.
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

#include "data/tokenizers/bpe_merges.h"

namespace lathe {

class TokenCache {
 public:
  static constexpr std::size_t kSlots = 1 << 14, kMaxBytes = 31, kMaxTokens = 8;
  struct Slot {
    std::uint8_t length = 0, count = 0;  // length 0: empty
    char key[kMaxBytes];
    std::uint8_t ends[kMaxTokens];
    TokenId ids[kMaxTokens];
    bool holds(std::string_view piece) const {
      return length == piece.size() && std::memcmp(key, piece.data(), piece.size()) == 0;
    }
    void store(std::string_view piece, const std::vector<Symbol>& symbols) {
      length = static_cast<std::uint8_t>(piece.size());
      count = static_cast<std::uint8_t>(symbols.size());
      std::memcpy(key, piece.data(), piece.size());
      for (std::size_t i = 0; i < symbols.size(); ++i) {
        ids[i] = symbols[i].id;
        ends[i] = static_cast<std::uint8_t>(symbols[i].end);
      }
    }
  };

  // The slot of a piece in this thread's table, emptied first when it served another model.
  static Slot& slot(std::uint64_t model, std::string_view piece) {
    thread_local TokenCache cache;
    if (cache.model_ != model) cache.reset(model);
    return cache.slots_[hash(piece) & (kSlots - 1)];
  }

 private:
  void reset(std::uint64_t model) {
    slots_.assign(kSlots, Slot{});
    model_ = model;
  }
  static std::size_t hash(std::string_view piece) {
    std::uint64_t words[4] = {};
    std::memcpy(words, piece.data(), piece.size());
    std::uint64_t h = piece.size();
    for (const std::uint64_t word : words) h = (h ^ word) * 0x9E3779B97F4A7C15ull, h ^= h >> 29;
    return static_cast<std::size_t>(h ^ h >> 32);
  }

  std::uint64_t model_ = 0;  // models count from 1
  std::vector<Slot> slots_;
};

}  // namespace lathe
