#include "data/pipeline/order.h"

#include <algorithm>
#include <cmath>

#include "data/random/permutation.h"
#include "recipes/schema/error.h"

namespace lathe {

RowOrder::RowOrder(std::vector<std::uint64_t> rows, const std::vector<std::uint64_t>& targets,
                   const std::vector<double>& weights, const OrderOptions& options)
    : rows_(std::move(rows)), starts_{0}, options_(options) {
  std::uint64_t all_targets = 0;
  bool weighted = false;
  for (std::size_t k = 0; k < rows_.size(); ++k) {
    require(rows_[k] > 0 && targets.at(k) > 0, "source ", k, " has no row to train on");
    starts_.push_back(starts_.back() + rows_[k]);
    all_targets += targets[k];
    weighted = weighted || weights.at(k) > 0;
  }
  require(!rows_.empty(), "the data set has no shard");
  if (weighted && options.shuffle && rows_.size() > 1) {
    mixing_.emplace(row_shares(weights, rows_, targets));
    rows_per_epoch_ = mixing_->rows_until_seen(rows_);
    double sum = 0;
    for (std::size_t k = 0; k < rows_.size(); ++k) {
      sum += static_cast<double>(mixing_->count(k, rows_per_epoch_)) * static_cast<double>(targets[k]) /
             static_cast<double>(rows_[k]);
    }
    targets_per_epoch_ = static_cast<std::uint64_t>(std::llround(sum));
  } else {
    rows_per_epoch_ = starts_.back();
    targets_per_epoch_ = all_targets;
  }
}

std::vector<SourceUse> RowOrder::sources(std::uint64_t n) const {
  std::vector<SourceUse> uses;
  for (std::size_t k = 0; k < rows_.size(); ++k) {
    // A common permutation takes each source by its share of the rows: exactly so after whole epochs.
    const double share = static_cast<double>(rows_[k]) / static_cast<double>(starts_.back());
    const auto taken = static_cast<std::uint64_t>(std::llround(static_cast<double>(n) * share));
    uses.push_back({rows_[k], mixing_ ? mixing_->count(k, n) : taken});
  }
  return uses;
}

RowPlace RowOrder::place(std::uint64_t global) const {
  const auto after = std::upper_bound(starts_.begin(), starts_.end(), global);
  const auto source = static_cast<std::size_t>(after - starts_.begin()) - 1;
  return {source, global - starts_[source]};
}

RowPlace RowOrder::operator()(std::uint64_t n) const {
  if (mixing_) {
    const MixedRow mixed = mixing_->row(n);
    const std::uint64_t rows = rows_[mixed.source];
    const std::uint64_t seed = options_.seed + mixed.source * 0x9E3779B97F4A7C15ull;
    return {mixed.source, Permutation(rows, seed, mixed.index / rows)(mixed.index % rows)};
  }
  const std::uint64_t rows = starts_.back();
  return place(options_.shuffle ? Permutation(rows, options_.seed, n / rows)(n % rows) : n % rows);
}

}  // namespace lathe
