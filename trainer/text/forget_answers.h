#pragma once
// `report: {examples: none}`: what a run says of its examples is numbers. While it goes on it needs the
// answers of base and tuned model (base.json, answers.json, of folds and seeds those of each part); once it
// is finished and judged, their texts go.
#include <string>

namespace lathe {

inline constexpr const char* kForgotten = "answers_not_kept";  // key of base.json

// Removes the answers' texts from a run and its parts. Does nothing the second time.
void forget_answers(const std::string& run);

// Whether that was done: such a run can be looked at, but not judged again.
bool answers_forgotten(const std::string& run);

}  // namespace lathe
