#pragma once
// One decoder network for every DecoderSpec. Letters: B rows, T row length, N = B * T flattened tokens, C
// hidden size, H query heads, K key/value heads, D head size, V vocabulary. Parameters carry the internal
// names of spec.h. Single-device and rank-free; precision is dtype() (fp32 or bf16), accumulation is fp32;
// frozen matrices stay as the base's file holds them or are kept in 4 bits.
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "models/layers/module.h"
#include "checkpoints/bundle/spec.h"
#include "data/pipeline/batch.h"
#include "models/layers/linear.h"

namespace lathe {

struct AdapterPass;
struct TokenRows;

// The tensors and stretches of one forward pass.
struct DecoderInput {
  at::Tensor tokens;                  // (N) int64 or int32
  at::Tensor positions;               // (N) int64, inside each document
  std::vector<Stretch> stretches;     // attention never crosses them
  std::int64_t rows = 0, length = 0;  // B, T
};
DecoderInput decoder_input(const Batch& batch);

struct RunOptions {
  bool training = false;
  bool activation_checkpointing = false;
  double dropout = 0;                // embeddings and residual branches, counter-based
  std::uint64_t seed = 0, step = 0;  // key of dropout
};

// Keys and values of a generation in progress; grows as needed. One sequence batch, all rows the same length.
class KvCache {
 public:
  KvCache(const DecoderSpec& spec, std::int64_t rows, std::int64_t capacity, at::ScalarType dtype);
  std::int64_t length() const { return length_; }
  std::vector<at::Tensor> keys, values;  // per layer (rows, K, capacity, D)
  std::int64_t length_ = 0;
};

class Decoder : public Module {
 public:
  Decoder(const DecoderSpec& spec, const LinearStorage& storage);
  const DecoderSpec& spec() const;
  // Published initialisation, counter-based in (seed, parameter): the same for any threads and dtype.
  void initialise(std::uint64_t seed);
  // (N, C): hidden states after the final norm. The head is applied by the objective, never whole.
  at::Tensor forward(const DecoderInput& input, const RunOptions& options = {});
  // Adapters put on later (models/adapters) read the pass they work in from here.
  void set_adapter_pass(std::shared_ptr<AdapterPass> pass);
  at::Tensor head_weight() const;  // (V, C): lm_head or the tied embedding, in dtype()
  at::ScalarType dtype() const;    // of activations
  // Of a frozen model: rows [begin, begin + count) of the embedding, and of a head of its own, are trained
  // after all, as parameters model.embed_tokens.trainable_tokens and lm_head.trainable_tokens (count, C) over
  // the tables' memory. Once.
  void train_token_rows(std::int64_t begin, std::int64_t count);
  const TokenRows& head_rows() const;  // of the head, or of the tied embedding
  // The head on hidden states (..., C) -> (..., V) fp32, capped as the spec says. For few rows; a loss goes
  // by pieces.
  at::Tensor logits(const at::Tensor& hidden) const;
  // Generation: tokens (rows, T) after what the cache holds -> logits (rows, V) of the last position, fp32.
  at::Tensor forward_cached(const at::Tensor& tokens, KvCache& cache);
  // The same with a cache for every row, of any lengths.
  at::Tensor forward_cached(const at::Tensor& tokens, const std::vector<KvCache*>& caches);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace lathe
