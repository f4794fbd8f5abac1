#include "models/decoder/decoder.h"

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/tanh.h>

#include <algorithm>

#include "models/adapters/adapter.h"
#include "models/decoder/block.h"
#include "models/decoder/checkpointing.h"
#include "models/decoder/rotary_tables.h"
#include "models/layers/embedding.h"
#include "models/ops/ops.h"
#include "recipes/schema/error.h"

namespace lathe {

struct Decoder::State {
  explicit State(const DecoderSpec& s) : spec(s), rotary(s), local_rotary(local_spec(s)) {}

  static DecoderSpec local_spec(DecoderSpec s) {
    if (s.local_rotary) s.rotary = *s.local_rotary;
    return s;
  }

  // Embeddings of tokens at positions: the stream before the first block. Checks what the tables hold.
  at::Tensor embed(const at::Tensor& tokens, const at::Tensor& where) const {
    at::Tensor x = embeddings->forward(tokens);
    if (spec.embedding_scale != 1)
      x = x * at::scalar_tensor(spec.embedding_scale, at::kFloat).to(x.scalar_type());
    return positions ? x + positions->forward(where) : x;
  }
  // Rotary tables or the check of learned positions, for sequences of at most `longest` tokens.
  void place(Pass& pass, std::int64_t longest) {
    if (spec.position == PositionKind::Rotary) {
      pass.rotary = rotary.at_least(longest);
      if (spec.local_rotary) pass.local_rotary = local_rotary.at_least(longest);
    } else {
      require(longest <= spec.max_positions, "a document of ", longest, " tokens does not fit the model's ",
              spec.max_positions, " learned positions; shorten data.sequence_length or the prompt");
    }
  }

  // The head or the tied embedding, as it is stored.
  FrozenMatrix stored_head() const {
    if (!head) return embeddings->matrix();
    return head->frozen() ? head->matrix() : dense_matrix(head->weight);
  }

