#pragma once
// How far a model goes along answers that are known, greedy: what it would write behind their prompts, up to
// the first token that is another. One pass over prompts and answers, where generating takes a pass for each
// token.
#include <vector>

#include "trainer/evaluate/answers.h"

namespace lathe {

// Parallel to `examples`: an answer's text is the wanted one where every token of it and a stop would be
// generated, else what agrees and the token that does not. Nothing where the prompt leaves no room.
std::vector<Answer> followed_answers(Decoder& decoder, const Tokenizer& tokenizer, const ChatFormat& format,
                                     const std::vector<Example>& examples);

}  // namespace lathe
