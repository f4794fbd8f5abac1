#pragma once
// Rows in a counter-based order. The whole state is one integer, the cursor: rows of the global order
// consumed so far. Row n of the order is a function of (seed, n) alone, for any number of ranks, workers and
// micro-batches; the formula is in data/pipeline/order.h.
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "data/pipeline/batch.h"
#include "data/pipeline/order.h"
#include "data/shards/prepare.h"

namespace lathe {

struct LoaderOptions {
  std::int64_t sequence_length = 512;
  std::uint64_t seed = 17;
  bool shuffle = true;        // false: rows as stored (evaluation)
  bool padding = true;        // false: a batch is one row of its rows' tokens, as long as they are
  std::int64_t prefetch = 4;  // batches made ahead by a thread of its own
};

// Not thread-safe; owns one prefetch thread.
class Loader {
 public:
  // Error when a shard cannot be read, holds longer rows than sequence_length, or the tokenizers of two
  // shards differ.
  Loader(const PreparedSet& set, const LoaderOptions& options);
  ~Loader();
  Loader(Loader&&) noexcept;
  Loader& operator=(Loader&&) noexcept;
  std::uint64_t rows_per_epoch()
      const;  // with weights: rows until every source counted by its share is seen once
  std::uint64_t tokens_per_epoch() const;  // targets that count
  std::vector<SourceUse> sources(
      std::uint64_t rows) const;  // one a shard, over the first `rows` of the order
  std::uint64_t cursor() const;
  void seek(std::uint64_t cursor);  // O(1)
  // Rows [first, first + count) of the order, which never ends; `first` is absolute, the caller adds cursor()
  // and its rank's part. Does not move the cursor. The batches that `after` names are made ahead.
  Batch read(std::uint64_t first, std::int64_t count, const RowsAfter& after = {});
  std::uint64_t unforeseen()
      const;  // reads that no earlier one had announced: the first one alone, if all is well
  void advance(std::uint64_t rows);  // moves the cursor after an optimizer step

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace lathe
