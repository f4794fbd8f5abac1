#pragma once
// A model that answers: what `generate` and `chat` share.
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "checkpoints/bundle/bundle.h"
#include "data/templates/render_example.h"
#include "models/generation/generate.h"
#include "trainer/cli/options.h"
#include "trainer/text/asked_form.h"

namespace lathe {

struct Responder {
  Bundle bundle;
  std::shared_ptr<Decoder> decoder;
  ChatFormat format;              // the model's own template, if it has one
  std::vector<TokenId> stop_ids;  // that end an answer
  std::optional<AskedForm> form;  // of a run: how it was asked while it learned
  std::string description;
};

// MODEL as everywhere; an adapter is merged. Error when it has no tokenizer.
Responder load_responder(const std::string& model);

struct ResponseOptions {
  std::int64_t max_tokens = 128, top_k = 0, seed = 17;
  double temperature = 0, top_p = 1;
  std::vector<std::string> stop;  // texts that end an answer
};
void add_response_options(const Command& command, ResponseOptions& options);
void check_response_options(const ResponseOptions& options);
// The text, where it is UTF-8; `where` is the option or file that gave it.
std::string whole_text(const std::string& where, const std::string& text);

struct Response {
  std::string text;
  std::vector<TokenId> tokens;
  bool stopped = false;
};
// `sample` numbers the prompt: another number, other draws. on_text gets the text as it grows, whole
// characters only.
Response respond(const Responder& responder, const std::vector<TokenId>& prompt,
                 const ResponseOptions& options, std::uint64_t sample,
                 const std::function<void(const std::string&)>& on_text = {});

// Ids of a question: the messages through the template, users' questions as the run was asked.
std::vector<TokenId> question_ids(const Responder& responder, const Json& messages);
// Of a prompt by itself, likewise: where a model without a template learned prompts and completions.
std::vector<TokenId> prompt_ids(const Responder& responder, const std::string& prompt);
// Whether questions are asked so, each by itself.
bool asks_plainly(const Responder& responder);
std::vector<TokenId> raw_ids(const Responder& responder, const std::string& text);

}  // namespace lathe
