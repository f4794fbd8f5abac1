#include "data/sources/example_split.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <optional>
#include <span>

#include "data/io/hash.h"
#include "data/random/philox.h"
#include "data/sources/example_text.h"
#include "recipes/schema/error.h"

namespace lathe {
namespace {

struct Group {
  std::uint64_t order = 0;             // random by content
  std::vector<std::uint32_t> members;  // in an order of their own, random by content too
};

// Groups in random order. Copies of one example have equal keys; which of them comes first cannot matter.
std::vector<Group> shuffled_groups(const std::vector<Example>& examples, std::uint64_t seed) {
  std::vector<std::uint64_t> keys(examples.size());
  for (std::size_t i = 0; i < examples.size(); ++i) {
    const std::string text = whole_text(examples[i]);
    const auto bits =
        RandomStream(
            {.seed = seed, .purpose = Purpose::Split, .sample = xxh3(std::as_bytes(std::span(text)))})
            .block(0);
    keys[i] = std::uint64_t{bits[0]} << 32 | bits[1];
  }
  const auto roots = related_examples(examples);
  std::map<std::uint32_t, Group> by_root;
  for (std::uint32_t i = 0; i < examples.size(); ++i) by_root[roots[i]].members.push_back(i);
  std::vector<Group> groups;
  for (auto& [root, group] : by_root) {
    std::stable_sort(group.members.begin(), group.members.end(),
                     [&](auto a, auto b) { return keys[a] < keys[b]; });
    group.order = keys[group.members.front()];
    groups.push_back(std::move(group));
  }
  std::sort(groups.begin(), groups.end(), [](const Group& a, const Group& b) { return a.order < b.order; });
  return groups;
}

// Groups whose sizes sum to `wanted`, the first in order that fit; else the largest smaller sum that there is
// (subset sum by dynamic programming, each sum remembering the group that first reached it).
std::vector<std::size_t> choose(const std::vector<Group>& groups, std::size_t wanted) {
  std::vector<std::size_t> chosen;
  std::size_t left = wanted;
  for (std::size_t g = 0; g < groups.size() && left > 0; ++g) {
    if (groups[g].members.size() > left) continue;
    left -= groups[g].members.size();
    chosen.push_back(g);
  }
  constexpr std::size_t kMostWork = 500'000'000;
  if (left == 0 || groups.size() * wanted > kMostWork) return chosen;
  constexpr std::size_t kNever = static_cast<std::size_t>(-1);
  std::vector<std::size_t> reached_by(wanted + 1, kNever);
  for (std::size_t g = 0; g < groups.size(); ++g) {
    const std::size_t size = groups[g].members.size();
    for (std::size_t sum = wanted; sum >= size && sum > 0; --sum) {
      const bool before = sum == size || reached_by[sum - size] != kNever;
      if (reached_by[sum] == kNever && before) reached_by[sum] = g;
    }
  }
  chosen.clear();
  std::size_t sum = wanted;
  while (sum > 0 && reached_by[sum] == kNever) --sum;
  for (; sum > 0; sum -= groups[reached_by[sum]].members.size()) chosen.push_back(reached_by[sum]);
  return chosen;
}

}  // namespace

ExampleSplit hold_out(const std::vector<Example>& examples, double share, std::uint64_t seed) {
  if (!(share > 0 && share < 1)) fail_usage("data.validation: wanted a share between 0 and 1, found ", share);
  const std::size_t count = examples.size();
  const auto wanted = static_cast<std::size_t>(std::llround(share * static_cast<double>(count)));
  const auto groups = shuffled_groups(examples, seed);
  if (wanted == 0 || wanted >= count) {
    constexpr std::size_t kUsualFolds = 5;
    fail_usage("data.validation: ", share, " of ", count, count == 1 ? " example" : " examples",
               " holds out ", wanted == 0 ? "none" : "all",
               groups.size() < 2
                   ? "; name a file of its own, or leave it out"
                   : cat("; choose another share, or {folds: ", std::min(kUsualFolds, groups.size()),
                         "}, which uses every example"));
  }
  if (groups.size() == 1) {
    fail_usage("data.validation: all ", count,
               " examples are nearly the same or ask the same; there is nothing to hold "
               "out that training does not show. Name a file of its own as data.validation");
  }
  ExampleSplit split{std::vector<bool>(count, false), groups.size(), 0};
  std::vector<bool> taken(groups.size(), false);
  std::size_t left = wanted;
  for (const std::size_t g : choose(groups, wanted)) {
    taken[g] = true;
    for (const auto member : groups[g].members) split.held[member] = true;
    left -= groups[g].members.size();
  }
  for (std::size_t g = 0; g < groups.size() && left > 0;
       ++g) {  // the size is a promise, whole groups are not
    if (taken[g]) continue;
    ++split.broken;
    for (const auto member : groups[g].members) {
      if (left == 0) break;
      split.held[member] = true;
      --left;
    }
  }
  return split;
}

std::vector<std::uint32_t> fold_examples(const std::vector<Example>& examples, std::uint32_t folds,
                                         std::uint64_t seed) {
  if (folds < 2) fail_usage("data.validation: folds: wanted at least 2, found ", folds);
  auto groups = shuffled_groups(examples, seed);
  if (groups.size() < folds) {
    fail_usage("data.validation: ", folds, " folds of ", examples.size(), " examples, of which only ",
               groups.size(), " differ enough to be told apart; use fewer folds or more examples");
  }
  std::stable_sort(groups.begin(), groups.end(),
                   [](const Group& a, const Group& b) { return a.members.size() > b.members.size(); });
  std::vector<std::size_t> sizes(folds, 0);
  std::vector<std::uint32_t> fold_of(examples.size());
  for (const auto& group : groups) {  // the largest first, each into the smallest fold
    const auto smallest = std::min_element(sizes.begin(), sizes.end());
    *smallest += group.members.size();
    for (const auto member : group.members)
      fold_of[member] = static_cast<std::uint32_t>(smallest - sizes.begin());
  }
  return fold_of;
}

}  // namespace lathe
