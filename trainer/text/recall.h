#pragma once
// The memorisation meter: what a tuned model says word for word of the answers that it learned from, asked
// held-out prompts and asked training prompts themselves. One thread calls.
#include <cstdint>
#include <vector>

#include "data/sources/examples.h"
#include "trainer/evaluate/answers.h"

namespace lathe {

// {longest_characters, longest_words, text}: the longest run of any answer that stands in a training answer.
// `learned` are the training answers as the model was to write them (render_answers).
Json memorised(const std::vector<std::string>& learned, const std::vector<Answer>& answers);

// Training examples that ask something: all of them, or 32 chosen by the seed.
std::vector<Example> recall_examples(const std::vector<Example>& train, std::int64_t seed);

// memorised() of answers to training prompts, and {asked, verbatim}: how many examples were asked, and the
// share of their answers that came back byte for byte. `answers` are parallel to `wanted`, which is not
// empty.
Json recalled(const std::vector<std::string>& learned, const std::vector<std::string>& wanted,
              const std::vector<Answer>& answers);

}  // namespace lathe
