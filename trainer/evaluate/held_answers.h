#pragma once
// What base, few-shot base and tuned model of one run said to its held-out prompts, kept in
// <run>/answers.json (private like the run) so that folds and seeds can be judged together, and the
// comparison of such answers.
#include <string>
#include <vector>

#include "data/io/json.h"
#include "trainer/evaluate/answers.h"

namespace lathe {

struct HeldAnswers {
  std::vector<std::string> origins, prompts, references;  // one an example, as are the others
  std::vector<std::string> constant, nearest;             // of systems that know nothing (tuning_report)
  std::vector<Answer> base, few_shot, tuned;
  std::size_t size() const { return references.size(); }
};

Json answers_json(const std::vector<Answer>& answers);
std::vector<Answer> answers_of(const Json& list, const std::string& where);

Json to_json(const HeldAnswers& held);
HeldAnswers held_answers_of(const Json& json, const std::string& where);
void append(HeldAnswers& all, const HeldAnswers& more);

// Metrics of every system with 95 % intervals, two verdicts and how the answers behave. One HeldAnswers a
// seed, all to the same examples; with several, an example counts once, by the mean of its scores (by the
// first seed where a metric is no mean over examples). The first metric decides.
Json compare_answers(const std::vector<HeldAnswers>& seeds, const std::vector<std::string>& metrics);

// The texts themselves, for a report that may show them.
Json shown_answers(const HeldAnswers& held);

}  // namespace lathe
