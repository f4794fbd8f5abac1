#pragma once
// Documents -> rows of at most `sequence_length` input tokens, once, when the data is prepared.
//
// A document of L tokens (its EOS included) has L - 1 inputs: every token but the last predicts the next one.
// It is cut into pieces of T = sequence_length inputs; a row reads T + 1 tokens and the next piece begins
// with the token that was the last target, so every token but a document's first is a target exactly once and
// EOS is never an input.
//
// Pieces shorter than T are combined by best-fit decreasing (Coffman, Garey, Johnson 1978) within windows of
// 10,000 documents: memory stays bounded, neighbours stay near, and the result is a function of the lengths
// alone.
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "data/shards/shard.h"

namespace lathe {

constexpr std::uint64_t kPackingWindow = 10'000;  // documents

enum class Overlength { Split, Error, Drop, Truncate };

// "split", "error", "drop", "truncate"; "" is split. Usage Error otherwise.
Overlength parse_overlength(const std::string& name);

struct PackingOptions {
  std::uint64_t sequence_length = 512;
  bool packing = true;  // false: one piece a row
};

struct PackedRows {
  std::vector<Segment> segments;
  std::vector<std::uint64_t> offsets;  // rows + 1, into segments
  std::uint64_t row_tokens = 0;        // input slots in use
  std::uint64_t rows() const { return offsets.empty() ? 0 : offsets.size() - 1; }
};

// lengths[d] >= 2 tokens of document d. Linear in the documents, times a logarithm of the window.
PackedRows pack_rows(const std::vector<std::uint64_t>& lengths, const PackingOptions& options);

// What `overlength` leaves of a document of `length` tokens: all of it, T + 1 tokens (Truncate) or 0 (Drop,
// and whatever is too short to predict a token). Under Error a longer document throws, named by `origin`.
std::uint64_t kept_length(std::uint64_t length, std::uint64_t sequence_length, Overlength overlength,
                          const std::string& origin);

}  // namespace lathe
