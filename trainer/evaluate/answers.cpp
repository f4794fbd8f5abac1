#include "trainer/evaluate/answers.h"

#include <algorithm>

#include "data/io/utf8.h"
#include "data/sources/example_text.h"
#include "models/generation/generate.h"
#include "trainer/evaluate/choices.h"

namespace lathe {

Example with_shown(const Example& example, const std::vector<Example>& shown) {
  Example out = through_last_answer(example);
  if (example.kind == ExampleKind::PromptCompletion) {
    std::string before;
    for (const Example& other : shown) before += other.prompt + other.completion + "\n\n";
    out.prompt = before + example.prompt;
    return out;
  }
  if (example.kind != ExampleKind::Chat) return out;
  Json messages = Json::array(), rest = Json::array();
  for (const Json& message : out.messages) {
    const bool system = message.value("role", "") == "system" && rest.empty();
    (system ? messages : rest).push_back(message);
  }
  for (const Example& other : shown) {
    for (const Json& message : through_last_answer(other).messages) {
      if (message.value("role", "") != "system") messages.push_back(message);
    }
  }
  for (const Json& message : rest) messages.push_back(message);
  out.messages = messages;
  return out;
}

std::int64_t answer_limit(const std::vector<TokenAnswer>& wanted) {
  std::size_t longest = 0;
  for (const TokenAnswer& answer : wanted) longest = std::max(longest, answer.ids.size());
  return std::clamp<std::int64_t>(2 * static_cast<std::int64_t>(longest), 32, 512);
}

AskedPrompt asked_prompt(const Example& example, std::vector<Example> shown, const Tokenizer& tokenizer,
                         const ChatFormat& format, std::int64_t room) {
  for (;; shown.pop_back()) {
    AskedPrompt asked{{}, with_shown(example, shown), shown.size()};
    asked.prompt = render_prompt(asked.example, tokenizer, format);
    if (static_cast<std::int64_t>(asked.prompt.ids.size()) <= room || shown.empty()) return asked;
  }
}

namespace {

// The likeliest choices, written as answers.
void score(Answer& answer, Decoder& decoder, const Tokenizer& tokenizer, const ChatFormat& format,
           const Example& example, const Example& question) {
  const ScoredChoices scored = score_choices(decoder, tokenizer, format, question);
  const auto written = [&](std::size_t choice) {
    return with_answer(through_last_answer(example), example.choices.at(choice));
  };
  const std::vector<TokenAnswer> chosen =
      render_answers({written(scored.best()), written(scored.best_per_byte())}, tokenizer, format);
  answer.choice = chosen[0].text;
  answer.choice_per_byte = chosen[1].text;
  answer.log_probabilities = scored.log_probabilities;
}

}  // namespace

std::vector<Answer> answer_examples(Decoder& decoder, const Tokenizer& tokenizer, const ChatFormat& format,
                                    const std::vector<Example>& examples, const AnswerOptions& options) {
  GenerationOptions generation;
  generation.max_tokens = options.max_tokens;
  generation.stop_ids = stop_tokens(tokenizer, format);
  const std::int64_t room = decoder.spec().max_positions - options.max_tokens;
  std::vector<AskedPrompt> asked;
  std::vector<std::size_t> askable;  // the others have nothing to ask with, or no room for an answer
  std::vector<std::vector<TokenId>> prompts;
  for (const Example& example : examples) {
    asked.push_back(asked_prompt(example, options.shown, tokenizer, format, room));
    const std::vector<TokenId>& ids = asked.back().prompt.ids;
    if (ids.empty() || static_cast<std::int64_t>(ids.size()) >= decoder.spec().max_positions) continue;
    askable.push_back(asked.size() - 1);
    prompts.push_back(ids);
  }
  std::vector<Answer> answers(examples.size());
  if (options.generate) {
    const std::vector<Generated> generated = generate_together(decoder, prompts, generation);
    for (std::size_t i = 0; i < askable.size(); ++i)
      answers[askable[i]] = {replace_invalid_utf8(tokenizer.decode(generated[i].tokens)),
                             static_cast<std::int64_t>(generated[i].tokens.size()), generated[i].stopped};
  }
  for (const std::size_t i : askable) {
    answers[i].shown = asked[i].shown;
    if (!examples[i].choices.empty())
      score(answers[i], decoder, tokenizer, format, examples[i], asked[i].example);
  }
  return answers;
}

std::vector<std::string> predictions_of(const Metric& metric, const std::vector<Answer>& answers) {
  std::vector<std::string> predictions;
  for (const Answer& answer : answers) {
    predictions.push_back(metric.predicts == Predicts::Text     ? answer.text
                          : metric.predicts == Predicts::Choice ? answer.choice
                                                                : answer.choice_per_byte);
  }
  return predictions;
}

std::string lack_of_choices(const std::vector<std::string>& metrics, const std::vector<Example>& examples) {
  const auto lacks = std::find_if(examples.begin(), examples.end(),
                                  [](const Example& example) { return example.choices.empty(); });
  if (lacks == examples.end()) return "";
  for (const std::string& name : metrics) {
    if (find_metric(name).predicts != Predicts::Text)
      return cat("'", name, "' wants questions with choices (columns choices and answer), and ",
                 lacks->origin, " has none");
  }
  return "";
}

}  // namespace lathe
