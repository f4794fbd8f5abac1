#pragma once
// Answers that a model generates for held-out examples, greedy, as it would be asked when it serves.
#include <string>
#include <vector>

#include "data/shards/prepare.h"
#include "models/decoder/decoder.h"

namespace lathe {

struct Answer {
  std::string text;
  std::int64_t tokens = 0;
  bool stopped = false;   // by itself, not by the limit
};

struct AnswerOptions {
  std::int64_t max_tokens = 128;
  std::vector<Example> shown;   // put before each question with their answers (few-shot); as many as the context holds
};

std::vector<Answer> answer_examples(Decoder& decoder, const Tokenizer& tokenizer, const ChatFormat& format,
                                    const std::vector<Example>& examples, const AnswerOptions& options);

// Twice the tokens of the longest reference answer, at least 32, at most 512.
std::int64_t answer_limit(const Tokenizer& tokenizer, const std::vector<Example>& examples);

// The question with `shown` examples before it: text before the prompt, or turns before the last user message.
Example with_shown(const Example& example, const std::vector<Example>& shown);

}  // namespace lathe
