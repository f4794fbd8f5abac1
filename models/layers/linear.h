#pragma once
// Linear is the one seam of the house: how a weight is stored (fp32, bf16; quantised later), adapted or
// sharded lives behind it, and nothing above knows. Modules keep Hugging Face's granularity, so names never
// depend on it.
#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <cstdint>
#include <memory>
#include <vector>

namespace lathe {

struct GroupTensors;
class Adapter;

class Linear : public torch::nn::Module {
 public:
  Linear(std::int64_t in, std::int64_t out, bool with_bias, at::ScalarType dtype);
  // x (N, in) -> (N, out).
  at::Tensor forward(const at::Tensor& x) const;
  // Puts a low-rank adapter on the weight, whose parameters get PEFT's names below this module; once.
  void adapt(const std::shared_ptr<Adapter>& adapter);
  const std::shared_ptr<Adapter>& adapter() const { return adapter_; }

  at::Tensor weight;  // (out, in)
  at::Tensor bias;    // (out), undefined without

 private:
  std::shared_ptr<Adapter> adapter_;  // null: none
};

// Linears that read the same input, as one matrix product: their weights are re-homed as consecutive rows of
// one buffer, of which the parts' parameters stay ordinary leaves. Forward is one product instead of one a
// part, backward one for the input and one for all weights. In-place updates of the parameters keep the
// sharing; replacing their storage (Module::to) does not and is refused at the next forward.
class LinearGroup {
 public:
  LinearGroup() = default;
  explicit LinearGroup(std::vector<std::shared_ptr<Linear>> parts);
  // x (N, in) -> a tensor (N, out_i) for each part; their rows stand apart, being slices of one product.
  std::vector<at::Tensor> forward(const at::Tensor& x) const;
  // The buffers and the parameters, checked to share storage still.
  GroupTensors tensors() const;
  // Some part has an adapter: then forward() is the way, not the fused products of projections.h.
  bool adapted() const;

 private:
  std::vector<std::shared_ptr<Linear>> parts_;
  at::Tensor weight_, bias_;  // (sum of out, in), (sum of out)
};

}  // namespace lathe
