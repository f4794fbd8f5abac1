#pragma once
// Token sampling with a KV cache. Deterministic in (seed, prompt index, position).
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "data/tokenizers/tokenizer.h"
#include "models/decoder/decoder.h"

namespace lathe {

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

}  // namespace lathe
