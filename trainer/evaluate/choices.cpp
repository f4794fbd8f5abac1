#include "trainer/evaluate/choices.h"

#include <ATen/core/Tensor.h>

#include <algorithm>

#include "models/objectives/causal_lm.h"
#include "recipes/schema/error.h"
#include "trainer/evaluate/example_batch.h"

namespace lathe {
namespace {

std::size_t trimmed_size(const std::string& text) {
  const auto begin = text.find_first_not_of(" \t\r\n");
  return begin == std::string::npos ? 0 : text.find_last_not_of(" \t\r\n") - begin + 1;
}

}  // namespace

std::size_t ScoredChoices::best() const {
  return static_cast<std::size_t>(std::max_element(log_probabilities.begin(), log_probabilities.end()) -
                                  log_probabilities.begin());
}

std::size_t ScoredChoices::best_per_byte() const {
  std::size_t best = 0;
  const auto score = [&](std::size_t i) { return log_probabilities[i] / static_cast<double>(bytes[i]); };
  for (std::size_t i = 1; i < bytes.size(); ++i) best = score(i) > score(best) ? i : best;
  return best;
}

Example with_answer(const Example& example, const std::string& answer) {
  Example out = example;
  if (example.kind != ExampleKind::Chat) {
    out.completion = answer;
  } else if (!out.messages.empty()) {
    out.messages.back()["content"] = answer;
  }
  return out;
}

ScoredChoices score_choices(Decoder& decoder, const Tokenizer& tokenizer, const ChatFormat& format,
                            const Example& example) {
  const std::vector<TokenId> stops = stop_tokens(tokenizer, format);
  ScoredChoices scored;
  Batch batch;
  for (const std::string& choice : example.choices) {
    const TokenExample rendered =
        render_example(with_answer(example, choice), tokenizer, format, LossOn::Completion);
    const auto inputs = static_cast<std::int64_t>(rendered.ids.size()) - 1;
    require(inputs <= decoder.spec().max_positions, example.origin,
            ": the question with one of its choices takes ", inputs, " tokens, the model has ",
            decoder.spec().max_positions, " positions");
    append_example(batch, rendered, stops);  // only the choice's own tokens are targets
    scored.bytes.push_back(trimmed_size(choice));
  }
  const at::Tensor losses = token_losses(decoder, batch).to(at::kDouble);
  for (const Stretch& stretch : batch.stretches)
    scored.log_probabilities.push_back(-losses.narrow(0, stretch.begin, stretch.length).sum().item<double>());
  return scored;
}

}  // namespace lathe
