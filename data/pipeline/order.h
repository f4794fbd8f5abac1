#pragma once
// The training order as a function of (seed, n): nothing is stored, any row is found in O(sources).
//   no weights:  epoch n / R of all R rows together, row Permutation(R, seed, epoch)(n % R)
//   weights:     the source and its own counter j from Mixing; then its own epochs, with a seed of its own:
//                Permutation(R_k, seed_k, j / R_k)(j % R_k), seed_k = seed + k * 0x9E3779B97F4A7C15
//   no shuffle:  rows as stored, source after source, again from the start after the last
#include <cstdint>
#include <optional>
#include <vector>

#include "data/pipeline/mixing.h"

namespace lathe {

struct RowPlace {
  std::size_t source;
  std::uint64_t row;  // inside the source's shard
};

struct OrderOptions {
  std::uint64_t seed = 17;
  bool shuffle = true;
};

// One source in a stretch of the order.
struct SourceUse {
  std::uint64_t rows = 0;   // it has
  std::uint64_t taken = 0;  // of it, again ones counted again: taken / rows epochs
};

class RowOrder {
 public:
  // rows and targets of each source; weights as in row_shares(), all zero for one common permutation.
  RowOrder(std::vector<std::uint64_t> rows, const std::vector<std::uint64_t>& targets,
           const std::vector<double>& weights, const OrderOptions& options);
  RowPlace operator()(std::uint64_t n) const;
  std::vector<SourceUse> sources(std::uint64_t n) const;  // in rows 0 .. n - 1 of the order
  std::uint64_t rows_per_epoch() const { return rows_per_epoch_; }
  std::uint64_t targets_per_epoch() const { return targets_per_epoch_; }

 private:
  RowPlace place(std::uint64_t global) const;  // a row counted over all sources
  std::vector<std::uint64_t> rows_, starts_;   // starts_: first global row of each source, then the total
  OrderOptions options_;
  std::optional<Mixing> mixing_;
  std::uint64_t rows_per_epoch_ = 0, targets_per_epoch_ = 0;
};

}  // namespace lathe
