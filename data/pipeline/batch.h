#pragma once
// What a forward pass reads: aligned host buffers, no torch. Letters: B rows, T row length.
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

namespace lathe {

constexpr std::int32_t kIgnoreTarget = -100;

// A document's stretch in the flattened (B * T) tokens: begin, length; stretches never cross rows and cover
// every non-padding slot. Padding slots at a row's end belong to no stretch.
struct Stretch {
  std::int32_t begin, length;
  std::uint64_t document;  // id over the whole data set: keys dropout
  std::int32_t position;   // of its first token inside the document's piece (0 at a piece's start)
};

struct Batch {
  std::int64_t rows = 0, length = 0;    // B, T
  std::vector<std::int32_t> tokens;     // (B * T), 0 in padding
  std::vector<std::int32_t> targets;    // (B * T), the next token of the same document or kIgnoreTarget
  std::vector<std::int32_t> positions;  // (B * T), restart at 0 with each stretch
  std::vector<Stretch> stretches;       // by begin
  std::int64_t target_count = 0;        // targets that count
  std::int64_t token_count = 0;         // slots that are not padding
};

// Rows [first, first + count) of an order, and which rows a reader will ask for after some; nothing when none
// follow.
struct RowRange {
  std::uint64_t first = 0;
  std::int64_t count = 0;
};
using RowsAfter = std::function<std::optional<RowRange>(RowRange)>;

}  // namespace lathe
