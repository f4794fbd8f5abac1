#include "models/generation/generate.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>

#include <algorithm>

#include "data/random/philox.h"
#include "models/generation/sampling.h"
#include "recipes/schema/error.h"

namespace lathe {

Generated generate_tokens(Decoder& decoder, const std::vector<TokenId>& prompt,
                          const GenerationOptions& options, const std::function<bool(TokenId)>& on_token) {
  const std::int64_t context = decoder.spec().max_positions, vocabulary = decoder.spec().vocab_size;
  const auto length = static_cast<std::int64_t>(prompt.size());
  require(length > 0,
          "generation needs a prompt of at least one token; give text or a beginning-of-sequence token");
  require(context <= 0 || length <= context, "the prompt has ", length, " tokens, the model's context ",
          context);
  for (const TokenId id : prompt) {
    require(static_cast<std::int64_t>(id) < vocabulary, "prompt token ", id, " is outside the vocabulary of ",
            vocabulary);
  }

  KvCache cache(decoder.spec(), 1, length + std::min<std::int64_t>(options.max_tokens, 256), decoder.dtype());
  const RandomStream random({options.seed, Purpose::Sampling, 0, 0, options.sample});
  at::Tensor input = at::empty({1, length}, at::kLong);
  std::copy(prompt.begin(), prompt.end(), input.mutable_data_ptr<std::int64_t>());
  Generated result;
  while (static_cast<std::int64_t>(result.tokens.size()) < options.max_tokens) {
    const at::Tensor logits = decoder.forward_cached(input, cache).contiguous();  // (1, V)
    const std::int64_t position = cache.length();
    const TokenId token = sample_token({logits.const_data_ptr<float>(), static_cast<std::size_t>(vocabulary)},
                                       options, random.uniform(static_cast<std::uint64_t>(position)));
    if (std::find(options.stop_ids.begin(), options.stop_ids.end(), token) != options.stop_ids.end()) {
      result.stopped = true;
      break;
    }
    result.tokens.push_back(token);
    if (on_token && !on_token(token)) break;
    if (context > 0 && position >= context) break;
    input = at::full({1, 1}, static_cast<std::int64_t>(token), at::kLong);
  }
  return result;
}

}  // namespace lathe
