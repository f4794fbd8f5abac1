#pragma once
// Muon (Keller Jordan 2024, kellerjordan.github.io/posts/muon): Nesterov momentum, orthogonalised by five
// Newton-Schulz steps, scaled by max(1, rows / columns)^0.5. Of arXiv 2502.16982 it takes the decoupled
// weight decay but not the RMS matching, so muon_learning_rate keeps its published scale (0.02); the decay of
// a step is AdamW's, learning_rate * weight_decay, so that one key means the same for every matrix.
#include "trainer/optim/adamw.h"

namespace lathe {

// The nearest matrix with singular values about 1 (0.7 to 1.2), same shape, in dtype: bf16 as
// published, fp32 where the weights are (a processor without fast bf16 would crawl).
at::Tensor orthogonalise(const at::Tensor& matrix, at::ScalarType dtype = at::ScalarType::BFloat16);

class Muon : public Optimizer {
 public:
  Muon(const OptimizerSection& section, std::vector<Parameter>& parameters, std::int64_t steps_done);
  void step(std::vector<Parameter>& parameters, const StepOptions& options) override;
  std::vector<BundleTensor> state() const override;
  void load_state(const std::vector<BundleTensor>& tensors) override;

 private:
  OptimizerSection section_;
  AdamW rest_;                        // norms, biases, embeddings, the head
  std::vector<at::Tensor> momentum_;  // by index of the parameter; undefined: not ours
  StateBuffers buffers_;
};

}  // namespace lathe
