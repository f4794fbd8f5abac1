#include "data/checks/comparisons.h"

#include <map>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "data/sources/near_duplicates.h"

namespace lathe {
namespace {

std::string both(const Example& a, const Example& b) { return a.origin + " and " + b.origin; }

// Equal texts within one set, those of training first; `repeated` becomes true where an example repeats an
// earlier one.
std::vector<Finding> find_exact(const Folded& all, std::vector<bool>& repeated) {
  Finding trained{
      .kind = "exact_duplicate",
      .severity = Severity::Warning,
      .count = 0,
      .says =
          "the same as an earlier example (case, accents' spelling and spaces aside); it counts twice in "
          "training: delete it",
      .origins = {}};
  Finding held = trained;
  held.says =
      "the same as an earlier validation example (case, accents' spelling and spaces aside); it counts twice "
      "in "
      "the held-out score: delete it";
  std::unordered_map<std::string_view, std::size_t> first;
  for (std::size_t i = 0; i < all.whole.size(); ++i) {
    if (i == all.train) first.clear();
    const auto [place, fresh] = first.try_emplace(all.whole[i], i);
    if (fresh) continue;
    repeated[i] = true;
    note(i < all.train ? trained : held, both(*all.examples[place->second], *all.examples[i]));
  }
  return {std::move(trained), std::move(held)};
}

std::vector<Finding> find_near(const Folded& all, const std::vector<bool>& repeated) {
  Finding near{
      .kind = "near_duplicate",
      .severity = Severity::Note,
      .count = 0,
      .says =
          "nearly the same as an earlier example (at least 80 % of its runs of five words, those that most "
          "examples share aside); it adds little",
      .origins = {}};
  Finding held = near;
  held.says =
      "nearly the same as an earlier validation example (at least 80 % of its runs of five words, those that "
      "most "
      "examples share aside); the held-out score counts it nearly twice";
  Finding leak{
      .kind = "near_leak",
      .severity = Severity::Warning,
      .count = 0,
      .says = "a validation example is nearly the same as a training example; the held-out score is too good",
      .origins = {}};
  const auto groups = near_duplicate_groups(without_shared_runs(all.whole));
  std::map<std::uint32_t, std::size_t> first_train, first_validation;
  for (std::size_t i = 0; i < groups.size(); ++i) {
    auto& firsts = i < all.train ? first_train : first_validation;
    const auto [place, fresh] = firsts.try_emplace(groups[i], i);
    if (!fresh && !repeated[i])
      note(i < all.train ? near : held, both(*all.examples[place->second], *all.examples[i]));
    const auto twin = first_train.find(groups[i]);
    if (i >= all.train && twin != first_train.end() && all.whole[twin->second] != all.whole[i] &&
        (all.asked[i].empty() || all.asked[twin->second] != all.asked[i])) {
      note(leak, both(*all.examples[twin->second], *all.examples[i]));
    }
  }
  return {std::move(leak), std::move(near), std::move(held)};
}

Finding find_conflicts(const Folded& all) {
  Finding finding{
      .kind = "conflict",
      .severity = Severity::Warning,
      .count = 0,
      .says =
          "the same question with another answer than an earlier example; the model can learn only one: "
          "decide, or say in the prompt what makes the difference",
      .origins = {}};
  std::unordered_map<std::string_view, std::size_t> first;
  for (std::size_t i = 0; i < all.train; ++i) {
    if (all.asked[i].empty()) continue;
    const auto [place, fresh] = first.try_emplace(all.asked[i], i);
    if (fresh || all.answer[place->second] == all.answer[i]) continue;
    note(finding, both(*all.examples[place->second], *all.examples[i]));
  }
  return finding;
}

Finding find_leaks(const Folded& all) {
  Finding finding{
      .kind = "leak",
      .severity = Severity::Error,
      .count = 0,
      .says =
          "a validation example, or its question, is in the training set too; the held-out score would "
          "measure memory: move or delete it",
      .origins = {}};
  const auto twins = twins_in_training(all);
  for (std::size_t i = 0; i < twins.size(); ++i)
    if (twins[i]) note(finding, both(*all.examples[*twins[i]], *all.examples[all.train + i]));
  return finding;
}

}  // namespace

void note(Finding& finding, const std::string& origin) {
  constexpr std::size_t kShown = 3;
  if (finding.origins.size() < kShown) finding.origins.push_back(origin);
  ++finding.count;
}

std::vector<std::optional<std::size_t>> twins_in_training(const Folded& all) {
  std::unordered_map<std::string_view, std::size_t> asked, whole;
  for (std::size_t i = 0; i < all.train; ++i) {
    whole.try_emplace(all.whole[i], i);
    if (!all.asked[i].empty()) asked.try_emplace(all.asked[i], i);
  }
  std::vector<std::optional<std::size_t>> twins;
  for (std::size_t i = all.train; i < all.examples.size(); ++i) {
    twins.emplace_back();
    if (const auto twin = whole.find(all.whole[i]); twin != whole.end())
      twins.back() = twin->second;
    else if (const auto same = asked.find(all.asked[i]); same != asked.end())
      twins.back() = same->second;
  }
  return twins;
}

std::vector<Finding> compare_examples(const Folded& all) {
  std::vector<bool> repeated(all.whole.size(), false);
  std::vector<Finding> findings = {find_leaks(all), find_conflicts(all)};
  for (auto& finding : find_exact(all, repeated)) findings.push_back(std::move(finding));
  for (auto& finding : find_near(all, repeated)) findings.push_back(std::move(finding));
  return findings;
}

}  // namespace lathe
