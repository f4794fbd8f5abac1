#pragma once
// Texts of an example as comparisons need them: what is asked, what is answered, all of it; and folding, so
// that two spellings of one text (composed accents, case, spaces) count as the same. Pure functions.
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "data/sources/example.h"

namespace lathe {

// What the model is given: the prompt, or everything before the last assistant message; empty for a plain
// text.
std::string asked_text(const Example& example);
// What it must say: the completion, the last assistant message's content and calls, or the whole plain text.
std::string answer_text(const Example& example);
std::string whole_text(const Example& example);
// A conversation without what follows its last answer, which nobody is asked behind; others as they are.
Example through_last_answer(Example example);
// Every text of the example with the name of its place: "prompt", "completion", "message 2", "text".
void visit_texts(const Example& example,
                 const std::function<void(const std::string& place, std::string_view text)>& visit);

// NFC, case folded (Unicode's full folding), runs of white space as one space, none at the ends. Invalid
// UTF-8 becomes U+FFFD.
std::string fold_text(std::string_view text);

// For each example the smallest index of its group: equal or nearly equal whole texts (near_duplicates.h,
// after folding and without what most of them share), or the same folded question.
std::vector<std::uint32_t> related_examples(const std::vector<Example>& examples);

}  // namespace lathe
