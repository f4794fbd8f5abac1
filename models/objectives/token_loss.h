#pragma once
// The head without gradients, and which targets it works on.
#include <ATen/core/Tensor.h>

#include <cstdint>

namespace lathe {

struct KeptTargets {
  at::Tensor rows;     // positions of the targets that count, int64; undefined when all of them do
  at::Tensor targets;  // those targets, int64
};
// Error for a target outside the vocabulary that is not kIgnoreTarget.
KeptTargets kept_targets(const at::Tensor& targets, std::int64_t vocabulary);

// -log p of each target in fp32 (N), 0 where ignored; no gradient, no (N, V) logits.
at::Tensor linear_token_losses(const at::Tensor& hidden, const at::Tensor& weight, const at::Tensor& targets,
                               double softcap = 0);

}  // namespace lathe
