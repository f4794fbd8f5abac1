#pragma once
// Small decoders with every parameter random, and hand-made batches, for the tests of this folder.
#include <ATen/core/Tensor.h>
#include <ATen/Context.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>

#include <memory>
#include <string>
#include <vector>

#include "models/decoder/decoder.h"

namespace lathe::tiny {

inline DecoderSpec llama_spec() {
  DecoderSpec spec;
  spec.vocab_size = 61;
  spec.hidden_size = 48;
  spec.intermediate_size = 80;
  spec.num_layers = 3;
  spec.num_heads = 4;
  spec.num_kv_heads = 2;
  spec.head_size = 16;
  spec.max_positions = 64;
  return spec;
}

inline DecoderSpec gpt2_spec() {
  DecoderSpec spec = llama_spec();
  spec.num_kv_heads = 4;
  spec.head_size = 12;
  spec.norm = NormKind::LayerNorm;
  spec.norm_bias = true;
  spec.mlp = MlpKind::Plain;
  spec.activation = Activation::GeluTanh;
  spec.position = PositionKind::Learned;
  spec.qkv_bias = spec.output_bias = spec.mlp_bias = true;
  spec.tie_embeddings = true;
  spec.scaled_residual_init = true;
  return spec;
}

// Everything that Gemma has and Llama has not, caps low enough to bend.
inline DecoderSpec gemma_spec() {
  DecoderSpec spec = llama_spec();
  spec.norm_offset = 1;
  spec.qk_norm = spec.sandwich_norms = spec.tie_embeddings = true;
  spec.activation = Activation::GeluTanh;
  spec.windows = {5, 0, 40};
  spec.local_rotary = spec.rotary;
  spec.local_rotary->theta = 50;
  spec.attention_softcap = 3;
  spec.final_softcap = 4;
  spec.embedding_scale = 0.7;
  spec.attention_scale = 0.3;
  return spec;
}

// Weights N(0, 1 / sqrt(fan_in)), norms 1 + 0.3 N, biases 0.3 N: nothing can be left out unnoticed.
inline std::shared_ptr<Decoder> random_decoder(const DecoderSpec& spec, at::ScalarType dtype = at::kFloat) {
  at::manual_seed(7);
  auto decoder = std::make_shared<Decoder>(spec, dtype);
  const at::NoGradGuard no_grad;
  for (auto& item : decoder->named_parameters()) {
    const at::Tensor normal = at::randn(item.tensor.sizes(), at::kFloat);
    const bool norm = item.tensor.dim() == 1 && item.name.find("norm.weight") != std::string::npos;
    const bool table = item.name.find("embed") != std::string::npos;
    if (item.tensor.dim() == 1) {
      item.tensor.copy_(normal * 0.3 + (norm ? 1.0 - spec.norm_offset : 0.0));
    } else {
      item.tensor.copy_(table ? normal : normal / std::sqrt(static_cast<double>(item.tensor.size(1))));
    }
  }
  return decoder;
}

// Rows of documents: lengths per row, padded at the end to `length`. Tokens are drawn; document ids count up.
inline Batch make_batch(const std::vector<std::vector<std::int32_t>>& rows, std::int64_t length,
                        std::int64_t vocabulary) {
  at::manual_seed(3);
  const auto count = static_cast<std::size_t>(length) * rows.size();
  Batch batch;
  batch.rows = static_cast<std::int64_t>(rows.size());
  batch.length = length;
  batch.tokens.assign(count, 0);
  batch.targets.assign(count, kIgnoreTarget);
  batch.positions.assign(count, 0);
  std::uint64_t document = 100;
  for (std::size_t row = 0; row < rows.size(); ++row) {
    auto at_slot = static_cast<std::int32_t>(row * static_cast<std::size_t>(length));
    for (const std::int32_t size : rows[row]) {
      batch.stretches.push_back({at_slot, size, document++, 0});
      const at::Tensor drawn = at::randint(0, vocabulary, {size}, at::kInt);
      for (std::int32_t i = 0; i < size; ++i) {
        batch.tokens[at_slot + i] = drawn[i].item<std::int32_t>();
        batch.positions[at_slot + i] = i;
        if (i > 0) batch.targets[at_slot + i - 1] = batch.tokens[at_slot + i];
      }
      batch.target_count += size - 1;
      batch.token_count += size;
      at_slot += size;
    }
  }
  return batch;
}

inline double largest_difference(const at::Tensor& a, const at::Tensor& b) {
  return (a.to(at::kDouble) - b.to(at::kDouble)).abs().max().item<double>();
}

}  // namespace lathe::tiny
