#include "trainer/evaluate/followed_answers.h"

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/argmax.h>
#include <ATen/ops/cat.h>

#include <algorithm>

#include "data/io/utf8.h"
#include "trainer/evaluate/evaluate.h"
#include "trainer/evaluate/example_batch.h"

namespace lathe {
namespace {

constexpr std::size_t kBatchTokens = 1024;  // of prompts and answers in one pass

struct Followed {
  std::size_t example = 0, prompt = 0;  // tokens of the prompt
  std::vector<TokenId> wanted;
};

// (rows): the likeliest token after each hidden state (rows, C).
at::Tensor likeliest(const Decoder& decoder, const at::Tensor& hidden) {
  const std::int64_t piece = logit_rows(decoder.spec());
  std::vector<at::Tensor> parts;
  for (std::int64_t begin = 0; begin < hidden.size(0); begin += piece)
    parts.push_back(
        decoder.logits(hidden.narrow(0, begin, std::min(piece, hidden.size(0) - begin))).argmax(-1));
  return at::cat(parts);
}

class Follower {
 public:
  Follower(Decoder& decoder, const Tokenizer& tokenizer, const ChatFormat& format, std::size_t examples)
      : decoder_(decoder),
        tokenizer_(tokenizer),
        stops_(stop_tokens(tokenizer, format)),
        answers_(examples) {}

  void add(std::size_t example, const TokenPrompt& prompt, std::vector<TokenId> wanted) {
    TokenExample tokens;
    tokens.ids = prompt.ids;
    tokens.ids.insert(tokens.ids.end(), wanted.begin(), wanted.end());
    tokens.ids.push_back(0);  // stands for what follows: the last one is no input
    tokens.supervised.assign(tokens.ids.size(), 0);
    if (batch_.tokens.size() + tokens.ids.size() > kBatchTokens) run();
    append_example(batch_, tokens);
    followed_.push_back({example, prompt.ids.size(), std::move(wanted)});
  }

  std::vector<Answer> answers() {
    run();
    return std::move(answers_);
  }

 private:
  void run() {
    if (followed_.empty()) return;
    const at::Tensor hidden = decoder_.forward(decoder_input(batch_));
    for (std::size_t i = 0; i < followed_.size(); ++i) {
      const Followed& one = followed_[i];
      const auto first = batch_.stretches[i].begin + static_cast<std::int64_t>(one.prompt) - 1;
      const at::Tensor said =
          likeliest(decoder_, hidden.narrow(0, first, static_cast<std::int64_t>(one.wanted.size()) + 1));
      answers_[one.example] = read(one.wanted, said.const_data_ptr<std::int64_t>());
    }
    batch_ = {};
    followed_.clear();
  }

  Answer read(const std::vector<TokenId>& wanted, const std::int64_t* said) const {
    std::vector<TokenId> tokens;
    while (tokens.size() < wanted.size() &&
           static_cast<TokenId>(said[tokens.size()]) == wanted[tokens.size()])
      tokens.push_back(wanted[tokens.size()]);
    const auto next = static_cast<TokenId>(said[tokens.size()]);
    const bool stopped = std::find(stops_.begin(), stops_.end(), next) != stops_.end();
    if (!stopped) tokens.push_back(next);
    return {replace_invalid_utf8(tokenizer_.decode(tokens)), static_cast<std::int64_t>(tokens.size()),
            stopped};
  }

  Decoder& decoder_;
  const Tokenizer& tokenizer_;
  std::vector<TokenId> stops_;
  std::vector<Answer> answers_;
  Batch batch_;
  std::vector<Followed> followed_;
};

}  // namespace

std::vector<Answer> followed_answers(Decoder& decoder, const Tokenizer& tokenizer, const ChatFormat& format,
                                     const std::vector<Example>& examples) {
  const at::NoGradGuard no_grad;
  const std::vector<TokenAnswer> wanted = render_answers(examples, tokenizer, format);
  Follower follower(decoder, tokenizer, format, examples.size());
  for (std::size_t i = 0; i < examples.size(); ++i) {
    const TokenPrompt prompt =
        asked_prompt(examples[i], {}, tokenizer, format, decoder.spec().max_positions).prompt;
    const std::size_t inputs = prompt.ids.size() + wanted[i].ids.size();
    if (prompt.ids.empty() || static_cast<std::int64_t>(inputs) > decoder.spec().max_positions) continue;
    follower.add(i, prompt, wanted[i].ids);
  }
  return follower.answers();
}

}  // namespace lathe
