#pragma once
// Answers that a model generates for held-out examples, greedy, as it would be asked when it serves.
#include <string>
#include <vector>

#include "data/metrics/metric.h"
#include "data/shards/prepare.h"
#include "data/templates/render_answers.h"
#include "models/decoder/decoder.h"

namespace lathe {

struct Answer {
  std::string text;
  std::int64_t tokens = 0;
  bool stopped = false;                           // by itself, not by the limit
  std::string choice = {}, choice_per_byte = {};  // the likeliest of the example's choices, written as an
                                                  // answer (render_answers); empty: it has none
  std::vector<double> log_probabilities = {};     // of the choices
  std::size_t shown = 0;                          // examples that fitted before the question
};

struct AnswerOptions {
  bool generate = true;  // else only choices are scored
  std::int64_t max_tokens = 128;
  std::vector<Example>
      shown;  // put before each question with their answers (few-shot); as many as the context holds
};

// The prompt as it is asked, with as many of `shown` as leave `room` tokens for it.
struct AskedPrompt {
  TokenPrompt prompt;
  Example example;  // with what is shown before it
  std::size_t shown = 0;
};
AskedPrompt asked_prompt(const Example& example, std::vector<Example> shown, const Tokenizer& tokenizer,
                         const ChatFormat& format, std::int64_t room);

std::vector<Answer> answer_examples(Decoder& decoder, const Tokenizer& tokenizer, const ChatFormat& format,
                                    const std::vector<Example>& examples, const AnswerOptions& options);

// What a metric compares with the references: the answers' texts, or the chosen choices.
std::vector<std::string> predictions_of(const Metric& metric, const std::vector<Answer>& answers);
// What to tell where one of the metrics wants choices and an example has none; "" where nothing lacks.
std::string lack_of_choices(const std::vector<std::string>& metrics, const std::vector<Example>& examples);

// Twice the tokens of the longest wanted answer, at least 32, at most 512.
std::int64_t answer_limit(const std::vector<TokenAnswer>& wanted);

// The question, up to its last answer, with `shown` examples before it: text before the prompt, or turns
// before the conversation.
Example with_shown(const Example& example, const std::vector<Example>& shown);

}  // namespace lathe
