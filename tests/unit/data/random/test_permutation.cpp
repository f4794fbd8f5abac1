#include "data/random/permutation.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <vector>

#include "tests/catch.h"

using namespace lathe;

namespace {

std::vector<std::uint64_t> all_of(std::uint64_t size, std::uint64_t seed, std::uint64_t epoch) {
  const Permutation permutation(size, seed, epoch);
  std::vector<std::uint64_t> values(size);
  for (std::uint64_t i = 0; i < size; ++i) values[i] = permutation(i);
  return values;
}

bool is_bijection(std::vector<std::uint64_t> values) {
  std::sort(values.begin(), values.end());
  for (std::uint64_t i = 0; i < values.size(); ++i) {
    if (values[i] != i) return false;
  }
  return true;
}

}  // namespace

TEST_CASE("every size gives a bijection") {
  for (std::uint64_t n = 0; n <= 300; ++n) REQUIRE(is_bijection(all_of(n, n * 31, n % 5)));
  for (int k = 9; k <= 16; ++k) {
    for (const std::uint64_t n : {(1u << k) - 1, 1u << k, (1u << k) + 1})
      REQUIRE(is_bijection(all_of(n, 17, 0)));
  }
  CHECK(Permutation(0, 1, 2).size() == 0);
  CHECK(Permutation(1, 1, 2)(0) == 0);
}

TEST_CASE("huge sizes stay in range and do not collide") {
  for (const std::uint64_t n : {(std::uint64_t{1} << 40) + 1, ~std::uint64_t{0}, std::uint64_t{1} << 63}) {
    const Permutation permutation(n, 5, 6);
    std::set<std::uint64_t> seen;
    for (std::uint64_t i = 0; i < 2000; ++i) {
      const std::uint64_t value = permutation(n - 1 - i);
      REQUIRE(value < n);
      seen.insert(value);
    }
    CHECK(seen.size() == 2000);
  }
}

TEST_CASE("all orders of few elements are equally likely") {
  for (const std::uint64_t n : {2u, 3u, 4u, 5u}) {
    std::map<std::vector<std::uint64_t>, int> counts;
    const int trials = 24000;
    for (int seed = 0; seed < trials; ++seed) ++counts[all_of(n, seed, 0)];
    std::size_t orders = 1;
    for (std::size_t i = 2; i <= n; ++i) orders *= i;
    REQUIRE(counts.size() == orders);
    const double expected = static_cast<double>(trials) / static_cast<double>(orders);
    double chi = 0;
    for (const auto& [order, count] : counts) chi += (count - expected) * (count - expected) / expected;
    const double freedom = static_cast<double>(orders - 1);
    CHECK(chi < freedom + 4 * std::sqrt(2 * freedom) + 4);
  }
}

TEST_CASE("positions and neighbours are uniform in a large permutation") {
  const std::uint64_t n = 20000, bins = 20;
  const auto values = all_of(n, 17, 3);
  std::vector<double> joint(bins * bins), steps(bins);
  double fixed = 0, rising = 0;
  for (std::uint64_t i = 0; i < n; ++i) {
    ++joint[i * bins / n * bins + values[i] * bins / n];
    fixed += values[i] == i;
    const std::uint64_t step = (values[(i + 1) % n] + n - values[i]) % n;
    ++steps[step * bins / n];
    if (i + 1 < n) rising += values[i + 1] > values[i];
  }
  const auto chi_square = [&](const std::vector<double>& counts) {
    const double expected = static_cast<double>(n) / static_cast<double>(counts.size());
    double chi = 0;
    for (const double c : counts) chi += (c - expected) * (c - expected) / expected;
    return chi;
  };
  CHECK(chi_square(joint) <
        361 + 4 * std::sqrt(2.0 * 361));  // (20 - 1)^2 degrees of freedom: margins are fixed
  CHECK(chi_square(joint) > 361 - 4 * std::sqrt(2.0 * 361));
  CHECK(chi_square(steps) < 19 + 5 * std::sqrt(2.0 * 19));
  CHECK(fixed < 8);
  CHECK(std::fabs(rising / n - 0.5) < 4 * std::sqrt(1.0 / 12 / n));
}

TEST_CASE("seed and epoch give unrelated orders") {
  const auto a = all_of(1000, 17, 0);
  for (const auto& b : {all_of(1000, 17, 1), all_of(1000, 18, 0), all_of(1000, 0, 17)}) {
    int same = 0;
    for (std::size_t i = 0; i < a.size(); ++i) same += a[i] == b[i];
    CHECK(same < 8);  // one is expected
  }
  CHECK(a == all_of(1000, 17, 0));
}

TEST_CASE("orders never change between versions: a run's data order depends on them") {
  using Order = std::vector<std::uint64_t>;
  CHECK(all_of(10, 17, 0) == Order{5, 0, 6, 9, 7, 2, 1, 8, 3, 4});
  CHECK(all_of(10, 17, 1) == Order{5, 2, 1, 7, 8, 6, 3, 9, 0, 4});
  const Permutation large(1'000'003, 42, 7);
  CHECK(Order{large(0), large(1), large(2), large(1'000'002)} == Order{683515, 81719, 257894, 164351});
}
