#pragma once
// Products with frozen matrices: in 4 bits, or as the base's file holds them. Where that is not the type of
// the input they are made dense in forward and again in backward, so that between the two only what is stored
// exists; the input needs no gradient of theirs and is not kept either. For sources of this folder and the
// decoder's head only.
#include <ATen/core/Tensor.h>

#include <memory>
#include <vector>

#include "models/ops/nf4.h"

namespace lathe {

struct FrozenMatrix {
  std::shared_ptr<const Nf4Matrix> quantised;  // null: `values`
  at::Tensor values;                           // (out, in), any float type, often a mapped file
};

// `values` as a frozen weight keeps them: themselves in the type of products or in a narrower one, else
// rounded to it.
at::Tensor held_values(const at::Tensor& values, at::ScalarType type);

// x (N, in) times the matrices (out_i, in), below one another -> (N, sum of out), in x's type.
at::Tensor frozen_product(const at::Tensor& x, const std::vector<FrozenMatrix>& matrices);

// x (N, in) times `values` (out, in) of another float type -> (N, out) in x's type, without a gradient. The
// values are widened a piece at a time.
at::Tensor widened_product(const at::Tensor& x, const at::Tensor& values);

}  // namespace lathe