  DecoderSpec spec;
  at::ScalarType dtype = at::kFloat;  // of activations
  RotaryTables rotary, local_rotary;
  std::shared_ptr<Embedding> embeddings, positions;  // positions: learned only
  std::vector<std::shared_ptr<Block>> blocks;
  std::shared_ptr<Norm> norm;
  std::shared_ptr<Linear> head;           // null when tied
  TokenRows head_rows;                    // of that head
  std::shared_ptr<AdapterPass> adapters;  // null: none
};

DecoderInput decoder_input(const Batch& batch) {
  const auto wide = [](const std::vector<std::int32_t>& values) {
    return at::from_blob(const_cast<std::int32_t*>(values.data()), {static_cast<std::int64_t>(values.size())},
                         at::kInt)
        .to(at::kLong);
  };
  return {wide(batch.tokens), wide(batch.positions), batch.stretches, batch.rows, batch.length};
}

KvCache::KvCache(const DecoderSpec& spec, std::int64_t rows, std::int64_t capacity, at::ScalarType dtype) {
  for (std::int64_t layer = 0; layer < spec.num_layers; ++layer) {
    keys.push_back(at::empty({rows, spec.num_kv_heads, capacity, spec.head_size}, dtype));
    values.push_back(at::empty_like(keys.back()));
  }
}

Decoder::Decoder(const DecoderSpec& spec, const LinearStorage& storage)
    : state_(std::make_shared<State>(spec)) {
  State& s = *state_;
  const at::ScalarType dtype = storage.dtype;
  s.dtype = dtype;
  LinearStorage tables(dtype);
  tables.frozen = storage.frozen;
  const auto body = register_module("model", std::make_shared<Module>());
  s.embeddings = body->register_module(
      "embed_tokens", std::make_shared<Embedding>(spec.vocab_size, spec.hidden_size, tables));
  if (spec.position == PositionKind::Learned) {
    s.positions = body->register_module(
        "position_embeddings", std::make_shared<Embedding>(spec.max_positions, spec.hidden_size, tables));
  }
  const auto layers = body->register_module("layers", std::make_shared<Module>());
  for (std::int64_t layer = 0; layer < spec.num_layers; ++layer) {
    s.blocks.push_back(
        layers->register_module(std::to_string(layer), std::make_shared<Block>(spec, layer, storage)));
  }
  s.norm = body->register_module("norm", std::make_shared<Norm>(spec, dtype));
  if (!spec.tie_embeddings) {
    s.head = register_module("lm_head",
                             std::make_shared<Linear>(spec.hidden_size, spec.vocab_size, false, tables));
  }
}

void Decoder::set_adapter_pass(std::shared_ptr<AdapterPass> pass) { state_->adapters = std::move(pass); }

const DecoderSpec& Decoder::spec() const { return state_->spec; }

at::Tensor Decoder::head_weight() const { return made_dense(state_->stored_head(), state_->dtype); }

at::ScalarType Decoder::dtype() const { return state_->dtype; }

void Decoder::train_token_rows(std::int64_t begin, std::int64_t count) {
  State& s = *state_;
  s.embeddings->train_rows(begin, count);
  if (!s.head) return;
  s.head->own_weight();
  s.head_rows = train_rows_of(s.head->weight, begin, count);
  s.head_rows.values = s.head->register_parameter("trainable_tokens", s.head_rows.values);
}

const TokenRows& Decoder::head_rows() const {
  return state_->head ? state_->head_rows : state_->embeddings->rows;
}

at::Tensor Decoder::logits(const at::Tensor& hidden) const {
  const FrozenMatrix head = state_->stored_head();
  std::vector<std::int64_t> shape = hidden.sizes().vec();
  shape.back() = spec().vocab_size;
  const bool same = !head.blocks && head.values.scalar_type() == hidden.scalar_type();
  const at::Tensor raw = (same ? at::matmul(hidden, head.values.t())
                               : widened_product(hidden.reshape({-1, hidden.size(-1)}), head).view(shape))
                             .to(at::kFloat);
  const double cap = spec().final_softcap;
  return cap > 0 ? at::tanh(raw / cap) * cap : raw;
}

at::Tensor Decoder::forward(const DecoderInput& input, const RunOptions& options) {
  State& s = *state_;
  const auto pass = std::make_shared<Pass>();
  pass->positions = input.positions;
  pass->stretches = input.stretches;
  pass->rows = input.rows;
  pass->length = input.length;
  pass->options = options;
  s.place(*pass, input.positions.numel() == 0 ? 0 : input.positions.max().item<std::int64_t>() + 1);

  if (s.adapters) *s.adapters = {options.training, options.seed, options.step, input.stretches};

  at::Tensor x = s.embed(input.tokens, input.positions);
  if (options.training && options.dropout > 0) {
    x = counter_dropout(x, options.dropout, {options.seed, options.step, /*site=*/0}, input.stretches);
  }
  Stream stream = {x, {}};
  const bool checkpoint = options.activation_checkpointing && at::GradMode::is_enabled();
  for (const auto& block : s.blocks) {
    stream = checkpoint ? checkpointed(block, stream, pass) : block->forward(stream, *pass);
  }
  return s.norm->add(stream.residual, stream.branch).second;
}

at::Tensor Decoder::forward_cached(const at::Tensor& tokens, KvCache& cache) {
  return forward_cached(tokens, std::vector<KvCache*>{&cache});
}

at::Tensor Decoder::forward_cached(const at::Tensor& tokens, const std::vector<KvCache*>& caches) {
  const at::NoGradGuard no_grad;
  State& s = *state_;
  if (s.adapters) s.adapters->training = false;
  Pass pass;
  pass.rows = tokens.size(0);
  pass.length = tokens.size(1);
  pass.caches = caches;
  const auto count = static_cast<std::int64_t>(caches.size());
  require(count > 0 && pass.rows % count == 0, "forward_cached: ", count, " caches for ", pass.rows, " rows");
  std::vector<at::Tensor> positions;
  std::int64_t longest = 0;
  for (const KvCache* cache : caches) {
    const std::int64_t end = cache->length() + pass.length;
    positions.push_back(at::arange(cache->length(), end, at::kLong).repeat({pass.rows / count}));
    longest = std::max(longest, end);
  }
  pass.positions = at::cat(positions);
  s.place(pass, longest);
  Stream stream = {s.embed(tokens.reshape({-1}), pass.positions), {}};
  for (const auto& block : s.blocks) stream = block->forward(stream, pass);
  for (KvCache* cache : caches) cache->length_ += pass.length;
  const auto last = [&](const at::Tensor& y) {
    return y.unflatten(0, {pass.rows, pass.length}).select(1, -1);
  };
  const at::Tensor branch = stream.branch.defined() ? last(stream.branch) : at::Tensor();
  const at::Tensor x =
      s.norm->add(last(stream.residual).contiguous(), branch.defined() ? branch.contiguous() : branch)
          .second;   // (B, C)
  return logits(x);  // (B, V)
}

}  // namespace lathe
