#pragma once
// Linear is the one seam of the house: how a weight is stored (fp32, bf16, NF4), adapted or sharded lives
// behind it, and nothing above knows. Modules keep Hugging Face's granularity, so names never depend on it.
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "models/layers/module.h"
#include "models/layers/frozen_product.h"

namespace lathe {

struct GroupTensors;
class Adapter;

// How the weights of a block's linears are kept. Biases, norms and everything outside of the blocks have
// `dtype`.
struct LinearStorage {
  at::ScalarType dtype = at::kFloat;  // that products are computed in
  bool frozen = false;                // as the base's file holds them, often mapped; all but vectors
  bool nf4 = false;                   // frozen, in 4 bits (models/ops/nf4.h)
  bool double_quantised = true;       // the scales of the 4 bits too
  LinearStorage(at::ScalarType type) : dtype(type) {}  // NOLINT: a plain dtype is a storage
};

// Of a model that is read: computed in `dtype`, kept as its files have it.
inline LinearStorage frozen_storage(at::ScalarType dtype) {
  LinearStorage storage(dtype);
  storage.frozen = true;
  return storage;
}

class Linear : public Module {
 public:
  Linear(std::int64_t in, std::int64_t out, bool with_bias, const LinearStorage& storage);
  // x (N, in) -> (N, out).
  at::Tensor forward(const at::Tensor& x) const;
  // Puts a low-rank adapter on the weight, whose parameters get PEFT's names below this module; once.
  void adapt(const std::shared_ptr<Adapter>& adapter);
  const std::shared_ptr<Adapter>& adapter() const { return adapter_; }
  // Frozen: takes the values of the weight (out, in) of any float type, before the first forward. NF4
  // quantises them; else they stay where they are, unless they are wider than what products are computed in.
  void hold(const at::Tensor& values);
  // The same of values in a file's blocks, which stay there unless they are quantised anew.
  void hold(const std::shared_ptr<const BlockMatrix>& blocks);
  bool frozen() const { return storage_.frozen || storage_.nf4; }
  bool quantised() const { return storage_.nf4; }
  const FrozenMatrix& matrix() const { return matrix_; }  // frozen only
  // The weight in the type of products: the parameter, or what is frozen made dense.
  at::Tensor dense_weight() const;
  // Of a frozen weight that is no longer: memory of its own, in the type of products.
  void own_weight();

  at::Tensor weight;  // (out, in); frozen: on no device, its shape alone
  at::Tensor bias;    // (out), undefined without

 private:
  LinearStorage storage_;
  std::shared_ptr<Adapter> adapter_;  // null: none
  FrozenMatrix matrix_;
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
  // No part has an adapter or is frozen: else forward() is the way, not the fused products of
  // projections.h.
  bool plain() const;

 private:
  std::vector<at::Tensor> products(const at::Tensor& x) const;  // (N, out_i), no bias
  std::vector<std::shared_ptr<Linear>> parts_;
  at::Tensor weight_, bias_;  // (sum of out, in), (sum of out); undefined when frozen
};

}  // namespace lathe
