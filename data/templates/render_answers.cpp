#include "data/templates/render_answers.h"

#include <algorithm>

#include "data/io/utf8.h"
#include "data/sources/example_text.h"

namespace lathe {

std::vector<TokenAnswer> render_answers(const std::vector<Example>& examples, const Tokenizer& tokenizer,
                                        const ChatFormat& format) {
  const std::vector<TokenId> stops = stop_tokens(tokenizer, format);
  std::vector<TokenAnswer> answers;
  for (const Example& example : examples) {
    const TokenExample shown =
        render_example(through_last_answer(example), tokenizer, format, LossOn::LastAssistant);
    TokenAnswer answer;
    for (std::size_t i = 0; i < shown.ids.size(); ++i) {
      if (!shown.supervised[i]) continue;
      if (std::find(stops.begin(), stops.end(), shown.ids[i]) != stops.end()) break;
      answer.ids.push_back(shown.ids[i]);
    }
    answer.text = replace_invalid_utf8(tokenizer.decode(answer.ids));
    answers.push_back(std::move(answer));
  }
  return answers;
}

std::optional<TokenId> turn_end(const Tokenizer& tokenizer, const ChatFormat& format) {
  if (!format.chat_template) return std::nullopt;
  Example probe;
  probe.prompt = "question";
  probe.completion = "answer";
  const TokenExample shown = render_example(probe, tokenizer, format, LossOn::LastAssistant);
  for (std::size_t i = shown.ids.size(); i-- > 0;) {
    if (!shown.supervised[i]) continue;
    if (tokenizer.is_special(shown.ids[i])) return shown.ids[i];
    break;
  }
  return std::nullopt;
}

}  // namespace lathe
