#include "data/metrics/metric.h"

#include "tests/catch.h"
#include "tests/complaints.h"

using namespace lathe;

namespace {

using Texts = std::vector<std::string>;

}  // namespace

TEST_CASE("macro F1 and accuracy by hand") {
  const Texts wanted = {"a", "a", "a", "b", "b", "c"}, found = {"a", "a", "b", "b", "d", " c\n"};
  // a: P 2/2, R 2/3, F 0.8; b: P 1/2, R 1/2, F 0.5; c: 1; d (predicted only): 0.
  CHECK(macro_f1(found, wanted) == Approx((0.8 + 0.5 + 1 + 0) / 4).epsilon(1e-12));
  CHECK(accuracy(found, wanted) == Approx(4.0 / 6).epsilon(1e-12));
}

TEST_CASE("results carry a value for each example, the score and its interval") {
  const Texts wanted = {"x", "y", "z", "w"}, found = {"x", "y", "z", "v"};
  const auto exact = evaluate_metric("exact_match", found, wanted, 1);
  CHECK(exact.values == std::vector<double>{1, 1, 1, 0});
  CHECK(exact.score == 0.75);
  CHECK(exact.interval.low == 0.25);  // P(mean <= 0.25) = 0.051, P(mean = 0) = 0.004
  CHECK(exact.interval.high == 1);
  const auto f1 = evaluate_metric("macro_f1", found, wanted, 1);
  CHECK(f1.score == Approx(3.0 / 5));
  CHECK(f1.values == exact.values);
  CHECK(f1.interval.low < f1.score);
  for (const auto& metric : metrics()) {
    INFO(std::string(metric.name));
    const auto r = evaluate_metric(metric.name, found, wanted, 1);
    CHECK(r.values.size() == 4);
    CHECK(r.interval.low <= r.score);
    CHECK(r.score <= r.interval.high);
  }
}

TEST_CASE("unknown metrics and lists that do not fit") {
  CHECK(contains(error_of([] { find_metric("bleu"); }),
                 "wanted some of exact_match, exact_match_normalised, rouge_l, chrf"));
  const Texts one = {"a"}, none;
  CHECK(contains(error_of([&] { evaluate_metric("chrf", one, none, 1); }), "found 1 and 0"));
  CHECK(contains(error_of([&] { macro_f1(none, none); }), "found 0 and 0"));
}

TEST_CASE("two systems over the same references") {
  Texts wanted, good, bad;
  for (int i = 0; i < 24; ++i) {
    wanted.push_back(i % 2 ? "yes" : "no");
    good.push_back(i == 3 ? "no" : wanted.back());
    bad.push_back(i % 3 == 0 ? wanted.back() : "no");
  }
  for (const char* name : {"exact_match", "accuracy", "macro_f1", "chrf"}) {
    INFO(name);
    CHECK(compare_systems(name, {good, bad, wanted}, 1).verdict == Verdict::Better);
    CHECK(compare_systems(name, {bad, good, wanted}, 1).verdict == Verdict::Worse);
    CHECK(compare_systems(name, {good, good, wanted}, 1).verdict == Verdict::NotShown);
  }
}

TEST_CASE("macro F1's permutations, counted by hand") {
  // Two examples differ; exchanging either or both: |difference| is at least the observed one in 2 of 4
  // patterns, or more where exchanging one alone gives as much.
  const Texts wanted = {"a", "b"}, ours = {"a", "b"}, theirs = {"b", "a"};
  const auto r = compare_systems("macro_f1", {ours, theirs, wanted}, 1);
  CHECK(r.difference == 1);  // 1 against 0
  CHECK(r.p_value == 0.5);   // one exchanged: (a, a) against (b, b): both 1/3
}
