#include "models/objectives/causal_lm.h"

#include <ATen/ATen.h>

namespace lathe {
namespace {

at::Tensor target_tensor(const Batch& batch) {
  return at::tensor(batch.targets, at::kInt).to(at::kLong);
}

}  // namespace

at::Tensor linear_cross_entropy(const at::Tensor& hidden, const at::Tensor& weight, const at::Tensor& targets) {
  const at::Tensor logits = at::matmul(hidden, weight.t()).to(at::kFloat);
  return at::cross_entropy_loss(logits, targets.to(at::kLong), {}, at::Reduction::Sum, kIgnoreTarget);
}

ObjectiveValue causal_lm_loss(Decoder& decoder, const Batch& batch, const RunOptions& options) {
  const at::Tensor hidden = decoder.forward(decoder_input(batch), options);
  return {linear_cross_entropy(hidden, decoder.head_weight(), target_tensor(batch)), batch.target_count,
          LossUnit::Token};
}

at::Tensor token_losses(Decoder& decoder, const Batch& batch) {
  const at::NoGradGuard no_grad;
  const at::Tensor hidden = decoder.forward(decoder_input(batch));
  const at::Tensor logits = at::matmul(hidden, decoder.head_weight().t()).to(at::kFloat);
  return at::cross_entropy_loss(logits, target_tensor(batch), {}, at::Reduction::None, kIgnoreTarget);
}

}  // namespace lathe
