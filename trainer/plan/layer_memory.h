#pragma once
// One decoder's forward and backward pass on the allocator's books: tensors by their sizes, alive as long as
// models/ keeps them. N tokens, C channels, Q and K channels of the query and key heads, I channels inside
// the MLP.
#include <vector>

#include "trainer/plan/books.h"
#include "trainer/plan/plan.h"
#include "trainer/plan/trained_state.h"

namespace lathe {

class LayerMemory {
 public:
  using Held = AllocatorBooks::Held;
  LayerMemory(AllocatorBooks& books, const DecoderSpec& spec, const PlanSettings& settings);

  // Forward, loss and backward over `tokens`; appends what is left: the gradients, in the order of backward.
  void pass(std::int64_t tokens, std::vector<GradientBlock>& gradients);
  // A prompt and the answer to it without gradients (models/generation/generate.cpp).
  void answer(const AskedLengths& asked);

 private:
  struct Stream {
    Held residual, branch;
  };
  struct Saved {
    Held input, normed, qkv, keys, values, attended, attended_wide, statistics, middle, normed_middle, gates,
        inner, extra;
  };
  Held activation(std::int64_t channels) {
    return books_.take(tokens_ * channels * element_, Use::Activations);
  }
  Held wide(std::int64_t channels) { return books_.take(tokens_ * channels * 4, Use::Activations); }
  Held spaced(std::int64_t channels);
  // `out` beside the weights that are made dense for the product with it
  // (models/layers/quantised_product.cpp).
  Held product(std::int64_t weights, Held out);
  Saved forward_block(Stream& stream);
  void forward_attention(Saved& saved);
  void forward_mlp(Saved& saved);
  void cached_block(Stream& stream);
  void backward_block(Saved saved, Held& gradient, std::vector<GradientBlock>& gradients);
  void backward_attention(Saved& saved, Held& normed, std::vector<GradientBlock>& gradients);
  void weight_gradient(std::int64_t out, std::int64_t in, std::vector<std::int64_t> parts,
                       std::vector<GradientBlock>& gradients);
  Held head_loss(Held& weight_gradient);

  AllocatorBooks& books_;
  const DecoderSpec& spec_;
  const PlanSettings& settings_;
  std::int64_t tokens_ = 0, element_, query_, key_, input_width_;
  bool adapted_, widened_;  // widened: of a base that is narrower than what products are computed in
};

}  // namespace lathe
