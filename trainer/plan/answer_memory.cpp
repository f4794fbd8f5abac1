// What LayerMemory takes for a prompt and the answer to it.
#include <algorithm>
#include <utility>
#include <vector>

#include "models/generation/generate.h"
#include "trainer/plan/layer_memory.h"

namespace lathe {

// A block without gradients: what a part computes goes with it, and ATen's attention reads the cache in
// place.
void LayerMemory::cached_block(Stream& stream) {
  const std::int64_t channels = spec_.hidden_size;
  const Held before = stream.branch ? activation(channels) : stream.residual, normed = activation(channels);
  stream = {};
  Held branch;
  {
    const Held all = product((query_ + 2 * key_) * channels, spaced(query_ + 2 * key_));
    const Held turned = adapted_ || spec_.qk_norm ? activation(query_ + key_) : Held();
    const Held attended = activation(query_), dense = activation(query_);
    branch = product(query_ * channels, activation(channels));
  }
  stream.residual = activation(channels);
  const Held normed_middle = activation(channels);
  Saved inside;
  forward_mlp(inside);
  stream.branch = product(spec_.intermediate_size * channels, activation(channels));
}

void LayerMemory::answer(const AskedLengths& asked) {
  tokens_ = asked.prompt;
  const std::int64_t most = asked.prompt + asked.answer;
  const std::int64_t room = asked.prompt + std::min(asked.answer, kAnswerRoom);
  const std::int64_t place = key_ * element_, parts = 2 * spec_.num_layers;  // keys and values
  const std::int64_t together =
      std::min(asked.prompts, sequences_together(spec_, most, settings_.bf16 ? at::kBFloat16 : at::kFloat));
  std::vector<Held> caches;
  for (std::int64_t sequence = 0; sequence < together; ++sequence) {
    for (std::int64_t part = 0; part < parts; ++part)
      caches.push_back(books_.take(room * place, Use::Answers));
    Stream stream{activation(spec_.hidden_size), {}};
    for (std::int64_t layer = 0; layer < spec_.num_layers; ++layer) {
      cached_block(stream);
      // models/ops/cached_attention.cpp: with a cap scores, the same capped and masked
      if (spec_.attention_softcap > 0) const Held scores = wide(3 * spec_.num_heads * tokens_);
    }
  }
  { const Held logits = books_.take(together * spec_.vocab_size * (4 + element_), Use::Answers); }
  for (std::int64_t places = room; places < most; places *= 2)
    for (Held& cache : caches) {
      Held larger = books_.take(2 * places * place, Use::Answers, std::min(2 * places, most) * place);
      cache = std::move(larger);
    }
}

}  // namespace lathe
