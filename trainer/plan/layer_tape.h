#pragma once
// The operations of the networks that draw, on a tape: what each keeps for its backward, beside the name of
// the file whose code decides it; when that code changes what it saves, this must follow
// (tests/end_to_end/test_picture_plan.py tells). Sizes follow from a tensor's bytes and the layer's channels.
// B pictures, T tokens or places of one, C channels.
#include <string>
#include <utility>
#include <vector>

#include "trainer/plan/layer_list.h"
#include "trainer/plan/tape.h"

namespace lathe {

// What products are computed in, and whether blocks are multiplied by kernels of our own.
struct PlannedPrecision {
  bool bf16 = true, tiled = true;
  std::int64_t element() const { return bf16 ? 2 : 4; }
};

struct PlannedAttention {
  std::int64_t pictures = 1, queries = 0, keys = 0, heads = 1, channels = 0;
};

class LayerTape {
 public:
  using Held = Tape::Held;
  using Value = Tape::Value;
  LayerTape(AllocatorBooks& books, const LayerList& layers, PlannedPrecision precision, bool recording)
      : layers_(layers), precision_(precision), books_(books), tape_(books, recording) {}

  const LayerList& layers() const { return layers_; }
  std::int64_t element() const { return precision_.element(); }
  // A tensor that no weight has made; `values` of it.
  Value input(std::int64_t values) { return tape_.leaf(values * element()); }

  Value linear(const Value& x, const std::string& module);
  // Several layers on one input as one product (LinearGroup). `apart`: the gradients of their outputs lie in
  // tensors of their own.
  Value group(const Value& x, const std::vector<std::string>& modules, bool apart);
  // The same where some may have adapters: one tensor of all, or one for each.
  std::vector<Value> projections(const Value& x, const std::vector<std::string>& modules);
  Value convolution(const Value& x, const std::string& module, std::int64_t stride = 1);
  Value table(std::int64_t rows, const std::string& module);  // so many rows of it
  Value patches(std::int64_t tokens, const std::string& module);
  Value norm(const Value& x, const std::string& module);
  Value pointwise(const Value& x);  // keeps its input
  Value copy(const Value& x);
  Value add(const Value& x, const Value& y);
  Value gated_gelu(const Value& wide);  // of two halves
  Value joined(const Value& x, const Value& y);
  Value resized(const Value& x, std::int64_t values);  // some of it, or zeros behind it
  Value doubled_sides(const Value& x);
  // The norm of rows + branch, shifted and scaled as `by` (B, many C) says, and that sum, which rows become
  // (models/ops/modulation.cpp); without a branch of the rows alone.
  Value modulated(Value& rows, Value branch, const Value& by);
  // Tokens of two sides, queries, keys and values of each, one behind the other, and apart again.
  // `norms`: before the names of the norms of queries and keys, where there are any.
  Value join_heads(const Value& x, const Value& y, const std::string& norms);
  std::pair<Value, Value> split(const Value& x, std::int64_t first_bytes);
  // parts: all in one tensor, queries and the other two, or three.
  Value attention(const std::vector<Value>& parts,
                  const PlannedAttention& shape);                             // models/ops/full_attention.cpp
  Value document_attention(const Value& qkv, const PlannedAttention& shape);  // models/ops/attention.cpp
  bool attention_apart() const { return !precision_.tiled; }

  // The squares' sum in fp32 (models/objectives/denoising.cpp) and its gradients.
  void learn(Value output);
  std::vector<GradientBlock> gradients;

 private:
  Value adapted(const Value& x, const Value& y, const PlannedLayer& layer);
  void train_bias(const PlannedLayer& layer);
  void train_product(const PlannedLayer& layer, std::int64_t rows);
  std::vector<Held> attention_gradients(std::size_t parts, const PlannedAttention& shape);

  const LayerList& layers_;
  PlannedPrecision precision_;
  AllocatorBooks& books_;
  Tape tape_;
};

}  // namespace lathe
