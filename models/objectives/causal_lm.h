#pragma once
// Next-token cross-entropy without ever holding the (N, V) logits: chunked linear + softmax + gradient in one
// pass (the scheme of Liger's fused linear cross-entropy, arXiv 2410.10989).
#include <ATen/core/Tensor.h>

#include "data/pipeline/batch.h"
#include "models/decoder/decoder.h"
#include "models/objectives/objective.h"
#include "models/layers/embedding.h"

namespace lathe {

// hidden (N, C), weight (V, C), targets (N) with kIgnoreTarget: sum over targets of -log p, times `scale` in
// the gradient (so that backward of micro-batches adds up to the mean over the global count). fp32
// accumulation. softcap c > 0: the logits are c * tanh(logit / c) (arXiv 2408.00118). `rows`: those of a
// frozen weight that get a gradient.
at::Tensor linear_cross_entropy(const at::Tensor& hidden, const at::Tensor& weight, const at::Tensor& targets,
                                double softcap = 0, const TokenRows& rows = {});

ObjectiveValue causal_lm_loss(Decoder& decoder, const Batch& batch, const RunOptions& options);

// Per-target -log p in fp32 (N), 0 where ignored; no gradient.
at::Tensor token_losses(Decoder& decoder, const Batch& batch);

}  // namespace lathe
