#pragma once
// Was tuning worth it? Base, base shown a few examples, and tuned model answer the same held-out prompts;
// metrics with intervals, a verdict by a rule fixed in advance (paired sign-flip test, p < 0.05), and what
// went wrong: answers that never stop, that repeat, that are copied from the training set; what was forgotten
// of general text. Of pretraining that goes on from a base, and of plain texts, the held-out rows' losses are
// compared by the same test.
#include <string>

#include "data/checks/data_report.h"
#include "trainer/parts.h"
#include "trainer/plan/plan.h"
#include "trainer/session.h"
#include "trainer/text/text_task.h"

namespace lathe {

// Before step 0: the base's answers (or, where there is nothing to ask, its losses of held-out rows) and its
// loss on general text, kept in <run>/base.json so that a resumed run has them; taken from another run's file
// of that name where options.base_answers names one. Nothing where training begins from scratch or the file
// is there.
void measure_base(Session& session, const TextTask& task, const Say& say);

// After training: loads the best checkpoint into the session's model, asks it the same and some training
// prompts, writes <run>/answers.json (where something was asked), <run>/report.json and Bedrock's two CSV
// files, and returns the report; null when training began from scratch. With `parts` (parts.h) their held-out
// answers are judged together with the run's own. The report's keys: verdict, course, general_text, held_out
// {base_loss, tuned_loss, change} of what was measured, and where prompts were asked metrics, behaviour,
// examples of held_out_prompts, memorised, recalled (recall.h).
Json make_tuning_report(Session& session, const TextTask& task, const std::vector<PartResult>& parts,
                        const Say& say);

// The longest prompt that these two ask, with what is shown before it, and the most tokens of an answer;
// zeros: nothing is asked.
AskedLengths asked_lengths(const PreparedData& data, const DecoderSpec& spec, const Recipe& recipe);

// What an owner should know of the examples before they are learned; lengths in tokens as the model sees
// them.
DataReport tuning_data_report(const Recipe& recipe, const PreparedData& data);

// Metrics of a recipe, the first one decides: by default exact_match and chrf.
std::vector<std::string> tuning_metrics(const Recipe& recipe);

}  // namespace lathe
