#pragma once
// Attention of one new token over cached keys and values, where generation spends its time.
#include <ATen/core/Tensor.h>

#include "models/ops/ops.h"

namespace lathe {

// q (B, H, 1, D), keys and values (B, K, S, D), all bf16, the last dimension dense; H is a multiple of K. All
// S keys are seen; rule.scale alone counts. -> (B, H, 1, D) bf16; sums are fp32.
at::Tensor one_token_attention(const at::Tensor& q, const at::Tensor& keys, const at::Tensor& values,
                               const AttentionRule& rule);

}  // namespace lathe
