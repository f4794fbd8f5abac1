#include <cmath>
#include <set>

#include "data/pipeline/order.h"
#include "recipes/schema/error.h"
#include "tests/catch.h"

using namespace lathe;

TEST_CASE("a mixed order gives every source its share over every stretch") {
  const std::vector<double> shares = {0.5, 0.3, 0.15, 0.05};
  const Mixing mixing(shares);
  std::vector<std::uint64_t> seen(4, 0);
  double worst = 0;
  bool counts_agree = true;
  for (std::uint64_t n = 0; n < 20'000; ++n) {
    for (std::size_t k = 0; k < 4; ++k) {
      counts_agree = counts_agree && mixing.count(k, n) == seen[k];
      worst = std::max(worst, std::abs(static_cast<double>(seen[k]) - static_cast<double>(n) * shares[k]));
    }
    const MixedRow row = mixing.row(n);
    counts_agree = counts_agree && row.index == seen.at(row.source);
    ++seen[row.source];
  }
  CHECK(counts_agree);
  CHECK(worst < 4);  // the bound of the formula: as many as there are sources
  CHECK(seen[0] == 10'000);
}

TEST_CASE("far positions cost nothing and keep the shares") {
  const Mixing mixing({1.0, 3.0});
  const std::uint64_t far = std::uint64_t{1} << 60;
  CHECK(std::abs(static_cast<double>(mixing.count(0, far)) / static_cast<double>(far) - 0.25) < 1e-12);
  CHECK(mixing.count(0, far) + mixing.count(1, far) == far);
  CHECK(mixing.row(far).index <= far);
}

TEST_CASE("shares of tokens become shares of rows") {
  // Source 0: 100 targets a row, source 1: 50. Equal tokens need twice the rows of source 1.
  const auto shares = row_shares({1, 1}, {10, 40}, {1000, 2000});
  CHECK(shares[1] / shares[0] == Approx(2.0));
  // Weight 0 keeps its natural half of the tokens; the others divide what is left 3 : 1.
  const auto mixed = row_shares({0, 3, 1}, {20, 10, 10}, {2000, 1000, 1000});
  CHECK(mixed[0] == Approx(0.5 * 20 / 2000));
  CHECK(mixed[1] == Approx(0.375 * 10 / 1000));
  CHECK(mixed[2] == Approx(0.125 * 10 / 1000));
}

TEST_CASE("without weights an epoch is a permutation of all rows") {
  const RowOrder order({7, 5}, {70, 50}, {0, 0}, {.seed = 3});
  CHECK(order.rows_per_epoch() == 12);
  CHECK(order.targets_per_epoch() == 120);
  std::vector<std::vector<std::pair<std::size_t, std::uint64_t>>> epochs(3);
  for (std::uint64_t n = 0; n < 36; ++n) {
    const RowPlace place = order(n);
    CHECK(place.row < (place.source == 0 ? 7u : 5u));
    epochs[n / 12].emplace_back(place.source, place.row);
  }
  for (auto& epoch : epochs) CHECK(std::set(epoch.begin(), epoch.end()).size() == 12);
  CHECK(epochs[0] != epochs[1]);
  const RowOrder other({7, 5}, {70, 50}, {0, 0}, {.seed = 4});
  bool same = true;
  for (std::uint64_t n = 0; n < 12; ++n) same = same && other(n).row == order(n).row;
  CHECK_FALSE(same);
}

TEST_CASE("with weights every source has epochs of its own") {
  const std::vector<std::uint64_t> rows = {30, 8};
  const RowOrder order(rows, {300, 80}, {1, 1}, {.seed = 3});
  CHECK(order.rows_per_epoch() >= 59);  // half of them source 0, until its 30 rows are seen
  CHECK(order.rows_per_epoch() <= 61);
  std::vector<std::vector<std::uint64_t>> seen(2);
  for (std::uint64_t n = 0; n < 600; ++n) {
    const RowPlace place = order(n);
    seen[place.source].push_back(place.row);
  }
  CHECK(std::abs(static_cast<int>(seen[0].size()) - 300) <= 2);
  for (std::size_t k = 0; k < 2; ++k) {
    for (std::size_t e = 0; (e + 1) * rows[k] <= seen[k].size(); ++e) {
      const auto begin = seen[k].begin() + static_cast<std::ptrdiff_t>(e * rows[k]);
      CHECK(std::set(begin, begin + static_cast<std::ptrdiff_t>(rows[k])).size() == rows[k]);
    }
  }
  std::set<std::uint64_t> first;  // one epoch shows all of the slower source
  for (std::uint64_t n = 0; n < order.rows_per_epoch(); ++n) {
    if (order(n).source == 0) first.insert(order(n).row);
  }
  CHECK(first.size() == 30);
  const std::vector<SourceUse> use = order.sources(600);
  CHECK(use[0].taken == seen[0].size());
  CHECK(use[1].taken == seen[1].size());
  CHECK(use[1].rows == 8);  // 37 epochs of it
  CHECK(RowOrder({7, 5}, {70, 50}, {0, 0}, {.seed = 4}).sources(24)[1].taken == 10);
}

TEST_CASE("without shuffling rows come as stored") {
  const RowOrder order({2, 3}, {20, 30}, {1, 1}, {.shuffle = false});
  std::vector<std::pair<std::size_t, std::uint64_t>> got;
  for (std::uint64_t n = 0; n < 7; ++n) got.emplace_back(order(n).source, order(n).row);
  const std::vector<std::pair<std::size_t, std::uint64_t>> expected = {{0, 0}, {0, 1}, {1, 0}, {1, 1},
                                                                       {1, 2}, {0, 0}, {0, 1}};
  CHECK(got == expected);
}
