#pragma once
// Which source row n of the training order comes from, in closed form.
//
// Sources 0 .. K-1 have shares p_k of the rows. A chain of exact counters splits the order: with n_0 = n,
// source k has had   c_k(n) = floor(n_k * P_k / 2^62),   P_k = round(2^62 * p_k / (p_k + ... + p_(K-1))) rows
// before row n, and n_(k+1) = n_k - c_k(n) is the counter of the sources after it; the last takes what is
// left. So sum_k c_k(n) = n, the counts are known without walking, and |c_k(n) - n p_k| < K: shares are met
// over every stretch, not on average.
#include <cstdint>
#include <vector>

namespace lathe {

struct MixedRow {
  std::size_t source;
  std::uint64_t index;  // how many rows of that source came before
};

class Mixing {
 public:
  // shares > 0, any scale.
  explicit Mixing(const std::vector<double>& shares);
  MixedRow row(std::uint64_t n) const;                             // O(sources)
  std::uint64_t count(std::size_t source, std::uint64_t n) const;  // rows of source among the first n
  // The smallest n by which every source k has had rows[k] rows.
  std::uint64_t rows_until_seen(const std::vector<std::uint64_t>& rows) const;

 private:
  std::vector<std::uint64_t> thresholds_;  // P_k, in units of 2^-62
};

// Shares of rows from shares of tokens. weights[k] is the share of target tokens wanted of source k, 0 for
// its natural one (targets[k] of all); what the natural ones leave goes to the others by their weights. A
// source whose rows hold more targets needs fewer of them: p_k = token share / (targets[k] / rows[k]).
std::vector<double> row_shares(const std::vector<double>& weights, const std::vector<std::uint64_t>& rows,
                               const std::vector<std::uint64_t>& targets);

}  // namespace lathe
