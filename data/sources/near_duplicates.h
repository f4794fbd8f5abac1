#pragma once
// Groups of documents that are nearly the same text, so that a split keeps each group on one side. MinHash (Broder, 1997)
// with 64 permutations over shingles of 5 words, locality-sensitive banding (16 x 4), pairs joined when the estimated
// Jaccard similarity is at least 0.8. Letters' case (ASCII), spaces and punctuation do not count. Text without spaces
// between words (Chinese, base64) is cut into windows of 50 bytes instead. Deterministic; 256 bytes a document.
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace lathe {

using MinHash = std::array<std::uint32_t, 64>;

// The signature of a text; a pure function, so callers may compute signatures in parallel.
MinHash min_hash(std::string_view text);
// Share of equal entries: estimates the Jaccard similarity with a deviation of at most 0.0625.
double similarity(const MinHash& a, const MinHash& b);

class NearDuplicates {
 public:
  void add(std::string_view text) { add(min_hash(text)); }
  void add(const MinHash& signature) { signatures_.push_back(signature); }
  std::size_t size() const { return signatures_.size(); }
  // For each document, in the order added, the smallest index in its group: its own when it stands alone.
  std::vector<std::uint32_t> groups() const;

 private:
  std::vector<MinHash> signatures_;
};

// All at once, on up to `threads` threads (0: all).
std::vector<std::uint32_t> near_duplicate_groups(std::span<const std::string> texts, int threads = 0);

}  // namespace lathe
