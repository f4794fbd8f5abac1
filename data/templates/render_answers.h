#pragma once
// What a model that learned its examples perfectly says, and what ends it: the counterpart of
// render_example.h for whoever compares answers or serves them.
#include <optional>
#include <string>
#include <vector>

#include "data/templates/render_example.h"

namespace lathe {

struct TokenAnswer {
  std::string text;  // decoded as generated tokens are
  std::vector<TokenId> ids;
};

// What is to be generated behind the prompts of these examples: the last answer as the template writes it
// (trimmed, a call in its own form) up to the token that stops it. Errors as render_example's.
std::vector<TokenAnswer> render_answers(const std::vector<Example>& examples, const Tokenizer& tokenizer,
                                        const ChatFormat& format);

// The control token that closes an assistant's turn in this format (EOS where the template writes none); none
// without a chat template.
std::optional<TokenId> turn_end(const Tokenizer& tokenizer, const ChatFormat& format);

}  // namespace lathe
