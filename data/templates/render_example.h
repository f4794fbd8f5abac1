#pragma once
// From an example to the ids a model sees and which of them it is trained on; the same for prompts at
// inference.
//
// Chat with a template: the ids of transformers' apply_chat_template(tokenize=True), except that control
// tokens written by a user stay text, and that an answer begins with a token of its own: a tokenizer that
// would join it to the header (" " + "cat") is kept from it, because an engine is asked with the header
// alone, and the ids before the answer must be those of training. Where a tokenizer cannot be cut there (a
// text begins with a mark), the joined token stays. A token is supervised when any of its bytes lies in a
// trained range (supervision.h). Prompt and completion without a template: what the tokenizer puts in front
// (BOS), the prompt encoded alone as at inference, the completion encoded alone, EOS; with one, a user and an
// assistant message. A conversation without a template: "User: ...\nAssistant: ...<EOS>\n"
// (plain_chat_template). Text: BOS, the text, EOS, all trained.
#include <optional>
#include <string>
#include <vector>

#include "data/sources/example.h"
#include "data/templates/chat_template.h"
#include "data/templates/supervision.h"
#include "data/tokenizers/tokenizer.h"

namespace lathe {

struct ChatFormat {
  std::optional<ChatTemplate> chat_template;  // the model's own
  Json variables = Json::object();            // bos_token, eos_token ... and what the recipe adds
  std::optional<std::int64_t> now;            // for strftime_now, seconds since 1970 in UTC
};

struct TokenExample {
  std::vector<TokenId> ids;
  std::vector<std::uint8_t> supervised;  // one byte a token: 1 where the model is to predict it
  std::vector<std::string> pieces;       // the text of each token, for display
  std::size_t merged = 0;                // answers that the tokenizer would join to what stands before them
  bool apart = true;                     // and whether they could be kept apart
};

// Errors name example.origin: what the template refuses, nothing supervised, a tokenizer without EOS.
TokenExample render_example(const Example& example, const Tokenizer& tokenizer, const ChatFormat& format,
                            LossOn loss_on);

struct TokenPrompt {
  std::string text;
  std::vector<TokenId> ids;
};
// The example up to where its last answer begins, as the model is asked at inference; a conversation that
// ends with an assistant's message loses that one.
TokenPrompt render_prompt(const Example& example, const Tokenizer& tokenizer, const ChatFormat& format);

// EOS and the token that closes an assistant's turn in this format; ascending.
std::vector<TokenId> stop_tokens(const Tokenizer& tokenizer, const ChatFormat& format);

// The ids of a rendered conversation: control tokens only where the template wrote them. Nothing is added.
Encoding encode_rendered(const RenderedChat& chat, const Tokenizer& tokenizer);

// What the tokenizer's post-processor puts in front of a text.
std::vector<TokenId> leading_tokens(const Tokenizer& tokenizer);

// The format of conversations for a model that has none.
const ChatTemplate& plain_chat_template();

}  // namespace lathe
