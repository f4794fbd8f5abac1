#pragma once
// Rendered examples as a Batch for scoring them. Torch-free.
#include <vector>

#include "data/pipeline/batch.h"
#include "data/templates/render_example.h"

namespace lathe {

// Puts `example` behind what the batch's one row holds, as a document of its own, the next in number. Its
// supervised tokens are targets, but for those in `left_out`. The last token is no input. Error for an
// example without tokens.
void append_example(Batch& batch, const TokenExample& example, const std::vector<TokenId>& left_out = {});

}  // namespace lathe
