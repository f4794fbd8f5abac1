#pragma once
// Metrics by name, over all examples at once: `evaluate.metrics` of a recipe. A metric is a row of one table.
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/metrics/significance.h"

namespace lathe {

// What is compared with the reference: the text that the model generates, or the one of the given choices
// that it finds likeliest, by the sum of its log-probabilities or by that sum over its bytes.
enum class Predicts { Text, Choice, ChoicePerByte };

struct Metric {
  std::string_view name, unit, says;                                       // unit: "share" of 1, or "of 100"
  double (*one)(std::string_view prediction, std::string_view reference);  // of one example
  bool mean;  // the score is the mean of those; false for macro_f1 alone
  Predicts predicts = Predicts::Text;
};
const std::vector<Metric>& metrics();
const Metric& find_metric(std::string_view name);  // Error with all names

// scikit-learn's accuracy_score and f1_score(average="macro", zero_division=0) over labels. White space
// around a label does not count. Lists of one length, not empty.
double accuracy(std::span<const std::string> predictions, std::span<const std::string> references);
double macro_f1(std::span<const std::string> predictions, std::span<const std::string> references);

struct MetricResult {
  std::string name;
  std::vector<double> values;  // one an example; for macro_f1 whether the label is right
  double score = 0;
  Interval interval;  // 95 %, over resampled examples
};
// Error when the lists differ in length or are empty.
MetricResult evaluate_metric(std::string_view name, std::span<const std::string> predictions,
                             std::span<const std::string> references, std::uint64_t seed);

// Are `ours` better than `theirs` on the same references? Higher is better for every metric.
struct Systems {
  std::span<const std::string> ours, theirs, references;
};
Comparison compare_systems(std::string_view metric, const Systems& systems, std::uint64_t seed);

}  // namespace lathe
