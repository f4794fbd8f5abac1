#pragma once
// What a score over few examples can and cannot show. Randomness is counter-based: the same seed gives the
// same numbers everywhere, whatever ran before.
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

namespace lathe {

// A statistic of a choice of rows (with repetitions): the mean of values, a macro F1 ...
using Statistic = std::function<double(std::span<const std::uint32_t> rows)>;

struct Interval {
  double low = 0, high = 0;
};
// Percentile bootstrap (Efron, 1979): the middle 95 % of `statistic` over 10,000 resamples of `count` rows,
// quantiles interpolated as NumPy does. count >= 1.
Interval bootstrap_interval(std::size_t count, const Statistic& statistic, std::uint64_t seed);
Interval bootstrap_interval(std::span<const double> values, std::uint64_t seed);  // of their mean

enum class Verdict { Better, Worse, NotShown };

struct Comparison {
  double difference = 0;  // mean of ours minus mean of theirs
  double p_value = 1;     // two-sided
  std::size_t examples = 0;
  bool exact = true;  // every pattern of signs was counted, none drawn
  Verdict verdict = Verdict::NotShown;
};
// Paired sign-flip permutation test (Fisher, 1935) over the same examples. With at most 20 examples that
// differ, all 2^m patterns; else 100,000 drawn ones and p = (1 + hits) / (1 + drawn) (Phipson and Smyth,
// 2010). Better or worse when p < 0.05, fixed in advance. Error when the two differ in length or are empty.
Comparison compare_paired(std::span<const double> ours, std::span<const double> theirs, std::uint64_t seed);
// The same for a statistic that is no mean: rows i and i + count are example i of ours and of theirs, and a
// permutation exchanges them. `differs[i]` is false where the exchange can change nothing.
Comparison compare_exchanged(const std::vector<bool>& differs, const Statistic& statistic,
                             std::uint64_t seed);

// "better (+0.32, p = 0.004, n = 24)", "not shown with n = 6 (p = 0.25)"; says so where no result at n could
// reach 0.05.
std::string describe(const Comparison& comparison);

}  // namespace lathe
