#include "models/objectives/causal_lm.h"

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/tensor.h>

#include "models/objectives/token_loss.h"

namespace lathe {
namespace {

at::Tensor target_tensor(const Batch& batch) { return at::tensor(batch.targets, at::kInt); }

}  // namespace

ObjectiveValue causal_lm_loss(Decoder& decoder, const Batch& batch, const RunOptions& options) {
  const at::Tensor hidden = decoder.forward(decoder_input(batch), options);
  const at::Tensor sum = linear_cross_entropy(hidden, decoder.head_weight(), target_tensor(batch),
                                              decoder.spec().final_softcap, decoder.head_rows());
  return {sum, batch.target_count, LossUnit::Token};
}

at::Tensor token_losses(Decoder& decoder, const Batch& batch) {
  const at::NoGradGuard no_grad;
  const at::Tensor hidden = decoder.forward(decoder_input(batch));
  return linear_token_losses(hidden, decoder.head_weight(), target_tensor(batch),
                             decoder.spec().final_softcap);
}

}  // namespace lathe
