#include "data/metrics/significance.h"

#include <cmath>
#include <string>

#include "data/random/philox.h"
#include "tests/catch.h"
#include "tests/complaints.h"

using namespace lathe;

namespace {

using Values = std::vector<double>;

Values normals(std::size_t count, std::uint64_t seed, double shift = 0) {
  const RandomStream stream({.seed = seed, .purpose = Purpose::Noise});
  Values out(count);
  for (std::size_t i = 0; i < count; ++i) out[i] = shift + static_cast<double>(stream.normal(i));
  return out;
}

}  // namespace

TEST_CASE("sign flips: exact p-values counted by hand") {
  // Differences 1, 1, 1, 1, 1, 1: of 64 patterns only all + and all - reach |sum| = 6.
  auto r = compare_paired(Values(6, 1.0), Values(6, 0.0), 1);
  CHECK(r.p_value == 2.0 / 64);
  CHECK(r.verdict == Verdict::Better);
  CHECK(r.exact);
  CHECK(r.difference == 1);
  CHECK(compare_paired(Values(6, 0.0), Values(6, 1.0), 1).verdict == Verdict::Worse);
  // Differences 3, 1, -1: sums over signs 5, 3, 3, 1 and their negatives; |3| or more: 6 of 8.
  r = compare_paired(Values{3, 1, 0}, Values{0, 0, 1}, 1);
  CHECK(r.p_value == 6.0 / 8);
  CHECK(r.difference == Approx(1.0));
  // Ties change nothing: 30 equal examples beside the six.
  Values ours(36, 0.5), theirs(36, 0.5);
  for (int i = 0; i < 6; ++i) ours[static_cast<std::size_t>(i) * 5] = 1.5;
  r = compare_paired(ours, theirs, 1);
  CHECK(r.p_value == 2.0 / 64);
  CHECK(r.exact);
  CHECK(compare_paired(ours, ours, 1).p_value == 1);
}

TEST_CASE("sign flips: binary outcomes are the sign test") {
  // 9 wins and 2 losses: p = 2 * sum_{k<=2} C(11, k) / 2^11 = 2 * 67 / 2048.
  Values ours(14, 0.0), theirs(14, 0.0);
  for (std::size_t i = 0; i < 9; ++i) ours[i] = 1;
  theirs[9] = theirs[10] = 1;
  const auto r = compare_paired(ours, theirs, 1);
  CHECK(r.p_value == Approx(2.0 * 67 / 2048).epsilon(1e-12));
  CHECK(r.verdict == Verdict::NotShown);
}

TEST_CASE("sign flips: 100,000 drawn patterns agree with the binomial") {
  // 40 wins, 20 losses: two-sided sign test p = 0.01347 (binomial tail, 60 tosses).
  Values ours(60, 0.0), theirs(60, 0.0);
  for (std::size_t i = 0; i < 60; ++i) (i < 40 ? ours : theirs)[i] = 1;
  const auto r = compare_paired(ours, theirs, 3);
  CHECK(!r.exact);
  double tail = 0;
  for (int k = 40; k <= 60; ++k)
    tail += std::exp(std::lgamma(61) - std::lgamma(k + 1) - std::lgamma(61 - k) - 60 * std::log(2.0));
  CHECK(r.p_value == Approx(2 * tail).margin(0.0015));
  CHECK(r.verdict == Verdict::Better);
  CHECK(compare_paired(ours, theirs, 3).p_value == r.p_value);
  CHECK(compare_paired(ours, theirs, 4).p_value != r.p_value);
}

TEST_CASE("a true null is called a difference about once in twenty") {
  int called = 0;
  for (std::uint64_t seed = 0; seed < 400; ++seed) {
    called +=
        compare_paired(normals(12, 2 * seed), normals(12, 2 * seed + 1), 1).verdict != Verdict::NotShown;
  }
  CHECK(called >= 8);
  CHECK(called <= 34);  // 20 expected, deviation 4.4
}

TEST_CASE("bootstrap: what is known of it") {
  const auto fixed = bootstrap_interval(Values(7, 0.25), 1);
  CHECK(fixed.low == 0.25);
  CHECK(fixed.high == 0.25);
  const auto coin = bootstrap_interval(Values{0, 1}, 1);  // mean 0 or 1 with a quarter each
  CHECK(coin.low == 0);
  CHECK(coin.high == 1);
  const Values sample = normals(400, 5);
  const auto wide = bootstrap_interval(sample, 1);
  CHECK(wide.high - wide.low == Approx(2 * 1.96 / 20).epsilon(0.1));
  CHECK(bootstrap_interval(sample, 1).low == wide.low);
  CHECK(bootstrap_interval(sample, 2).low != wide.low);
}

TEST_CASE("the verdict line") {
  CHECK(describe(compare_paired(Values(6, 1.0), Values(6, 0.0), 1)) == "better (+1, p = 0.031, n = 6)");
  CHECK(describe(compare_paired(Values{3, 1, 0, 2, 2, 2}, Values{0, 0, 1, 2, 2, 2}, 1)) ==
        "not shown with n = 6 (+0.5, p = 0.75)");
  CHECK(describe(compare_paired(Values(5, 0.0), Values(5, 1.0), 1)) ==
        "not shown with n = 5 (-1, p = 0.062; fewer than 6 examples can show nothing)");
  CHECK(contains(error_of([] { compare_paired(Values(2), Values(3), 1); }), "found 2 and 3"));
}
