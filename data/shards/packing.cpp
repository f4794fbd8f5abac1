#include "data/shards/packing.h"

#include <algorithm>
#include <set>

namespace lathe {
namespace {

using Row = std::vector<Segment>;

// Best-fit decreasing over one window: each piece, longest first, goes to the fullest row that still takes
// it. Ties go to the oldest row and to the earlier document, so the result is unique.
std::vector<Row> best_fit(std::vector<Segment> pieces, std::uint64_t capacity) {
  std::stable_sort(pieces.begin(), pieces.end(),
                   [](const Segment& a, const Segment& b) { return a.length > b.length; });
  std::vector<Row> rows;
  std::set<std::pair<std::uint64_t, std::size_t>> room;  // (slots left, row)
  for (const Segment& piece : pieces) {
    auto best = room.lower_bound({piece.length, 0});
    std::size_t row = rows.size();
    std::uint64_t left = capacity;
    if (best == room.end()) {
      rows.emplace_back();
    } else {
      left = best->first;
      row = best->second;
      room.erase(best);
    }
    rows[row].push_back(piece);
    left -= piece.length;
    if (left > 0) room.emplace(left, row);
  }
  return rows;
}

void append(PackedRows& packed, const Row& row) {
  for (const Segment& segment : row) {
    packed.segments.push_back(segment);
    packed.row_tokens += segment.length;
  }
  packed.offsets.push_back(packed.segments.size());
}

}  // namespace

Overlength parse_overlength(const std::string& name) {
  if (name.empty() || name == "split") return Overlength::Split;
  if (name == "error") return Overlength::Error;
  if (name == "drop") return Overlength::Drop;
  if (name == "truncate") return Overlength::Truncate;
  fail_usage("data.overlength: wanted split, error, drop or truncate, found '", name, "'");
}

PackedRows pack_rows(const std::vector<std::uint64_t>& lengths, const PackingOptions& options) {
  const std::uint64_t width = options.sequence_length;
  require(width > 0, "data.sequence_length must be at least 1");
  PackedRows packed;
  packed.offsets.push_back(0);
  for (std::uint64_t window = 0; window < lengths.size(); window += kPackingWindow) {
    const std::uint64_t end = std::min<std::uint64_t>(lengths.size(), window + kPackingWindow);
    std::vector<Segment> pieces;  // shorter than a row
    for (std::uint64_t document = window; document < end; ++document) {
      require(lengths[document] >= 2, "document ", document, " has ", lengths[document],
              " tokens; a row needs at least one input and its target");
      const std::uint64_t inputs = lengths[document] - 1;
      for (std::uint64_t begin = 0; begin < inputs; begin += width) {
        const Segment piece{document, begin, std::min(width, inputs - begin)};
        if (!options.packing || piece.length == width)
          append(packed, {piece});
        else
          pieces.push_back(piece);
      }
    }
    for (const Row& row : best_fit(std::move(pieces), width)) append(packed, row);
  }
  return packed;
}

std::uint64_t kept_length(std::uint64_t length, std::uint64_t sequence_length, Overlength overlength,
                          const std::string& origin) {
  if (length < 2) return 0;
  if (length <= sequence_length + 1) return length;
  switch (overlength) {
    case Overlength::Split:
      return length;
    case Overlength::Truncate:
      return sequence_length + 1;
    case Overlength::Drop:
      return 0;
    case Overlength::Error:
      break;
  }
  fail_usage(origin, ": the document has ", length - 1, " tokens, a row takes ", sequence_length,
             "; raise data.sequence_length, shorten it, or set data.overlength to split, truncate or drop");
}

}  // namespace lathe
