#include "data/pipeline/mixing.h"

#include <algorithm>
#include <cmath>

#include "recipes/schema/error.h"

namespace lathe {
namespace {

constexpr unsigned kBits = 62;
constexpr double kOne = 4611686018427387904.0;  // 2^62

std::uint64_t scaled(std::uint64_t n, std::uint64_t threshold) {
  return static_cast<std::uint64_t>((static_cast<unsigned __int128>(n) * threshold) >> kBits);
}

}  // namespace

Mixing::Mixing(const std::vector<double>& shares) {
  require(!shares.empty(), "mixing needs at least one source");
  std::vector<double> rest(shares.size());
  double sum = 0;
  for (std::size_t k = shares.size(); k-- > 0;) {
    require(std::isfinite(shares[k]) && shares[k] > 0, "data.train: the share of source ", k,
            " is not positive");
    rest[k] = sum += shares[k];
  }
  for (std::size_t k = 0; k < shares.size(); ++k) {
    thresholds_.push_back(
        static_cast<std::uint64_t>(std::min(kOne, std::round(kOne * (shares[k] / rest[k])))));
  }
  thresholds_.back() = std::uint64_t{1} << kBits;
}

MixedRow Mixing::row(std::uint64_t n) const {
  for (std::size_t k = 0; k + 1 < thresholds_.size(); ++k) {
    const std::uint64_t before = scaled(n, thresholds_[k]);
    if (scaled(n + 1, thresholds_[k]) > before) return {k, before};
    n -= before;
  }
  return {thresholds_.size() - 1, n};
}

std::uint64_t Mixing::count(std::size_t source, std::uint64_t n) const {
  for (std::size_t k = 0; k < source; ++k) n -= scaled(n, thresholds_[k]);
  return scaled(n, thresholds_[source]);
}

std::uint64_t Mixing::rows_until_seen(const std::vector<std::uint64_t>& rows) const {
  std::uint64_t needed = 0;
  for (std::size_t k = 0; k < rows.size(); ++k) {
    std::uint64_t low = 0, high = 1;
    while (count(k, high) < rows[k]) {
      require(high < (std::uint64_t{1} << 60), "data.train: the share of source ", k,
              " is so small that it would never be seen whole; raise its weight");
      low = high, high *= 2;
    }
    while (low < high) {
      const std::uint64_t middle = low + (high - low) / 2;
      if (count(k, middle) < rows[k])
        low = middle + 1;
      else
        high = middle;
    }
    needed = std::max(needed, low);
  }
  return needed;
}

std::vector<double> row_shares(const std::vector<double>& weights, const std::vector<std::uint64_t>& rows,
                               const std::vector<std::uint64_t>& targets) {
  double all_targets = 0, natural = 0, weighted = 0;
  for (const std::uint64_t count : targets) all_targets += static_cast<double>(count);
  for (std::size_t k = 0; k < weights.size(); ++k) {
    require(std::isfinite(weights[k]) && weights[k] >= 0, "data.train: the weight of source ", k, " is ",
            weights[k], ", wanted 0 or more");
    if (weights[k] == 0) natural += static_cast<double>(targets[k]) / all_targets;
    weighted += weights[k];
  }
  std::vector<double> shares;
  for (std::size_t k = 0; k < weights.size(); ++k) {
    const double own = static_cast<double>(targets[k]);
    const double tokens = weights[k] == 0 ? own / all_targets : (1 - natural) * weights[k] / weighted;
    shares.push_back(tokens * static_cast<double>(rows[k]) / own);
  }
  return shares;
}

}  // namespace lathe
