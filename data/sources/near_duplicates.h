#pragma once
// Groups of documents that are nearly the same text, so that a split keeps each group on one side. MinHash
// (Broder, 1997) with 64 permutations over shingles of 5 words, locality-sensitive banding (16 x 4), pairs
// joined when the estimated Jaccard similarity is at least 0.8. Letters' case (ASCII), spaces and punctuation
// do not count. Text without spaces between words (Chinese, base64) is cut into windows of 50 bytes instead.
// Of each minimum the low 16 bits are kept (b-bit minwise hashing, Li and Koenig 2010): 128 bytes a document,
// and two that differ look equal once in 65,536. Deterministic.
#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace lathe {

using MinHash = std::array<std::uint16_t, 64>;

// The signature of a text; a pure function, so callers may compute signatures in parallel.
MinHash min_hash(std::string_view text);
// Share of equal entries: estimates the Jaccard similarity with a deviation of at most 0.0625.
double similarity(const MinHash& a, const MinHash& b);

// For each of `documents` (places in `signatures`) the smallest index into `documents` of its group: its own
// when it stands alone. 28 bytes a document on top of the signatures.
std::vector<std::uint32_t> near_duplicate_groups(const std::deque<MinHash>& signatures,
                                                 std::span<const std::uint32_t> documents);
// The texts without the words that lie in a run of five words which more than half of the
// texts have (and at least four): an instruction, a system prompt, a form that all examples of a set share
// says nothing about which of them are alike. What is left of such a text are lower-case words. Of more than
// 4096 texts so many, chosen by content, tell what is shared. Does not depend on the order.
std::vector<std::string> without_shared_runs(std::span<const std::string> texts);
// Of texts, on up to `threads` threads (0: all).
std::vector<std::uint32_t> near_duplicate_groups(std::span<const std::string> texts, int threads = 0);

}  // namespace lathe
