#pragma once
// Low-rank adapters of a Linear or, LoRA alone, of a Convolution: LoRA (arXiv 2106.09685), rank-stabilised
// LoRA (arXiv 2312.03732: alpha / sqrt(r)) and DoRA (arXiv 2402.09353: the column norms of the merged weight
// are learned apart). The wrapped weight never changes. Names are PEFT's: lora_A.weight (r, in),
// lora_B.weight (out, r), lora_magnitude_vector.weight (out); of a convolution (r, in, side, side) and (out,
// r, 1, 1).
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "models/layers/module.h"
#include "data/pipeline/batch.h"

namespace lathe {

struct FrozenMatrix;  // models/layers/frozen_product.h

enum class AdapterKind { Lora, Dora };

struct AdapterSpec {
  AdapterKind kind = AdapterKind::Lora;
  std::int64_t rank = 16;
  double alpha = 32;
  bool rank_stabilised = false;      // alpha / sqrt(rank) instead of alpha / rank
  double dropout = 0;                // on the adapter's input, while training
  std::vector<std::string> targets;  // module names (q_proj ...), or "all-linear": every Linear of the blocks
  double scaling() const;
};

// What the adapters of one model share during a pass; set by the decoder before its blocks run.
struct AdapterPass {
  bool training = false;
  std::uint64_t seed = 0, step = 0;
  std::vector<Stretch> stretches;
};

// Immutable but for its parameters; used by one model.
class Adapter {
 public:
  // A as published (uniform, Kaiming with a = sqrt(5)), B zero, magnitudes the weight's own norms: adapted =
  // base. Counter-based in (seed, site): site numbers the Linear inside the model.
  Adapter(const AdapterSpec& spec, const at::Tensor& weight, std::uint64_t seed, std::uint32_t site);
  // x (N, in), y (N, out) = x W^T without bias -> the adapted product, bias added.
  at::Tensor apply(const at::Tensor& x, const at::Tensor& y, const at::Tensor& weight,
                   const at::Tensor& bias) const;
  // The same from the frozen weight itself: one product where it can be.
  at::Tensor apply(const at::Tensor& x, const FrozenMatrix& matrix, const at::Tensor& bias) const;
  // x (B, in, H, W), y (B, out, h, w) = the convolution of x -> y with the factors' one added; a's own
  // kernel.
  at::Tensor apply_convolution(const at::Tensor& x, const at::Tensor& y, std::int64_t stride,
                               std::int64_t padding) const;
  // Registers the factors below `module` under PEFT's names.
  void hold_in(Module& module);
  // W + scaling B A, or DoRA's m * V / |V|, in fp32 from the fp32 value of `weight`.
  at::Tensor merged(const at::Tensor& weight) const;

  at::Tensor a, b, magnitude;  // magnitude: DoRA only
  std::shared_ptr<const AdapterPass> pass;

 private:
  bool drops() const;
  at::Tensor dropped(const at::Tensor& x) const;
  // Of the sum: DoRA's magnitudes, where `weight` is asked for, and the bias.
  at::Tensor finished(const at::Tensor& sum, const std::function<at::Tensor()>& weight,
                      const at::Tensor& bias) const;
  AdapterSpec spec_;
  std::uint32_t site_;
};

// W + scaling B A, or DoRA's m * V / |V|_row with V = W + scaling B A, matrices or (LoRA) kernels. All fp32
// in, fp32 out; magnitude undefined: LoRA.
at::Tensor merge_weight(const at::Tensor& weight, const at::Tensor& a, const at::Tensor& b,
                        const at::Tensor& magnitude, double scaling);

}  // namespace lathe
