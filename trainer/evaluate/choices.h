#pragma once
// Questions with choices, answered by likelihood: each choice is put where the answer stands and its
// log-probability given the question is summed, as lm-evaluation-harness does for multiple choice (its acc;
// per byte its acc_norm).
#include <cstddef>
#include <string>
#include <vector>

#include "data/templates/render_example.h"
#include "models/decoder/decoder.h"

namespace lathe {

struct ScoredChoices {
  std::vector<double> log_probabilities;  // of the choices' own tokens, without what ends the turn
  std::vector<std::size_t> bytes;         // of the choices, white space around them left out
  // Index of the likeliest, the first of equals.
  std::size_t best() const;
  std::size_t best_per_byte() const;
};

// `example` has choices. Error when one does not fit the model's positions.
ScoredChoices score_choices(Decoder& decoder, const Tokenizer& tokenizer, const ChatFormat& format,
                            const Example& example);

// The example with another answer.
Example with_answer(const Example& example, const std::string& answer);

}  // namespace lathe
