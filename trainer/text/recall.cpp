#include "trainer/text/recall.h"

#include <algorithm>

#include "data/metrics/overlap.h"
#include "data/random/permutation.h"
#include "recipes/schema/error.h"

namespace lathe {
namespace {

constexpr std::uint64_t kMostRecalled = 32;

}  // namespace

Json memorised(const std::vector<std::string>& learned, const std::vector<Answer>& answers) {
  const VerbatimIndex index(learned);
  Overlap longest;
  for (const Answer& answer : answers) {
    const Overlap overlap = index.measure(answer.text);
    if (overlap.characters > longest.characters) longest = overlap;
  }
  return Json{
      {"longest_characters", longest.characters}, {"longest_words", longest.words}, {"text", longest.text}};
}

std::vector<Example> recall_examples(const std::vector<Example>& train, std::int64_t seed) {
  std::vector<Example> all;
  for (const Example& example : train)
    if (example.kind != ExampleKind::Text) all.push_back(example);
  if (all.size() <= kMostRecalled) return all;
  const Permutation order(all.size(), static_cast<std::uint64_t>(seed), 0);
  std::vector<Example> chosen;
  for (std::uint64_t i = 0; i < kMostRecalled; ++i) chosen.push_back(all[order(i)]);
  return chosen;
}

Json recalled(const std::vector<std::string>& learned, const std::vector<std::string>& wanted,
              const std::vector<Answer>& answers) {
  require(!wanted.empty() && answers.size() == wanted.size(),
          "answers to other training prompts than were asked");
  double verbatim = 0;
  for (std::size_t i = 0; i < wanted.size(); ++i) verbatim += answers[i].text == wanted[i] ? 1 : 0;
  Json found = memorised(learned, answers);
  found["asked"] = wanted.size();
  found["verbatim"] = verbatim / static_cast<double>(wanted.size());
  return found;
}

}  // namespace lathe
