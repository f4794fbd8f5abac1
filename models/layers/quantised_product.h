#pragma once
// The product with frozen 4-bit matrices. They are made dense in forward and again in backward, so that
// between the two only their 4 bits exist; the input needs no gradient of theirs and is not kept either. For
// sources of this folder only.
#include <ATen/core/Tensor.h>

#include <memory>
#include <vector>

#include "models/ops/nf4.h"

namespace lathe {

// x (N, in) times the matrices (out_i, in), below one another -> (N, sum of out), in x's type.
at::Tensor quantised_product(const at::Tensor& x,
                             const std::vector<std::shared_ptr<const Nf4Matrix>>& matrices);

}  // namespace lathe
