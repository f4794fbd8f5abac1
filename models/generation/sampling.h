#pragma once
// Choosing a token from logits: temperature, then top-k, then nucleus (arXiv 1904.09751), as transformers
// orders them.
#include <span>

#include "models/generation/generate.h"

namespace lathe {

// uniform in [0, 1) decides; ties go to the lower id, so a result depends on the logits and the number alone.
TokenId sample_token(std::span<const float> logits, const GenerationOptions& options, double uniform);

}  // namespace lathe
