#include "models/generation/generate.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <memory>
#include <span>

#include "data/random/philox.h"
#include "models/generation/sampling.h"
#include "recipes/schema/error.h"

namespace lathe {

namespace {

void check_prompt(const std::vector<TokenId>& prompt, const DecoderSpec& spec) {
  const auto length = static_cast<std::int64_t>(prompt.size());
  require(length > 0,
          "generation needs a prompt of at least one token; give text or a beginning-of-sequence token");
  require(spec.max_positions <= 0 || length <= spec.max_positions, "the prompt has ", length,
          " tokens, the model's context ", spec.max_positions);
  for (const TokenId id : prompt) {
    require(static_cast<std::int64_t>(id) < spec.vocab_size, "prompt token ", id,
            " is outside the vocabulary of ", spec.vocab_size);
  }
}

// A generation in progress.
class Sequence {
 public:
  Sequence(const Decoder& decoder, const std::vector<TokenId>& prompt, const GenerationOptions& options,
           std::uint64_t sample)
      : options_(options),
        context_(decoder.spec().max_positions),
        cache_(decoder.spec(), 1,
               static_cast<std::int64_t>(prompt.size()) + std::min(options.max_tokens, kAnswerRoom),
               decoder.dtype()),
        random_({options.seed, Purpose::Sampling, 0, 0, sample}),
        done_(options.max_tokens <= 0) {}

  KvCache& cache() { return cache_; }
  bool done() const { return done_; }
  std::int64_t last() const { return static_cast<std::int64_t>(generated_.tokens.back()); }
  const Generated& generated() const { return generated_; }

  // The token that follows from the logits (V) after all that the cache holds.
  void take(std::span<const float> logits, const std::function<bool(TokenId)>& on_token = {}) {
    const std::int64_t position = cache_.length();
    const TokenId token =
        sample_token(logits, options_, random_.uniform(static_cast<std::uint64_t>(position)));
    if (std::find(options_.stop_ids.begin(), options_.stop_ids.end(), token) != options_.stop_ids.end()) {
      generated_.stopped = done_ = true;
      return;
    }
    generated_.tokens.push_back(token);
    done_ = (on_token && !on_token(token)) || (context_ > 0 && position >= context_) ||
            static_cast<std::int64_t>(generated_.tokens.size()) >= options_.max_tokens;
  }

 private:
  const GenerationOptions& options_;
  std::int64_t context_;
  KvCache cache_;
  RandomStream random_;
  Generated generated_;
  bool done_;
};

at::Tensor row_of(const std::vector<TokenId>& tokens) {
  at::Tensor row = at::empty({1, static_cast<std::int64_t>(tokens.size())}, at::kLong);
  std::copy(tokens.begin(), tokens.end(), row.mutable_data_ptr<std::int64_t>());
  return row;
}

std::span<const float> row_of(const at::Tensor& logits, std::size_t row) {
  const auto width = static_cast<std::size_t>(logits.size(1));
  return {logits.const_data_ptr<float>() + row * width, width};
}

// One more token of each.
void step(Decoder& decoder, const std::vector<std::unique_ptr<Sequence>>& running,
          const std::function<bool(TokenId)>& on_token = {}) {
  at::Tensor tokens = at::empty({static_cast<std::int64_t>(running.size()), 1}, at::kLong);
  std::vector<KvCache*> caches;
  for (const auto& sequence : running) {
    tokens.mutable_data_ptr<std::int64_t>()[caches.size()] = sequence->last();
    caches.push_back(&sequence->cache());
  }
  const at::Tensor logits = decoder.forward_cached(tokens, caches).contiguous();  // (rows, V)
  for (std::size_t row = 0; row < running.size(); ++row) running[row]->take(row_of(logits, row), on_token);
}

// With its first token.
std::unique_ptr<Sequence> begin(Decoder& decoder, const std::vector<TokenId>& prompt,
                                const GenerationOptions& options, std::uint64_t sample,
                                const std::function<bool(TokenId)>& on_token = {}) {
  check_prompt(prompt, decoder.spec());
  auto sequence = std::make_unique<Sequence>(decoder, prompt, options, sample);
  if (!sequence->done())
    sequence->take(row_of(decoder.forward_cached(row_of(prompt), sequence->cache()).contiguous(), 0),
                   on_token);
  return sequence;
}

}  // namespace

Generated generate_tokens(Decoder& decoder, const std::vector<TokenId>& prompt,
                          const GenerationOptions& options, const std::function<bool(TokenId)>& on_token) {
  std::vector<std::unique_ptr<Sequence>> running;
  running.push_back(begin(decoder, prompt, options, options.sample, on_token));
  while (!running.front()->done()) step(decoder, running, on_token);
  return running.front()->generated();
}

std::int64_t sequences_together(const DecoderSpec& spec, std::int64_t places, at::ScalarType dtype) {
  constexpr std::int64_t kLeastBytes = std::int64_t{64} << 20, kMost = 16;
  // Angles that follow from the length of the longest would be wrong for the others.
  if (spec.rotary.scaling == RotaryScaling::Dynamic || spec.rotary.scaling == RotaryScaling::LongRope)
    return 1;
  const auto element = static_cast<std::int64_t>(c10::elementSize(dtype));
  const std::int64_t cache = 2 * spec.num_layers * spec.num_kv_heads * spec.head_size * places * element;
  const std::int64_t bytes = std::max(kLeastBytes, parameter_count(spec) * element / 4);
  return std::clamp<std::int64_t>(bytes / std::max<std::int64_t>(1, cache), 1, kMost);
}

std::vector<Generated> generate_together(Decoder& decoder, const std::vector<std::vector<TokenId>>& prompts,
                                         const GenerationOptions& options) {
  std::size_t longest = 0;
  for (const auto& prompt : prompts) longest = std::max(longest, prompt.size());
  const auto together = static_cast<std::size_t>(sequences_together(
      decoder.spec(), static_cast<std::int64_t>(longest) + options.max_tokens, decoder.dtype()));
  std::vector<Generated> answers(prompts.size());
  std::vector<std::unique_ptr<Sequence>> running;
  std::vector<std::size_t> whose;
  for (std::size_t next = 0; next < prompts.size() || !running.empty();) {
    while (running.size() < together && next < prompts.size()) {
      running.push_back(begin(decoder, prompts[next], options, options.sample + next));
      whose.push_back(next++);
      if (!running.back()->done()) continue;
      answers[whose.back()] = running.back()->generated();
      running.pop_back();
      whose.pop_back();
    }
    if (!running.empty()) step(decoder, running);
    for (std::size_t i = running.size(); i-- > 0;) {
      if (!running[i]->done()) continue;
      answers[whose[i]] = running[i]->generated();
      running.erase(running.begin() + static_cast<std::ptrdiff_t>(i));
      whose.erase(whose.begin() + static_cast<std::ptrdiff_t>(i));
    }
  }
  return answers;
}

}  // namespace lathe
