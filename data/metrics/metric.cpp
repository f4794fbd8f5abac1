#include "data/metrics/metric.h"

#include <map>

#include "data/metrics/text_metrics.h"
#include "recipes/schema/error.h"

namespace lathe {
namespace {

std::string_view trimmed(std::string_view text) {
  const auto begin = text.find_first_not_of(" \t\r\n");
  return begin == text.npos ? std::string_view()
                            : text.substr(begin, text.find_last_not_of(" \t\r\n") - begin + 1);
}

double same_label(std::string_view prediction, std::string_view reference) {
  return trimmed(prediction) == trimmed(reference);
}
double valid_json(std::string_view prediction, std::string_view) { return json_valid(prediction); }

void check(std::span<const std::string> predictions, std::span<const std::string> references,
           std::string_view name) {
  if (predictions.size() == references.size() && !predictions.empty()) return;
  fail("metric ", name, ": wanted as many predictions as references and at least one, found ",
       predictions.size(), " and ", references.size());
}

// Macro F1 over chosen rows; labels become numbers once, since a test asks for it a hundred thousand times.
class MacroF1 {
 public:
  MacroF1(std::span<const std::string> predictions, std::span<const std::string> references) {
    std::map<std::string_view, std::uint32_t> ids;
    const auto id = [&](const std::string& label) {
      return ids.try_emplace(trimmed(label), static_cast<std::uint32_t>(ids.size())).first->second;
    };
    for (const auto& label : predictions) predicted_.push_back(id(label));
    for (const auto& label : references) wanted_.push_back(id(label));
    labels_ = ids.size();
  }

  // Rows beyond the references are a second system's on the same ones.
  double operator()(std::span<const std::uint32_t> rows) const {
    std::vector<std::uint32_t> right(labels_), predicted(labels_), wanted(labels_);
    for (const auto row : rows) {
      const auto found = predicted_[row], truth = wanted_[row % wanted_.size()];
      ++predicted[found];
      ++wanted[truth];
      right[truth] += found == truth;
    }
    double sum = 0;
    std::size_t present = 0;
    for (std::size_t i = 0; i < labels_; ++i) {
      if (predicted[i] + wanted[i] == 0) continue;
      sum += 2.0 * right[i] / (predicted[i] + wanted[i]);
      ++present;
    }
    return sum / static_cast<double>(present);
  }

 private:
  std::vector<std::uint32_t> predicted_, wanted_;
  std::size_t labels_ = 0;
};

std::vector<std::uint32_t> all_rows(std::size_t count) {
  std::vector<std::uint32_t> rows(count);
  for (std::size_t i = 0; i < count; ++i) rows[i] = static_cast<std::uint32_t>(i);
  return rows;
}

std::vector<double> values_of(const Metric& metric, std::span<const std::string> predictions,
                              std::span<const std::string> references) {
  std::vector<double> values(predictions.size());
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = metric.one(predictions[i], references[i]);
  return values;
}

double mean(std::span<const double> values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return sum / static_cast<double>(values.size());
}

}  // namespace

const std::vector<Metric>& metrics() {
  static const std::vector<Metric> all = {
      {"exact_match", "share", "answers equal to the reference, byte for byte", exact_match, true},
      {"exact_match_normalised", "share", "equal but for case, punctuation, articles and spaces",
       exact_match_normalised, true},
      {"rouge_l", "share", "F1 of the longest common subsequence of words (rouge_score)", rouge_l, true},
      {"chrf", "of 100",
       "character n-gram F2 of each answer (sacrebleu's sentence_score), not pooled as its corpus_score",
       chrf, true},
      {"accuracy", "share", "labels that are right", same_label, true},
      {"macro_f1", "share", "F1 of each label, averaged over labels", same_label, false},
      {"span_f1", "share", "F1 of the words shared with the reference (SQuAD)", span_f1, true},
      {"json_valid", "share", "answers that are valid JSON", valid_json, true},
      {"choice_accuracy", "share",
       "questions whose right choice is the likeliest (lm-evaluation-harness's acc)", exact_match, true,
       Predicts::Choice},
      {"choice_accuracy_per_byte", "share",
       "the same, likelihoods divided by the choices' bytes (its acc_norm)", exact_match, true,
       Predicts::ChoicePerByte},
  };
  return all;
}

const Metric& find_metric(std::string_view name) {
  std::string known;
  for (const auto& metric : metrics()) {
    if (metric.name == name) return metric;
    known += cat(known.empty() ? "" : ", ", metric.name);
  }
  fail_usage("evaluate.metrics: wanted some of ", known, ", found '", name, "'");
}

double accuracy(std::span<const std::string> predictions, std::span<const std::string> references) {
  check(predictions, references, "accuracy");
  return mean(values_of(find_metric("accuracy"), predictions, references));
}

double macro_f1(std::span<const std::string> predictions, std::span<const std::string> references) {
  check(predictions, references, "macro_f1");
  return MacroF1(predictions, references)(all_rows(predictions.size()));
}

MetricResult evaluate_metric(std::string_view name, std::span<const std::string> predictions,
                             std::span<const std::string> references, std::uint64_t seed) {
  const Metric& metric = find_metric(name);
  check(predictions, references, name);
  MetricResult result{std::string(name), values_of(metric, predictions, references), 0, {}};
  if (metric.mean) {
    result.score = mean(result.values);
    result.interval = bootstrap_interval(result.values, seed);
  } else {
    const MacroF1 statistic(predictions, references);
    result.score = statistic(all_rows(predictions.size()));
    result.interval = bootstrap_interval(predictions.size(), statistic, seed);
  }
  return result;
}

Comparison compare_systems(std::string_view name, const Systems& systems, std::uint64_t seed) {
  const Metric& metric = find_metric(name);
  check(systems.ours, systems.references, name);
  check(systems.theirs, systems.references, name);
  if (metric.mean) {
    return compare_paired(values_of(metric, systems.ours, systems.references),
                          values_of(metric, systems.theirs, systems.references), seed);
  }
  std::vector<std::string> both(systems.ours.begin(), systems.ours.end());
  both.insert(both.end(), systems.theirs.begin(), systems.theirs.end());
  std::vector<bool> differs;
  for (std::size_t i = 0; i < systems.ours.size(); ++i) {
    differs.push_back(trimmed(systems.ours[i]) != trimmed(systems.theirs[i]));
  }
  return compare_exchanged(differs, MacroF1(both, systems.references), seed);
}

}  // namespace lathe
