#include "trainer/plan/layer_memory.h"

#include <algorithm>
#include <utility>

#include "trainer/plan/weight_gradient.h"

namespace lathe {

namespace {

// models/objectives/linear_cross_entropy.cpp: logits of a chunk of tokens.
constexpr std::int64_t kChunkBytes = std::int64_t{32} << 20, kMinimumChunk = 256;

}  // namespace

LayerMemory::LayerMemory(AllocatorBooks& books, const DecoderSpec& spec, const PlanSettings& settings)
    : books_(books),
      spec_(spec),
      settings_(settings),
      element_(settings.bf16 ? 2 : 4),
      query_(spec.num_heads * spec.head_size),
      key_(spec.num_kv_heads * spec.head_size),
      input_width_(spec.mlp == MlpKind::Gated ? 2 * spec.intermediate_size : spec.intermediate_size),
      adapted_(settings.adapter_rank > 0),
      widened_(adapted_ && !settings.bf16 && settings.base_bytes < 3 * parameter_count(spec)) {}

// Rows of a power of two are kept a cache line apart (models/layers/weight_gradient.cpp).
LayerMemory::Held LayerMemory::spaced(std::int64_t channels) {
  return activation(channels * element_ % 1024 == 0 ? channels + 64 / element_ : channels);
}

LayerMemory::Held LayerMemory::product(std::int64_t weights, Held out) {
  const Held dense = settings_.nf4 || widened_ ? books_.take(weights * element_, Use::Activations) : Held();
  return out;
}

// models/ops/attention.cpp. The tiled kernel reads the projection in place; ATen's wants dense fp32 copies.
void LayerMemory::forward_attention(Saved& saved) {
  if (settings_.tiled_attention) {
    saved.attended = activation(query_);
    saved.statistics = wide(spec_.num_heads);
    return;
  }
  const Held queries = wide(query_), keys = wide(key_), values = wide(key_);
  saved.attended_wide = wide(query_);
  saved.statistics = wide(spec_.num_heads);
  saved.qkv = queries;  // the projection itself is kept by nobody
  saved.keys = keys;
  saved.values = values;
  saved.attended = settings_.bf16 ? activation(query_) : saved.attended_wide;
}

// models/layers/projections.cpp; adapters run the products one by one and keep their low-rank halves.
void LayerMemory::forward_mlp(Saved& saved) {
  const std::int64_t inner = spec_.intermediate_size;
  saved.gates = product(input_width_ * spec_.hidden_size,
                        spec_.mlp == MlpKind::Gated ? spaced(input_width_) : activation(input_width_));
  if (adapted_) {
    const Held sums = activation(input_width_);
    saved.gates = sums;
    saved.extra = activation(3 * settings_.adapter_rank);
  }
  const bool one_kernel = spec_.mlp == MlpKind::Plain || spec_.activation == Activation::SiLU;
  saved.inner =
      one_kernel ? activation(inner) : activation(2 * inner);  // the activation and its product with `up`
}

LayerMemory::Saved LayerMemory::forward_block(Stream& stream) {
  Saved saved;
  const std::int64_t channels = spec_.hidden_size;
  saved.input = stream.branch ? activation(channels) : stream.residual;
  saved.normed = activation(channels);
  stream = {saved.input, {}};
  saved.qkv = product((query_ + 2 * key_) * channels, spaced(query_ + 2 * key_));
  if (adapted_ || spec_.qk_norm) {  // sums of product and adapter, or normed copies, then turned by position
    const Held sums = activation(query_ + 2 * key_), turned = activation(query_ + key_);
    saved.qkv = turned;
    saved.values = spec_.qk_norm ? sums : activation(key_);
  }
  forward_attention(saved);
  Held branch = product(query_ * channels, activation(channels));
  if (adapted_) branch = activation(channels);
  saved.middle = activation(channels);
  saved.normed_middle = activation(channels);
  stream.residual = saved.middle;
  branch.reset();
  forward_mlp(saved);
  stream.branch = product(spec_.intermediate_size * channels, activation(channels));
  if (adapted_) stream.branch = activation(channels);
  if (spec_.sandwich_norms) saved.extra = activation(2 * channels);  // the branches before their own norms
  return saved;
}

void LayerMemory::weight_gradient(std::int64_t out, std::int64_t in, std::vector<std::int64_t> parts,
                                  std::vector<GradientBlock>& gradients) {
  if (adapted_) return;
  const WeightGradient of{tokens_, out, in, settings_.bf16, settings_.tiled_attention};
  gradients.push_back({take_weight_gradient(books_, of), std::move(parts)});
}

void LayerMemory::backward_attention(Saved& saved, Held& normed, std::vector<GradientBlock>& gradients) {
  const std::int64_t channels = spec_.hidden_size, kv_parts = key_ * channels;
  Held attended = product(query_ * channels, activation(query_));
  weight_gradient(channels, query_, {channels * query_}, gradients);
  Held turned;
  {
    std::vector<Held> parts;
    if (settings_.tiled_attention) {  // keys' and values' gradients a query head, then summed over those that
                                      // share them
      parts = {activation(query_), activation(query_), activation(query_)};
      if (key_ != query_) parts = {parts[0], activation(key_), activation(key_)};
    } else {
      const Held outgoing = settings_.bf16 ? wide(query_) : Held();
      parts = {wide(query_), wide(key_), wide(key_)};
    }
    attended.reset();
    saved.qkv = saved.keys = saved.values = saved.attended = saved.attended_wide = saved.statistics = Held();
    turned = spaced(query_ + 2 * key_);
  }
  const Held joined =
      adapted_ ? activation(query_ + 2 * key_) : Held();  // parts that were apart, in one product
  normed = product((query_ + 2 * key_) * channels, activation(channels));
  weight_gradient(query_ + 2 * key_, channels, {query_ * channels, kv_parts, kv_parts}, gradients);
  saved.normed.reset();
}

// In backward's order; `gradient` is that of the residual and of the branch, one tensor, before and after.
void LayerMemory::backward_block(Saved saved, Held& gradient, std::vector<GradientBlock>& gradients) {
  const std::int64_t channels = spec_.hidden_size, inner = spec_.intermediate_size, part = inner * channels;
  Held normed;
  {
    Held inside = product(part, activation(inner));
    weight_gradient(channels, inner, {part}, gradients);
    saved.inner.reset();
    const Held gates = spec_.mlp == MlpKind::Gated ? spaced(input_width_) : activation(input_width_);
    saved.gates.reset();
    const Held joined = adapted_ ? activation(input_width_) : Held();
    normed = product(input_width_ * channels, activation(channels));
    if (spec_.mlp == MlpKind::Gated)
      weight_gradient(input_width_, channels, {part, part}, gradients);
    else
      weight_gradient(input_width_, channels, {part}, gradients);
    saved.normed_middle.reset();
  }
  Held before = activation(channels);
  gradient = before;
  normed.reset();
  saved.middle.reset();
  backward_attention(saved, normed, gradients);
  before = activation(channels);
  gradient = before;
}

// models/objectives/linear_cross_entropy.cpp: the gradients of hidden states and of the head's weight come
// with the loss.
LayerMemory::Held LayerMemory::head_loss(Held& weight_gradient) {
  const std::int64_t channels = spec_.hidden_size, vocabulary = spec_.vocab_size;
  const std::int64_t chunk =
      std::min(tokens_, std::max(kMinimumChunk, kChunkBytes / (vocabulary * element_)));
  const Held targets = books_.take(tokens_ * 12, Use::Loss);
  const Held learned = activation(channels);  // the rows that have a target
  Held gradient = activation(channels);
  {
    const Held sum = adapted_ ? Held() : books_.take(vocabulary * channels * 4, Use::Loss);
    const Held logits = books_.take(chunk * vocabulary * element_, Use::Loss);
    if (sum) {
      const Held panels = settings_.tiled_attention ? books_.take(chunk * channels * 2, Use::Loss)
                                                    : books_.take(vocabulary * channels * 4, Use::Loss);
    }
    if (spec_.final_softcap > 0) {  // scores, their cap and its derivative in fp32
      const Held capped = books_.take(3 * chunk * vocabulary * 4, Use::Loss);
    }
    const Held all = activation(channels);  // rows without a target have a gradient of zero
    gradient = all;
    weight_gradient = sum;
  }
  if (settings_.bf16 && weight_gradient)
    weight_gradient = books_.take(vocabulary * channels * element_, Use::Gradients);
  return gradient;
}

void LayerMemory::pass(std::int64_t tokens, std::vector<GradientBlock>& gradients) {
  tokens_ = tokens;
  const std::int64_t channels = spec_.hidden_size, table = spec_.vocab_size * channels;
  const Held ids = books_.take(tokens * 8, Use::Activations),
             positions = books_.take(tokens * 8, Use::Activations);
  Stream stream{activation(channels), {}};
  if (spec_.position == PositionKind::Learned) {
    const Held places = activation(channels);
    stream.residual = activation(channels);
  }
  std::vector<Saved> saved(static_cast<std::size_t>(spec_.num_layers));
  for (Saved& block : saved) {
    const Stream before = stream;
    block = forward_block(stream);
    if (!settings_.activation_checkpointing) continue;
    block = Saved{};  // models/decoder/checkpointing.cpp: only what went in
    block.input = before.residual;
    block.normed = before.branch;
  }
  Held total = activation(channels), hidden = activation(channels);
  stream = {};
  Held head_gradient, wide_head;
  if (widened_) wide_head = books_.take(table * 4, Use::Loss);  // Decoder::head_weight()
  Held gradient = head_loss(head_gradient);
  wide_head.reset();
  hidden.reset();
  gradient = activation(channels);  // through the last norm
  total.reset();
  if (!spec_.tie_embeddings && head_gradient) gradients.push_back({head_gradient, {table}});
  for (auto block = saved.rbegin(); block != saved.rend(); ++block) {
    if (settings_.activation_checkpointing) {
      Stream in{block->input, block->normed};
      *block = Saved{};
      Saved again = forward_block(in);
      in = {};
      backward_block(std::move(again), gradient, gradients);
    } else {
      backward_block(std::move(*block), gradient, gradients);
      *block = Saved{};
    }
  }
  if (adapted_) return;
  if (spec_.position == PositionKind::Learned)
    gradients.push_back({books_.take(spec_.max_positions * channels * element_, Use::Gradients),
                         {spec_.max_positions * channels}});
  const Held order = books_.take(tokens * 16, Use::Activations);
  const Held rows = books_.take(table * element_, Use::Gradients);
  gradients.push_back({head_gradient && spec_.tie_embeddings ? head_gradient : rows, {table}});
}

}  // namespace lathe
