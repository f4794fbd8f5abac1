#include "data/pipeline/assemble.h"

#include <numeric>

#include "recipes/schema/error.h"

namespace lathe {
namespace {

// Flat batches have so many slots, or kFlatStep more, or twice: blocks of products, never the shapes of full
// batches for which libraries generate code of their own.
constexpr std::size_t kFlatLeast = 32, kFlatStep = 64;

// Fills the slots from `at` on with one segment.
void add_segment(Batch& batch, const TokenShard& shard, const Segment& segment, std::size_t at,
                 std::uint64_t document) {
  const std::size_t length = segment.length;
  shard.read(segment.document, segment.begin, std::span(batch.tokens).subspan(at, length));
  const bool ends = segment.begin + length == shard.document_length(segment.document);
  const std::size_t targets = ends ? length - 1 : length;  // the last one stays kIgnoreTarget
  shard.read(segment.document, segment.begin + 1, std::span(batch.targets).subspan(at, targets));
  std::iota(batch.positions.begin() + static_cast<std::ptrdiff_t>(at),
            batch.positions.begin() + static_cast<std::ptrdiff_t>(at + length), 0);
  std::size_t counted = targets;
  if (shard.has_supervision()) {
    std::vector<std::uint8_t> marks(targets);
    shard.read_supervision(segment.document, segment.begin + 1, marks);
    for (std::size_t i = 0; i < targets; ++i) {
      if (marks[i] != 0) continue;
      batch.targets[at + i] = kIgnoreTarget;
      counted -= 1;
    }
  }
  batch.stretches.push_back({static_cast<std::int32_t>(at), static_cast<std::int32_t>(length), document, 0});
  batch.target_count += static_cast<std::int64_t>(counted);
  batch.token_count += static_cast<std::int64_t>(length);
}

}  // namespace

Batch assemble_batch(const OpenShards& set, std::span<const RowPlace> rows, std::int64_t length) {
  Batch batch;
  std::vector<std::size_t> begins;  // of each row
  std::size_t slots = 0;
  for (const RowPlace& row : rows) {
    begins.push_back(slots);
    std::size_t used = 0;
    if (length == 0)
      for (const Segment& segment : set.shards[row.source].row(row.row)) used += segment.length;
    slots += length == 0 ? used : static_cast<std::size_t>(length);
  }
  if (length == 0) slots = (slots + kFlatLeast - 1) / kFlatStep * kFlatStep + kFlatLeast;
  require(slots < (std::size_t{1} << 31), "a batch of ", rows.size(), " rows with ", slots,
          " tokens is too large; lower train.micro_batch_size");
  batch.rows = length == 0 ? 1 : static_cast<std::int64_t>(rows.size());
  batch.length = length == 0 ? static_cast<std::int64_t>(slots) : length;
  batch.tokens.assign(slots, 0);
  batch.targets.assign(slots, kIgnoreTarget);
  batch.positions.assign(slots, 0);
  for (std::size_t r = 0; r < rows.size(); ++r) {
    const TokenShard& shard = set.shards[rows[r].source];
    std::size_t at = begins[r];
    for (const Segment& segment : shard.row(rows[r].row)) {
      add_segment(batch, shard, segment, at, set.first_document[rows[r].source] + segment.document);
      at += segment.length;
    }
  }
  return batch;
}

}  // namespace lathe
