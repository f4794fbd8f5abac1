#include "data/metrics/significance.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdio>
#include <numeric>

#include "data/random/philox.h"
#include "recipes/schema/error.h"

namespace lathe {
namespace {

constexpr std::size_t kResamples = 10'000, kExact = 20, kFlips = 100'000;
constexpr double kLevel = 0.05;

// NumPy's default quantile of sorted values.
double quantile(const std::vector<double>& sorted, double share) {
  const double place = share * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(place);
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (sorted[above] - sorted[below]) * (place - static_cast<double>(below));
}

void finish(Comparison& result) {
  if (result.p_value >= kLevel || result.difference == 0) return;
  result.verdict = result.difference > 0 ? Verdict::Better : Verdict::Worse;
}

// Calls flip(k) for single sign changes that pass through all 2^m patterns (a Gray code), test() after each.
template <class Flip, class Test>
double exact_share(std::size_t m, const Flip& flip, const Test& test) {
  std::uint64_t hits = 1;  // the observed pattern itself
  const std::uint64_t patterns = std::uint64_t{1} << m;
  for (std::uint64_t i = 1; i < patterns; ++i) {
    flip(static_cast<std::size_t>(std::countr_zero(i)));
    hits += test();
  }
  return static_cast<double>(hits) / static_cast<double>(patterns);
}

// The bits of sample `sample`, one a pair.
class Signs {
 public:
  Signs(std::uint64_t seed, std::uint64_t sample)
      : stream_({.seed = seed, .purpose = Purpose::SignFlip, .sample = sample}) {}
  bool operator()(std::size_t k) const { return stream_.bits(k / 32) >> (k % 32) & 1; }

 private:
  RandomStream stream_;
};

}  // namespace

Interval bootstrap_interval(std::size_t count, const Statistic& statistic, std::uint64_t seed) {
  require(count > 0, "bootstrap: no examples");
  std::vector<double> found(kResamples);
  std::vector<std::uint32_t> rows(count);
  for (std::size_t sample = 0; sample < kResamples; ++sample) {
    const RandomStream stream({.seed = seed, .purpose = Purpose::Resample, .sample = sample});
    stream.fill_bits(0, rows);
    for (auto& row : rows) row = static_cast<std::uint32_t>((std::uint64_t{row} * count) >> 32);
    found[sample] = statistic(rows);
  }
  std::sort(found.begin(), found.end());
  return {quantile(found, 0.025), quantile(found, 0.975)};
}

Interval bootstrap_interval(std::span<const double> values, std::uint64_t seed) {
  return bootstrap_interval(
      values.size(),
      [&](std::span<const std::uint32_t> rows) {
        double sum = 0;
        for (const auto row : rows) sum += values[row];
        return sum / static_cast<double>(rows.size());
      },
      seed);
}

Comparison compare_paired(std::span<const double> ours, std::span<const double> theirs, std::uint64_t seed) {
  require(ours.size() == theirs.size() && !ours.empty(),
          "comparison: wanted two scores of the same examples, found ", ours.size(), " and ", theirs.size());
  std::vector<double> differences;  // zeros do not care about their sign
  double sum = 0, scale = 0;
  for (std::size_t i = 0; i < ours.size(); ++i) {
    const double difference = ours[i] - theirs[i];
    sum += difference;
    scale += std::abs(difference);
    if (difference != 0) differences.push_back(difference);
  }
  const double wanted = std::abs(sum) - 1e-9 * scale;  // sums in another order differ in the last bits
  const std::size_t m = differences.size();
  Comparison result{.difference = sum / static_cast<double>(ours.size()),
                    .p_value = 1,
                    .examples = ours.size(),
                    .exact = m <= kExact,
                    .verdict = Verdict::NotShown};
  if (result.exact) {
    double current = sum;
    result.p_value = exact_share(
        m,
        [&](std::size_t k) {
          current -= 2 * differences[k];
          differences[k] = -differences[k];
        },
        [&] { return std::abs(current) >= wanted; });
  } else {
    std::size_t hits = 0;
    for (std::size_t sample = 0; sample < kFlips; ++sample) {
      const Signs flipped(seed, sample);
      double current = 0;
      for (std::size_t k = 0; k < m; ++k) current += flipped(k) ? -differences[k] : differences[k];
      hits += std::abs(current) >= wanted;
    }
    result.p_value = static_cast<double>(1 + hits) / static_cast<double>(1 + kFlips);
  }
  finish(result);
  return result;
}

Comparison compare_exchanged(const std::vector<bool>& differs, const Statistic& statistic,
                             std::uint64_t seed) {
  const std::size_t count = differs.size();
  require(count > 0, "comparison: no examples");
  std::vector<std::uint32_t> ours(count), theirs(count);
  std::iota(ours.begin(), ours.end(), 0u);
  std::iota(theirs.begin(), theirs.end(), static_cast<std::uint32_t>(count));
  std::vector<std::size_t> places;
  for (std::size_t i = 0; i < count; ++i) {
    if (differs[i]) places.push_back(i);
  }
  Comparison result{.difference = statistic(ours) - statistic(theirs),
                    .p_value = 1,
                    .examples = count,
                    .exact = places.size() <= kExact,
                    .verdict = Verdict::NotShown};
  const double wanted = std::abs(result.difference) - 1e-12;
  const auto flip = [&](std::size_t k) { std::swap(ours[places[k]], theirs[places[k]]); };
  const auto test = [&] { return std::abs(statistic(ours) - statistic(theirs)) >= wanted; };
  if (result.exact) {
    result.p_value = exact_share(places.size(), flip, test);
  } else {
    std::size_t hits = 0;
    for (std::size_t sample = 0; sample < kFlips; ++sample) {
      const Signs flipped(seed, sample);
      for (std::size_t k = 0; k < places.size(); ++k) {
        if ((ours[places[k]] >= count) != flipped(k)) flip(k);
      }
      hits += test();
    }
    result.p_value = static_cast<double>(1 + hits) / static_cast<double>(1 + kFlips);
  }
  finish(result);
  return result;
}

std::string describe(const Comparison& comparison) {
  char p[32], difference[32];
  std::snprintf(p, sizeof p, "%.2g", comparison.p_value);
  std::snprintf(difference, sizeof difference, "%+.3g", comparison.difference);
  if (comparison.verdict != Verdict::NotShown) {
    return cat(comparison.verdict == Verdict::Better ? "better (" : "worse (", difference, ", p = ", p,
               ", n = ", comparison.examples, ")");
  }
  const bool hopeless = comparison.examples < 6;  // 2 / 2^5 is above 0.05
  return cat("not shown with n = ", comparison.examples, " (", difference, ", p = ", p,
             hopeless ? "; fewer than 6 examples can show nothing)" : ")");
}

}  // namespace lathe
