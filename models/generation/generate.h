#pragma once
// Token sampling with a KV cache. Deterministic in (seed, prompt index, position).
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "data/tokenizers/tokenizer.h"
#include "models/decoder/decoder.h"

namespace lathe {

inline constexpr std::int64_t kAnswerRoom = 256;  // tokens of an answer in a cache before it grows

struct GenerationOptions {
  std::int64_t max_tokens = 128;
  double temperature = 0;  // 0: greedy
  std::int64_t top_k = 0;  // 0: off
  double top_p = 1;
  std::uint64_t seed = 17;
  std::uint64_t sample = 0;  // prompt index: another number, other draws
  std::vector<TokenId> stop_ids;
};

struct Generated {
  std::vector<TokenId> tokens;  // without the prompt; the stop token is not included
  bool stopped = false;         // by a stop token rather than by max_tokens or the context
};

// on_token is called for each token as it comes; returning false stops.
Generated generate_tokens(Decoder& decoder, const std::vector<TokenId>& prompt,
                          const GenerationOptions& options,
                          const std::function<bool(TokenId)>& on_token = {});

// Answers to several prompts, several at a time: a step of the model reads its weights once for all of them.
// Prompt number i draws as sample options.sample + i. Where several rows round a product differently than
// one, a near tie may fall the other way than in generate_tokens.
std::vector<Generated> generate_together(Decoder& decoder, const std::vector<std::vector<TokenId>>& prompts,
                                         const GenerationOptions& options);

// How many sequences of at most `places` tokens are generated at a time: what their caches take is bounded.
std::int64_t sequences_together(const DecoderSpec& spec, std::int64_t places, at::ScalarType dtype);

}  // namespace lathe
